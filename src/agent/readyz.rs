//! `/readyz`: 200 while mariadbd answers SQL. The readiness of container `mariadb`.

use std::sync::Arc;

use hyper::StatusCode;
use tracing::warn;

use super::state::Agent;
use crate::http::{self, Reply};
use crate::listen::on_all_addresses;
use crate::orders::Mariadbd;

/// Serves for ever. An agent that cannot listen works on: its member is then not ready, which is seen.
pub(crate) async fn serve(agent: Arc<Agent>) {
    let port = agent.config.http_port;
    match on_all_addresses(port).await {
        Ok(listener) => match http::serve(listener, move |path| (path == "/readyz").then(|| readyz(&agent))).await {},
        Err(error) => warn!(%error, port, "/readyz cannot be served"),
    }
}

fn readyz(agent: &Agent) -> Reply {
    match agent.supervisor.view() {
        Mariadbd::Running { sql: true, .. } => Reply::text(StatusCode::OK, "mariadbd answers"),
        Mariadbd::Running { sql: false, .. } => {
            Reply::text(StatusCode::SERVICE_UNAVAILABLE, "mariadbd does not answer")
        }
        _ => Reply::text(StatusCode::SERVICE_UNAVAILABLE, "mariadbd does not run"),
    }
}
