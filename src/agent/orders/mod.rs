//! Carrying out orders: one file for each kind. Each reads the state first, does nothing that is done already, and may
//! be repeated. [`OrderContext`] is what they act through: it looks at the token again before every statement and every write.

mod acker;
mod change_master;
mod context;
mod durable;
mod fence;
mod follow;
mod freeze;
mod incurable;
mod init;
mod maintain;
mod promote;
mod recover;
mod repair;
mod serve;
mod sql_thread;
mod start;
mod wait;
mod wake;

pub(crate) use context::OrderContext;
pub(in crate::agent) use durable::settle;

use super::clock;
use super::order_gate::AcceptedOrder;
use super::state::Agent;
use super::volume::superseded;
use crate::orders::{Answer, Order, OrderError, Outcome, Reason};

/// Carries out an admitted order. Ends early when a newer one is admitted or its deadline has passed.
pub(crate) async fn carry_out(agent: &Agent, case: &AcceptedOrder) -> Outcome {
    let mut work = OrderContext::new(agent, case);
    let limit = clock::until(case.order.deadline);
    let ended = tokio::select! {
        biased;
        () = case.overtaken() => Err(superseded()),
        done = tokio::time::timeout(limit, run(&mut work)) => done.map_err(|_| expired(case, None)),
    };
    match ended {
        // The session may be in the middle of a statement: it is not given back, so that it is killed.
        Err(cut_short) if cut_short.reason == Reason::Expired => Outcome::Error(expired(case, work.was_doing())),
        Err(cut_short) => Outcome::Error(cut_short),
        Ok(done) => {
            work.finish();
            done.map_or_else(Outcome::Error, Outcome::Ok)
        }
    }
}

async fn run(work: &mut OrderContext<'_>) -> Result<Answer, OrderError> {
    let order = work.order().order.clone();
    if matches!(order, Order::Fence) {
        // Before anything that could wait for a disk or for an older order.
        fence::kill(work).await?;
    }
    let _turn = work.agent().turn.lock().await;
    work.check()?;
    if !matches!(order, Order::ServeBinlog { .. }) {
        work.agent().stop_serving();
    }
    work.check_identity()?;
    // Also before orders that say nothing over SQL themselves.
    let sessions = &work.agent().sessions;
    let settled = sessions.settle().await;
    if matches!(order, Order::ResetSemiSync) {
        // What an older order has left cannot even be killed, or no session of ours is left.
        if let Err(error) = settled.and_then(|()| sessions.answering()) {
            return wake::end(work, &error).await;
        }
    } else {
        settled?;
    }
    let done = obey(work, order).await;
    // Also an order that was refused has overtaken all before it.
    if work.check().is_ok() && work.agent().volume.stored().is_some() && !work.is_persisted() {
        work.persist(|_| {}).await?;
    }
    done
}

async fn obey(work: &mut OrderContext<'_>, order: Order) -> Result<Answer, OrderError> {
    if !durable::leaves_relaxed(&order) {
        durable::restore(work).await?;
    }
    match order {
        Order::Init { identity } => init::init(work, identity).await,
        Order::Start => start::start(work).await,
        Order::Fence => fence::hold_and_read(work).await,
        Order::Freeze => freeze::freeze(work).await,
        Order::Follow { source, acker, wait } => follow::follow(work, &source, acker, wait).await,
        Order::Await { position } => {
            if let Some(held) = recover::received(work).await? {
                return Ok(held);
            }
            wait::until_applied(work, &position).await
        }
        Order::Recover { incarnation, server_id } => recover::recover(work, incarnation, server_id).await,
        Order::ServeBinlog { user, password, after } => serve::serve(work, user, password, &after).await,
        Order::Promote { required, server_id, semi_sync } => {
            promote::promote(work, &promote::Promotion { required, server_id, semi_sync }).await
        }
        Order::SetAcker { acker } => acker::set(work, acker).await,
        Order::Unstick => acker::unstick(work).await,
        Order::EvictAcker { ordinal } => acker::evict(work, ordinal).await,
        Order::ReadmitAcker { ordinal } => acker::readmit(work, ordinal).await,
        Order::SemiSync { on } => acker::semi_sync(work, on).await,
        Order::Reconnect => wake::reconnect(work).await,
        Order::ResetSemiSync => wake::reset_semi_sync(work).await,
        Order::Maintain(maintenance) => maintain::maintain(work, maintenance).await,
    }
}

fn expired(case: &AcceptedOrder, doing: Option<&str>) -> OrderError {
    let name = case.order.order.name();
    let doing = doing.map(|doing| format!(" (the member {doing})")).unwrap_or_default();
    let message = format!("{name} was not done by its deadline{doing}: give it again");
    OrderError::new(Reason::Expired, message)
}
