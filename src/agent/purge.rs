//! Deleting binary logs that nobody needs: which files may go, and a lane of its own for PURGE BINARY LOGS, which may wait behind
//! commits.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use super::binlog_files::{BinlogError, file_size, names};
use super::config::Config;
use super::half_done_groups;
use super::sql_sessions::SqlSessions;
use super::state::Agent;
use crate::binlog::{Keys, LogName, is_at_or_before};
use crate::layout::BINLOGS;
use crate::mariadb::text::quote;
use crate::mariadb::{Session, SqlError, read};
use crate::orders::Purge;

/// Deleting many gigabytes takes seconds on some file systems; more means that the statement waits for something else.
const PURGE_LIMIT: Duration = Duration::from_secs(60);
/// On a busy primary acknowledgements come within it.
const BUSY: Duration = Duration::from_millis(500);
/// Most files one order deletes: a member that has not purged for months does not stand still for it.
const MOST_FILES: usize = 200;

/// Begins to purge, unless a purge is under way, and does not wait for it: what is not deleted now is deleted after the next order.
pub(crate) fn begin(agent: &Agent, purge: Purge) {
    let Ok(turn) = Arc::clone(&agent.purging).try_lock_owned() else { return };
    let (config, access) = (Arc::clone(&agent.config), Arc::clone(&agent.sessions));
    tokio::spawn(async move {
        let _turn = turn;
        if let Err(error) = run(&config, &access, purge).await {
            warn!(error, "binary logs were not purged; tried again with the next order");
        }
    });
}

async fn run(config: &Config, access: &SqlSessions, purge: Purge) -> Result<(), String> {
    let (directory, keys) = (config.data_dir(), config.log_keys());
    let found = spawn_blocking(move || first_to_stay(&directory, &keys, &purge, SystemTime::now())).await;
    let found = found.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let Some(stays) = found else { return Ok(()) };
    delete_before(access, &stays).await.map_err(|error| error.to_string())
}

async fn delete_before(access: &SqlSessions, stays: &LogName) -> Result<(), SqlError> {
    let mut session = access.connect().await?;
    if commits_wait(&mut session).await? {
        // It would wait behind them, and what comes after it behind it.
        return Ok(());
    }
    session.execute_within(&format!("PURGE BINARY LOGS TO {}", quote(stays.as_str())), PURGE_LIMIT).await?;
    info!(%stays, "binary logs before this one were purged");
    Ok(())
}

/// True when commits wait for an acknowledgement and none came for a while. On a busy primary some session waits at any moment.
async fn commits_wait(session: &mut Session) -> Result<bool, SqlError> {
    let before = progress(session).await?;
    if before.0 == 0 {
        return Ok(false);
    }
    sleep(BUSY).await;
    let now = progress(session).await?;
    Ok(now.0 > 0 && now.1 == before.1)
}

/// Sessions that wait, and transactions that were acknowledged.
async fn progress(session: &mut Session) -> Result<(u64, u64), SqlError> {
    let status = read::status(session, "Rpl_semi_sync_master_%").await?;
    let number = |name: &str| status.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    Ok((number("Rpl_semi_sync_master_wait_sessions"), number("Rpl_semi_sync_master_yes_tx")))
}

/// The oldest file that must stay; none when none may go.
///
/// # Errors
/// The index or the head of a file cannot be read.
pub(crate) fn first_to_stay(
    directory: &Path,
    keys: &Keys,
    purge: &Purge,
    now: SystemTime,
) -> Result<Option<LogName>, BinlogError> {
    let names = names(directory, BINLOGS)?;
    let sizes: Result<Vec<u64>, BinlogError> =
        names.iter().map(|name| file_size(&directory.join(name.as_str()))).collect();
    let sizes = sizes?;
    let mut total: u64 = sizes.iter().sum();
    let mut stays = None;
    for (file, size) in names.windows(2).zip(sizes).take(MOST_FILES) {
        let [oldest, next] = file else { break };
        let wanted = total > purge.above_bytes || is_old(&directory.join(oldest.as_str()), purge, now);
        // Where the next file begins, this one ends.
        let covered = half_done_groups::head(&directory.join(next.as_str()), keys)?
            .is_some_and(|head| head.start.iter().all(|gtid| is_at_or_before(gtid, &purge.covered)));
        if !wanted || !covered {
            break;
        }
        total = total.saturating_sub(size);
        stays = Some(next.clone());
    }
    Ok(stays)
}

fn is_old(path: &Path, purge: &Purge, now: SystemTime) -> bool {
    let Some(limit) = purge.older_than_s.map(Duration::from_secs) else { return false };
    let written = fs::metadata(path).and_then(|file| file.modified());
    written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > limit))
}

#[cfg(test)]
mod tests;
