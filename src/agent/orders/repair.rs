//! Before a member replicates or is promoted for the first time in a run of its mariadbd: what a crash left half done
//! between its tables, its binary log and its position is mended, by the plan of [`crate::binlog::Plan`].
//!
//! Nothing of it is logged: the groups stand in the binary log already.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::change_master::Login;
use super::context::OrderContext;
use super::incurable::stands_still;
use super::start::restart_mariadbd;
use crate::agent::half_done_groups::{NoPlan, OwnLog};
use crate::agent::record_file::Stored;
use crate::agent::sql_sessions::sql_error;
use crate::binlog::{Again, Claims, Finish, Plan, XaOutcome};
use crate::gtid::{Gtid, GtidPosition, Shown};
use crate::layout::BINLOGS;
use crate::mariadb::read::{self, Globals};
use crate::mariadb::text::quote;
use crate::orders::{MemberRole, OrderError, Reason};

/// With these a group is executed without being logged, and from a position before the end of the binary log. A DROP that
/// mariadbd completed in part drops the rest; that a view, sequence or table is gone already is no error then
/// (ER_BAD_TABLE_ERROR, ER_UNKNOWN_SEQUENCES, ER_UNKNOWN_VIEW). For tables slave_ddl_exec_mode sees to that, for views nothing.
const UNLOGGED: [&str; 3] = ["--log_slave_updates=OFF", "--gtid_strict_mode=OFF", "--slave_skip_errors=1051,4091,4092"];
/// Between two looks whether a group was executed again.
const LOOK: Duration = Duration::from_millis(5);

/// Mends, unless that was done in this run. Without a `source` no group can be executed again.
pub(super) async fn mend(work: &mut OrderContext<'_>, source: Option<&Login>) -> Result<(), OrderError> {
    if is_examined(work)? {
        return Ok(());
    }
    work.persist(|_| {}).await?;
    // Both positions are to stand still.
    if work.slave().await?.is_some() {
        work.stop_replication().await?;
    }
    if !logs_what_it_applies(work).await? {
        // An agent ended in the middle of what follows.
        restart_mariadbd(work, &[]).await?;
    }
    let plan = plan(work).await?;
    // An earlier try may have done all but moving the position forward again.
    if !plan.is_empty() || work.agent().volume.stored().is_some_and(|stored| stored.mending.is_some()) {
        carry_out(work, &plan, source).await?;
    }
    let run = work.incarnation()?;
    let done = move |stored: &mut Stored| (stored.examined, stored.mending) = (Some(run), None);
    work.persist(done).await.map(drop)
}

pub(super) fn is_examined(work: &OrderContext<'_>) -> Result<bool, OrderError> {
    let run = work.incarnation()?;
    Ok(work.agent().volume.stored().is_some_and(|stored| stored.examined == Some(run)))
}

/// True when nothing is left half done, and all that is applied is durable.
pub(super) fn is_whole(work: &OrderContext<'_>) -> Result<bool, OrderError> {
    Ok(!work.agent().supervisor.is_relaxed() && is_examined(work)?)
}

async fn logs_what_it_applies(work: &mut OrderContext<'_>) -> Result<bool, OrderError> {
    work.sql().await?.row("SELECT @@log_slave_updates").await.map_err(sql_error)
}

async fn plan(work: &mut OrderContext<'_>) -> Result<Plan, OrderError> {
    let globals = work.globals().await?;
    let prepared = read::prepared_xa(work.sql().await?).await.map_err(sql_error)?;
    let own_server = (!was_primary(work)).then_some(globals.server_id);
    let claims = Claims { own_server, position: position(work, &globals), prepared };
    let config = &work.agent().config;
    let end = globals.binlog_position.clone();
    let log = OwnLog { directory: config.data_dir(), basename: BINLOGS, keys: config.log_keys(), end };
    let agrees = claims.position.covers(&log.end);
    let position = claims.position.clone();
    let run = work.incarnation()?;
    work.doing("reads its binary log for transactions that a crash left half done");
    let begin = || tokio::task::spawn_blocking(move || log.plan(claims));
    let planned = work.agent().plan.result(run, begin).await;
    let cut_off = |error| OrderError::new(Reason::Volume, format!("reading the binary log was interrupted: {error}"));
    match planned.map_err(cut_off)? {
        Ok(plan) => Ok(plan),
        // Only XA that a crash left half done could be missed.
        Err(NoPlan::Unreadable(error)) if agrees => {
            warn!(%error, "the binary log of the last run cannot be read");
            Ok(Plan { position, ..Plan::default() })
        }
        Err(error) => {
            let message = format!("{} cannot be repaired: {error}", work.agent().config.member_name());
            Err(OrderError::new(Reason::Sql, message))
        }
    }
}

fn was_primary(work: &OrderContext<'_>) -> bool {
    work.agent().role() == Some(MemberRole::Primary)
}

/// What the server has in its tables by its own account. What a primary wrote itself needs no other position than its
/// binary log's; and a position that was moved back by an earlier try counts as it was.
fn position(work: &OrderContext<'_>, globals: &Globals) -> GtidPosition {
    let mending = work.agent().volume.stored().and_then(|stored| stored.mending).unwrap_or_default();
    let own = if was_primary(work) { globals.applied() } else { globals.slave_position.clone() };
    own.union(&mending)
}

async fn carry_out(work: &mut OrderContext<'_>, plan: &Plan, source: Option<&Login>) -> Result<(), OrderError> {
    for group in &plan.beyond {
        let what = "a crash left a transaction in the binary log that gtid_slave_pos does not have";
        info!(gtid = %group.gtid, kind = ?group.kind, "{what}");
    }
    for finish in &plan.finish {
        end_by_hand(work, finish).await?;
    }
    if !plan.finish.is_empty() {
        // InnoDB answers XA ROLLBACK before its log is on disk, and what follows kills mariadbd.
        work.execute("FLUSH ENGINE LOGS").await?;
    }
    if !plan.again.is_empty() {
        match source {
            Some(source) => execute_again(work, plan, source).await?,
            None => cannot_execute_again(work, plan)?,
        }
    }
    if work.globals().await?.slave_position != plan.position {
        set_position(work, &plan.position).await?;
        info!(position = %plan.position, "gtid_slave_pos was set to what both the binary log and the tables have");
    }
    Ok(())
}

async fn end_by_hand(work: &mut OrderContext<'_>, finish: &Finish) -> Result<(), OrderError> {
    let words = match finish.outcome {
        XaOutcome::Commit => "XA COMMIT",
        XaOutcome::Rollback => "XA ROLLBACK",
    };
    let limit = work.remaining();
    let statement = format!("{words} {}", finish.xid);
    work.sql().await?.execute_within(&statement, limit).await.map_err(sql_error)?;
    info!(gtid = %finish.gtid, xid = %finish.xid, "{words} was in the binary log, not done in the engine: done now");
    Ok(())
}

/// A replica must not be promoted with it. A primary that comes back has no other to ask.
fn cannot_execute_again(work: &OrderContext<'_>, plan: &Plan) -> Result<(), OrderError> {
    let lost: Vec<String> = plan.again.iter().map(|again| again.gtid.to_string()).collect();
    let message = format!(
        "the changes of {} are in {}'s binary log and not in its tables",
        lost.join(", "),
        work.agent().config.member_name()
    );
    if was_primary(work) {
        warn!("{message}: what was prepared there must be ended by XA ROLLBACK on every replica that has it prepared");
        return Ok(());
    }
    let message = format!("{message}: let it follow a member that has them first");
    Err(OrderError::new(Reason::MissingTransactions, message))
}

/// Lets the source send each of these groups, and no other, to a mariadbd that does not log what it applies.
async fn execute_again(work: &mut OrderContext<'_>, plan: &Plan, source: &Login) -> Result<(), OrderError> {
    // Positions are moved back below: whoever continues after a crash has to know where they were.
    let globals = work.globals().await?;
    let had = position(work, &globals);
    work.persist(|stored| stored.mending = Some(had)).await?;
    work.doing("executes again what a crash left half done");
    restart_mariadbd(work, &UNLOGGED).await?;
    for again in &plan.again {
        let (from, until) = around(plan, again);
        set_position(work, &from).await?;
        work.execute(&source.change_master()).await?;
        work.execute(&format!("START SLAVE UNTIL master_gtid_pos={}", quote(&until.to_string()))).await?;
        until_stopped(work).await?;
        work.stop_replication().await?;
        prove(work, again, &until).await?;
        info!(gtid = %again.gtid, "executed again: it was in the binary log, its changes were not in the tables");
    }
    // Not left to the last restart: from now on nothing is missing.
    set_position(work, &plan.position).await?;
    restart_mariadbd(work, &[]).await
}

/// The positions between which only this group lies.
fn around(plan: &Plan, again: &Again) -> (GtidPosition, GtidPosition) {
    let is_other = |gtid: &Gtid| gtid.domain != again.gtid.domain;
    let with = |gtid: Option<Gtid>| plan.position.iter().filter(is_other).chain(gtid).collect();
    (with(again.before), with(Some(again.gtid)))
}

async fn until_stopped(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    while work.slave().await?.is_some_and(|slave| slave.status.sql) {
        let applied = work.globals().await?.applied();
        stands_still(work, &applied).await?;
        sleep(LOOK).await;
    }
    let applied = work.globals().await?.applied();
    stands_still(work, &applied).await
}

async fn prove(work: &mut OrderContext<'_>, again: &Again, until: &GtidPosition) -> Result<(), OrderError> {
    let position = work.globals().await?.slave_position;
    let prepared = read::prepared_xa(work.sql().await?).await.map_err(sql_error)?;
    if position == *until && again.xid.is_none_or(|xid| prepared.contains(&xid)) {
        return Ok(());
    }
    let remedy = if position.covers(until) {
        "more was executed than asked for: the member stays out, this version does not rebuild members"
    } else {
        "repeat the order"
    };
    let message =
        format!("{} was to be executed again alone, but the position is {}; {remedy}", again.gtid, Shown(&position));
    Err(OrderError::new(Reason::Sql, message))
}

async fn set_position(work: &mut OrderContext<'_>, position: &GtidPosition) -> Result<(), OrderError> {
    work.execute(&format!("SET GLOBAL gtid_slave_pos={}", quote(&position.to_string()))).await
}
