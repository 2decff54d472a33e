//! Relaxed durability while a member catches up on a long tail, and the way back before anybody relies on it.
//!
//! With two syncs for each transaction a tail is applied at the pace of the disk. Without them every commit is still written
//! to the kernel, so that a crash of mariadbd loses nothing; only the end of the node's kernel could, and the volume's record
//! remembers that. The source keeps its files until the member is durable again.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::fence::BINLOGS;
use super::work::Work;
use crate::agent::access::sql_error;
use crate::agent::clock;
use crate::agent::daemon::Agent;
use crate::gtid::GtidPosition;
use crate::orders::{LONG_TAIL, Order, OrderError, Reason};

/// Before the replica threads start: lets go of syncs when much is missing up to `target`. For less, the way back would
/// cost more than it gains.
///
/// `innodb_flush_log_at_trx_commit` becomes 2 and not 0: 0 would leave a second of commits in mariadbd's memory.
pub(super) async fn relax(work: &mut Work<'_>, target: &GtidPosition) -> Result<(), OrderError> {
    let missing = target.distance(&work.globals().await?.applied());
    let boot = clock::boot_id();
    if missing <= LONG_TAIL || boot.is_empty() {
        return Ok(());
    }
    work.persist(|stored| stored.relaxed_in_boot = Some(boot)).await?;
    work.execute("SET GLOBAL innodb_flush_log_at_trx_commit=2").await?;
    work.execute("SET GLOBAL sync_binlog=0").await
}

/// Makes everything durable that was not: new commits by the settings, earlier ones by syncs of what they are in.
///
/// Not the whole file system while a failover waits: on a shared disk that would wait for the writes of others, too.
pub(super) async fn restore(work: &mut Work<'_>) -> Result<(), OrderError> {
    if !is_relaxed(work.agent()) {
        return Ok(());
    }
    let data_dir = work.agent().config.data_dir();
    if work.agent().supervisor.view().is_dead() {
        blocking(move || sync_file_system(&data_dir)).await?;
    } else {
        work.execute("SET GLOBAL sync_binlog=1").await?;
        work.execute("SET GLOBAL innodb_flush_log_at_trx_commit=1").await?;
        // Syncs InnoDB's log, now that the setting says so: with it everything committed can be recovered.
        let limit = work.remaining();
        work.sql().await?.execute_within("FLUSH LOCAL ENGINE LOGS", limit).await.map_err(sql_error)?;
        blocking(move || sync_binlogs(&data_dir)).await?;
    }
    work.persist(|stored| stored.relaxed_in_boot = None).await?;
    Ok(())
}

fn is_relaxed(agent: &Agent) -> bool {
    agent.volume.stored().is_some_and(|stored| stored.relaxed_in_boot.is_some())
}

/// When the agent ends after its mariadbd has ended: a pod that is moved takes a volume along that can be trusted.
pub(in crate::agent) fn settle(agent: &Agent) -> io::Result<()> {
    // One that still runs writes without syncs on.
    if !is_relaxed(agent) || !agent.supervisor.view().is_dead() {
        return Ok(());
    }
    sync_file_system(&agent.config.data_dir())?;
    agent.volume.update(None, |stored| stored.relaxed_in_boot = None).map(drop).map_err(io::Error::other)
}

async fn blocking(sync: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), OrderError> {
    let done = tokio::task::spawn_blocking(sync).await;
    done.map_err(io::Error::other).flatten().map_err(|error| OrderError {
        reason: Reason::Volume,
        message: format!("what was applied cannot be made durable: {error}; repeat the order"),
    })
}

fn sync_file_system(data_dir: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(data_dir)?).map_err(io::Error::from)
}

/// The binary logs of the catching up may be several; a file without anything to write costs nothing.
fn sync_binlogs(data_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().strip_prefix(BINLOGS).is_some_and(|rest| rest.starts_with('.')) {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(data_dir)?.sync_all()
}

/// Orders that go on with the catching up, or must not wait for a disk.
pub(super) fn leaves_relaxed(order: &Order) -> bool {
    matches!(
        order,
        Order::Fence
            | Order::Freeze
            | Order::Await { .. }
            | Order::Recover { .. }
            | Order::ServeBinlog { .. }
            | Order::Follow { wait: Some(_), .. }
    )
}
