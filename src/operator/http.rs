//! `/healthz` and `/readyz` on one port, `/metrics` on another.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::StatusCode;
use tokio::net::TcpListener;

use super::metrics::Metrics;
use crate::http::{Reply, serve};

/// Serves probes of the kubelet. A process that waits for the Lease is healthy and ready: it can take over.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve_health(listen: SocketAddr) -> io::Result<()> {
    let ok = |path: &str| matches!(path, "/healthz" | "/readyz").then(|| Reply::text(StatusCode::OK, "ok"));
    match serve(TcpListener::bind(listen).await?, ok).await {}
}

/// Serves Prometheus.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) async fn serve_metrics(listen: SocketAddr, metrics: Arc<Metrics>) -> io::Result<()> {
    let text = move |path: &str| {
        (path == "/metrics").then(|| Reply {
            status: StatusCode::OK,
            content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
            body: metrics.text(),
        })
    };
    match serve(TcpListener::bind(listen).await?, text).await {}
}
