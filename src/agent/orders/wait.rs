//! `await`, and the end of a `follow` that waits.

use std::time::Duration;

use tokio::time::sleep;

use super::durable;
use super::work::Work;
use crate::gtid::GtidPosition;
use crate::orders::{Answer, OrderError, Reason};

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
        stands_still(work).await?;
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// An error that no waiting cures.
async fn stands_still(work: &mut Work<'_>) -> Result<(), OrderError> {
    /// ER_MASTER_FATAL_ERROR_READING_BINLOG: the source lacks what this member asks for.
    const FATAL_READ: u32 = 1236;
    let Some(slave) = work.slave().await? else { return Ok(()) };
    let status = slave.status;
    let message = if status.io_errno == FATAL_READ {
        format!("the IO thread stopped: error {}: {}", status.io_errno, status.io_error)
    } else if status.sql_errno != 0 && !status.sql {
        format!("the SQL thread stopped: error {}: {}", status.sql_errno, status.sql_error)
    } else {
        return Ok(());
    };
    Err(OrderError { reason: Reason::Sql, message })
}
