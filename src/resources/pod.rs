//! The pod of a member.

mod containers;
mod security;
mod volumes;

use k8s_openapi::api::core::v1::{
    Affinity, PodAffinityTerm, PodAntiAffinity, PodSpec, PodTemplateSpec, TopologySpreadConstraint,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use self::containers::{agent, install, mariadb};
use super::Site;
use super::labels::{self, Labels};
use crate::api::validate::Cluster;

/// Seconds mariadbd gets to shut down: writing a large buffer pool takes long, and a kill in the middle costs a crash
/// recovery.
const GRACE_SECONDS: i64 = 3600;
/// Label of nodes that is different on every node.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Label of nodes in one zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The pod template of the StatefulSet.
pub(super) fn template(cluster: &Cluster, site: &Site) -> PodTemplateSpec {
    let template = &cluster.spec.template;
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(merged(labels::pod(&cluster.name), &template.labels)),
            annotations: Some(merged(labels::pod_annotations(), &template.annotations)),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(cluster, site)),
    }
}

fn spec(cluster: &Cluster, site: &Site) -> PodSpec {
    let template = &cluster.spec.template;
    let spread = &template.topology_spread_constraints;
    let mut containers = vec![mariadb(cluster)];
    containers.extend(template.containers.iter().cloned());
    let mut volumes = volumes::of(cluster);
    volumes.extend(template.volumes.iter().cloned());
    PodSpec {
        init_containers: Some(vec![install(site), agent(cluster, site)]),
        containers,
        volumes: Some(volumes),
        image_pull_secrets: not_empty(&cluster.spec.image_pull_secrets),
        security_context: Some(security::pod(template.security_context.as_ref())),
        // The pods talk to nobody in Kubernetes, and an account of our own would lose the namespace's pull secrets.
        automount_service_account_token: Some(false),
        // A Service named after a cluster would set variables like MARIADB_PORT.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(template.termination_grace_period_seconds.unwrap_or(GRACE_SECONDS)),
        node_selector: Some(template.node_selector.clone()).filter(|labels| !labels.is_empty()),
        affinity: Some(template.affinity.clone().unwrap_or_else(|| apart(&cluster.name))),
        tolerations: not_empty(&template.tolerations),
        topology_spread_constraints: Some(if spread.is_empty() { spread_out(&cluster.name) } else { spread.clone() }),
        priority_class_name: template.priority_class_name.clone(),
        ..PodSpec::default()
    }
}

/// The user's entries win. None of them is below `beachmaster.dev/`: validation refuses that.
fn merged(mut ours: Labels, theirs: &Labels) -> Labels {
    ours.extend(theirs.clone());
    ours
}

fn not_empty<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    Some(list.to_vec()).filter(|list| !list.is_empty())
}

/// A node of its own for each member, where there are enough.
fn apart(cluster: &str) -> Affinity {
    let term = PodAffinityTerm {
        label_selector: Some(cluster_pods(cluster)),
        topology_key: HOSTNAME.to_owned(),
        ..PodAffinityTerm::default()
    };
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: term,
            }]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// Evenly over nodes and zones, where possible: a member is never left out because of it.
fn spread_out(cluster: &str) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(cluster_pods(cluster)),
        ..TopologySpreadConstraint::default()
    };
    vec![over(HOSTNAME), over(ZONE)]
}

fn cluster_pods(cluster: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(labels::selector(cluster)), ..LabelSelector::default() }
}
