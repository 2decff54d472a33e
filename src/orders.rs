//! What operator and agent say to each other, and the rule that decides which order an agent may still obey.
//!
//! JSON lines over one held stream. Down go orders and pings, up go answers and events; the first line up is `hello`
//! with the whole state, so a new stream needs no memory of the old one. Only values here: no sockets, no clock.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gtid::GtidPosition;

/// Version of this protocol; an agent answers orders of this version only.
pub const PROTOCOL_VERSION: u32 = 1;
/// Longest line either side accepts, in bytes: the largest order is far below 4 KiB, so a longer line is garbage.
pub const MAX_LINE: usize = 256 * 1024;
/// Port of the binlog server an agent opens on `serve-binlog`.
pub const BINLOG_SERVER_PORT: u16 = 3307;

/// Identity of a cluster's data, made by the one initialisation (a UUID). Not the Kubernetes object's uid, which
/// changes when the object is created again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataUid(pub String);

/// Number of a reign. Rises with every transition and every take-over of leadership.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

impl Term {
    /// The following term.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Ordinal of a member, 0 to 8: the number at the end of its pod's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ordinal(pub u8);

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of a member's mariadbd; counted on its volume, +1 before each start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds of the agent's `CLOCK_BOOTTIME`. Learned from `hello` and `pong`; never compared between machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootMillis(pub u64);

/// The right to order: who may say what, and when. Tokens of one cluster are ordered by term, then sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// The cluster's data this order is meant for.
    pub data_uid: DataUid,
    /// The reign in which the order was given.
    pub term: Term,
    /// Rises with every order a leader gives to a member within its reign.
    pub seq: u64,
}

impl Token {
    /// What is compared between tokens of the same data.
    #[must_use]
    pub fn rank(&self) -> (Term, u64) {
        (self.term, self.seq)
    }
}

/// Who a volume belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// `namespace/name` of the ReplicationCluster.
    pub cluster: String,
    /// The data the volume holds.
    pub data_uid: DataUid,
    /// The member the volume belongs to.
    pub ordinal: Ordinal,
}

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
    /// True: mariadbd may not start.
    pub hold: bool,
    /// True when the last run of mariadbd ended by an ordered or requested shutdown.
    pub clean_stop: bool,
    /// Runs of mariadbd so far.
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

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitStatus {
    /// Exit code, when it exited by itself.
    pub code: Option<i32>,
    /// Signal, when a signal ended it.
    pub signal: Option<i32>,
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (_, Some(signal)) => write!(f, "signal {signal}"),
            (Some(code), None) => write!(f, "exit code {code}"),
            (None, None) => write!(f, "unknown exit"),
        }
    }
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
    /// lines it printed.
    Exited { incarnation: Incarnation, status: ExitStatus, message: String },
    /// The agent cannot tell (launch does not answer, yet file locks are held).
    Unknown { message: String },
}

impl Mariadbd {
    /// True when mariadbd is proven not to run.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self, Self::NotStarted | Self::Exited { .. })
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
    /// Port of the binlog server, while it serves.
    pub serving: Option<u16>,
    /// Name of the order being carried out.
    pub running: Option<String>,
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
}

/// Where a replica gets its transactions from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// Another member's mariadbd, by its stable name; the replica uses its own replication account.
    Member { host: String, port: u16 },
    /// A binlog server with a one-time login.
    Donor { host: String, port: u16, user: String, password: Secret },
}

/// A password on its way to an agent: written to JSON, never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A change of one member. Every order may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Order {
    /// Makes the datadir on a blank volume, starts mariadbd read-only and makes the accounts. Refused on any volume
    /// that is neither blank nor of this identity.
    Init { identity: Identity },
    /// Lifts the hold and starts mariadbd read-only, replica threads stopped, semi-sync off. The role becomes replica
    /// only with the first `follow`.
    Start,
    /// SIGKILLs mariadbd and reaps it, then holds the volume, then reads where its binary logs end.
    Fence,
    /// Links the relay logs, then stops the IO thread: the member receives and acknowledges nothing more.
    Freeze,
    /// Links the relay logs, then replicates from `source` by GTID. With `wait` it answers when that position is applied
    /// or when the deadline is near. `semi_sync`: the member acknowledges to this source.
    Follow { source: Source, semi_sync: bool, wait: Option<GtidPosition> },
    /// Waits until `position` is applied or the deadline is near. Changes nothing.
    Await { position: GtidPosition },
    /// Opens the binlog server over a dead mariadbd's binary logs, until the next order but `serve-binlog`.
    ServeBinlog { user: String, password: Secret },
    /// Makes the member the primary. Refused when its binary log does not cover `min`.
    Promote { min: GtidPosition, server_id: u32, semi_sync: bool },
    /// Switches acknowledging on or off on a replica and restarts its IO thread, which alone makes the switch real.
    SetAcker { on: bool },
    /// On an acker whose source waits for an acknowledgement that will never come: reconnects once without GTID.
    Unstick,
    /// On the primary: locks the replication account of an unreachable member and kills its dump thread.
    EvictAcker { ordinal: Ordinal },
    /// On the primary: unlocks that account again.
    ReadmitAcker { ordinal: Ordinal },
    /// On the primary: waiting for acknowledgements on or off. Off releases all that wait, so it is recorded first.
    SemiSync { on: bool },
}

impl Order {
    /// The word for this order in logs, states and docs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init { .. } => "init",
            Self::Start => "start",
            Self::Fence => "fence",
            Self::Freeze => "freeze",
            Self::Follow { .. } => "follow",
            Self::Await { .. } => "await",
            Self::ServeBinlog { .. } => "serve-binlog",
            Self::Promote { .. } => "promote",
            Self::SetAcker { .. } => "set-acker",
            Self::Unstick => "unstick",
            Self::EvictAcker { .. } => "evict-acker",
            Self::ReadmitAcker { .. } => "readmit-acker",
            Self::SemiSync { .. } => "semi-sync",
        }
    }
}

/// An order with the right to give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedOrder {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub v: u32,
    /// Unique among all orders to this member; a known id gets its first answer again.
    pub id: String,
    /// The right to give it.
    pub token: Token,
    /// When the agent must have given up, in the agent's own clock.
    pub deadline: BootMillis,
    /// What to do.
    #[serde(flatten)]
    pub order: Order,
}

/// A line from operator to agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "down", rename_all = "kebab-case")]
pub enum Down {
    /// Do this.
    Order(SignedOrder),
    /// Tell your state.
    Ping { n: u64 },
}

/// A line from agent to operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "up", rename_all = "kebab-case")]
pub enum Up {
    /// First line of every stream.
    Hello { v: u32, state: AgentState },
    /// Answer to a ping.
    Pong { n: u64, state: AgentState },
    /// Answer to the order with the id `re`.
    Answer { re: String, outcome: Outcome, state: AgentState },
    /// Something happened without an order: mariadbd exited, started, answers SQL.
    Event { event: Event, state: AgentState },
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Carried out.
    Ok(Answer),
    /// Not carried out, or only in part; the order may be repeated.
    Error(OrderError),
}

/// What carried-out orders tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Answer {
    /// Nothing but success.
    Done,
    /// Answer to `fence`.
    Fenced { logs: LogEvidence },
    /// Answer to `freeze`: STOP SLAVE IO_THREAD returned, or mariadbd was killed and is proven dead (`killed`).
    Frozen(Frozen),
    /// Answer to `await` and to `follow` with `wait`.
    Applied { position: GtidPosition, reached: bool },
    /// Answer to `serve-binlog`.
    Serving { port: u16, end: GtidPosition },
    /// Answer to `promote`, read back: writable at this position.
    Promoted { position: GtidPosition },
}

/// A member that receives and acknowledges nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    /// The incarnation that was frozen.
    pub incarnation: Incarnation,
    /// Own binary log united with what its IO thread received.
    pub received: GtidPosition,
    /// `gtid_slave_pos`, united with the own binary log.
    pub applied: GtidPosition,
    /// True when its mariadbd had to be killed: what it received but did not apply is in its kept relay logs only.
    pub killed: bool,
}

/// What a dead primary's binary logs say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum LogEvidence {
    /// Read to the last complete group.
    Readable { end: GtidPosition, torn: Option<String> },
    /// Cannot be read, and why.
    Unreadable { message: String },
}

/// Why an order was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A higher token was obeyed before.
    StaleToken,
    /// Meant for other data than this volume's.
    ForeignCluster,
    /// Its deadline had passed.
    Expired,
    /// A higher token arrived while it ran.
    Superseded,
    /// mariadbd does not run or does not answer.
    NotRunning,
    /// mariadbd runs where it must not.
    StillRunning,
    /// The member lacks transactions the order demands.
    MissingTransactions,
    /// A statement failed or took too long.
    Sql,
    /// launch did not do its part.
    Launch,
    /// The volume cannot be used or written.
    Volume,
    /// Another protocol version, or an order that makes no sense in this state.
    Unsupported,
}

/// The answer to an order that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct OrderError {
    /// For decisions.
    pub reason: Reason,
    /// For people: what happened, to which object, and what to do next.
    pub message: String,
}

/// What happened without an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// mariadbd ended.
    Exited,
    /// mariadbd was started.
    Started,
    /// mariadbd answers SQL.
    Answers,
}

/// What an agent may do with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// New: store its token, end what runs, carry it out.
    Obey,
    /// The order with the highest token again: give its first answer, or carry it out again when that is not known.
    Repeat,
}

/// Decides whether an order may be obeyed on a volume whose highest token is `highest` (invariant 5).
///
/// # Errors
/// [`Reason::Unsupported`], [`Reason::ForeignCluster`], [`Reason::StaleToken`] or [`Reason::Expired`], in that order.
pub fn admit(
    order: &SignedOrder,
    identity: Option<&Identity>,
    highest: Option<(&Token, &str)>,
    now: BootMillis,
) -> Result<Admission, OrderError> {
    let refuse = |reason, message: String| Err(OrderError { reason, message });
    if order.v != PROTOCOL_VERSION {
        return refuse(
            Reason::Unsupported,
            format!("order of protocol version {}; this agent speaks {PROTOCOL_VERSION}: upgrade it", order.v),
        );
    }
    if identity.is_some_and(|identity| identity.data_uid != order.token.data_uid) {
        return refuse(
            Reason::ForeignCluster,
            format!(
                "the volume does not hold the data {}: give the member a volume of this cluster",
                order.token.data_uid.0
            ),
        );
    }
    if let Some((token, id)) = highest.filter(|(token, _)| token.data_uid == order.token.data_uid) {
        if token.rank() == order.token.rank() && id == order.id {
            return Ok(Admission::Repeat);
        }
        if token.rank() >= order.token.rank() {
            return refuse(
                Reason::StaleToken,
                format!(
                    "token {}/{} is not above {}/{}, obeyed before: a newer leader has taken over",
                    order.token.term, order.token.seq, token.term, token.seq
                ),
            );
        }
    }
    if now > order.deadline {
        return refuse(Reason::Expired, "the order arrived after its deadline: give it again".to_owned());
    }
    Ok(Admission::Obey)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(term: u64, seq: u64, id: &str) -> SignedOrder {
        SignedOrder {
            v: PROTOCOL_VERSION,
            id: id.to_owned(),
            token: token(term, seq),
            deadline: BootMillis(100),
            order: Order::Fence,
        }
    }

    fn token(term: u64, seq: u64) -> Token {
        Token { data_uid: DataUid("a".to_owned()), term: Term(term), seq }
    }

    fn reason(result: Result<Admission, OrderError>) -> Reason {
        result.unwrap_err().reason
    }

    #[test]
    fn obeys_only_what_is_higher() {
        let highest = token(3, 5);
        let seen = Some((&highest, "x"));
        assert_eq!(admit(&order(3, 6, "y"), None, seen, BootMillis(0)), Ok(Admission::Obey));
        assert_eq!(admit(&order(4, 1, "y"), None, seen, BootMillis(0)), Ok(Admission::Obey));
        assert_eq!(admit(&order(3, 5, "x"), None, seen, BootMillis(0)), Ok(Admission::Repeat));
        for stale in [order(3, 5, "other"), order(3, 4, "y"), order(2, 99, "y")] {
            assert_eq!(reason(admit(&stale, None, seen, BootMillis(0))), Reason::StaleToken);
        }
    }

    #[test]
    fn refuses_other_data_late_orders_and_other_versions() {
        let theirs = Identity { cluster: "n/c".to_owned(), data_uid: DataUid("b".to_owned()), ordinal: Ordinal(0) };
        assert_eq!(reason(admit(&order(1, 1, "x"), Some(&theirs), None, BootMillis(0))), Reason::ForeignCluster);
        assert_eq!(reason(admit(&order(1, 1, "x"), None, None, BootMillis(101))), Reason::Expired);
        let newer = SignedOrder { v: 2, ..order(1, 1, "x") };
        assert_eq!(reason(admit(&newer, None, None, BootMillis(0))), Reason::Unsupported);
    }

    #[test]
    fn lines_are_readable_json_and_passwords_are_not_printed() {
        let login = Order::ServeBinlog { user: "u".to_owned(), password: Secret("hidden".to_owned()) };
        let line = Down::Order(SignedOrder { order: login, ..order(1, 2, "x") });
        assert!(!format!("{line:?}").contains("hidden"));
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Down>(&json).unwrap(), line);
        assert!(json.contains(r#""order":"serve-binlog""#), "{json}");
        let outcome = Outcome::Ok(Answer::Applied { position: "0-1-2".parse().unwrap(), reached: true });
        let json = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
    }
}
