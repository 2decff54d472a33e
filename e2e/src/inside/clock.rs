//! Time stamps that can be compared between processes of one machine.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// One instant on two clocks, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// `CLOCK_REALTIME`: to compare with what other programs printed (`date`, Kubernetes).
    pub realtime_us: u64,
    /// `CLOCK_MONOTONIC`: to measure with.
    pub monotonic_us: u64,
}

impl Stamp {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { realtime_us: micros(ClockId::Realtime), monotonic_us: micros(ClockId::Monotonic) }
    }
}

fn micros(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}
