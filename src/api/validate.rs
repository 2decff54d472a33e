//! From the raw ReplicationCluster to values that mean what they say. What CEL refuses on the API server is refused here
//! again, because objects may be older than a rule; and what CEL cannot see is refused here only.

mod invalid;
mod my_cnf;
mod quantity;
mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements};

pub(crate) use self::invalid::Invalid;
pub(crate) use self::my_cnf::MyCnf;
pub(crate) use self::template::Template;
use super::cluster::{
    BinlogRetention, Bootstrap, Detection, Encryption, FailoverPolicy, MemberPolicy, Replication, ReplicationCluster,
    ReplicationClusterSpec, ReplicationMode, SecretKeyRef, Services, Storage, WhenNoAcker,
};
use super::duration::DurationText;
use crate::layout::MAX_MEMBERS;
use crate::orders::{Ordinal, member_name};

/// A cluster whose spec can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Name of the object; everything else is named after it.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Uid of the object. Not the identity of the data.
    pub(crate) uid: String,
    /// What is wished.
    pub(crate) spec: ClusterSpec,
}

/// A spec that can be used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClusterSpec {
    /// Number of members, 1 to 9.
    pub(crate) members: u8,
    /// MariaDB image.
    pub(crate) image: String,
    /// Secrets images are pulled with.
    pub(crate) image_pull_secrets: Vec<LocalObjectReference>,
    /// The volumes.
    pub(crate) storage: Storage,
    /// CPU and memory of mariadbd's container.
    pub(crate) resources: ResourceRequirements,
    /// The user's options of mariadbd; none of them sets what is owned.
    pub(crate) my_cnf: MyCnf,
    /// What to create at the initialisation.
    pub(crate) bootstrap: Option<Bootstrap>,
    /// Where root's password is.
    pub(crate) root_password: Option<SecretKeyRef>,
    /// Keys for encryption at rest.
    pub(crate) encryption: Option<Encryption>,
    /// What commits wait for.
    pub(crate) commits: Commits,
    /// Lag up to which a replica is readable.
    pub(crate) max_lag: Duration,
    /// How much binary log is kept.
    pub(crate) retention: Retention,
    /// Replication domain.
    pub(crate) gtid_domain_id: u32,
    /// Preferences of members that have some.
    pub(crate) policies: BTreeMap<Ordinal, Preference>,
    /// When and how a dead primary is replaced.
    pub(crate) failover: FailoverSettings,
    /// Services for clients.
    pub(crate) services: Services,
    /// What users add to the pods.
    pub(crate) template: Template,
    /// The operator only watches.
    pub(crate) paused: bool,
}

/// How much binary log members keep that every member has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Since a file was written last.
    pub(crate) time: Duration,
    /// Bytes of all files of a member together.
    pub bytes: u64,
}

/// What commits wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commits {
    /// For nothing.
    Async,
    /// For an acknowledgement, without limit.
    SemiSyncWait,
    /// For an acknowledgement; without any acker for this long.
    SemiSyncDegrade { after: Duration },
}

/// What is preferred of a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Preference {
    /// Higher is preferred; 0 by default.
    pub(crate) priority: u32,
    /// Never promoted.
    pub(crate) never_primary: bool,
}

/// When and how a dead primary is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailoverSettings {
    /// False: say it, do not do it.
    pub(crate) enabled: bool,
    /// Time between two reads.
    pub(crate) interval: Duration,
    /// Limit of one read.
    pub(crate) timeout: Duration,
    /// How far behind a preferred member may be.
    pub(crate) max_candidate_lag: Duration,
}

/// Ordinal of the member with this name, when it is one of this cluster.
#[must_use]
pub(crate) fn member_ordinal(cluster: &str, member: &str) -> Option<Ordinal> {
    let ordinal = Ordinal(member.strip_prefix(cluster)?.strip_prefix('-')?.parse().ok()?);
    (ordinal.0 < MAX_MEMBERS && member_name(cluster, ordinal) == member).then_some(ordinal)
}

impl Cluster {
    /// Reads a raw object.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn parse(raw: &ReplicationCluster) -> Result<Self, Invalid> {
        let missing = |field: &str| Invalid::new(field, "is missing", "read the object from the API server");
        Ok(Self {
            name: raw.metadata.name.clone().ok_or_else(|| missing("metadata.name"))?,
            namespace: raw.metadata.namespace.clone().ok_or_else(|| missing("metadata.namespace"))?,
            uid: raw.metadata.uid.clone().ok_or_else(|| missing("metadata.uid"))?,
            spec: spec(&raw.spec)?,
        })
    }

    /// `namespace/name`: the cluster part of a volume's identity.
    #[must_use]
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Every ordinal.
    pub(crate) fn ordinals(&self) -> impl Iterator<Item = Ordinal> + use<> {
        (0..self.spec.members).map(Ordinal)
    }

    /// Name of a member and its pod.
    #[must_use]
    pub(crate) fn member(&self, ordinal: Ordinal) -> String {
        member_name(&self.name, ordinal)
    }

    /// Absolute DNS name of a member. It ends with a dot: no search domain is tried, which would take up to six
    /// questions of the DNS for each connection.
    #[must_use]
    pub(crate) fn host(&self, ordinal: Ordinal, cluster_domain: &str) -> String {
        let Self { name, namespace, .. } = self;
        format!("{}.{name}-members.{namespace}.svc.{cluster_domain}.", self.member(ordinal))
    }

    /// What is preferred of a member.
    #[must_use]
    pub(crate) fn preference(&self, ordinal: Ordinal) -> Preference {
        self.spec.policies.get(&ordinal).copied().unwrap_or_default()
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

fn spec(raw: &ReplicationClusterSpec) -> Result<ClusterSpec, Invalid> {
    let ReplicationClusterSpec {
        members,
        image,
        image_pull_secrets,
        storage,
        resources,
        my_cnf,
        bootstrap,
        root_password_secret_key_ref,
        encryption,
        replication,
        member_policies,
        failover,
        services,
        template,
        paused,
    } = raw;
    let members = self::members(*members)?;
    let commits = commits(replication, members)?;
    let Replication { mode: _, when_no_acker: _, degrade_after: _, max_lag, gtid_domain_id, binlog_retention } =
        replication;
    Ok(ClusterSpec {
        members,
        image: self::image(image)?,
        image_pull_secrets: image_pull_secrets.clone(),
        storage: storage.clone(),
        resources: resources.clone().unwrap_or_default(),
        my_cnf: MyCnf::parse(my_cnf, encryption.is_some())?,
        bootstrap: bootstrap.clone(),
        root_password: root_password_secret_key_ref.clone(),
        encryption: encryption.clone(),
        commits,
        max_lag: duration_up_to("spec.replication.maxLag", max_lag, LONGEST)?,
        retention: retention(binlog_retention, storage)?,
        gtid_domain_id: number("spec.replication.gtidDomainId", *gtid_domain_id, 0..=u32::MAX)?,
        policies: policies(member_policies, members)?,
        failover: self::failover(failover)?,
        services: services.clone(),
        template: Template::parse(template.as_ref())?,
        paused: *paused,
    })
}

fn members(raw: i32) -> Result<u8, Invalid> {
    let count = number("spec.members", raw.into(), 1..=u32::from(MAX_MEMBERS))?;
    u8::try_from(count).map_err(|_| Invalid::new("spec.members", format!("{raw} is too many"), "set 1 to 9"))
}

fn image(raw: &str) -> Result<String, Invalid> {
    let name = raw.rsplit('/').next().unwrap_or(raw);
    if raw.contains('@') || name.contains(':') && !name.ends_with(":latest") {
        return Ok(raw.to_owned());
    }
    let problem = format!("{raw:?} has no tag other than latest, and no digest");
    Err(Invalid::new("spec.image", problem, "name the version, or members could run different ones"))
}

fn commits(raw: &Replication, members: u8) -> Result<Commits, Invalid> {
    let after = duration_up_to("spec.replication.degradeAfter", &raw.degrade_after, LONGEST)?;
    match (raw.mode, raw.when_no_acker) {
        (ReplicationMode::SemiSync, _) if members < 2 => Err(Invalid::new(
            "spec.members",
            "one member under SemiSync would wait for an acknowledgement for ever",
            "set members to 2 or more, or replication.mode to Async",
        )),
        (ReplicationMode::SemiSync, WhenNoAcker::Wait) => Ok(Commits::SemiSyncWait),
        (ReplicationMode::SemiSync, WhenNoAcker::Degrade) => Ok(Commits::SemiSyncDegrade { after }),
        (ReplicationMode::Async, WhenNoAcker::Wait) => Ok(Commits::Async),
        (ReplicationMode::Async, WhenNoAcker::Degrade) => Err(Invalid::new(
            "spec.replication.whenNoAcker",
            "Degrade has no meaning under Async",
            "remove it, or set mode to SemiSync",
        )),
    }
}

fn retention(raw: &BinlogRetention, storage: &Storage) -> Result<Retention, Invalid> {
    let BinlogRetention { time, size } = raw;
    let field = "spec.replication.binlogRetention.time";
    let parsed = time.parse().map_err(|error| Invalid::new(field, error.to_string(), "write for example 7d"))?;
    if !(LEAST_RETENTION..=MOST_RETENTION).contains(&parsed) {
        return Err(Invalid::new(field, format!("{} is out of range", time.0), "set 1m to 3650d"));
    }
    let bytes = match size {
        Some(size) => {
            let field = "spec.replication.binlogRetention.size";
            let bytes = quantity::bytes(size).filter(|bytes| *bytes >= LEAST_LOGS);
            bytes.ok_or_else(|| {
                Invalid::new(field, format!("{:?} is too small or not a quantity", size.0), "set 64Mi or more")
            })?
        }
        None => (quantity::bytes(&storage.size).unwrap_or_default() / SHARE_OF_LOGS).max(LEAST_LOGS),
    };
    Ok(Retention { time: parsed, bytes })
}

/// Shorter ones would delete what a replica is about to ask for after a short break.
const LEAST_RETENTION: Duration = Duration::from_secs(60);
/// Ten years: for ever, and a number that cannot overflow.
const MOST_RETENTION: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);
/// Less would be deleted file by file while it is written.
const LEAST_LOGS: u64 = 64 << 20;
/// What binary logs may take of a volume by default: the data need the rest.
const SHARE_OF_LOGS: u64 = 3;

fn policies(raw: &[MemberPolicy], members: u8) -> Result<BTreeMap<Ordinal, Preference>, Invalid> {
    let mut policies = BTreeMap::new();
    for (index, MemberPolicy { ordinal, priority, never_primary }) in raw.iter().enumerate() {
        let field = |name: &str| format!("spec.memberPolicies[{index}].{name}");
        let number_of = number(&field("ordinal"), (*ordinal).into(), 0..=u32::from(members) - 1)?;
        let ordinal = Ordinal(u8::try_from(number_of).unwrap_or(u8::MAX));
        let priority = number(&field("priority"), (*priority).into(), 0..=1000)?;
        policies.insert(ordinal, Preference { priority, never_primary: *never_primary });
    }
    if policies.values().filter(|policy| policy.never_primary).count() >= usize::from(members) {
        let problem = "every member is forbidden to be primary";
        return Err(Invalid::new("spec.memberPolicies", problem, "leave neverPrimary false on at least one"));
    }
    Ok(policies)
}

fn failover(raw: &FailoverPolicy) -> Result<FailoverSettings, Invalid> {
    let FailoverPolicy { enabled, detection, max_candidate_lag } = raw;
    let Detection { interval, timeout } = detection;
    let settings = FailoverSettings {
        enabled: *enabled,
        interval: duration_up_to("spec.failover.detection.interval", interval, LONGEST_LOOK)?,
        timeout: duration_up_to("spec.failover.detection.timeout", timeout, LONGEST_LOOK)?,
        max_candidate_lag: duration_up_to("spec.failover.maxCandidateLag", max_candidate_lag, LONGEST)?,
    };
    if settings.interval < MIN_INTERVAL {
        let problem = format!("{} is too short", interval.0);
        return Err(Invalid::new("spec.failover.detection.interval", problem, "set 100ms or more"));
    }
    if settings.timeout < settings.interval {
        let problem = format!("{} is shorter than the interval {}", timeout.0, interval.0);
        return Err(Invalid::new("spec.failover.detection.timeout", problem, "set it to the interval or more"));
    }
    Ok(settings)
}

/// Shorter intervals cost more than they find: an exit of mariadbd is reported at once by its agent.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A look that takes longer finds nothing in time, and what answers it could hold the operator's memory all the while.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// A year: longer waits and lags mean for ever, and a year does too.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn duration_up_to(field: &str, text: &DurationText, most: Duration) -> Result<Duration, Invalid> {
    let read = text.parse().map_err(|error| Invalid::new(field, error.to_string(), "correct it"))?;
    if read > most {
        let remedy = match most.as_secs() / 3_600 {
            0 => format!("set {}s or less", most.as_secs()),
            hours => format!("set {hours}h or less"),
        };
        return Err(Invalid::new(field, format!("{} is too long", text.0), remedy));
    }
    Ok(read)
}

fn number(field: &str, raw: i64, range: std::ops::RangeInclusive<u32>) -> Result<u32, Invalid> {
    u32::try_from(raw).ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let remedy = format!("set {} to {}", range.start(), range.end());
        Invalid::new(field, format!("{raw} is out of range"), remedy)
    })
}

#[cfg(test)]
mod tests;
