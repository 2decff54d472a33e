//! `follow`: replicate from a member or from a binlog server, by GTID.

use super::change_master::Login;
use super::context::OrderContext;
use super::durable;
use super::repair;
use super::sql_thread;
use super::wait::until_applied;
use crate::agent::master_info;
use crate::agent::sql_sessions::sql_error;
use crate::gtid::GtidPosition;
use crate::mariadb::read::Globals;
use crate::mariadb::text::quote;
use crate::orders::{Answer, Incarnation, MemberRole, OrderError, Reason, Source};
use crate::topology::observation::IoThread;

pub(super) async fn follow(
    work: &mut OrderContext<'_>,
    source: &Source,
    acker: Option<Incarnation>,
    wait: Option<GtidPosition>,
) -> Result<Answer, OrderError> {
    let login = Login::of(work, source)?;
    refuse_a_primary(&work.globals().await?)?;
    work.check_run(acker)?;
    // Else what it has received would be fetched once more.
    sql_thread::start(work).await?.map_err(sql_error)?;
    let semi_sync = acker.is_some();
    let found = present(work, &login, semi_sync).await?;
    if found == Present::AsOrdered {
        work.persist(|stored| stored.record.role = MemberRole::Replica).await?;
    } else if found == Present::Frozen && wait.is_none() && repair::is_whole(work)? {
        work.persist(|stored| stored.record.role = MemberRole::Replica).await?;
        work.execute(&format!("SET GLOBAL rpl_semi_sync_slave_enabled={}", u8::from(semi_sync))).await?;
        work.keep_relay_logs(None)?;
        work.execute("START SLAVE IO_THREAD").await?;
    } else {
        work.persist(|_| {}).await?;
        repair::mend(work, Some(&login)).await?;
        if let Some(target) = &wait {
            durable::relax(work, target).await?;
        }
        // Mending may have taken another one.
        work.check_run(acker)?;
        switch(work, &login, semi_sync).await?;
        // Else it would be looked at again only seconds later.
        work.agent().sessions.notes().password(false);
    }
    match wait {
        Some(position) => until_applied(work, &position).await,
        None => Ok(Answer::Done),
    }
}

/// A primary that takes writes is never turned into a replica: switching its semi-sync off would acknowledge what waits.
pub(super) fn refuse_a_primary(globals: &Globals) -> Result<(), OrderError> {
    if globals.read_only && !globals.source_enabled {
        return Ok(());
    }
    let message = "the member is a running primary: fence it, then start it, then let it follow".to_owned();
    Err(OrderError::new(Reason::StillRunning, message))
}

/// What of an order to follow is done already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Present {
    /// All of it.
    AsOrdered,
    /// Only its IO thread is stopped. Its SQL thread, which a lock may hold for hours, need not be: STOP SLAVE would wait
    /// for the same lock.
    Frozen,
    /// Nothing that could be kept.
    Other,
}

async fn present(work: &mut OrderContext<'_>, login: &Login, semi_sync: bool) -> Result<Present, OrderError> {
    let Some(slave) = work.slave().await? else { return Ok(Present::Other) };
    let status = &slave.status;
    let same_source = status.host == login.host && status.port == login.port && slave.user == login.user;
    let data_dir = work.agent().config.data_dir();
    let differs = || master_info::differs(&data_dir, &login.user, &login.password.0);
    if !same_source || !status.sql || !status.by_gtid || tokio::task::block_in_place(differs) == Some(true) {
        return Ok(Present::Other);
    }
    let acker = (work.globals().await?.acker_wanted, work.is_acknowledging().await?);
    Ok(match status.io {
        IoThread::Yes if acker == (semi_sync, semi_sync) => Present::AsOrdered,
        // A client's error is of a source that went away before the freeze.
        IoThread::No if !status.is_refused() => Present::Frozen,
        _ => Present::Other,
    })
}

/// Stops what replicates, with every relay log kept, and replicates from `login`.
pub(super) async fn switch(work: &mut OrderContext<'_>, login: &Login, semi_sync: bool) -> Result<(), OrderError> {
    work.stop_replication().await?;
    work.execute(&format!("SET GLOBAL rpl_semi_sync_slave_enabled={}", u8::from(semi_sync))).await?;
    if work.agent().role() == Some(MemberRole::Primary) {
        take_over_own_position(work).await?;
    }
    work.execute(&login.change_master()).await?;
    work.persist(|stored| stored.record.role = MemberRole::Replica).await?;
    work.execute("START SLAVE").await
}

/// A former primary has applied what it wrote itself. On a member that was no primary the two positions may differ for
/// other reasons, and setting one from the other would lose transactions.
async fn take_over_own_position(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    let globals = work.globals().await?;
    let both = globals.applied();
    if both == globals.slave_position {
        return Ok(());
    }
    work.execute(&format!("SET GLOBAL gtid_slave_pos={}", quote(&both.to_string()))).await
}
