//! Time as decisions see it: a value that comes in.

use std::time::Duration;

/// Whole milliseconds of a duration; the longest there are when it is longer than that.
#[must_use]
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds of the observer's own monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// Time passed since `earlier`, 0 when that lies ahead.
    #[must_use]
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
