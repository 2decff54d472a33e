//! Objects of a cluster that the API server refuses, or that are somebody else's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::shown::shown;
use crate::harness::cluster::Cluster;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// Events are written behind the status.
const EVENT_LIMIT: Duration = Duration::from_secs(10);

/// More is requested than is allowed: the StatefulSet is refused.
pub async fn limits_below_requests(stage: &Stage) -> Result<String> {
    let resources = json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
    let cluster = make(stage, "too-much", json!({"members": 2, "resources": resources})).await?;
    let told = shown(&cluster, &["ObjectRefused", "StatefulSet too-much", "memory limit"]).await?;
    event(stage, "too-much", "ObjectRefused").await?;
    Ok(told)
}

/// A quantity that is none.
pub async fn no_quantity(stage: &Stage) -> Result<String> {
    let resources = json!({"limits": {"memory": "8G1"}});
    let cluster = make(stage, "no-quantity", json!({"members": 2, "resources": resources})).await?;
    shown(&cluster, &["ObjectRefused", "StatefulSet no-quantity"]).await
}

/// A Service of somebody else has the name of NAME-primary.
pub async fn name_taken(stage: &Stage) -> Result<String> {
    let spec = json!({"selector": {"app": "theirs"}, "ports": [{"port": 80}]});
    let theirs =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken-primary"}, "spec": spec.clone()});
    stage.kube.apply(&theirs).await?;
    let cluster = make(stage, "taken", json!({"members": 2})).await?;
    let told = shown(&cluster, &["NameTaken", "Service taken-primary", "delete or rename"]).await?;
    let service = stage.kube.get("v1", "Service", "taken-primary").await?;
    ensure!(service["spec"]["selector"] == spec["selector"], "it was changed: {service}");
    ensure!(stage.kube.get("apps/v1", "StatefulSet", "taken").await.is_err(), "a StatefulSet was made beside it");
    event(stage, "taken", "NameTaken").await?;
    Ok(told)
}

async fn make(stage: &Stage, name: &str, spec: Value) -> Result<Cluster> {
    Cluster::apply(&stage.kube, &Cluster::manifest(name, &stage.settings.mariadb_image, spec)).await
}

/// Waits for an Event that can be sorted by its time.
async fn event(stage: &Stage, cluster: &str, reason: &str) -> Result<()> {
    wait::until(&format!("an Event {reason} about {cluster}"), EVENT_LIMIT, async || {
        let events = stage.kube.list("v1", "Event").await?;
        let about = |event: &&Value| event["reason"] == reason && event["involvedObject"]["name"] == cluster;
        let event = events.iter().find(about).context("no Event")?;
        ensure!(event["lastTimestamp"].is_string(), "it has no lastTimestamp: {event}");
        Ok(())
    })
    .await
}
