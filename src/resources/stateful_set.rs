//! The StatefulSet.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::{Site, labels, meta, names, pod};
use crate::api::cluster::{Retention, RetentionPolicy, Storage};
use crate::api::validate::Cluster;
use crate::layout;

/// The StatefulSet of the members. Parallel, because all must answer before the initialisation; OnDelete, because only
/// the operator knows when a member may stop.
#[must_use]
pub(crate) fn stateful_set(cluster: &Cluster, site: &Site) -> StatefulSet {
    StatefulSet {
        metadata: meta::owned(cluster, names::stateful_set(&cluster.name)),
        spec: Some(StatefulSetSpec {
            service_name: Some(names::members(&cluster.name)),
            replicas: Some(cluster.spec.members.into()),
            selector: LabelSelector { match_labels: Some(labels::selector(&cluster.name)), ..LabelSelector::default() },
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            persistent_volume_claim_retention_policy: Some(retention(
                cluster.spec.storage.pvc_retention_policy.clone(),
            )),
            template: pod::template(cluster, site),
            volume_claim_templates: Some(vec![claim(&cluster.spec.storage)]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn retention(policy: RetentionPolicy) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let word = |retention| match retention {
        Retention::Retain => Some("Retain".to_owned()),
        Retention::Delete => Some("Delete".to_owned()),
    };
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: word(policy.when_deleted),
        when_scaled: word(policy.when_scaled),
    }
}

fn claim(storage: &Storage) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(layout::DATA_VOLUME.to_owned()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), storage.size.clone())].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
