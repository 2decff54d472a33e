//! What the operator records about a cluster. Written when state changes, not when positions do. What this version does not
//! know in it, words and keys, is written back as it was read.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::words::open_words;
use crate::orders::{DataUid, Incarnation, Term};

/// Keys that this version does not know.
pub(crate) type UnknownKeys = BTreeMap<String, Value>;

/// State recorded by the operator, which relies on it after a restart: do not edit it.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
    /// Lease (namespace/name) of the operator that manages the cluster; others leave it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) managed_by: Option<String>,
    /// Counter, raised at each transition and each change of the acting operator; numbers the Failover records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub(crate) term: Option<Term>,
    /// Member that takes writes, or took them last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_primary: Option<String>,
    /// Term in which it was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub(crate) promoted_in: Option<Term>,
    /// Its position then. What an earlier primary wrote beyond it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) began_at_gtid: Option<BeganAt>,
    /// When it became primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current_primary_since: Option<Time>,
    /// Identity of the cluster's data, made by its one initialisation.
    #[serde(rename = "dataUID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(crate) data_uid: Option<DataUid>,
    /// What an acknowledged commit means now: Enforced (a replica has it), CatchingUp, Degraded or Async.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) durability: Option<Durability>,
    /// Runs of replicas that may have acknowledged a commit which no other replica has. A failover needs all of
    /// them, or the old primary's binary logs. A member that restarted may be listed twice, so the list has no key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ackers: Vec<Acker>,
    /// Number of members that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) member_count: Option<i32>,
    /// Number of members that answer SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ready_members: Option<i32>,
    /// Label selector of the cluster's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) selector: Option<String>,
    /// Transition in progress; absent at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transition: Option<Transition>,
    /// The members, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub(crate) members: Vec<MemberStatus>,
    /// Ready: writes are accepted. FailoverReady: the cluster can survive losing its primary. Reconciling: what the
    /// operator is doing. Stalled: what it cannot do. Paused: spec.paused is set. StorageLow: a volume is almost
    /// full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// Keys of a newer operator: they are kept as long as what they belong to.
    #[serde(flatten)]
    pub(crate) unknown: UnknownKeys,
}

open_words! {
    /// What an acknowledged commit means now.
    Durability {
        /// The primary waits, and an acker has received everything acknowledged before.
        Enforced,
        /// The primary waits or will wait, but no acker is known to have received everything acknowledged before.
        CatchingUp,
        /// The primary was told not to wait.
        Degraded,
        /// Nobody ever waits.
        Async,
    }
}

open_words! {
    /// What a transition is for.
    TransitionKind {
        /// The first term on blank volumes.
        Initialise,
        /// Another member becomes primary, because the primary died.
        Failover,
        /// The old primary becomes primary again after everything stopped.
        Resume,
    }
}

/// Where the term of the present primary began.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BeganAt {
    /// The term in which it was promoted.
    #[schemars(with = "i64")]
    pub(crate) term: Term,
    /// The last transaction of each domain that it had then.
    pub(crate) gtid: String,
}

/// A replica that may acknowledge commits: one run of mariadbd in one pod on one boot of a node.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Acker {
    /// Name of the member.
    pub member: String,
    /// Uid of its pod.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Boot id of its node.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// Number of its mariadbd's run, as counted on its volume.
    #[schemars(with = "i64")]
    pub incarnation: Incarnation,
    /// Keys of a newer operator: they are kept as long as what they belong to.
    #[serde(flatten)]
    pub(crate) unknown: UnknownKeys,
}

/// A transition in progress.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transition {
    /// Kind of transition.
    pub(crate) kind: TransitionKind,
    /// Name of the object that records it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Term in which it began, or was continued.
    #[schemars(with = "i64")]
    pub(crate) term: Term,
    /// Current step.
    pub(crate) step: String,
    /// Previous primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// New primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// At Promoting: position that the new primary must have. At Decided: end of the old primary's binary logs,
    /// once read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target_gtid: Option<String>,
    /// When it began.
    pub(crate) started_at: MicroTime,
    /// Keys of a newer operator: they are kept as long as what they belong to.
    #[serde(flatten)]
    pub(crate) unknown: UnknownKeys,
}

/// One member.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemberStatus {
    /// Name of the member and its pod.
    pub(crate) name: String,
    /// Primary or Replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    /// Ready, or what prevents it, in one word.
    pub(crate) state: String,
    /// Reason of the state, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Reason of the state, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// Node its pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    /// Lag behind the primary when this status was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lag: Option<String>,
    /// Version of its mariadbd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// Version of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    /// Keys of a newer operator: they are kept as long as what they belong to.
    #[serde(flatten)]
    pub(crate) unknown: UnknownKeys,
}

/// The conditions of a ReplicationCluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ConditionType {
    /// Writes are accepted.
    Ready,
    /// The death of the primary would be survived without loss.
    FailoverReady,
    /// The operator works on a change.
    Reconciling,
    /// The operator cannot go on without a human.
    Stalled,
    /// The operator was told to do nothing.
    Paused,
    /// A volume is almost full.
    StorageLow,
}

impl ConditionType {
    /// The value of the condition's `type`.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::FailoverReady => "FailoverReady",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Paused => "Paused",
            Self::StorageLow => "StorageLow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_newer_operator_survive() {
        let json = serde_json::json!({
            "durability": "Quorum",
            "transition": {"kind": "Relocate", "term": 9, "step": "x", "startedAt": "2026-11-22T11:00:00.100000Z"},
        });
        let status: ClusterStatus = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(status.durability, Some(Durability::Unknown("Quorum".to_owned())));
        assert_eq!(serde_json::to_value(&status).unwrap(), json);
    }

    #[test]
    fn a_status_is_written_in_the_words_of_the_api() {
        let status = ClusterStatus {
            term: Some(Term(7)),
            data_uid: Some(DataUid("0b6f".to_owned())),
            durability: Some(Durability::CatchingUp),
            ackers: vec![Acker {
                member: "shop-0".to_owned(),
                pod_uid: "7d3e".to_owned(),
                boot_id: "91ac".to_owned(),
                incarnation: Incarnation(4),
                unknown: UnknownKeys::new(),
            }],
            ..ClusterStatus::default()
        };
        let expected = serde_json::json!({
            "term": 7, "dataUID": "0b6f", "durability": "CatchingUp",
            "ackers": [{"member": "shop-0", "podUID": "7d3e", "bootID": "91ac", "incarnation": 4}],
        });
        assert_eq!(serde_json::to_value(status).unwrap(), expected);
    }
}
