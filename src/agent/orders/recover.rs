//! `recover`: what the member acknowledged and did not apply, from its kept relay logs: those of earlier runs, and those of
//! this run that a change of its source has dropped.
//!
//! MariaDB throws these relay logs away at START SLAVE. A binlog server of the member's own serves them to it instead,
//! so that they are applied like any other source's transactions; others get them from its binary log afterwards.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinSet, block_in_place, spawn_blocking};
use tokio::time::sleep;
use tracing::info;
use uuid::Uuid;

use super::change_master::Login;
use super::context::OrderContext;
use super::durable;
use super::follow::{refuse_a_primary, switch};
use super::freeze::frozen;
use super::repair;
use super::sql_thread;
use super::wait::{Held, until_applied_within};
use crate::agent::binlog_files::BinlogError;
use crate::agent::binlog_server::BinlogServer;
use crate::agent::relay_as_binlog::RELAY_LOGS;
use crate::agent::relay_logs::{Reading, RelayLogs};
use crate::agent::sql_sessions::sql_error;
use crate::gtid::GtidPosition;
use crate::orders::{Answer, Incarnation, OrderError, Reason, Secret};
use crate::protocol;
use crate::topology::observation::IoThread;
use crate::topology::record::member_of;

/// Between two looks at the SQL thread.
const LOOK: Duration = Duration::from_millis(5);

pub(super) async fn recover(
    work: &mut OrderContext<'_>,
    of: Incarnation,
    server_id: u32,
) -> Result<Answer, OrderError> {
    refuse_a_primary(&work.globals().await?)?;
    work.persist(|_| {}).await?;
    let _reading = reading(work);
    drain(work).await?;
    work.stop_replication().await?;
    apply_kept(work, of, server_id, Held::WaitsOn).await?;
    Ok(Answer::Recovered { of, frozen: frozen(work).await? })
}

/// What this run has received and not applied, when both replica threads stand still and no error keeps them: START SLAVE
/// alone would throw it away. What holds it up is the answer to the order.
pub(super) async fn received(work: &mut OrderContext<'_>) -> Result<Option<Answer>, OrderError> {
    let Some(slave) = work.slave().await? else { return Ok(None) };
    let stand_still = sql_thread::is_stopped(&slave.status) && slave.status.io == IoThread::No;
    if !stand_still || work.globals().await?.applied().covers(&work.received().await?.unwrap_or_default()) {
        return Ok(None);
    }
    info!("both replica threads were stopped by hand: what was received is applied from the kept relay logs");
    work.persist(|_| {}).await?;
    let _reading = reading(work);
    work.stop_replication().await?;
    let run = work.incarnation()?;
    // An earlier try may have left the last one: it names the same source.
    let Some(last) = folders(work, run).await?.pop() else { return Ok(None) };
    match open(work, &last).await?.map(|server| server.source_id()) {
        Some(source) => apply_kept(work, run, source, Held::YieldsWithAll).await,
        None => Ok(None),
    }
}

/// Applies what the kept relay logs since a run hold of a term. The member replicates from nobody then, unless it is answered
/// what holds it up.
async fn apply_kept(
    work: &mut OrderContext<'_>,
    of: Incarnation,
    server_id: u32,
    held: Held,
) -> Result<Option<Answer>, OrderError> {
    // All that this run and later ones received and applied nowhere: what follows drops it once more.
    let applied = work.globals().await?.applied();
    let mut kept = folders(work, of).await?;
    kept.retain(|folder| !RelayLogs::is_covered(folder, &applied));
    let last = kept.last().cloned();
    for folder in kept {
        // Who is answered what holds it up goes on with what it follows then, and later folders would be passed over.
        let held = if Some(&folder) == last.as_ref() { held } else { Held::WaitsOn };
        if RelayLogs::is_covered(&folder, &work.globals().await?.applied()) {
            continue;
        }
        if let Some(server) = open(work, &folder).await? {
            let end = server.end().position;
            let is_wanted = is_of_the_term(&end, server.source_id(), server_id);
            if is_wanted
                && !work.globals().await?.applied().covers(&end)
                && let Some(held) = apply(work, server, &end, held).await?
            {
                return Ok(Some(held));
            }
        }
    }
    // What this run began with is out of use now, so that its content can be known.
    folders(work, of).await.map(|_| None)
}

/// Who acknowledged to a primary has something of its own writing, or something it sent. What came from others may have
/// been given up since.
fn is_of_the_term(end: &GtidPosition, source: u32, server_id: u32) -> bool {
    end.iter().any(|gtid| gtid.server == server_id) || member_of(source) == member_of(server_id)
}

/// What is applied meanwhile would be cleaned up otherwise, although it is still listed and read here.
fn reading(work: &OrderContext<'_>) -> Reading {
    let logs = work.agent().supervisor.relay_logs();
    block_in_place(|| logs.read())
}

/// What this run has received is applied where it is, while its SQL thread does that.
async fn drain(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    while work.slave().await?.is_some_and(|slave| slave.status.sql && slave.status.sql_errno == 0) {
        let received = work.received().await?.unwrap_or_default();
        if work.globals().await?.applied().covers(&received) {
            break;
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// Their content is measured first: most of it was applied long ago, and then it need not be readable.
async fn folders(work: &mut OrderContext<'_>, of: Incarnation) -> Result<Vec<PathBuf>, OrderError> {
    let run = work.incarnation()?;
    let logs = work.agent().supervisor.relay_logs().clone();
    work.doing("reads its kept relay logs");
    // Not in this task: a newer order must not wait for it.
    let found = spawn_blocking(move || logs.measure(run).and_then(|()| logs.folders_since(of))).await;
    let found = found.map_err(io::Error::other).flatten();
    found.map_err(|error| OrderError::new(Reason::Volume, format!("kept relay logs of run {of}: {error}")))
}

/// `None` when there is no complete transaction.
async fn open(work: &OrderContext<'_>, folder: &Path) -> Result<Option<BinlogServer>, OrderError> {
    match BinlogServer::open_relay_logs(folder, RELAY_LOGS, work.agent().config.log_keys()).await {
        Ok(server) => Ok(Some(server)),
        Err(BinlogError::NoHead { .. }) => Ok(None),
        Err(error) => Err(OrderError::new(Reason::Volume, error.to_string())),
    }
}

async fn apply(
    work: &mut OrderContext<'_>,
    server: BinlogServer,
    end: &GtidPosition,
    held: Held,
) -> Result<Option<Answer>, OrderError> {
    let failed = |error| OrderError::new(Reason::Unsupported, format!("no port for the relay logs: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let login = Login {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port: listener.local_addr().map_err(failed)?.port(),
        user: "relay".to_owned(),
        password: Secret(Uuid::new_v4().simple().to_string()),
    };
    let admitted = protocol::Login::new(login.user.clone(), login.password.0.clone());
    let admitted = admitted.ok_or_else(|| OrderError::new(Reason::Volume, "the login has no password"))?;
    // Ends with this order, however that ends.
    let mut serving = JoinSet::new();
    serving.spawn(async move { server.serve(listener, admitted, std::future::pending()).await });
    repair::mend(work, Some(&login)).await?;
    durable::relax(work, end).await?;
    switch(work, &login, false).await?;
    let limit = work.remaining();
    let applied = until_applied_within(work, end, limit, held).await;
    if let Ok(Answer::Applied { held: Some(_), .. }) = applied {
        // STOP SLAVE would wait for the same lock. The SQL thread applies all of it once that is lifted.
        work.keep_relay_logs(None)?;
        work.stop("STOP SLAVE IO_THREAD").await?.map_err(sql_error)?;
        return applied.map(Some);
    }
    work.stop_replication().await?;
    match applied? {
        Answer::Applied { reached: true, .. } => Ok(None),
        _ => {
            let message = format!("the kept relay logs are not applied up to {end} yet: repeat the order");
            Err(OrderError::new(Reason::Expired, message))
        }
    }
}
