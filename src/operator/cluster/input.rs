//! Everything that can happen to a cluster task, as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::newcomer::Try;
use super::pods::{PodFacts, Trouble};
use super::probe::Reading;
use super::router::Led;
use super::wish::Wish;
use crate::orders::{AgentState, Ordinal, Up};
use crate::topology::observation::Millis;

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// A member's agent said something, or its stream ended.
    Link { ordinal: Ordinal, event: LinkEvent },
    /// A member's mariadbd answered, or did not.
    Probe { ordinal: Ordinal, reading: Reading },
    /// A new connection to a member's mariadbd was tried, beginning at `begun`.
    Newcomer { ordinal: Ordinal, begun: Millis, outcome: Try },
    /// The cluster's pods changed.
    Pods(Vec<PodFacts>),
    /// Why members have no pod, of those for which that is known.
    Absent(BTreeMap<Ordinal, Trouble>),
    /// The user changed the object.
    Wish(Arc<Wish>),
    /// The primary's Service was written, or could not be.
    Routed(Result<Ordinal, String>),
    /// Somebody changed or deleted the primary's Service.
    ServiceChanged,
    /// The primary's Service was read, or could not be.
    Led(Result<Led, String>),
}

/// What a link tells.
#[derive(Debug)]
pub enum LinkEvent {
    /// A stream is open.
    Greeted { state: Box<AgentState> },
    /// The agent said something.
    Told { up: Box<Up> },
    /// No stream.
    Away { why: String },
}
