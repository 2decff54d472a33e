//! What wakes a primary that takes no new connections (`topology::wedged` says why it does): an acker that connects anew,
//! or, where none is connected, the end of the thread that collects acknowledgements.

use std::time::Duration;

use super::context::{KILL_LIMIT, OrderContext};
use super::sql_thread;
use crate::agent::sql_sessions::{IDLE_FOR_EVER, sql_error};
use crate::mariadb::{SqlError, read};
use crate::orders::{Answer, MemberRole, OrderError, Reason};

/// Seconds the read lock may take: it waits for writes that run, and meanwhile others wait for it.
const LOCK_SECONDS: u8 = 1;
/// Statements that wait for nobody: clients have waited for seconds already.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// The lock, four statements, and what [`end`] does when the last of them is silent.
const TAKES: Duration = Duration::from_secs(16);

/// Restarts the IO thread. Its source hears of the end of the old connection at once.
pub(super) async fn reconnect(work: &mut OrderContext<'_>) -> Result<Answer, OrderError> {
    if work.slave().await?.is_none() {
        return Err(OrderError::new(Reason::Unsupported, "the member has no source: give `follow` first"));
    }
    work.persist(|_| {}).await?;
    sql_thread::start(work).await?.map_err(sql_error)?;
    work.keep_relay_logs(None)?;
    work.stop("STOP SLAVE IO_THREAD").await?.map_err(sql_error)?;
    work.execute("START SLAVE IO_THREAD").await?;
    Ok(Answer::Done)
}

/// Nothing commits while semi-sync is off.
///
/// A server that falls silent at that would keep the lock, with semi-sync off: [`end`] sees to it.
pub(super) async fn reset_semi_sync(work: &mut OrderContext<'_>) -> Result<Answer, OrderError> {
    if work.slave().await?.is_some() || work.globals().await?.read_only {
        return Err(OrderError::new(Reason::Unsupported, "the member is not the primary"));
    }
    if work.remaining() < TAKES {
        let message = "the server answers too slowly for a read lock within the order's deadline".to_owned();
        return Err(OrderError::new(Reason::Expired, message));
    }
    work.persist(|_| {}).await?;
    match behind_a_lock(work).await {
        Ok(()) => Ok(Answer::Done),
        Err(Failed::Undone(error)) => Err(error),
        Err(Failed::Left(error)) => end(work, &error).await,
    }
}

/// How it failed.
enum Failed {
    /// Everything is as before.
    Undone(OrderError),
    /// A session may hold the lock, and semi-sync may be off.
    Left(OrderError),
}

async fn behind_a_lock(work: &mut OrderContext<'_>) -> Result<(), Failed> {
    // The server closes a session whose agent stands still, and lifts its lock.
    work.sql().await.map_err(Failed::Undone)?;
    work.agent().sessions.note_lock(true);
    say(work, "SET SESSION wait_timeout=5", ANSWER_LIMIT).await.map_err(|error| sorted(work, error))?;
    let lock = format!("SET STATEMENT lock_wait_timeout={LOCK_SECONDS} FOR FLUSH TABLES WITH READ LOCK");
    // It waits twice: for those who write, and for those who commit.
    let limit = Duration::from_secs(2 * u64::from(LOCK_SECONDS)) + ANSWER_LIMIT;
    let locked = say(work, &lock, limit).await.map_err(|error| sorted(work, error));
    let done = match locked {
        Ok(()) => off_and_on(work).await,
        not => not,
    };
    if !matches!(done, Err(Failed::Left(_))) {
        // Also after a refusal: it may have come when a part of the lock was there.
        say(work, "UNLOCK TABLES", ANSWER_LIMIT).await.map_err(Failed::Left)?;
        work.agent().sessions.note_lock(false);
        if say(work, IDLE_FOR_EVER, ANSWER_LIMIT).await.is_err() {
            // Another one is lent to the next order.
            work.drop_session();
        }
    }
    done
}

/// The server's own refusal leaves everything as it was.
fn sorted(work: &OrderContext<'_>, error: OrderError) -> Failed {
    if work.has_broken_session() { Failed::Left(error) } else { Failed::Undone(error) }
}

async fn off_and_on(work: &mut OrderContext<'_>) -> Result<(), Failed> {
    // A commit that got in before the lock would be answered without an acknowledgement.
    match waiting(work).await {
        Ok(0) => {}
        Ok(_) => {
            let why = "commits wait for an acknowledgement: switching semi-sync off would answer them";
            return Err(Failed::Undone(OrderError::new(Reason::Unsupported, why)));
        }
        Err(error) => return Err(sorted(work, error)),
    }
    // One statement: whatever becomes of this agent, the server does both.
    let both = "SET GLOBAL rpl_semi_sync_master_enabled=0, GLOBAL rpl_semi_sync_master_enabled=1";
    say(work, both, ANSWER_LIMIT).await.map_err(Failed::Left)?;
    // Without a new thread for acknowledgements it is off all the same, and nothing was said.
    match work.globals().await {
        Ok(globals) if globals.source_enabled => Ok(()),
        Ok(_) => Err(Failed::Left(OrderError::new(Reason::Unsupported, "semi-sync stayed off"))),
        Err(error) => Err(Failed::Left(error)),
    }
}

async fn say(work: &mut OrderContext<'_>, statement: &str, limit: Duration) -> Result<(), OrderError> {
    work.sql().await?.execute_within(statement, limit).await.map_err(sql_error)
}

/// Ends what a try to wake the primary has left: on a new connection where one is taken, with semi-sync on before the lock goes.
/// Else mariadbd is killed, and a failover does the rest: KILL waits for what new connections wait for (seen once in 100 wakes:
/// the switch off never returned). Commits that wait are answered by nobody.
pub(super) async fn end(work: &mut OrderContext<'_>, why: &OrderError) -> Result<Answer, OrderError> {
    // Whatever becomes of this order, it is not lent again.
    work.drop_session();
    work.check()?;
    work.incarnation()?;
    if work.agent().role() != Some(MemberRole::Primary) {
        return Err(OrderError::new(Reason::Unsupported, "the member is not the primary"));
    }
    if !work.is_persisted() {
        work.persist(|_| {}).await?;
    }
    let sessions = &work.agent().sessions;
    match sessions.connect_within(ANSWER_LIMIT).await {
        Ok(mut session) => match sessions.settle_over(&mut session).await {
            Ok(()) => {
                let message = format!("mariadbd was silent for a moment ({}): repeat the order", why.message);
                return Err(OrderError::new(Reason::Sql, message));
            }
            Err(error) if !sessions.locks() => return Err(error),
            Err(_) => {}
        },
        // It has ended already, or knows us no more, but answers.
        Err(error) if error.is_gone() || error.is_denied() => return Err(sql_error(error)),
        // Silent, without a thread for it, or connections that hang have used up what there is (1040).
        Err(_) => {}
    }
    work.check()?;
    work.agent().supervisor.kill(KILL_LIMIT).await?;
    let message = format!("semi-sync could not be switched off and on ({}), so mariadbd was killed", why.message);
    Err(OrderError::new(Reason::NotRunning, message))
}

async fn waiting(work: &mut OrderContext<'_>) -> Result<u64, OrderError> {
    const WAITING: &str = "Rpl_semi_sync_master_wait_sessions";
    let status = read::status(work.sql().await?, WAITING).await.map_err(sql_error)?;
    let number = status.get(WAITING).and_then(|value| value.parse().ok());
    number.ok_or_else(|| {
        sql_error(SqlError::Unexpected { what: WAITING.to_owned(), message: "is not a number".to_owned() })
    })
}
