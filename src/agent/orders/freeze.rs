//! `freeze`: the member receives and acknowledges nothing more.

use tracing::warn;

use super::context::{KILL_LIMIT, OrderContext};
use super::repair;
use super::sql_thread;
use crate::agent::sql_sessions::sql_error;
use crate::gtid::GtidPosition;
use crate::mariadb::SqlError;
use crate::orders::{Answer, Frozen, MemberRole, OrderError, Reason};

pub(super) async fn freeze(work: &mut OrderContext<'_>) -> Result<Answer, OrderError> {
    work.persist(|_| {}).await?;
    let replica = work.agent().role() == Some(MemberRole::Replica);
    if replica && !work.globals().await?.read_only {
        // Clients may be led to it as the candidate: what it took would be lost, and setting it back would answer them.
        return Err(OrderError::new(Reason::StillRunning, "the member takes writes: fence it"));
    }
    let before = frozen(work).await?;
    work.keep_relay_logs(None)?;
    // What is received from here on can be applied only by a SQL thread that runs before the IO thread ends.
    let stopped = match sql_thread::start(work).await? {
        // It holds what STOP SLAVE needs, too.
        Err(silent @ SqlError::Silent { .. }) => Err(silent),
        Err(error) => {
            warn!(%error, "the SQL thread cannot be started");
            work.stop("STOP SLAVE IO_THREAD").await?
        }
        Ok(()) => work.stop("STOP SLAVE IO_THREAD").await?,
    };
    // Only its return says that nothing more is received: until then the thread's state claims that all is well.
    match stopped {
        Ok(()) => {
            let received = work.received().await?;
            work.keep_relay_logs(received.as_ref())?;
            Ok(Answer::Frozen(frozen_at(work, received).await?))
        }
        Err(SqlError::Silent { .. }) => {
            // What came between the reading and the kill is in the kept relay logs.
            work.agent().supervisor.kill(KILL_LIMIT).await?;
            Ok(Answer::Frozen(Frozen { killed: true, ..before }))
        }
        Err(error) => Err(sql_error(error)),
    }
}

/// What it has, while its relay logs are linked and its IO thread stands still.
pub(super) async fn frozen(work: &mut OrderContext<'_>) -> Result<Frozen, OrderError> {
    let received = work.received().await?;
    frozen_at(work, received).await
}

async fn frozen_at(work: &mut OrderContext<'_>, received: Option<GtidPosition>) -> Result<Frozen, OrderError> {
    let incarnation = work.incarnation()?;
    let applied = work.globals().await?.applied();
    let received = applied.union(&received.unwrap_or_default());
    let dropped = work.has_dropped(&received)?;
    let settled = repair::is_whole(work)?;
    Ok(Frozen { incarnation, received, applied, killed: false, dropped, settled })
}
