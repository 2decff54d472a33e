//! What is seen of the upkeep of members.

use std::fmt;

use crate::orders::Order;
use crate::time::Millis;

/// An owned setting that somebody changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// `name=value (must be value)`.
    pub text: String,
    /// True when an acknowledgement rests on it.
    pub durability: bool,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// When the orders for a member's upkeep ended last, whatever came of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Any of them.
    pub at: Option<Millis>,
    /// One that put settings back.
    pub restored: Option<Millis>,
    /// One that let binary logs go.
    pub purged: Option<Millis>,
}

impl Maintained {
    /// An order ended, whatever came of it.
    pub fn note(&mut self, order: &Order, now: Millis) {
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
