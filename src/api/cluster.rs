//! The ReplicationCluster as users write it.

// A printer column repeats the words of the others.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use super::duration::DurationText;
use super::owned;
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
        description = "Whether writes are accepted"
    ),
    printcolumn(
        name = "Failover-Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"FailoverReady\")].status",
        description = "Whether the death of the primary would be survived"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why writes are accepted or not"
    ),
    printcolumn(
        name = "Primary",
        type_ = "string",
        json_path = ".status.currentPrimary",
        description = "The member that takes writes"
    ),
    printcolumn(
        name = "Members",
        type_ = "integer",
        json_path = ".status.readyMembers",
        description = "Members that answer SQL"
    ),
    printcolumn(
        name = "Term",
        type_ = "integer",
        json_path = ".status.term",
        description = "Number of the reign; it rises with every transition"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "The message of the condition Ready",
        priority = 1
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".spec.image",
        description = "The MariaDB image",
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
    /// Number of members, the primary included.
    #[serde(default = "default_members")]
    #[schemars(range(min = 1, max = 9))]
    pub members: i32,

    /// Image of MariaDB 10.6 to 11.8, with a tag other than latest or with a digest.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("!self.endsWith(':latest') && (self.contains('@') || self.matches(':[^/]+$'))")
        .message("the image needs a tag other than latest, or a digest: with latest two members could run different versions"))]
    pub image: String,

    /// Secrets in this namespace with which images are pulled, the operator's own included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// Volumes of the members.
    pub storage: Storage,

    /// CPU and memory of mariadbd's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Options of mariadbd, one a line, without a section. Options that the operator owns are refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16384))]
    #[x_kube(
        validation = Rule::new(r"!self.matches('(?m)^\\s*\\[')")
            .message("myCnf has no sections: every line is an option of [mariadbd]"),
        validation = Rule::new(r"!self.matches('(?m)^\\s*!')").message("myCnf cannot include files"),
        validation = Rule::new(owned::cel_rule()).message(owned::CEL_MESSAGE)
    )]
    pub my_cnf: String,

    /// A database and a user to create when the cluster is initialised. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,

    /// Password of root for connections over the network. Without it root logs in over the socket only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_password_secret_key_ref: Option<SecretKeyRef>,

    /// How transactions get to the replicas, and what an acknowledged commit means.
    #[serde(default)]
    pub replication: Replication,

    /// What is special about single members.
    #[serde(default)]
    #[schemars(length(max = 9))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["ordinal".to_owned()]))]
    pub member_policies: Vec<MemberPolicy>,

    /// What happens when the primary dies.
    #[serde(default)]
    pub failover: FailoverPolicy,

    /// The Services clients use.
    #[serde(default)]
    pub services: Services,

    /// Labels, annotations, placement and further containers of the members' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplate>,

    /// True: the operator only watches. It changes no object, starts no transition and says so in the condition Paused.
    #[serde(default)]
    pub paused: bool,
}

fn default_members() -> i32 {
    3
}

/// Volumes of the members.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0")
        .message("a volume cannot shrink: keep or raise the size").field_path(".size"),
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
        .message("storageClassName cannot change: the volumes exist already").field_path(".storageClassName")
)]
pub struct Storage {
    /// Size of each member's volume, for example 100Gi. It may only grow.
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("size must be a quantity above zero, for example 100Gi"))]
    pub size: Quantity,

    /// StorageClass of the volumes; the cluster's default class when not given. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,

    /// What happens to the volumes when the cluster is deleted or members are removed.
    #[serde(default)]
    pub pvc_retention_policy: RetentionPolicy,
}

/// What happens to the volumes when the cluster is deleted or members are removed.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// Whether the volumes stay when the cluster is deleted.
    #[serde(default)]
    pub when_deleted: Retention,
    /// Whether a member's volume stays when the member is removed.
    #[serde(default)]
    pub when_scaled: Retention,
}

/// Whether a volume stays.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retention {
    #[default]
    Retain,
    Delete,
}

/// A database and a user to create when the cluster is initialised.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// Name of the database.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[0-9A-Za-z_$-]+$"))]
    pub database: String,
    /// Name of the user, who gets all rights on that database, from any host.
    #[schemars(length(min = 1, max = 80), regex(pattern = "^[0-9A-Za-z_$-]+$"))]
    #[x_kube(validation = Rule::new("!(self in ['root', 'mysql', 'mariadb.sys', 'PUBLIC']) && !self.startsWith('beachmaster_')")
        .message("this name belongs to MariaDB or the operator: choose another"))]
    pub username: String,
    /// Where the user's password is.
    pub password_secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the cluster's namespace.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_key() -> String {
    "password".to_owned()
}

/// How transactions get to the replicas, and what an acknowledged commit means.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode == 'SemiSync' || self.whenNoAcker == 'Wait'")
    .message("whenNoAcker: Degrade has a meaning under SemiSync only: under Async nothing waits for an acknowledgement")
    .field_path(".whenNoAcker"))]
pub struct Replication {
    /// SemiSync: a commit is acknowledged when another member has it on its relay log. Async: at once.
    #[serde(default)]
    pub mode: ReplicationMode,
    /// Under SemiSync, when no replica can acknowledge: Wait lets commits wait, Degrade goes on without acknowledgements.
    #[serde(default)]
    pub when_no_acker: WhenNoAcker,
    /// With Degrade: how long commits wait before.
    #[serde(default = "default_degrade_after")]
    pub degrade_after: DurationText,
    /// The Service NAME-replicas leaves out replicas that are further behind than this.
    #[serde(default = "default_max_lag")]
    pub max_lag: DurationText,
    /// gtid_domain_id of the members. Cannot be changed later.
    #[serde(default)]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("gtidDomainId cannot change: GTIDs that were written carry it"))]
    pub gtid_domain_id: i64,
}

fn default_degrade_after() -> DurationText {
    "30s".into()
}

fn default_max_lag() -> DurationText {
    "10s".into()
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            mode: ReplicationMode::default(),
            when_no_acker: WhenNoAcker::default(),
            degrade_after: default_degrade_after(),
            max_lag: default_max_lag(),
            gtid_domain_id: 0,
        }
    }
}

/// When a commit is acknowledged.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicationMode {
    #[default]
    SemiSync,
    Async,
}

/// What happens when no replica can acknowledge.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhenNoAcker {
    #[default]
    Wait,
    Degrade,
}

/// What is special about one member.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberPolicy {
    /// The number at the end of the member's name.
    #[schemars(range(min = 0, max = 8))]
    pub ordinal: i32,
    /// Among members with equally recent data the one with the highest priority is promoted.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: i32,
    /// True: the member is never promoted.
    #[serde(default)]
    pub never_primary: bool,
}

/// What happens when the primary dies.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverPolicy {
    /// False: the operator says what it would do, and does not do it.
    #[serde(default = "default_true")]
    pub enabled: bool,
    /// How the death of the primary is found out.
    #[serde(default)]
    pub detection: Detection,
    /// A member that is preferred by its priority may be this far behind the best one: it catches up first.
    #[serde(default = "default_max_candidate_lag")]
    pub max_candidate_lag: DurationText,
}

fn default_true() -> bool {
    true
}

fn default_max_candidate_lag() -> DurationText {
    "10s".into()
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self {
            enabled: default_true(),
            detection: Detection::default(),
            max_candidate_lag: default_max_candidate_lag(),
        }
    }
}

/// How the death of the primary is found out.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.timeout) >= duration(self.interval)")
        .message("timeout must be at least interval").field_path(".timeout"),
    validation = Rule::new("duration(self.interval) >= duration('100ms')")
        .message("interval must be at least 100ms").field_path(".interval")
)]
pub struct Detection {
    /// Time between two reads of a member's state.
    #[serde(default = "default_interval")]
    pub interval: DurationText,
    /// A read that takes longer than this has failed.
    #[serde(default = "default_timeout")]
    pub timeout: DurationText,
    /// So many reads must fail one after the other before silence counts. A mariadbd that exited is noticed at once.
    #[serde(default = "default_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub threshold: i32,
}

fn default_interval() -> DurationText {
    "500ms".into()
}

fn default_timeout() -> DurationText {
    "1s".into()
}

fn default_threshold() -> i32 {
    3
}

impl Default for Detection {
    fn default() -> Self {
        Self { interval: default_interval(), timeout: default_timeout(), threshold: default_threshold() }
    }
}

/// The Services clients use.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Services {
    /// The Service NAME-primary, which always leads to the primary.
    #[serde(default)]
    pub primary: ServicePolicy,
    /// The Service NAME-replicas, which leads to replicas that lag less than replication.maxLag.
    #[serde(default)]
    pub replicas: ServicePolicy,
}

/// One of the Services clients use.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePolicy {
    /// Type of the Service.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Annotations of the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Type of a Service.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}
