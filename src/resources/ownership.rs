//! Whose an object is that stands under one of our names.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::labels;
use crate::api::validate::Cluster;

/// Who has an object that is not this cluster's, in words; none when it is.
///
/// Ours is what this very ReplicationCluster controls, and what nobody controls and our label names: an owner goes when
/// somebody deletes the ReplicationCluster and keeps the rest, a label when somebody edits.
#[must_use]
pub(crate) fn stranger(cluster: &Cluster, metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.iter().flatten();
    match owners.into_iter().find(|owner| owner.controller == Some(true)) {
        Some(owner) if owner.uid == cluster.uid => None,
        Some(owner) => Some(format!("it belongs to {} {} (uid {})", owner.kind, owner.name, owner.uid)),
        None => {
            let label = metadata.labels.as_ref().and_then(|labels| labels.get(labels::CLUSTER));
            let ours = label == Some(&cluster.name);
            (!ours).then(|| format!("it has no label {}={}", labels::CLUSTER, cluster.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cluster() -> Cluster {
        let object = json!({
            "apiVersion": "beachmaster.dev/v1alpha1", "kind": "ReplicationCluster",
            "metadata": {"name": "shop", "namespace": "prod", "uid": "u-1"},
            "spec": {"image": "mariadb:11.8.6", "storage": {"size": "1Gi"}},
        });
        Cluster::parse(&serde_json::from_value(object).unwrap()).unwrap()
    }

    fn told(metadata: Value) -> Option<String> {
        stranger(&cluster(), &serde_json::from_value(metadata).unwrap())
    }

    fn owner(kind: &str, uid: &str) -> Value {
        json!([{"apiVersion": "v1", "kind": kind, "name": "shop", "uid": uid, "controller": true}])
    }

    #[test]
    fn what_we_made_is_ours_with_its_label_or_without() {
        let labels = json!({"beachmaster.dev/cluster": "shop"});
        assert_eq!(told(json!({"ownerReferences": owner("ReplicationCluster", "u-1"), "labels": labels})), None);
        assert_eq!(told(json!({"ownerReferences": owner("ReplicationCluster", "u-1")})), None);
        assert_eq!(told(json!({"labels": labels})), None, "left when the ReplicationCluster went, or handed over");
    }

    #[test]
    fn what_somebody_else_made_is_not() {
        let labels = json!({"beachmaster.dev/cluster": "shop"});
        assert!(told(json!({})).unwrap().contains("no label beachmaster.dev/cluster=shop"));
        assert!(told(json!({"labels": {"beachmaster.dev/cluster": "shop2"}})).is_some());
        let theirs = told(json!({"ownerReferences": owner("Deployment", "u-9"), "labels": labels})).unwrap();
        assert!(theirs.contains("Deployment shop"), "{theirs}");
        assert!(told(json!({"ownerReferences": owner("ReplicationCluster", "u-0")})).is_some(), "one that was deleted");
    }
}
