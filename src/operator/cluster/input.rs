//! Everything that can happen to a cluster task, as values.

use std::sync::Arc;

use super::pods::PodFacts;
use super::probe::Reading;
use super::wish::Wish;
use crate::orders::{AgentState, Ordinal, Up};

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// A member's agent said something, or its stream ended.
    Link { ordinal: Ordinal, event: LinkEvent },
    /// A member's mariadbd answered, or did not.
    Probe { ordinal: Ordinal, reading: Reading },
    /// The cluster's pods changed.
    Pods(Vec<PodFacts>),
    /// The user changed the object.
    Wish(Arc<Wish>),
    /// The primary's Service was written, or could not be.
    Routed(Result<Ordinal, String>),
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
