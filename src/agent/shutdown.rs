//! The end of the pod: SIGTERM to the agent comes when mariadbd's container has ended.
//!
//! A primary that was shut down with its pod still has the tail in its files: the agent stays a while for the orders that
//! rescue it, and longer while it serves.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use super::orders;
use super::state::Agent;
use crate::orders::MemberRole;

/// An operator that is there sends its first order well within this time.
const FIRST_ORDER: Duration = Duration::from_secs(5);
/// Longest stay; the pod's grace period has to allow it.
const LONGEST: Duration = Duration::from_secs(30);
/// Between two looks whether it is still needed.
const LOOK: Duration = Duration::from_millis(100);

/// Returns when the agent was told to end and is needed no more.
pub(super) async fn wait(agent: &Agent) {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => drop(terminate.recv().await),
        Err(error) => {
            error!(%error, "SIGTERM cannot be handled: the agent ends by SIGKILL with its pod");
            std::future::pending::<()>().await;
        }
    }
    let began = Instant::now();
    while is_needed(agent, began.elapsed()) {
        tokio::time::sleep(LOOK).await;
    }
    // Nothing else runs any more, and the kubelet's patience is the only limit.
    if let Err(error) = tokio::task::block_in_place(|| orders::settle(agent)) {
        error!(%error, "what was applied without syncs is not known to be durable");
    }
    info!("the agent ends");
}

fn is_needed(agent: &Agent, since: Duration) -> bool {
    let rescue = agent.role() == Some(MemberRole::Primary) && since < FIRST_ORDER;
    (rescue || agent.is_serving()) && since < LONGEST
}
