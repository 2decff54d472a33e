//! Relaxed durability while a member catches up on a long tail, and the way back before anybody relies on it.
//!
//! With two syncs for each transaction a tail is applied at the pace of the disk. Without them every commit is still written
//! to the kernel, so that a crash of mariadbd loses nothing; only the end of the node's kernel could, and the volume's record
//! remembers that. The source keeps its files until the member is durable again.

use std::fs::File;

use super::work::Work;
use crate::agent::clock;
use crate::gtid::GtidPosition;
use crate::orders::{Order, OrderError, Reason};

/// Fewer missing transactions are applied in about a second with every sync; the way back costs tens of milliseconds.
const WORTH_RELAXING: u64 = 1_000;

/// Before the replica threads start: lets go of syncs when much is missing up to `target`.
///
/// `innodb_flush_log_at_trx_commit` becomes 2 and not 0: 0 would leave a second of commits in mariadbd's memory.
pub(super) async fn relax(work: &mut Work<'_>, target: &GtidPosition) -> Result<(), OrderError> {
    let missing = target.distance(&work.globals().await?.applied());
    let boot = clock::boot_id();
    if missing <= WORTH_RELAXING || boot.is_empty() {
        return Ok(());
    }
    work.persist(|stored| stored.relaxed_in_boot = Some(boot)).await?;
    work.execute("SET GLOBAL innodb_flush_log_at_trx_commit=2").await?;
    work.execute("SET GLOBAL sync_binlog=0").await
}

/// Makes everything durable that was not: new commits by the settings, earlier ones by a sync of the whole file system.
pub(super) async fn restore(work: &mut Work<'_>) -> Result<(), OrderError> {
    if work.agent().volume.stored().is_none_or(|stored| stored.relaxed_in_boot.is_none()) {
        return Ok(());
    }
    if !work.agent().supervisor.view().is_dead() {
        work.execute("SET GLOBAL sync_binlog=1").await?;
        work.execute("SET GLOBAL innodb_flush_log_at_trx_commit=1").await?;
    }
    let root = work.agent().config.volume.clone();
    let error = |error: std::io::Error| OrderError {
        reason: Reason::Volume,
        message: format!("what was applied cannot be made durable: {error}; repeat the order"),
    };
    let synced = tokio::task::spawn_blocking(move || {
        let root = File::open(root)?;
        rustix::fs::syncfs(&root).map_err(std::io::Error::from)
    });
    synced.await.map_err(|cut| error(std::io::Error::other(cut)))?.map_err(error)?;
    work.persist(|stored| stored.relaxed_in_boot = None).await?;
    Ok(())
}

/// Orders that go on with the catching up, or must not wait for a disk.
pub(super) fn leaves_relaxed(order: &Order) -> bool {
    matches!(
        order,
        Order::Fence
            | Order::Freeze
            | Order::Await { .. }
            | Order::ServeBinlog { .. }
            | Order::Follow { wait: Some(_), .. }
    )
}
