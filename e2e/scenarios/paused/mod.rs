//! A paused cluster is watched, told of, and left alone; what was put off is done when it goes on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::harness::check;
use crate::harness::cluster::{API_VERSION, Cluster, KIND, Status};
use crate::harness::failover::Watch;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// What the operator would do at all it would have done by then: it looks twice a second.
const LEFT_ALONE: Duration = Duration::from_secs(6);
/// A condition is written within this time.
const TOLD_LIMIT: Duration = Duration::from_secs(10);
const FAILOVER_LIMIT: Duration = Duration::from_secs(60);
const LOAD: Load = Load { workers: 4, payload_bytes: 100, pause_ms: 20 };

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let watch = Watch::start(stage, cluster, LOAD, false).await?;
    let primary = watch.cluster.wait_settled(0).await?.current_primary.context("no primary")?;
    pause(&watch.cluster, true).await?;
    stage
        .report
        .check("FailoverReady is False, SpecPaused", told(&watch.cluster, "FailoverReady", "SpecPaused").await)?;
    let outcome = stopped_replica(&watch.cluster, &primary).await;
    stage.report.check("a replica that was stopped stays stopped", outcome)?;
    let outcome = dead_primary(&watch.cluster, &primary).await;
    stage.report.check("a dead primary stays dead, and is told", outcome)?;
    pause(&watch.cluster, false).await?;
    let outcome = goes_on(&watch, &primary).await;
    stage.report.check("what was put off is done", outcome)
}

async fn pause(cluster: &Cluster, paused: bool) -> Result<()> {
    let clusters = cluster.kube.api(API_VERSION, KIND);
    let patch = json!({"spec": {"paused": paused}});
    clusters.patch(&cluster.name, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&patch)).await?;
    Ok(())
}

async fn told(cluster: &Cluster, kind: &str, reason: &str) -> Result<String> {
    let status = wait::until(&format!("{kind} is False, {reason}"), TOLD_LIMIT, async || {
        let status = cluster.status().await?;
        expect(&status, kind, reason)?;
        Ok(status)
    })
    .await?;
    Ok(status.condition(kind).map(|condition| condition.message.clone()).unwrap_or_default())
}

fn expect(status: &Status, kind: &str, reason: &str) -> Result<()> {
    let condition = status.condition(kind).with_context(|| format!("no condition {kind}"))?;
    ensure!(condition.status == "False" && condition.reason == reason, "{condition:?}");
    Ok(())
}

async fn stopped_replica(cluster: &Cluster, primary: &str) -> Result<String> {
    let replica = cluster.member_names().into_iter().find(|member| member != primary).context("no replica")?;
    cluster.sql(&replica, "STOP SLAVE").await?;
    tokio::time::sleep(LEFT_ALONE).await;
    let state = cluster.sql(&replica, "SHOW GLOBAL STATUS LIKE 'Slave_running'").await?;
    let value = state.first().and_then(|row| row.get(1)).cloned().unwrap_or_default();
    ensure!(value == "OFF", "Slave_running is {value}: somebody started it");
    let status = cluster.status().await?;
    let row = status.members.iter().find(|member| member.name == replica).context("the member is not listed")?;
    ensure!(row.state != "Ready", "the status calls it Ready");
    Ok(format!("{replica} is shown as {} ({:?})", row.state, row.reason))
}

async fn dead_primary(cluster: &Cluster, primary: &str) -> Result<String> {
    cluster.kill_mariadbd(primary).await?;
    let message = told(cluster, "Ready", "PrimaryDead").await?;
    ensure!(message.contains("spec.paused"), "the message does not name spec.paused: {message}");
    tokio::time::sleep(LEFT_ALONE).await;
    let status = cluster.status().await?;
    expect(&status, "Ready", "PrimaryDead")?;
    ensure!(status.current_primary.as_deref() == Some(primary), "the primary is {:?}", status.current_primary);
    ensure!(cluster.sql(primary, "SELECT 1").await.is_err(), "somebody started {primary}");
    Ok(message)
}

async fn goes_on(watch: &Watch, primary: &str) -> Result<String> {
    let status = watch.cluster.wait_failed_over(primary, FAILOVER_LIMIT).await?;
    watch.cluster.wait_settled(status.term.unwrap_or(0)).await?;
    let count = watch.writer.count().await?;
    watch.writer.wait_for(count + 50).await?;
    let ledger = watch.writer.pause().await?;
    let findings = check::examine(&watch.cluster, &ledger).await?;
    ensure!(findings.lost == 0 && findings.members_equal, "{} lost; {:?}", findings.lost, findings.differences);
    Ok(format!(
        "{} took over, {} rows acknowledged, 0 lost",
        status.current_primary.unwrap_or_default(),
        ledger.acknowledged
    ))
}
