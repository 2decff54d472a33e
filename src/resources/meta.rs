//! Metadata of the objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use super::labels;
use crate::api::ReplicationCluster;
use crate::api::validate::Cluster;

/// Metadata of an object that goes when its cluster goes.
pub(super) fn owned(cluster: &Cluster, name: String) -> ObjectMeta {
    ObjectMeta { owner_references: Some(vec![owner(cluster)]), ..kept(cluster, name) }
}

/// Metadata of an object that stays when its cluster goes.
pub(super) fn kept(cluster: &Cluster, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(labels::object(&cluster.name)),
        ..ObjectMeta::default()
    }
}

fn owner(cluster: &Cluster) -> OwnerReference {
    OwnerReference {
        api_version: ReplicationCluster::api_version(&()).into_owned(),
        kind: ReplicationCluster::kind(&()).into_owned(),
        name: cluster.name.clone(),
        uid: cluster.uid.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}
