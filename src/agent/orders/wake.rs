//! What wakes a primary that takes no new connections (`topology::wedged` says why it does): an acker that connects anew,
//! or, where none is connected, the end of the thread that collects acknowledgements.

use super::context::OrderContext;
use super::sql_thread;
use crate::agent::sql_sessions::sql_error;
use crate::mariadb::SqlError;
use crate::orders::{Answer, OrderError, Reason};

/// Seconds the read lock may take: it waits for writes that run, and meanwhile others wait for it.
const LOCK_SECONDS: u8 = 1;

/// Restarts the IO thread. Its source hears of the end of the old connection at once.
pub(super) async fn reconnect(work: &mut OrderContext<'_>) -> Result<Answer, OrderError> {
    if work.slave().await?.is_none() {
        return Err(unsupported("the member replicates from nobody: give `follow` first"));
    }
    work.persist(|_| {}).await?;
    sql_thread::start(work).await?.map_err(sql_error)?;
    work.keep_relay_logs(None)?;
    work.stop("STOP SLAVE IO_THREAD").await?.map_err(sql_error)?;
    work.execute("START SLAVE IO_THREAD").await?;
    Ok(Answer::Done)
}

/// Nothing commits while semi-sync is off. A session that is cut off in between is closed, and its lock ends with it.
pub(super) async fn reset_semi_sync(work: &mut OrderContext<'_>) -> Result<Answer, OrderError> {
    if work.slave().await?.is_some() || work.globals().await?.read_only {
        return Err(unsupported("the member is no primary"));
    }
    work.persist(|_| {}).await?;
    let lock = format!("SET STATEMENT lock_wait_timeout={LOCK_SECONDS} FOR FLUSH TABLES WITH READ LOCK");
    work.execute(&lock).await?;
    let done = off_and_on(work).await;
    work.execute("UNLOCK TABLES").await?;
    done.map(|()| Answer::Done)
}

async fn off_and_on(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    // A commit that got in before the lock would be answered without an acknowledgement.
    if waiting(work).await? > 0 {
        return Err(unsupported("commits wait for an acknowledgement: switching semi-sync off would answer them"));
    }
    // One statement: whatever becomes of this agent, the server does both.
    work.execute("SET GLOBAL rpl_semi_sync_master_enabled=0, GLOBAL rpl_semi_sync_master_enabled=1").await
}

async fn waiting(work: &mut OrderContext<'_>) -> Result<u64, OrderError> {
    const WAITING: &str = "Rpl_semi_sync_master_wait_sessions";
    let status = crate::mariadb::read::status(work.sql().await?, WAITING).await.map_err(sql_error)?;
    let number = status.get(WAITING).and_then(|value| value.parse().ok());
    number
        .ok_or_else(|| sql_error(SqlError::Unexpected { what: WAITING.to_owned(), message: "is no number".to_owned() }))
}

fn unsupported(message: &str) -> OrderError {
    OrderError { reason: Reason::Unsupported, message: message.to_owned() }
}
