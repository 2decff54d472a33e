//! `/readyz`: 200 while mariadbd answers SQL. The readiness of container `mariadb`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tracing::warn;

use super::daemon::Agent;
use crate::orders::Mariadbd;

/// Serves for ever. An agent that cannot listen works on: its member is then not ready, which is seen.
pub async fn serve(agent: Arc<Agent>) {
    let port = agent.config.http_port;
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        // A kernel without IPv6.
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    };
    let routes = Router::new().route("/readyz", get(readyz)).with_state(agent);
    let served = match listener {
        Ok(listener) => axum::serve(listener, routes).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        warn!(%error, port, "/readyz cannot be served");
    }
}

async fn readyz(State(agent): State<Arc<Agent>>) -> (StatusCode, &'static str) {
    match agent.supervisor.view() {
        Mariadbd::Running { sql: true, .. } => (StatusCode::OK, "mariadbd answers\n"),
        Mariadbd::Running { sql: false, .. } => (StatusCode::SERVICE_UNAVAILABLE, "mariadbd does not answer\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "mariadbd does not run\n"),
    }
}
