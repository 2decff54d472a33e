//! `/healthz` and `/readyz` on one port, `/metrics` on another.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// Serves probes of the kubelet. A process that waits for the Lease is healthy and ready: it can take over.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve_health(listen: SocketAddr) -> std::io::Result<()> {
    let ok = || async { (StatusCode::OK, "ok\n") };
    let router = Router::new().route("/healthz", get(ok)).route("/readyz", get(ok));
    axum::serve(TcpListener::bind(listen).await?, router).await
}

/// Serves Prometheus.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve_metrics(listen: SocketAddr, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let text = move || {
        let metrics = Arc::clone(&metrics);
        async move {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], metrics.text())
        }
    };
    axum::serve(TcpListener::bind(listen).await?, Router::new().route("/metrics", get(text))).await
}
