//! `await`, and the end of a `follow` that waits.

use std::ops::Range;
use std::time::Duration;

use tokio::time::sleep;

use super::durable;
use super::work::Work;
use crate::gtid::GtidPosition;
use crate::orders::{Answer, OrderError, Reason};
use crate::topology::observation::{IoThread, SlaveStatus};

/// First pause between two looks: a failover waits for this.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// Longest pause: a long catch-up need not be watched more closely.
const LAST_LOOK: Duration = Duration::from_millis(25);
/// The answer has to be on its way before the deadline.
const EARLY: Duration = Duration::from_millis(100);

/// Waits until `position` is applied, durably, or the deadline is near; an error of a replica thread ends it at once.
pub(super) async fn until_applied(work: &mut Work<'_>, position: &GtidPosition) -> Result<Answer, OrderError> {
    let mut pause = FIRST_LOOK;
    loop {
        let applied = work.globals().await?.applied();
        let reached = applied.covers(position);
        if reached {
            durable::restore(work).await?;
        }
        if reached || work.remaining() < EARLY {
            return Ok(Answer::Applied { position: applied, reached });
        }
        stands_still(work, &applied).await?;
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// An error that no waiting cures.
pub(super) async fn stands_still(work: &mut Work<'_>, applied: &GtidPosition) -> Result<(), OrderError> {
    let Some(slave) = work.slave().await? else { return Ok(()) };
    incurable(&slave.status, applied).map_or(Ok(()), |message| Err(OrderError { reason: Reason::Sql, message }))
}

/// Why a replica that has applied so much applies no more.
fn incurable(status: &SlaveStatus, applied: &GtidPosition) -> Option<String> {
    /// ER_MASTER_FATAL_ERROR_READING_BINLOG: the source lacks what this member asks for.
    const FATAL_READ: u32 = 1236;
    /// A server's errors. After a client's, from 2000 on, the IO thread connects again by itself.
    const SERVER_ERRORS: Range<u32> = 1000..2000;
    let is_stopped = status.io == IoThread::No && SERVER_ERRORS.contains(&status.io_errno);
    // What was received is applied all the same.
    if status.io_errno == FATAL_READ || is_stopped && applied.covers(&status.io_position) {
        Some(format!("the IO thread stopped: error {}: {}", status.io_errno, status.io_error))
    } else if status.sql_errno != 0 && !status.sql {
        Some(format!("the SQL thread stopped: error {}: {}", status.sql_errno, status.sql_error))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(io: IoThread, io_errno: u32) -> SlaveStatus {
        SlaveStatus {
            host: "h".to_owned(),
            port: 3306,
            io,
            sql: true,
            io_position: "0-1-7".parse().unwrap(),
            io_errno,
            io_error: "words".to_owned(),
            sql_errno: 0,
            sql_error: String::new(),
            lag_s: None,
            by_gtid: true,
        }
    }

    #[test]
    fn an_io_thread_that_gave_up_is_not_waited_for_once_all_it_received_is_applied() {
        let told = |io, errno, applied: &str| incurable(&status(io, errno), &applied.parse().unwrap()).is_some();
        // Event checksum failure, seen as ER_SLAVE_RELAY_LOG_WRITE_FAILURE.
        assert!(told(IoThread::No, 1595, "0-1-7"));
        assert!(!told(IoThread::No, 1595, "0-1-6"), "the SQL thread still has something to apply");
        assert!(!told(IoThread::No, 2003, "0-1-7"), "stopped on order while its source was away");
        assert!(!told(IoThread::Connecting, 2003, "0-1-7"));
        assert!(!told(IoThread::No, 0, "0-1-7"));
        assert!(told(IoThread::No, 1236, "0-1-6"));
        let sql = SlaveStatus { sql: false, sql_errno: 1062, ..status(IoThread::Yes, 0) };
        assert!(incurable(&sql, &GtidPosition::empty()).unwrap().contains("1062"));
    }
}
