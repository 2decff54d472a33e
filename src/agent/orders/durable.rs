//! Relaxed durability while a member catches up on a long tail, and the way back before anybody relies on it.
//!
//! With two syncs for each transaction a tail is applied at the pace of the disk. Without them every commit is still written
//! to the kernel, so that a crash of mariadbd loses nothing; only the end of the node's kernel could, and the volume's record
//! remembers that. The source keeps its files until the member is durable again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use super::context::OrderContext;
use crate::agent::clock;
use crate::agent::record_file::Stored;
use crate::agent::sql_sessions::sql_error;
use crate::agent::state::Agent;
use crate::agent::unsynced::{FLUSH_LOG, RELAXED, SYNC_BINLOG, Writeback, is_less, sync_binlogs};
use crate::gtid::GtidPosition;
use crate::layout::BINLOGS;
use crate::orders::{LONG_TAIL, Order, OrderError, Reason};

/// Before the replica threads start: lets go of syncs when much is missing up to `target`. For less, the way back would
/// cost more than it gains.
pub(super) async fn relax(work: &mut OrderContext<'_>, target: &GtidPosition) -> Result<(), OrderError> {
    let missing = target.distance(&work.globals().await?.applied());
    let boot = clock::boot_id();
    if missing <= LONG_TAIL || boot.is_empty() {
        return Ok(());
    }
    let found = work.variables(&RELAXED.map(|(name, _)| name)).await?;
    let before = found.clone();
    let note = move |stored: &mut Stored| {
        // Else these are what an earlier order has set.
        if stored.relaxed_in_boot.is_none() {
            stored.before_relaxing = before;
        }
        stored.relaxed_in_boot = Some(boot);
    };
    work.persist(note).await?;
    for (name, value) in RELAXED {
        if found.get(name).is_some_and(|found| is_less(name, found, value)) {
            work.execute(&format!("SET GLOBAL {name}={value}")).await?;
        }
    }
    Ok(())
}

/// Syncs in the background while the member is relaxed, so that [`restore`] finds little to do.
pub(super) fn write_back(agent: &Agent) -> Option<Writeback> {
    agent.supervisor.is_relaxed().then(|| Writeback::start(agent.config.data_dir(), BINLOGS))
}

/// Makes everything durable that was not: new commits by the settings, earlier ones by syncs of what they are in.
///
/// Not the whole file system while a failover waits: on a shared disk that would wait for the writes of others, too.
pub(super) async fn restore(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    if !work.agent().supervisor.is_relaxed() {
        return Ok(());
    }
    let data_dir = work.agent().config.data_dir();
    if work.agent().supervisor.view().is_dead() {
        blocking(move || sync_file_system(&data_dir)).await?;
    } else {
        work.execute(&format!("SET GLOBAL {SYNC_BINLOG}=1")).await?;
        work.execute(&format!("SET GLOBAL {FLUSH_LOG}=1")).await?;
        // Syncs InnoDB's log, now that the setting says so: with it everything committed can be recovered.
        let limit = work.remaining();
        work.sql().await?.execute_within("FLUSH LOCAL ENGINE LOGS", limit).await.map_err(sql_error)?;
        blocking(move || sync_binlogs(&data_dir, BINLOGS)).await?;
        set_back(work).await?;
    }
    work.persist(|stored| (stored.relaxed_in_boot, stored.before_relaxing) = (None, BTreeMap::new())).await?;
    Ok(())
}

/// The settings that durability does not depend on.
async fn set_back(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    let before = work.agent().volume.stored().map(|stored| stored.before_relaxing).unwrap_or_default();
    for (name, value) in before {
        let is_ours = RELAXED.iter().any(|(known, _)| *known == name) && ![FLUSH_LOG, SYNC_BINLOG].contains(&&*name);
        if is_ours {
            work.execute(&format!("SET GLOBAL {name}={value}")).await?;
        }
    }
    Ok(())
}

/// When the agent ends after its mariadbd has ended: a pod that is moved takes a volume along that can be trusted.
pub(in crate::agent) fn settle(agent: &Agent) -> io::Result<()> {
    // One that still runs writes without syncs on.
    if !agent.supervisor.is_relaxed() || !agent.supervisor.view().is_dead() {
        return Ok(());
    }
    sync_file_system(&agent.config.data_dir())?;
    agent.volume.update(None, |stored| stored.relaxed_in_boot = None).map(drop).map_err(io::Error::other)
}

async fn blocking(sync: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), OrderError> {
    let done = tokio::task::spawn_blocking(sync).await;
    done.map_err(io::Error::other).flatten().map_err(|error| {
        OrderError::new(Reason::Volume, format!("what was applied cannot be made durable: {error}; repeat the order"))
    })
}

fn sync_file_system(data_dir: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(data_dir)?).map_err(io::Error::from)
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
