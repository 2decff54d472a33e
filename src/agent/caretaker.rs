//! What the agent looks after by itself, beside its orders: how full the volume is, which events are disabled, and that the events
//! of a new primary run. A session of its own, so that nothing here delays an order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::events;
use super::state::Agent;
use super::write_lock::WriteLock;
use crate::mariadb::{Session, SqlError};
use crate::orders::{Incarnation, Mariadbd, MemberRole, VolumeUse};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// The same when a lock was found: one that lasts is told within 3 s.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// `statvfs` answers from memory unless the disk hangs.
const VOLUME_LIMIT: Duration = Duration::from_secs(1);

/// For ever.
pub(crate) async fn keep(agent: Arc<Agent>) {
    let mut session: Option<(Incarnation, Session)> = None;
    let mut enabled: Option<Incarnation> = None;
    let mut volume: Option<JoinHandle<Option<VolumeUse>>> = None;
    let mut lock = WriteLock::default();
    loop {
        look_at_volume(&agent, &mut volume).await;
        let was_kept = session.is_some();
        match look_at_server(&agent, session.take(), (&mut enabled, &mut lock)).await {
            Ok(kept) => session = kept,
            // A promotion kills all sessions: the next one is opened at once.
            Err(_) if was_kept => continue,
            Err(error) => {
                agent.keeper.locked().disabled_events = None;
                forget_lock(&agent, &mut lock);
                warn!(%error, "events and locks cannot be read; tried again");
            }
        }
        let pause = if lock.is_doubtful() { LOOK_AGAIN } else { LOOK };
        let _ = timeout(pause, agent.keeper.soon.notified()).await;
    }
}

/// Nothing is known of it any more: locks end with the run, and without a session nobody looks.
fn forget_lock(agent: &Agent, lock: &mut WriteLock) {
    *lock = WriteLock::default();
    agent.sessions.notes().writes_locked(None);
}

/// At most one look at a time: on a disk that hangs it does not return.
async fn look_at_volume(agent: &Agent, looking: &mut Option<JoinHandle<Option<VolumeUse>>>) {
    let volume = agent.config.volume.clone();
    let look = looking.get_or_insert_with(|| spawn_blocking(move || use_of(&volume)));
    let Ok(found) = timeout(VOLUME_LIMIT, look).await else { return };
    *looking = None;
    if let Ok(Some(found)) = found {
        agent.keeper.locked().volume_use = Some(found);
    }
}

fn use_of(volume: &Path) -> Option<VolumeUse> {
    let found = rustix::fs::statvfs(volume).ok()?;
    // Blocks that only root may use count for nobody here.
    let total = found.f_blocks.saturating_sub(found.f_bfree.saturating_sub(found.f_bavail));
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(VolumeUse { total_bytes: bytes(total), free_bytes: bytes(found.f_bavail) })
}

type Kept = Option<(Incarnation, Session)>;

async fn look_at_server(
    agent: &Agent,
    kept: Kept,
    (enabled, lock): (&mut Option<Incarnation>, &mut WriteLock),
) -> Result<Kept, SqlError> {
    let Mariadbd::Running { incarnation: run, sql: true } = agent.supervisor.view() else {
        agent.keeper.locked().disabled_events = None;
        forget_lock(agent, lock);
        return Ok(None);
    };
    let mut session = match kept.filter(|(of, session)| *of == run && !session.is_broken()) {
        Some((_, session)) => session,
        None => agent.sessions.connect_impatient().await?,
    };
    agent.sessions.note_keeper(run, session.id());
    let looked = lock.look(&mut session, &agent.sessions.all_own_ids()).await;
    if let Err(error) = &looked {
        debug!(%error, "locks cannot be read");
    }
    agent.sessions.notes().writes_locked(looked.unwrap_or_default());
    // Once for each run: a user may switch off what then stays off. A member stops being primary only by the end of the run.
    if *enabled != Some(run) && agent.role() == Some(MemberRole::Primary) && takes_writes(&mut session).await? {
        let count = events::enable(&mut session).await?;
        *enabled = Some(run);
        if count > 0 {
            info!(count, "events that were disabled on the replica are enabled");
        }
    }
    let disabled = events::disabled(&mut session).await?;
    agent.keeper.locked().disabled_events = disabled;
    Ok(Some((run, session)))
}

async fn takes_writes(session: &mut Session) -> Result<bool, SqlError> {
    Ok(!session.row::<bool>("SELECT @@global.read_only").await?)
}
