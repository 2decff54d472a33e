//! `freeze`: the member receives and acknowledges nothing more.

use std::time::Duration;

use super::work::Work;
use crate::agent::access::sql_error;
use crate::mariadb::SqlError;
use crate::orders::{Answer, Frozen, OrderError};

/// A killed mariadbd is reaped within 30 ms; more means that a disk holds it.
const KILL_LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn freeze(work: &mut Work<'_>) -> Result<Answer, OrderError> {
    work.persist(|_| {}).await?;
    let before = frozen(work).await?;
    work.keep_relay_logs(None)?;
    // Only its return says that nothing more is received: until then the thread's state claims that all is well.
    match work.stop("STOP SLAVE IO_THREAD").await? {
        Ok(()) => {
            let after = frozen(work).await?;
            let received = work.slave().await?.map(|slave| slave.status.io_position);
            work.keep_relay_logs(received.as_ref())?;
            Ok(Answer::Frozen(after))
        }
        Err(SqlError::Silent { .. }) => {
            // What came between the reading and the kill is in the kept relay logs.
            work.agent().supervisor.kill(KILL_LIMIT).await?;
            Ok(Answer::Frozen(Frozen { killed: true, ..before }))
        }
        Err(error) => Err(sql_error(error)),
    }
}

pub(super) async fn frozen(work: &mut Work<'_>) -> Result<Frozen, OrderError> {
    let incarnation = work.incarnation()?;
    let slave = work.slave().await?;
    let globals = work.globals().await?;
    let io_position = slave.map(|slave| slave.status.io_position).unwrap_or_default();
    Ok(Frozen {
        incarnation,
        received: globals.applied().union(&io_position),
        applied: globals.applied(),
        killed: false,
    })
}
