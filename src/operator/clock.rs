//! The operator's one clock.

use std::time::{Duration, Instant};

use crate::time::{Millis, whole_millis};

/// Monotonic time since the operator began, in the milliseconds decisions are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that begins now. It begins above zero, so that a time before the first observation can be told apart.
    #[must_use]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Now.
    #[must_use]
    pub(crate) fn now(self) -> Millis {
        Millis(whole_millis(self.0.elapsed()).saturating_add(1))
    }

    /// How long to sleep until `at`; zero when it has passed.
    #[must_use]
    pub(crate) fn until(self, at: Millis) -> Duration {
        Duration::from_millis(at.since(self.now()))
    }
}
