//! A SQL thread that somebody has stopped by hand (a backup does, too): without it a member receives, acknowledges and
//! applies nothing.

use tracing::info;

use super::context::OrderContext;
use crate::mariadb::SqlError;
use crate::orders::OrderError;
use crate::topology::observation::{IoThread, SlaveStatus};

/// Starts the SQL thread if it was stopped without an error. Only while the IO thread runs: once both stand still, START
/// SLAVE throws away what was received and not applied ([`super::recover::received`] is for that).
///
/// # Errors
/// The outer as [`OrderContext::execute`]; the inner one as the statement fails.
pub(super) async fn start(work: &mut OrderContext<'_>) -> Result<Result<(), SqlError>, OrderError> {
    let slave = work.slave().await?;
    if !slave.is_some_and(|slave| is_stopped(&slave.status) && slave.status.io != IoThread::No) {
        return Ok(Ok(()));
    }
    work.persist(|_| {}).await?;
    // The IO thread may end by itself in this moment.
    work.keep_relay_logs(None)?;
    info!("the SQL thread was stopped by hand: it is started");
    Ok(work.sql().await?.execute("START SLAVE SQL_THREAD").await)
}

/// True when nothing but a START SLAVE is missing.
pub(super) fn is_stopped(status: &SlaveStatus) -> bool {
    !status.sql && status.sql_errno == 0
}
