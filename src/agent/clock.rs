//! The agent's clock: the time since its node booted, which neither steps nor stops while the machine sleeps.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::orders::BootMillis;

/// Now.
#[must_use]
pub(crate) fn now() -> BootMillis {
    let time = clock_gettime(ClockId::Boottime);
    // Neither part is negative: the kernel counts from 0 at boot.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    BootMillis(seconds * 1000 + nanoseconds / 1_000_000)
}

/// Time left until `deadline`, zero when it has passed.
#[must_use]
pub(crate) fn until(deadline: BootMillis) -> Duration {
    Duration::from_millis(deadline.0.saturating_sub(now().0))
}

/// `boot_id` of the node's kernel; empty when it cannot be read.
#[must_use]
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
