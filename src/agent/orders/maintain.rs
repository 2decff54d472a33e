//! `maintain`: settings, events and binary logs of a member are as they have to be.
//!
//! It never fails for what it cannot do: a failed order would count against the member as a candidate.

use tracing::{info, warn};

use super::context::OrderContext;
use super::repair::is_examined;
use crate::agent::sql_sessions::sql_error;
use crate::agent::{events, purge};
use crate::api::owned;
use crate::errno;
use crate::orders::{Answer, Maintenance, MemberRole, OrderError};

pub(super) async fn maintain(work: &mut OrderContext<'_>, maintenance: Maintenance) -> Result<Answer, OrderError> {
    let Maintenance { restore, disabled_events, purge } = maintenance;
    if restore {
        note("settings", restore_settings(work).await);
    }
    // A primary's own marks are its users'.
    if let Some(disabled) = disabled_events.filter(|_| work.agent().role() == Some(MemberRole::Replica)) {
        note("events", mark_events(work, &disabled).await);
    }
    // What a crash has left is looked for in the binary log first.
    if let Some(purge) = purge.filter(|_| is_examined(work).unwrap_or(false)) {
        work.check()?;
        purge::begin(work.agent(), purge);
    }
    work.check()?;
    Ok(Answer::Done)
}

fn note(what: &str, done: Result<(), OrderError>) {
    if let Err(error) = done {
        warn!(%error, what, "upkeep failed; tried again with the next order");
    }
}

async fn mark_events(work: &mut OrderContext<'_>, disabled: &[crate::orders::EventName]) -> Result<(), OrderError> {
    events::mark(work.sql().await?, disabled).await.map_err(sql_error)?;
    work.agent().keeper.look_soon();
    Ok(())
}

async fn restore_settings(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    let read_only = work.globals().await?.read_only;
    let mut expected = owned::read_back(work.agent().config.gtid_domain_id);
    expected.extend(owned::event_scheduler(read_only, work.slave().await?.is_some()));
    let names: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    let found = work.variables(&names).await?;
    for (name, value) in expected {
        let Some(before) = found.get(name).filter(|found| **found != value) else { continue };
        work.check()?;
        match work.sql().await?.execute(&format!("SET GLOBAL {name}={value}")).await {
            Ok(()) => info!(name, before, value, "an owned setting was put back"),
            // It cannot be changed while mariadbd runs: nobody can have changed it either.
            Err(error) if error.code() == Some(errno::INCORRECT_GLOBAL_LOCAL_VAR) => {}
            Err(error) => return Err(sql_error(error)),
        }
    }
    Ok(())
}
