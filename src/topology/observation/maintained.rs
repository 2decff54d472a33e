//! What is seen of the upkeep of members.

use std::fmt;

use crate::orders::Order;
use crate::time::Millis;

/// An owned setting that somebody changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// `name=value (must be value)`.
    pub(crate) text: String,
    /// True when an acknowledgement rests on it.
    pub(crate) durability: bool,
    /// True when nobody can write with it on a primary.
    pub(crate) stops_writes: bool,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// When the orders for a member's upkeep ended last, whatever came of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Maintained {
    /// Any of them.
    pub(crate) at: Option<Millis>,
    /// One that put settings back.
    pub(crate) restored: Option<Millis>,
    /// One that let binary logs go.
    pub(crate) purged: Option<Millis>,
}

impl Maintained {
    /// An order ended, whatever came of it.
    pub(crate) fn note(&mut self, order: &Order, now: Millis) {
        if let Order::Maintain(maintenance) = order {
            self.at = Some(now);
            if maintenance.restore {
                self.restored = Some(now);
            }
            if maintenance.purge.is_some() {
                self.purged = Some(now);
            }
        }
    }
}
