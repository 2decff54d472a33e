//! The pods of one cluster, as Kubernetes tells them, and what keeps them from running.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use kube::ResourceExt;

use crate::api::validate::member_ordinal;
use crate::orders::Ordinal;

/// The scheduler's word for a pod that no node takes.
pub(crate) const UNSCHEDULABLE: &str = "Unschedulable";
/// Our word for a pod that a quota, a policy or a webhook refuses.
pub(crate) const POD_REFUSED: &str = "PodRefused";
/// Our word for a claim whose StorageClass does not exist.
pub(crate) const CLASS_NOT_FOUND: &str = "StorageClassNotFound";
/// Our word for a Secret, or a key in it, that a pod mounts and that does not exist.
pub(crate) const SECRET_NOT_FOUND: &str = "SecretNotFound";

/// What matters of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// The member it is.
    pub ordinal: Ordinal,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: String,
    /// metadata.resourceVersion.
    pub version: String,
    /// status.podIP.
    pub ip: Option<IpAddr>,
    /// It has a deletionTimestamp.
    pub deleting: bool,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// What keeps it from running.
    pub trouble: Option<Trouble>,
    /// Its labels for people and for NAME-replicas.
    pub labels: BTreeMap<String, String>,
}

/// Why a pod does not run, in the kubelet's or the scheduler's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One word, for example ImagePullBackOff.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
}

impl PodFacts {
    /// Reads a pod of `cluster`; none when its name is not that of a member.
    #[must_use]
    pub(crate) fn read(pod: &Pod, cluster: &str) -> Option<Self> {
        let name = pod.name_any();
        let status = pod.status.clone().unwrap_or_default();
        Some(Self {
            ordinal: member_ordinal(cluster, &name)?,
            name,
            uid: pod.uid().unwrap_or_default(),
            version: pod.resource_version().unwrap_or_default(),
            ip: status.pod_ip.as_deref().and_then(|ip| ip.parse().ok()),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            trouble: trouble(&status),
            labels: pod.labels().clone(),
        })
    }

    /// Where the agent's stream goes to; none before the pod is on a node.
    #[must_use]
    pub(crate) fn target(&self) -> Option<PodTarget> {
        self.node.as_ref()?;
        Some(PodTarget { name: self.name.clone(), uid: self.uid.clone(), version: self.version.clone() })
    }
}

fn trouble(status: &PodStatus) -> Option<Trouble> {
    let init = status.init_container_statuses.iter().flatten();
    let containers = init.chain(status.container_statuses.iter().flatten());
    containers.filter_map(waiting).next().or_else(|| unscheduled(status))
}

fn waiting(container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.clone()?;
    // The ordinary way of every start.
    if matches!(reason.as_str(), "ContainerCreating" | "PodInitializing") {
        return None;
    }
    let words = waiting.message.clone().unwrap_or_else(|| "no message".to_owned());
    Some(Trouble { reason, message: format!("container {}: {words}", container.name) })
}

fn unscheduled(status: &PodStatus) -> Option<Trouble> {
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled")?;
    (condition.status == "False").then(|| Trouble {
        reason: condition.reason.clone().unwrap_or_else(|| UNSCHEDULABLE.to_owned()),
        message: condition.message.clone().unwrap_or_else(|| "the pod has no node".to_owned()),
    })
}

/// The pod a stream is opened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodTarget {
    /// Its name.
    pub(crate) name: String,
    /// Its uid: another pod of that name is another member's life.
    pub uid: String,
    /// Changes whenever the kubelet reports something about the pod: a reason to try again at once.
    pub(crate) version: String,
}

/// What to do about a pod that does not start, by the word it is told with. docs/reasons.md has a row for each.
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"],
        "check spec.image and spec.imagePullSecrets, and that the node reaches the registry; after a change of the spec delete the \
         pod: nothing else replaces it",
    ),
    (&["CreateContainerConfigError"], "check that the Secrets named in the spec exist and have the named keys"),
    (&[SECRET_NOT_FOUND], "create the Secret, or the key in it, that the spec names"),
    (&[POD_REFUSED], "change the quota, policy or webhook that refuses it, or spec.resources and spec.template"),
    (
        &[CLASS_NOT_FOUND],
        "create that StorageClass, or delete the cluster and its volume claims and name an existing one",
    ),
    (
        &[UNSCHEDULABLE, "SchedulerError"],
        "give the cluster nodes and volumes that fit, or change spec.resources and spec.template and delete the pod",
    ),
];

/// A trouble with what to do about it.
pub(crate) fn with_remedy(trouble: &Trouble) -> String {
    let is_meant = |(words, _): &&(&[&str], &str)| words.contains(&trouble.reason.as_str());
    let remedy =
        REMEDIES.iter().find(is_meant).map_or("see kubectl describe pod and kubectl logs", |(_, remedy)| remedy);
    format!("{}; {remedy}", trouble.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: serde_json::Value) -> PodFacts {
        let pod = serde_json::json!({
            "metadata": {"name": "shop-2", "uid": "u", "resourceVersion": "7", "deletionTimestamp": "2026-11-22T10:00:00Z"},
            "spec": {"containers": [], "nodeName": "n1"},
            "status": status,
        });
        PodFacts::read(&serde_json::from_value(pod).unwrap(), "shop").unwrap()
    }

    #[test]
    fn reads_what_matters() {
        let facts = read(serde_json::json!({"podIP": "10.0.0.7"}));
        assert_eq!((facts.ordinal, facts.deleting, facts.trouble.clone()), (Ordinal(2), true, None));
        assert_eq!(facts.ip, Some("10.0.0.7".parse().unwrap()));
        assert_eq!(facts.target().unwrap().uid, "u");
    }

    #[test]
    fn shows_the_reason_of_a_pod_that_does_not_start() {
        let waits = |reason: &str| {
            serde_json::json!({"containerStatuses": [{
                "name": "mariadb", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": {"waiting": {"reason": reason, "message": "not found"}},
            }]})
        };
        let trouble = read(waits("ImagePullBackOff")).trouble.unwrap();
        assert_eq!(
            (trouble.reason.as_str(), trouble.message.as_str()),
            ("ImagePullBackOff", "container mariadb: not found")
        );
        assert_eq!(read(waits("ContainerCreating")).trouble, None);
    }

    #[test]
    fn shows_why_a_pod_has_no_node() {
        let status = serde_json::json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"},
        ]});
        assert_eq!(read(status).trouble.unwrap().message, "0/3 nodes");
    }

    #[test]
    fn every_word_has_a_row_in_the_docs() {
        const REASONS: &str = include_str!("../../docs/reasons.md");
        let rows: Vec<&str> = REASONS.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
        for word in REMEDIES.iter().flat_map(|(words, _)| *words) {
            assert!(rows.iter().any(|row| row.contains(&format!("`{word}`"))), "docs/reasons.md has no row for {word}");
        }
    }
}
