//! The one place that says what to do next.
//!
//! `decide` is a total function of what is recorded, wished and seen. It is asked again after everything that happens,
//! so it keeps no memory; whoever continues after a crash gets the same answers.

use super::observation::{Millis, Observation};
use super::policy::Policy;
use super::record::Record;
use crate::orders::{Order, Ordinal};

/// Something to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Write this record to the status. Nothing else happens until it has returned.
    Write { record: Box<Record>, why: String },
    /// Give a member an order. At most one is in flight for each member.
    Order { member: Ordinal, order: Order },
    /// Make NAME-primary select this member.
    Route { member: Ordinal },
}

/// What to do next, and why not something else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// To be started now, side by side; a [`Act::Write`] stands alone.
    pub acts: Vec<Act>,
    /// What stands in the way of the next step, for people: names what is missing.
    pub blocked: Option<String>,
    /// Candidates and alternatives that were rejected, and why.
    pub rejected: Vec<String>,
    /// When to ask again although nothing happened.
    pub again_at: Option<Millis>,
}

/// The next step for a cluster.
#[must_use]
pub fn decide(policy: &Policy, record: &Record, seen: &Observation) -> Decision {
    let _ = (policy, record, seen);
    Decision::default()
}
