//! The operator: leadership, the controller that applies objects, and one task per cluster that observes, decides, acts.
//!
//! [`lease`] says who may act, [`controller`] applies what `resources` builds and starts the tasks in [`cluster`];
//! [`events`], [`metrics`] and [`http`] tell others. What to do next is decided in `topology`; nothing here decides.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a root of the parts that touch the world")]

pub(crate) mod applied;
pub(crate) mod apply;
mod apply_outcome;
pub(crate) mod clients;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod controller;
mod drift;
pub(crate) mod events;
pub mod http;
pub(crate) mod lease;
pub(crate) mod metrics;
pub(crate) mod passwords;
pub(crate) mod registry;
pub(crate) mod settings;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use clients::{ClientError, Clients};
use clock::Clock;
use events::Events;
use lease::{Elector, HeldLease};
use metrics::Metrics;
use registry::Leading;
use settings::Settings;

/// Why the operator ended.
#[derive(Debug, Error)]
pub(crate) enum OperatorError {
    /// No way to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A port could not be listened on.
    #[error("cannot listen on {address}: {source}; is another process using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot begin, or a port is lost.
pub(crate) async fn run(settings: Settings) -> Result<(), OperatorError> {
    let settings = Arc::new(settings);
    let clients = Clients::infer().await?;
    let metrics = Arc::new(Metrics::default());
    let health = http::serve_health(settings.health_listen);
    let numbers = http::serve_metrics(settings.metrics_listen, Arc::clone(&metrics));
    let listen = |address: SocketAddr| move |source: io::Error| OperatorError::Listen { address, source };
    tokio::select! {
        served = health => served.map_err(listen(settings.health_listen)),
        served = numbers => served.map_err(listen(settings.metrics_listen)),
        led = lead_in_turns(&settings, &clients, &metrics) => led,
    }
}

/// Waits for the Lease, leads, waits again.
async fn lead_in_turns(
    settings: &Arc<Settings>,
    clients: &Clients,
    metrics: &Arc<Metrics>,
) -> Result<(), OperatorError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(OperatorError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(OperatorError::Signals)?;
    let mut elector = Elector::new(clients.act.clone(), settings.lease.clone(), settings.identity.clone());
    let clock = Clock::start();
    info!(identity = settings.identity, lease = settings.lease.manager(), "waits for the Lease");
    loop {
        let mut held: HeldLease = tokio::select! {
            held = elector.acquire() => held,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        let leading = Leading {
            clients: clients.clone(),
            leadership: held.leadership(),
            settings: Arc::clone(settings),
            metrics: Arc::clone(metrics),
            events: Events::new(clients.watch.clone(), settings.identity.clone()),
            clock,
        };
        metrics.lease_held.set(1);
        // Whatever ends first ends the others: no task of this term outlives the select.
        let told_to_end = tokio::select! {
            () = elector.keep(&mut held) => false,
            () = controller::run(leading) => false,
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
        };
        metrics.step_down();
        if told_to_end {
            elector.release(held).await;
            return Ok(());
        }
    }
}
