//! What operator and agent say to each other, and the rule that decides which order an agent may still obey.
//!
//! JSON lines over one held stream. Down go orders and pings, up go answers and events; the first line up is `hello`
//! with the whole state, so a new stream needs no memory of the old one. Only values here: no sockets, no clock.

mod admission;
mod message;
mod state;
mod upkeep;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use admission::{Admission, admit};
pub use launch::protocol::ExitStatus;
pub use message::{
    Answer, Down, Event, Frozen, LogEvidence, Order, OrderEnvelope, OrderError, Outcome, Reason, Secret, Source, Up,
};
pub use state::{AgentState, Ended, MOST_ENDED, Mariadbd, MemberRole, SqlNotes, Volume, VolumeRecord};
pub use upkeep::{EventName, MOST_EVENT_BYTES, MOST_EVENTS, Maintenance, Purge, Upkeep, VolumeUse};

/// Version of this protocol; an agent answers orders of this version only.
pub const PROTOCOL_VERSION: u32 = 2;
/// Longest line either side accepts, in bytes: the largest order is far below 4 KiB, so a longer line is garbage.
pub(crate) const MAX_LINE: usize = 256 * 1024;
/// Port of the binlog server an agent opens on `serve-binlog`.
pub const BINLOG_SERVER_PORT: u16 = 3307;

/// A catching up of more missing transactions is a long one: up to here it is less than about a second of work even when
/// each is made durable on its own.
pub(crate) const LONG_TAIL: u64 = 1_000;

/// Identity of a cluster's data, made by the one initialisation (a UUID). Not the Kubernetes object's uid, which
/// changes when the object is created again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataUid(pub String);

/// A counter, raised with every transition and every take-over of leadership.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

impl Term {
    /// The following term.
    #[must_use]
    pub(crate) fn next(self) -> Self {
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

/// Name of the member with this ordinal, and of its pod; with the cluster's namespace before it when `cluster` has one.
#[must_use]
pub(crate) fn member_name(cluster: &str, ordinal: Ordinal) -> String {
    format!("{cluster}-{ordinal}")
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
    /// The term in which the order was given.
    pub term: Term,
    /// Rises with every order a leader gives to a member within its term.
    pub seq: u64,
}

impl Token {
    /// What is compared between tokens of the same data.
    #[must_use]
    pub fn rank(&self) -> (Term, u64) {
        (self.term, self.seq)
    }

    /// Keeps the highest token of each data that a member has told, of the last few.
    pub(crate) fn remember(self, told: &mut Vec<Self>) {
        const MOST: usize = 4;
        match told.iter_mut().find(|known| known.data_uid == self.data_uid) {
            Some(known) if known.rank() >= self.rank() => {}
            Some(known) => *known = self,
            None => {
                told.push(self);
                let surplus = told.len().saturating_sub(MOST);
                told.drain(..surplus);
            }
        }
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

impl Identity {
    /// The member the volume belongs to, as `namespace/name-ordinal`: it may be one of another namespace.
    #[must_use]
    pub(crate) fn member(&self) -> String {
        member_name(&self.cluster, self.ordinal)
    }
}
