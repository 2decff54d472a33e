//! The way of an order through the agent: judged in the order of arrival, carried out on its own.

use std::sync::Arc;

use tracing::info;

use super::clock;
use super::order_gate::{Accepted, AcceptedOrder};
use super::orders;
use super::state::Agent;
use super::volume::superseded;
use crate::orders::{OrderEnvelope, Outcome};
use crate::sync::locked;

/// Judges an order at once, in the order of arrival; carries it out on its own.
pub(super) fn submit(agent: &Arc<Agent>, order: OrderEnvelope) -> Result<Arc<AcceptedOrder>, Outcome> {
    let stored = agent.volume.stored();
    let identity = stored.as_ref().map(|stored| stored.record.identity.clone());
    let name = order.order.name();
    let mut gate = locked(&agent.gate);
    // A volume that another agent had tells its highest token late.
    gate.learn(stored.and_then(|stored| Some((stored.record.token?, stored.order_id))));
    let accepted = gate.judge(order, identity.as_ref(), clock::now());
    drop(gate);
    match accepted {
        Err(error) => {
            info!(order = name, %error, "order refused");
            Err(Outcome::Error(error))
        }
        Ok(Accepted::Same(case)) => Ok(case),
        Ok(Accepted::CarryOut(case)) => {
            let (agent, carried) = (Arc::clone(agent), Arc::clone(&case));
            tokio::spawn(async move { carry_out(&agent, &carried).await });
            Ok(case)
        }
    }
}

async fn carry_out(agent: &Arc<Agent>, case: &Arc<AcceptedOrder>) {
    let began = std::time::Instant::now();
    let (agent, carried) = (Arc::clone(agent), Arc::clone(case));
    // A task of its own: a defect in one order must not leave its stream without an answer.
    let done = tokio::spawn(async move { orders::carry_out(&agent, &carried).await }).await;
    let outcome = done.unwrap_or_else(|_| Outcome::Error(superseded()));
    let term = case.order.token.term.0;
    let took = began.elapsed();
    info!(order = case.order.order.name(), term, seq = case.order.token.seq, ?took, ?outcome, "order done");
    case.close(outcome);
}
