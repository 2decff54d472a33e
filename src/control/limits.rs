//! How long orders may take.

use std::time::Duration;

use crate::orders::Order;
use crate::time::{Millis, whole_millis};

/// On top of an order's own limit: the way down and up again.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);
/// First pause before a failed order is given again, doubled up to [`LONGEST_PAUSE_MS`].
const FIRST_PAUSE_MS: u64 = 100;
/// Long enough not to flood a broken member, short enough not to keep a repaired one waiting.
const LONGEST_PAUSE_MS: u64 = 5_000;

/// For how long an agent may work on an order.
#[must_use]
pub(crate) fn work_limit(order: &Order) -> Duration {
    match order {
        // SIGKILL and waitpid take milliseconds; reading the end of large binary logs takes the rest.
        Order::Fence => Duration::from_secs(5),
        // STOP SLAVE IO_THREAD gets 4 s, then the member is killed.
        Order::Freeze => Duration::from_millis(4_500),
        // mariadb-install-db on a slow disk.
        Order::Init { .. } => Duration::from_secs(120),
        // The same stop.
        Order::Reconnect => Duration::from_millis(4_500),
        // Mostly some milliseconds. On a server that answers to each statement at the last moment: two readings, a lock, four
        // statements, a new connection that undoes it, and a kill.
        Order::ResetSemiSync => Duration::from_secs(20),
        // What is not applied by then is gone on with.
        Order::Recover { .. } => Duration::from_secs(120),
        // InnoDB's recovery.
        Order::Start => Duration::from_secs(60),
        // A wait is answered after 3 s. What takes longer is the mending of what a crash has left: the reading of a binary
        // log of a gigabyte, and InnoDB's recovery, twice.
        Order::Follow { .. } | Order::Await { .. } | Order::Promote { .. } => Duration::from_secs(20),
        // The logs are read again when the agent is another one than at the fence.
        Order::ServeBinlog { .. } => Duration::from_secs(5),
        Order::SetAcker { .. }
        | Order::Unstick
        | Order::EvictAcker { .. }
        | Order::ReadmitAcker { .. }
        | Order::SemiSync { .. } => Duration::from_secs(2),
        // An event's DDL may wait for a backup's lock; then it is tried again later.
        Order::Maintain(_) => Duration::from_secs(3),
    }
}

/// When an order given at `now` counts as unanswered.
#[must_use]
pub fn give_up(order: &Order, now: Millis) -> Millis {
    let limit = work_limit(order) + ANSWER_MARGIN;
    Millis(now.0.saturating_add(whole_millis(limit)))
}

/// When an order that failed `count` times in a row may be given again.
#[must_use]
pub(crate) fn retry_at(count: u32, now: Millis) -> Millis {
    let doubled = FIRST_PAUSE_MS.saturating_mul(1 << count.saturating_sub(1).min(16));
    Millis(now.0.saturating_add(doubled.min(LONGEST_PAUSE_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_five_seconds() {
        let pauses: Vec<u64> = [1, 2, 3, 6, 7, 40].map(|count| retry_at(count, Millis(10)).0 - 10).to_vec();
        assert_eq!(pauses, [100, 200, 400, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn an_answer_has_time_to_arrive() {
        assert_eq!(give_up(&Order::Fence, Millis(0)), Millis(6_000));
    }
}
