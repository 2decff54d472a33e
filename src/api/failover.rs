//! The record of a failover, named CLUSTER-TERM. In this version only the operator writes these objects.

// A printer column repeats the words of the others.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::words::open_words;
use crate::orders::Term;

/// What a failover was asked to do.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "beachmaster.dev",
    version = "v1alpha1",
    kind = "Failover",
    doc = "The record of a failover, named CLUSTER-TERM: what happened, how long each step took, which transactions were rescued and which were lost. The operator writes it; in this version an object that a user creates has no effect.",
    namespaced,
    status = "FailoverStatus",
    derive = "PartialEq",
    annotation("helm.sh/resource-policy", "keep"),
    selectable = ".spec.clusterRef.name",
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.clusterRef.name",
        description = "The ReplicationCluster"
    ),
    printcolumn(name = "From", type_ = "string", json_path = ".status.from", description = "Previous primary"),
    printcolumn(name = "To", type_ = "string", json_path = ".status.to", description = "New primary"),
    printcolumn(
        name = "Result",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Complete\")].reason",
        description = "How it ended"
    ),
    printcolumn(
        name = "Outage",
        type_ = "string",
        json_path = ".status.outage",
        description = "From the death of the old primary until the Service selects the new one and it accepts writes"
    ),
    printcolumn(
        name = "Lost",
        type_ = "integer",
        json_path = ".status.lost.count",
        description = "Transactions known to be lost"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a Failover cannot change: it is a record"))]
pub(crate) struct FailoverSpec {
    /// The ReplicationCluster, in the same namespace.
    pub(crate) cluster_ref: ClusterRef,
    /// The member that was to become primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub(crate) to: Option<String>,
    /// The primary that was found dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub(crate) expected_primary: Option<String>,
    /// The term in which it was found dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub(crate) expected_term: Option<Term>,
}

/// A ReplicationCluster in the same namespace.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterRef {
    /// Name of the ReplicationCluster.
    #[schemars(length(min = 1, max = 63))]
    pub(crate) name: String,
}

/// What happened.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailoverStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
    /// Term of the failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub(crate) term: Option<Term>,
    /// Previous primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// New primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// Why the old primary was replaced, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<FailoverCause>,
    /// Observations behind the decision, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) evidence: Vec<String>,
    /// Time from the end of the old primary's mariadbd, as its parent process saw it (where that is not known: from the last
    /// reading it answered), until the new primary accepted writes and the Service was written to lead to it. Not in it is
    /// what comes after and cannot be seen from here: the time each node takes to follow a changed Service (kube-proxy:
    /// mostly below 1 s), and what clients need to connect again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outage: Option<String>,
    /// When the outage began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<MicroTime>,
    /// When the failover ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<MicroTime>,
    /// Transactions no replica had, rescued from the old primary's binary log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) salvaged: Vec<Salvaged>,
    /// Transactions that members lacked and received, so that all are equal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) equalised: Vec<Equalised>,
    /// Transactions that were lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<Lost>,
    /// When each step was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) timeline: Vec<TimelineStep>,
    /// Complete, or Failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub(crate) conditions: Vec<Condition>,
}

open_words! {
    /// Why the old primary was passed.
    FailoverCause {
        /// Its mariadbd had exited.
        ProcessExited,
    }
}

/// Transactions rescued from a dead primary.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Salvaged {
    /// The member whose files were read.
    pub(crate) source: String,
    /// The transactions, for example 0-10-5001..5007.
    pub(crate) gtids: String,
    /// Number of transactions, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<i64>,
}

/// Transactions that a member lacked and received.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Equalised {
    /// The member.
    pub(crate) member: String,
    /// The transactions, for example 0-10-4990..5000.
    pub(crate) gtids: String,
}

/// Transactions that were lost.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lost {
    /// Number of transactions known to be lost.
    pub(crate) count: i64,
    /// More may be lost than is known.
    pub(crate) unknown: bool,
    /// The transactions known to be lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gtids: Vec<String>,
}

/// When a step was done.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TimelineStep {
    /// The step.
    pub(crate) step: String,
    /// Milliseconds since the outage began.
    pub(crate) ms: i64,
}

/// Name of the record of a failover: creating it twice is noticed, so a repeated step leaves one record.
#[must_use]
pub(crate) fn record_name(cluster: &str, term: Term) -> String {
    format!("{cluster}-{term}")
}
