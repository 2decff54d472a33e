//! The lines themselves: orders and pings down, answers and events up.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{AgentState, BootMillis, Identity, Incarnation, Maintenance, Ordinal, Token};
use crate::gtid::GtidPosition;

/// Where a replica gets its transactions from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// Another member's mariadbd, by its stable name; the replica uses its own replication account.
    Member { host: String, port: u16 },
    /// A binlog server with a one-time login.
    #[serde(rename = "donor")]
    BinlogServer { host: String, port: u16, user: String, password: Secret },
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
    /// or when the deadline is near. `acker`: the member acknowledges to this source, if this is its run; in another run, which
    /// is not recorded as an acker, the order is refused.
    Follow { source: Source, acker: Option<Incarnation>, wait: Option<GtidPosition> },
    /// Waits until `position` is applied or the deadline is near. When it is, the member is fit to be promoted: durable, and
    /// without what a crash has left half done.
    Await { position: GtidPosition },
    /// Applies what the kept relay logs of this run, and of later ones, hold that came from the primary with this server id,
    /// and stands still then, as after `freeze`.
    Recover { incarnation: Incarnation, server_id: u32 },
    /// Opens the binlog server over a dead mariadbd's binary logs, until the next order but `serve-binlog`. `after` is what
    /// the member has that will be brought forward.
    ServeBinlog {
        user: String,
        password: Secret,
        #[serde(default)]
        after: GtidPosition,
    },
    /// Makes the member the primary. Refused when its binary log does not cover `required`, which is called
    /// `min` on the wire.
    Promote {
        #[serde(rename = "min")]
        required: GtidPosition,
        server_id: u32,
        semi_sync: bool,
    },
    /// Switches acknowledging on, if this is its run, or off on a replica and restarts its IO thread, which alone makes the switch real.
    SetAcker { acker: Option<Incarnation> },
    /// On an acker whose source waits for an acknowledgement that will never come: reconnects once without GTID.
    Unstick,
    /// On the primary: locks the replication account of an unreachable member and kills its dump thread.
    EvictAcker { ordinal: Ordinal },
    /// The member's replication account is opened: for the first time, or again after `evict-acker`.
    ReadmitAcker { ordinal: Ordinal },
    /// On the primary: waiting for acknowledgements on or off. Off releases all that wait, so it is recorded first.
    SemiSync { on: bool },
    /// On a replica: restarts its IO thread and nothing else. Since 0.2; an earlier agent answers [`Reason::Unsupported`].
    Reconnect,
    /// On a primary that takes no new connections and on which no commit waits: switches waiting for acknowledgements off
    /// and on again, behind a global read lock, so that nothing commits in between. Since 0.2, as [`Order::Reconnect`].
    ResetSemiSync,
    /// Settings, events and binary logs are as they have to be. Answered with success whatever of it could not be done: the state
    /// tells what is left. Only for agents that know it ([`AgentState::knows`]).
    Maintain(Maintenance),
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
            Self::Recover { .. } => "recover",
            Self::ServeBinlog { .. } => "serve-binlog",
            Self::Promote { .. } => "promote",
            Self::SetAcker { .. } => "set-acker",
            Self::Unstick => "unstick",
            Self::EvictAcker { .. } => "evict-acker",
            Self::ReadmitAcker { .. } => "readmit-acker",
            Self::SemiSync { .. } => "semi-sync",
            Self::Reconnect => "reconnect",
            Self::ResetSemiSync => "reset-semi-sync",
            Self::Maintain(_) => "maintain",
        }
    }
}

/// An order with the right to give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderEnvelope {
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
    Order(OrderEnvelope),
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

impl Up {
    /// What every line tells.
    #[must_use]
    pub(crate) fn state(&self) -> &AgentState {
        match self {
            Self::Hello { state, .. }
            | Self::Pong { state, .. }
            | Self::Answer { state, .. }
            | Self::Event { state, .. } => state,
        }
    }
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
    /// Answer to `recover`: what the member has and is now, also receiving and acknowledging nothing.
    Recovered { of: Incarnation, frozen: Frozen },
    /// Answer to `await` and to `follow` with `wait`. `held` names what has kept the member from applying anything of what it
    /// has received, for a while.
    Applied {
        position: GtidPosition,
        reached: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<String>,
    },
    /// Answer to `serve-binlog`; `bytes` is about what the logs hold after the position that was named, for people.
    Serving { port: u16, end: GtidPosition, bytes: Option<u64> },
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
    /// True when this run has kept relay logs that hold more than `received`: a change of its source made mariadbd throw
    /// them away, and what it acknowledged there is not fetched again yet. `recover` brings it back.
    #[serde(default)]
    pub dropped: bool,
    /// True when what it has applied is durable, and nothing is left that a crash has left half done.
    #[serde(default)]
    pub settled: bool,
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

impl OrderError {
    /// One of this reason.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
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

#[cfg(test)]
mod tests {
    use super::super::{DataUid, PROTOCOL_VERSION, Term};
    use super::*;

    #[test]
    fn lines_are_readable_json_and_passwords_are_not_printed() {
        let password = Secret("hidden".to_owned());
        let login = Order::ServeBinlog { user: "u".to_owned(), password, after: GtidPosition::empty() };
        let line = Down::Order(OrderEnvelope {
            v: PROTOCOL_VERSION,
            id: "x".to_owned(),
            token: Token { data_uid: DataUid("a".to_owned()), term: Term(1), seq: 2 },
            deadline: BootMillis(100),
            order: login,
        });
        assert!(!format!("{line:?}").contains("hidden"));
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Down>(&json).unwrap(), line);
        assert!(json.contains(r#""order":"serve-binlog""#), "{json}");
        let outcome = Outcome::Ok(Answer::Applied { position: "0-1-2".parse().unwrap(), reached: true, held: None });
        let json = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
        let older = r#"{"ok":{"answer":"applied","position":"0-1-2","reached":true}}"#;
        assert_eq!(serde_json::from_str::<Outcome>(older).unwrap(), outcome);
        assert_eq!(json, older, "an older operator is told what it knows");
    }

    #[test]
    fn a_source_has_the_words_of_every_release() {
        let password = Secret("p".to_owned());
        let source = Source::BinlogServer { host: "h".to_owned(), port: 3307, user: "u".to_owned(), password };
        let words = r#"{"kind":"donor","host":"h","port":3307,"user":"u","password":"p"}"#;
        assert_eq!(serde_json::to_string(&source).unwrap(), words);
        assert_eq!(serde_json::from_str::<Source>(words).unwrap(), source);
        let member = Source::Member { host: "h".to_owned(), port: 3306 };
        assert_eq!(serde_json::to_string(&member).unwrap(), r#"{"kind":"member","host":"h","port":3306}"#);
    }

    #[test]
    fn a_promotion_has_the_words_of_every_release() {
        let promote = Order::Promote { required: "0-1-2".parse().unwrap(), server_id: 17, semi_sync: true };
        let words = r#"{"order":"promote","min":"0-1-2","serverId":17,"semiSync":true}"#;
        assert_eq!(serde_json::to_string(&promote).unwrap(), words);
        assert_eq!(serde_json::from_str::<Order>(words).unwrap(), promote);
        assert!(serde_json::from_str::<Order>(r#"{"order":"promote","serverId":17,"semiSync":true}"#).is_err());
    }
}
