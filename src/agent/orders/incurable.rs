//! Errors of replication that no waiting cures.

use super::context::OrderContext;
use crate::gtid::GtidPosition;
use crate::orders::{OrderError, Reason};
use crate::topology::observation::SlaveStatus;

/// An error that no waiting cures.
pub(super) async fn stands_still(work: &mut OrderContext<'_>, applied: &GtidPosition) -> Result<(), OrderError> {
    work.slave().await?.map_or(Ok(()), |slave| refuse_incurable(&slave.status, applied))
}

pub(super) fn refuse_incurable(status: &SlaveStatus, applied: &GtidPosition) -> Result<(), OrderError> {
    incurable(status, applied).map_or(Ok(()), |message| Err(OrderError::new(Reason::Sql, message)))
}

/// Why a replica that has applied so much applies no more.
pub(super) fn incurable(status: &SlaveStatus, applied: &GtidPosition) -> Option<String> {
    // What was received is applied all the same, also when its source has lost it since (1236).
    if status.is_refused() && applied.covers(&status.io_position) {
        Some(format!("the IO thread stopped: error {}: {}", status.io_errno, status.io_error))
    } else if status.sql_errno != 0 && !status.sql {
        Some(format!("the SQL thread stopped: error {}: {}", status.sql_errno, status.sql_error))
    } else {
        None
    }
}
