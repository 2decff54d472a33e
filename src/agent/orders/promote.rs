//! `promote`: makes the member the primary.
//!
//! The order of statements: the new `server_id` before client sessions are killed, because a session keeps the id it
//! began with (docs/server-id.md); semi-sync before writes are let in; what costs time and changes nothing for clients
//! after that.

use super::context::OrderContext;
use super::repair;
use super::wait::refuse_own_history;
use crate::agent::sql_sessions::sql_error;
use crate::gtid::{GtidPosition, Shown};
use crate::layout::{PROBE_USER, repl_user};
use crate::orders::{Answer, MemberRole, OrderError, Reason};

pub(super) struct Promotion {
    pub(crate) required: GtidPosition,
    pub(crate) server_id: u32,
    pub(crate) semi_sync: bool,
}

pub(super) async fn promote(work: &mut OrderContext<'_>, promotion: &Promotion) -> Result<Answer, OrderError> {
    let globals = work.globals().await?;
    if !globals.binlog_position.covers(&promotion.required) {
        let message = format!(
            "the binary log ends at {}, the primary must have {}: let the member catch up first",
            Shown(&globals.binlog_position),
            promotion.required
        );
        return Err(OrderError::new(Reason::MissingTransactions, message));
    }
    refuse_own_history(work, &globals.binlog_position, &promotion.required).await?;
    repair::mend(work, None).await?;
    // From here on it never starts by itself again: its files may hold the tail.
    let server_id = promotion.server_id;
    work.persist(move |stored| {
        (stored.record.role, stored.record.promoted_as) = (MemberRole::Primary, Some(server_id));
    })
    .await?;
    let promoted = !globals.read_only && globals.server_id == promotion.server_id;
    if !promoted || globals.source_enabled != promotion.semi_sync {
        open(work, promotion).await?;
    }
    close_the_past(work).await?;
    Ok(Answer::Promoted { position: work.globals().await?.binlog_position })
}

/// Until clients can write.
async fn open(work: &mut OrderContext<'_>, promotion: &Promotion) -> Result<(), OrderError> {
    if work.slave().await?.is_some() {
        work.stop_replication().await?;
    }
    work.execute(&format!("SET GLOBAL server_id={}", promotion.server_id)).await?;
    kill_clients(work).await?;
    work.execute("SET GLOBAL rpl_semi_sync_slave_enabled=0").await?;
    work.execute(&format!("SET GLOBAL rpl_semi_sync_master_enabled={}", u8::from(promotion.semi_sync))).await?;
    let set = work.globals().await?;
    let durable = set.source_enabled && set.wait_no_slave;
    if set.server_id != promotion.server_id || promotion.semi_sync && !durable {
        let message = format!("settings that a primary needs did not take effect: {set:?}; find who changes them");
        return Err(OrderError::new(Reason::Sql, message));
    }
    work.execute("SET GLOBAL read_only=0").await
}

/// What may come after clients can write.
async fn close_the_past(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    work.execute("SET GLOBAL event_scheduler=ON").await?;
    if work.slave().await?.is_some() {
        work.execute("RESET SLAVE ALL").await?;
    }
    // Events that replication has switched off run as soon as that is looked at, and promotion does not wait for it.
    work.agent().keeper.look_soon();
    Ok(())
}

/// Every session that could still write with the old id. They need not be gone: a killed session starts nothing new.
async fn kill_clients(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    let own = work.agent().sessions.own_ids();
    // No connection has the number 0, and a list must have something in it.
    let own = std::iter::once(&0).chain(&own).map(ToString::to_string).collect::<Vec<_>>().join(",");
    let replicas = repl_user(0);
    let replicas = replicas.trim_end_matches('0').replace('_', "\\_");
    let query = format!(
        "SELECT id FROM information_schema.processlist WHERE id NOT IN ({own}) \
         AND user NOT IN ('system user', 'event_scheduler', '{PROBE_USER}') AND user NOT LIKE '{replicas}%' \
         AND command NOT IN ('Binlog Dump', 'Daemon')"
    );
    let clients: Vec<u32> = work.sql().await?.rows(&query).await.map_err(sql_error)?;
    for id in clients {
        work.sql().await?.kill(id).await.map_err(sql_error)?;
    }
    Ok(())
}
