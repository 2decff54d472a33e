//! Who acknowledges: `set-acker` and `unstick` on a replica, `evict-acker`, `readmit-acker` and `semi-sync` on a primary.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::change_master::HEARTBEAT;
use super::context::OrderContext;
use super::sql_thread;
use crate::agent::accounts;
use crate::agent::sql_sessions::sql_error;
use crate::layout::repl_user;
use crate::mariadb::read::Slave;
use crate::mariadb::text::quote;
use crate::orders::{Answer, Incarnation, OrderError, Ordinal, Reason};
use crate::topology::observation::IoThread;

/// A reconnect takes milliseconds; the source may be gone.
const CONNECTED: Duration = Duration::from_secs(2);
/// How long unstick lets the SQL thread finish before it restarts it: what it drops is fetched again.
const DRAINED: Duration = Duration::from_secs(1);
/// A killed dump thread is gone within 200 ms (measured 165 ms).
const DUMP_GONE: Duration = Duration::from_secs(2);
/// Seconds between heartbeats while `unstick` waits for the first.
const QUICK_HEARTBEAT: &str = "0.01";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Only a restart of the IO thread makes the variable real.
pub(super) async fn set(work: &mut OrderContext<'_>, acker: Option<Incarnation>) -> Result<Answer, OrderError> {
    work.check_run(acker)?;
    let on = acker.is_some();
    if work.slave().await?.is_none() {
        return Err(OrderError::new(Reason::Unsupported, "the member has no source: give `follow` first"));
    }
    let now = (work.globals().await?.acker_wanted, work.is_acknowledging().await?);
    if now == (on, on) && is_connected(work).await? {
        return Ok(Answer::Done);
    }
    work.persist(|_| {}).await?;
    work.execute(&format!("SET GLOBAL rpl_semi_sync_slave_enabled={}", u8::from(on))).await?;
    sql_thread::start(work).await?.map_err(sql_error)?;
    work.keep_relay_logs(None)?;
    work.stop("STOP SLAVE IO_THREAD").await?.map_err(sql_error)?;
    work.execute("START SLAVE IO_THREAD").await?;
    if on {
        return acknowledges(work).await.map(|()| Answer::Done);
    }
    // Off at once: the thread that acknowledged is gone, and the next one reads the variable.
    if work.is_acknowledging().await? {
        return Err(OrderError::new(Reason::Sql, "the IO thread still acknowledges"));
    }
    Ok(Answer::Done)
}

/// In GTID mode a source never counts an acknowledgement of what was sent before a reconnect; the start position of a
/// connection without GTID it does count (measured: commits flow after 8 to 16 ms).
pub(super) async fn unstick(work: &mut OrderContext<'_>) -> Result<Answer, OrderError> {
    if work.slave().await?.is_none() || !work.globals().await?.acker_wanted {
        return Err(OrderError::new(Reason::Unsupported, "the member is not an acker: nothing waits for it"));
    }
    work.persist(|_| {}).await?;
    sql_thread::start(work).await?.map_err(sql_error)?;
    drain(work).await?;
    change_mode(work, "no", QUICK_HEARTBEAT).await?;
    let before = work.slave().await?;
    reconnect(work).await?;
    has_received(work, before.as_ref()).await?;
    change_mode(work, "slave_pos", HEARTBEAT).await?;
    reconnect(work).await?;
    Ok(Answer::Done)
}

async fn change_mode(work: &mut OrderContext<'_>, mode: &str, heartbeat: &str) -> Result<(), OrderError> {
    work.stop_replication().await?;
    work.execute(&format!("CHANGE MASTER TO MASTER_USE_GTID={mode}, MASTER_HEARTBEAT_PERIOD={heartbeat}")).await
}

async fn reconnect(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    work.execute("START SLAVE").await?;
    acknowledges(work).await
}

/// On the primary: `ordinal` can acknowledge nothing any more, whether it can be reached or not.
pub(super) async fn evict(work: &mut OrderContext<'_>, ordinal: Ordinal) -> Result<Answer, OrderError> {
    work.persist(|_| {}).await?;
    let user = quote(&repl_user(ordinal.0));
    work.execute(&format!("ALTER USER {user}@'%' ACCOUNT LOCK")).await?;
    let query = format!("SELECT id FROM information_schema.processlist WHERE user = {user}");
    let began = Instant::now();
    loop {
        let left: Vec<u32> = work.sql().await?.rows(&query).await.map_err(sql_error)?;
        if left.is_empty() {
            return Ok(Answer::Done);
        }
        if began.elapsed() > DUMP_GONE {
            let message = format!("sessions {left:?} of {user} were killed and are still there: repeat the order");
            return Err(OrderError::new(Reason::Sql, message));
        }
        for id in left {
            // It may have ended by itself; the next look tells.
            if let Err(error) = work.sql().await?.kill(id).await
                && error.code().is_none()
            {
                return Err(sql_error(error));
            }
        }
        sleep(LOOK).await;
    }
}

/// The account of `ordinal` may log in, for the first time or again.
pub(super) async fn readmit(work: &mut OrderContext<'_>, ordinal: Ordinal) -> Result<Answer, OrderError> {
    work.persist(|_| {}).await?;
    work.check()?;
    accounts::admit(work.sql().await?, ordinal).await.map_err(sql_error)?;
    work.agent().sessions.notes().admitted(ordinal);
    Ok(Answer::Done)
}

/// On a replica it would make the SQL thread wait for acknowledgements.
pub(super) async fn semi_sync(work: &mut OrderContext<'_>, on: bool) -> Result<Answer, OrderError> {
    if on && (work.slave().await?.is_some() || work.globals().await?.read_only) {
        return Err(OrderError::new(
            Reason::Unsupported,
            "semi-sync is switched on by `promote`; the member is not the primary",
        ));
    }
    work.persist(|_| {}).await?;
    work.execute(&format!("SET GLOBAL rpl_semi_sync_master_enabled={}", u8::from(on))).await?;
    let is = work.globals().await?.source_enabled;
    if is == on {
        Ok(Answer::Done)
    } else {
        Err(OrderError::new(Reason::Unsupported, "the setting did not take effect: repeat the order"))
    }
}

async fn is_connected(work: &mut OrderContext<'_>) -> Result<bool, OrderError> {
    Ok(work.slave().await?.is_some_and(|slave| slave.status.io == IoThread::Yes))
}

async fn acknowledges(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    let began = Instant::now();
    while !(is_connected(work).await? && work.is_acknowledging().await?) {
        if began.elapsed() > CONNECTED {
            let status = work.slave().await?.map(|slave| slave.status);
            let message = format!("the IO thread did not connect within {CONNECTED:?}: {status:?}; repeat the order");
            return Err(OrderError::new(Reason::Sql, message));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// The IO thread says that it is connected when it has sent its request; the source may not have read it yet, and
/// counts the start position only then. An event or a heartbeat is the proof.
async fn has_received(work: &mut OrderContext<'_>, before: Option<&Slave>) -> Result<(), OrderError> {
    let seen = |slave: &Slave| (slave.heartbeats, slave.read.clone());
    let before = before.map(seen);
    let began = Instant::now();
    while work.slave().await?.as_ref().map(seen) == before {
        if began.elapsed() > CONNECTED {
            let message = format!("the source sent nothing within {CONNECTED:?} of connecting; repeat the order");
            return Err(OrderError::new(Reason::Sql, message));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn drain(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    let began = Instant::now();
    while began.elapsed() < DRAINED {
        let Some(slave) = work.slave().await? else { return Ok(()) };
        if work.globals().await?.applied().covers(&slave.status.io_position) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    Ok(())
}
