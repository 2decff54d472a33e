//! The parts of a ReplicationCluster's spec.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::duration::{DurationText, PeriodText};

/// Volumes of the members.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) == 0")
        .message("size cannot change in this version: raise the size of the PersistentVolumeClaims data-NAME-i instead").field_path(".size"),
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
        .message("storageClassName cannot change: the volumes exist already").field_path(".storageClassName")
)]
pub struct Storage {
    /// Size of each member's volume, for example 100Gi. Cannot be changed later in this version.
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("size must be a quantity above zero, for example 100Gi"))]
    pub(crate) size: Quantity,

    /// StorageClass of the volumes. Default: the default class of the Kubernetes cluster. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub(crate) storage_class_name: Option<String>,

    /// What happens to the volumes when the cluster is deleted or scaled down.
    #[serde(default)]
    pub(crate) pvc_retention_policy: RetentionPolicy,
}

/// What happens to the volumes when the cluster is deleted or scaled down.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// When the cluster is deleted: Retain or Delete its volumes.
    #[serde(default)]
    pub(crate) when_deleted: Retention,
    /// When a member is removed: Retain or Delete its volume.
    #[serde(default)]
    pub(crate) when_scaled: Retention,
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
    pub(crate) database: String,
    /// User with all privileges on that database, from any host.
    #[schemars(length(min = 1, max = 80), regex(pattern = "^[0-9A-Za-z_$-]+$"))]
    #[x_kube(validation = Rule::new("!(self in ['root', 'mysql', 'mariadb.sys', 'PUBLIC']) && !self.startsWith('beachmaster_')")
        .message("this name belongs to MariaDB or the operator: choose another"))]
    pub(crate) username: String,
    /// Password of the user.
    pub(crate) password_secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the cluster's namespace.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) name: String,
    /// Key in the Secret.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub(crate) key: String,
}

fn default_key() -> String {
    "password".to_owned()
}

/// Keys with which members encrypt what is on their volumes.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// Key file of MariaDB's plugin file_key_management: lines like `1;` and 64 hexadecimal digits. Key 1 encrypts
    /// binary logs. Keys can be added to the Secret; a key in use must not change.
    pub(crate) keys_secret_key_ref: KeyFileRef,
    /// The plugin's file_key_management_encryption_algorithm.
    #[serde(default)]
    pub(crate) algorithm: EncryptionAlgorithm,
}

/// The key of a Secret in the cluster's namespace that holds a key file.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyFileRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) name: String,
    /// Key in the Secret.
    #[serde(default = "default_key_file_key")]
    #[schemars(length(min = 1, max = 253))]
    pub(crate) key: String,
}

fn default_key_file_key() -> String {
    "keys".to_owned()
}

/// A cipher of MariaDB's plugin file_key_management.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncryptionAlgorithm {
    #[default]
    #[serde(rename = "AES_CBC")]
    AesCbc,
    #[serde(rename = "AES_CTR")]
    AesCtr,
}

impl EncryptionAlgorithm {
    /// Its name, in the resource and to mariadbd.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCbc => "AES_CBC",
            Self::AesCtr => "AES_CTR",
        }
    }
}

/// How transactions reach the replicas, and what an acknowledged commit means.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode == 'SemiSync' || self.whenNoAcker == 'Wait'")
    .message("whenNoAcker: Degrade has a meaning under SemiSync only: under Async nothing waits for an acknowledgement")
    .field_path(".whenNoAcker"))]
pub struct Replication {
    /// SemiSync: COMMIT returns once a replica has written the transaction to its relay log. Async: COMMIT does not
    /// wait.
    #[serde(default)]
    pub(crate) mode: ReplicationMode,
    /// No replica can acknowledge: Wait blocks commits until one can; Degrade commits without semi-sync after
    /// degradeAfter.
    #[serde(default)]
    pub(crate) when_no_acker: WhenNoAcker,
    /// With Degrade: how long commits wait for a replica before semi-sync is switched off; at most 8760h.
    #[serde(default = "default_degrade_after")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('8760h')")
        .message("degradeAfter must be at most 8760h, a year: whenNoAcker: Wait waits for ever"))]
    pub(crate) degrade_after: DurationText,
    /// Replicas further behind than this leave the Service NAME-replicas; at most 8760h.
    #[serde(default = "default_max_lag")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('8760h')").message("maxLag must be at most 8760h"))]
    pub(crate) max_lag: DurationText,
    /// gtid_domain_id of the members. Cannot be changed later.
    #[serde(default)]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("gtidDomainId cannot change: GTIDs that were written carry it"))]
    pub(crate) gtid_domain_id: i64,
    /// How much binary log members keep that all reachable members have in their own. What an absent member may
    /// need is kept longer than time says, up to size.
    #[serde(default)]
    pub(crate) binlog_retention: BinlogRetention,
}

/// How much binary log members keep that every member has already.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BinlogRetention {
    /// Files last written longer ago than this are deleted, for example 7d or 12h; 1m to 3650d.
    #[serde(default = "default_retention")]
    pub(crate) time: PeriodText,
    /// The oldest files are deleted while a member's binary logs exceed this, for example 20Gi; at least 64Mi.
    /// Default: a third of storage.size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('64Mi')) >= 0")
        .message("size must be a quantity of at least 64Mi, for example 20Gi"))]
    pub(crate) size: Option<Quantity>,
}

fn default_retention() -> PeriodText {
    "7d".into()
}

impl Default for BinlogRetention {
    fn default() -> Self {
        Self { time: default_retention(), size: None }
    }
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
            binlog_retention: BinlogRetention::default(),
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

/// Settings of one member.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberPolicy {
    /// Number at the end of the member's name.
    #[schemars(range(min = 0, max = 8))]
    pub(crate) ordinal: i32,
    /// A failover promotes the fit member of highest priority, once it has caught up with the most recent one.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: i32,
    /// Never promote this member.
    #[serde(default)]
    pub never_primary: bool,
}

/// When and how a dead primary is replaced.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverPolicy {
    /// False: a failover is reported, not carried out.
    #[serde(default = "default_true")]
    pub(crate) enabled: bool,
    /// How often members are probed. An exited mariadbd is noticed at once, whatever these say.
    #[serde(default)]
    pub(crate) detection: Detection,
    /// A member's priority counts if its replication lag is at most this; at most 8760h.
    #[serde(default = "default_max_candidate_lag")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('8760h')").message("maxCandidateLag must be at most 8760h"))]
    pub(crate) max_candidate_lag: DurationText,
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

/// How often members are probed. An exited mariadbd is noticed at once, whatever these say.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.timeout) >= duration(self.interval)")
        .message("timeout must be at least interval").field_path(".timeout"),
    validation = Rule::new("duration(self.interval) >= duration('100ms')")
        .message("interval must be at least 100ms").field_path(".interval"),
    validation = Rule::new("duration(self.timeout) <= duration('60s')")
        .message("timeout must be at most 60s").field_path(".timeout")
)]
pub struct Detection {
    /// Time between two probes of a member, 100ms to 60s.
    #[serde(default = "default_interval")]
    pub(crate) interval: DurationText,
    /// A probe that takes longer has failed; at least interval, at most 60s.
    #[serde(default = "default_timeout")]
    pub(crate) timeout: DurationText,
}

fn default_interval() -> DurationText {
    "500ms".into()
}

fn default_timeout() -> DurationText {
    "1s".into()
}

impl Default for Detection {
    fn default() -> Self {
        Self { interval: default_interval(), timeout: default_timeout() }
    }
}

/// Services for clients.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Services {
    /// Service NAME-primary, which selects the primary.
    #[serde(default)]
    pub(crate) primary: ServicePolicy,
    /// Service NAME-replicas, which selects the replicas that lag less than replication.maxLag.
    #[serde(default)]
    pub(crate) replicas: ServicePolicy,
}

/// One of the Services clients use.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePolicy {
    /// Type of the Service.
    #[serde(rename = "type", default)]
    pub(crate) type_: ServiceType,
    /// Annotations of the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Type of a Service.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}
