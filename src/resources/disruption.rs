//! The PodDisruptionBudget.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{labels, meta, names};
use crate::api::validate::Cluster;

/// At most one member may be evicted at a time; a member that is not ready may always be, or a quarantined one would
/// block every drain. None for a single member: nothing could ever be drained.
#[must_use]
pub(crate) fn disruption_budget(cluster: &Cluster) -> Option<PodDisruptionBudget> {
    (cluster.spec.members > 1).then(|| PodDisruptionBudget {
        metadata: meta::owned(cluster, names::stateful_set(&cluster.name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(labels::selector(&cluster.name)),
                ..LabelSelector::default()
            }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    })
}
