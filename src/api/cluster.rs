//! The ReplicationCluster as users write it.

// A printer column repeats the words of the others.
#![allow(clippy::duplicated_attributes)]

pub(in crate::api) mod settings;

use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements};
use kube::core::{Message, Rule};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use self::settings::{
    BinlogRetention, Bootstrap, Detection, Encryption, EncryptionAlgorithm, FailoverPolicy, KeyFileRef, MemberPolicy,
    Replication, ReplicationMode, Retention, RetentionPolicy, SecretKeyRef, ServicePolicy, ServiceType, Services,
    Storage, WhenNoAcker,
};
use super::owned::{self, Refusal};
use super::status::ClusterStatus;
use super::template::PodTemplate;

/// A set of MariaDB servers: one primary that takes writes, and replicas that follow it.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "beachmaster.dev",
    version = "v1alpha1",
    kind = "ReplicationCluster",
    doc = "A set of MariaDB servers: one primary that takes writes, and replicas that follow it.",
    namespaced,
    status = "ClusterStatus",
    derive = "PartialEq",
    shortname = "mrc",
    category = "all",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Writes are accepted"
    ),
    printcolumn(
        name = "Failover-Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"FailoverReady\")].status",
        description = "The death of the primary's mariadbd would be survived"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Reason of the condition Ready"
    ),
    printcolumn(
        name = "Primary",
        type_ = "string",
        json_path = ".status.currentPrimary",
        description = "Member that takes writes"
    ),
    printcolumn(
        name = "Members",
        type_ = "integer",
        json_path = ".status.readyMembers",
        description = "Members in state Ready"
    ),
    printcolumn(
        name = "Term",
        type_ = "integer",
        json_path = ".status.term",
        description = "Counter, raised at each transition and each change of the acting operator"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "Message of the condition Ready",
        priority = 1
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".spec.image",
        description = "MariaDB image",
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message(
        "the name must be at most 40 lower-case letters, digits and dashes, begin with a letter and not end with a dash: Services are named after it"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bootstrap) == has(oldSelf.bootstrap) && (!has(self.bootstrap) || self.bootstrap == oldSelf.bootstrap)")
        .message("bootstrap cannot change: it is done once, when the cluster is initialised. Use SQL instead")
        .field_path(".bootstrap"),
    validation = Rule::new("!has(oldSelf.encryption) || has(self.encryption) && self.encryption == oldSelf.encryption")
        .message("encryption cannot be changed or removed: the volumes hold what was encrypted with these keys")
        .field_path(".encryption"),
    validation = Rule::new(owned::keys_rule()).message(owned::KEYS_MESSAGE).field_path(".myCnf"),
    validation = Rule::new("self.members > 1 || self.replication.mode == 'Async'")
        .message("one member under SemiSync would wait for an acknowledgement for ever: set members to 2 or more, or replication.mode to Async")
        .field_path(".members"),
    validation = Rule::new("self.members == oldSelf.members")
        .message("members cannot change in this version: create another cluster with the number you want")
        .field_path(".members"),
    validation = Rule::new("self.memberPolicies.filter(p, p.ordinal < self.members && p.neverPrimary).size() < self.members")
        .message("memberPolicies forbid every member to be primary: leave neverPrimary false on at least one")
        .field_path(".memberPolicies"),
    validation = Rule::new("self.memberPolicies.all(p, p.ordinal < self.members)")
        .message("memberPolicies name a member that does not exist: ordinals go from 0 to members - 1")
        .field_path(".memberPolicies")
)]
pub struct ReplicationClusterSpec {
    /// Number of members, including the primary.
    #[serde(default = "default_members")]
    #[schemars(range(min = 1, max = 9))]
    pub(crate) members: i32,

    /// Image of MariaDB 10.6 to 11.8, with a tag other than latest or with a digest. A change is applied when a
    /// member's pod is next deleted.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("!self.endsWith(':latest') && (self.contains('@') || self.matches(':[^/]+$'))")
        .message("the image needs a tag other than latest, or a digest: with latest two members could run different versions"))]
    pub(crate) image: String,

    /// Secrets in this namespace for pulling the images, also the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    pub(crate) image_pull_secrets: Vec<LocalObjectReference>,

    /// Volumes of the members.
    pub(crate) storage: Storage,

    /// CPU and memory of mariadbd's container. A change is applied when a member's pod is next deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<ResourceRequirements>,

    /// Options of mariadbd, one per line, without a section header. Options that the operator owns are refused,
    /// unless a line equals the operator's value or can be ignored without harm. A change is applied when a
    /// member's mariadbd next starts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16384))]
    #[x_kube(
        validation = named(owned::sections_rule()),
        validation = named(owned::includes_rule()),
        validation = named(owned::paths_rule()),
        validation = refusal(Refusal::Role),
        validation = refusal(Refusal::Safety),
        validation = refusal(Refusal::Place),
        validation = refusal(Refusal::Filter),
        validation = refusal(Refusal::Pod),
        validation = refusal(Refusal::Login),
        validation = refusal(Refusal::Danger),
        validation = refusal(Refusal::Differ),
        validation = refusal(Refusal::Retention),
        validation = refusal(Refusal::Unusable),
        validation = refusal(Refusal::Other)
    )]
    pub(crate) my_cnf: String,

    /// Database and user to create at initialisation. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bootstrap: Option<Bootstrap>,

    /// Password of root@'%'. A change of the Secret is applied within about a minute. Without it nobody logs in as root; use
    /// `kubectl exec POD -c mariadb -- mariadb` (account mysql).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root_password_secret_key_ref: Option<SecretKeyRef>,

    /// Keys for encryption at rest, for mariadbd and for the agent, which reads a dead primary's binary log. What
    /// is encrypted is set in myCnf (encrypt_binlog, innodb_encrypt_tables, ...). Can be added later and is applied
    /// when a member's pod is next deleted; cannot be changed or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,

    /// How transactions reach the replicas, and what an acknowledged commit means.
    #[serde(default)]
    pub(crate) replication: Replication,

    /// Settings of single members.
    #[serde(default)]
    #[schemars(length(max = 9))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["ordinal".to_owned()]))]
    pub(crate) member_policies: Vec<MemberPolicy>,

    /// When and how a dead primary is replaced.
    #[serde(default)]
    pub(crate) failover: FailoverPolicy,

    /// Services for clients.
    #[serde(default)]
    pub(crate) services: Services,

    /// Labels, annotations, placement and additional containers of the members' pods. A change is applied when a
    /// member's pod is next deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) template: Option<PodTemplate>,

    /// No failover and no change of objects. A transition that has begun is finished.
    #[serde(default)]
    pub(crate) paused: bool,
}

fn default_members() -> i32 {
    3
}

/// A rule whose message names the line.
fn named((rule, message): (String, String)) -> Rule {
    Rule::new(rule).message(Message::Expression(message))
}

fn refusal(refusal: Refusal) -> Rule {
    named((refusal.rule(), refusal.message()))
}
