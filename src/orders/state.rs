//! What an agent tells of its member: its volume, its mariadbd, its order.

use serde::{Deserialize, Serialize};

use super::{BootMillis, ExitStatus, Identity, Incarnation, Ordinal, Token, Upkeep};

/// What a member was last ordered to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    /// Read-only; starts by itself after a crash, which does no harm.
    Replica,
    /// Took writes; after an exit it waits for an order without limit, because its files may hold the tail.
    Primary,
}

/// What the volume says about itself (the agent's two-slot record).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRecord {
    /// Whose data this is.
    pub identity: Identity,
    /// Highest token ever obeyed.
    pub token: Option<Token>,
    /// Role last ordered.
    pub role: MemberRole,
    /// `server_id` of its last promotion, which tells the term; none before the first one, and from agents of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_as: Option<u32>,
    /// True: mariadbd may not start.
    pub hold: bool,
    /// True when the last run of mariadbd ended by an ordered or requested shutdown.
    pub clean_stop: bool,
    /// Runs of mariadbd so far.
    pub incarnation: Incarnation,
    /// Runs that are proven over, also for pods that use the volume later: the last one of each pod, the latest pod last, of
    /// at most [`MOST_ENDED`] pods. None from agents of an earlier release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<Ended>,
}

/// Of so many pods a volume tells which run ended: of more than a few nobody asks, and the record has a fixed size.
pub const MOST_ENDED: usize = 6;

impl VolumeRecord {
    /// Notes that this run has ended in this pod.
    pub fn note_end(&mut self, ended: Ended) {
        self.ended.retain(|known| known.pod_uid != ended.pod_uid);
        let surplus = (self.ended.len() + 1).saturating_sub(MOST_ENDED);
        self.ended.drain(..surplus);
        self.ended.push(ended);
    }
}

/// A run of mariadbd that its own pod has seen end, with all runs before it in that pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Uid of the pod it ran in.
    pub pod_uid: String,
    /// Its number.
    pub incarnation: Incarnation,
}

/// What an agent found on its volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Volume {
    /// No datadir and no record: only `init` may use it.
    Blank,
    /// A record, and with it an identity. Whether it is the right one the operator decides.
    Recorded { record: VolumeRecord },
    /// A datadir without a record, or a record that cannot be read: never taken for data, never overwritten.
    Unusable { message: String },
}

/// State of a member's mariadbd as its agent knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Mariadbd {
    /// Not started since the pod began, and proven not to run.
    NotStarted,
    /// Runs; `sql` when it answered on its socket.
    Running { incarnation: Incarnation, sql: bool },
    /// Proven dead: reaped by launch, or launch is gone and nobody holds mariadbd's file locks. `message` has the last
    /// lines it printed; `at` is when launch reaped it, where launch could tell.
    Exited {
        incarnation: Incarnation,
        status: ExitStatus,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<BootMillis>,
    },
    /// The agent cannot tell (launch does not answer, yet file locks are held).
    Unknown { message: String },
}

impl Mariadbd {
    /// True when mariadbd is proven not to run.
    #[must_use]
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self, Self::NotStarted | Self::Exited { .. })
    }
}

/// What stands in the way of an agent's own SQL work. An older agent says nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SqlNotes {
    /// What mariadbd answers to the agent's own login, while it refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_refused: Option<String>,
    /// Why the operator's accounts are not as they must be, while they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts_wrong: Option<String>,
    /// What keeps statements that write waiting for a lock, while something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes_locked: Option<String>,
    /// Members whose replication accounts are there and were never opened: `readmit-acker` lets them in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unadmitted: Vec<Ordinal>,
    /// True while the member replicates with another password than the mounted one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub password_changed: bool,
}

impl SqlNotes {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Everything an agent tells about its member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentState {
    /// Version of the agent's program.
    pub version: String,
    /// Uid of the pod the agent runs in.
    pub pod_uid: String,
    /// `/proc/sys/kernel/random/boot_id` of its node.
    pub boot_id: String,
    /// The agent's clock when this state was taken.
    pub boot_ms: BootMillis,
    /// What is on the volume.
    pub volume: Volume,
    /// What its mariadbd does.
    pub mariadbd: Mariadbd,
    /// Port of mariadbd for members and the operator; none from agents of an earlier release, whose mariadbd has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_port: Option<u16>,
    /// Port of the binlog server, while it serves.
    pub serving: Option<u16>,
    /// Name of the order being carried out.
    pub running: Option<String>,
    /// Whether mariadbd took the agent's last new connection; none while it does not run, and from agents of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_connections: Option<bool>,
    /// What stands in the way of its SQL.
    #[serde(default, skip_serializing_if = "SqlNotes::is_empty")]
    pub sql_notes: SqlNotes,
    /// What it tells of the member's upkeep.
    #[serde(default)]
    pub upkeep: Upkeep,
}

impl AgentState {
    /// The volume's record, when it has one.
    #[must_use]
    pub fn record(&self) -> Option<&VolumeRecord> {
        match &self.volume {
            Volume::Recorded { record } => Some(record),
            Volume::Blank | Volume::Unusable { .. } => None,
        }
    }

    /// True when the agent knows an order of this name that the first release did not.
    #[must_use]
    pub(crate) fn knows(&self, order: &str) -> bool {
        self.upkeep.knows.iter().any(|known| known == order)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_older_agent_does_not_tell_when_mariadbd_ended() {
        let older = r#"{"kind":"exited","incarnation":4,"status":{"code":null,"signal":9},"message":""}"#;
        let state: Mariadbd = serde_json::from_str(older).unwrap();
        assert!(matches!(state, Mariadbd::Exited { at: None, .. }));
        assert_eq!(serde_json::to_string(&state).unwrap(), older);
    }

    #[test]
    fn a_volume_tells_the_last_ends_of_the_last_pods() {
        let mut record: VolumeRecord = serde_json::from_str(
            r#"{"identity":{"cluster":"ns/c","dataUid":"d","ordinal":0},"token":null,"role":"replica","hold":false,
                "cleanStop":true,"incarnation":9}"#,
        )
        .unwrap();
        assert!(record.ended.is_empty(), "an agent of an earlier release");
        assert!(!serde_json::to_string(&record).unwrap().contains("ended"));
        let end = |pod: usize, run: u64| Ended { pod_uid: format!("pod-{pod}"), incarnation: Incarnation(run) };
        for (run, pod) in [0, 1, 0, 2, 3, 4, 5, 6].into_iter().enumerate() {
            record.note_end(end(pod, u64::try_from(run).unwrap()));
        }
        assert_eq!(record.ended, [end(0, 2), end(2, 3), end(3, 4), end(4, 5), end(5, 6), end(6, 7)]);
    }

    #[test]
    fn notes_may_be_missing_in_part_or_unknown() {
        let notes: SqlNotes = serde_json::from_str("{}").unwrap();
        assert!(notes.is_empty());
        let notes: SqlNotes = serde_json::from_str(r#"{"loginRefused":"no","fromLater":1}"#).unwrap();
        assert_eq!(notes.login_refused.as_deref(), Some("no"));
        assert_eq!(serde_json::to_string(&SqlNotes::default()).unwrap(), "{}");
    }
}
