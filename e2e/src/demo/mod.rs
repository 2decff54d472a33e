//! `make demo`: a cluster, a writer, a murder, and what becomes of it, told to somebody who sees it for the first time.

mod live;
mod tell;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::Value;

use crate::harness::cluster::Cluster;
use crate::harness::dump;
use crate::harness::failover::Watch;
use crate::harness::install;
use crate::harness::pods::Load;
use crate::harness::report::Run;
use crate::harness::stage::Stage;
use crate::harness::wait;

const EXAMPLE: &str = "examples/minimal.yaml";
const NAMESPACE: &str = "demo";
/// Enough to see that writes flow, and a moment of attention.
const ROWS_FIRST: u64 = 1_000;

/// Shows it. `false` when a row was lost.
///
/// # Errors
/// When the demo cannot be shown.
pub async fn run() -> Result<bool> {
    tell::title("1. Install the operator");
    tell::command("helm upgrade --install beachmaster charts/beachmaster -n beachmaster-system --create-namespace");
    let mut stage = Stage::set("demo", NAMESPACE).await?;
    tell::line(&format!("{} leads, the other operator pod stands by", install::leader(&stage.kube).await?));
    let outcome = show(&mut stage).await;
    if outcome.is_err() {
        dump::write(&stage.kube, &stage.report.folder()).await?;
    }
    outcome
}

async fn show(stage: &mut Stage) -> Result<bool> {
    tell::title("2. A MariaDB replication set");
    tell::command(&format!("kubectl apply -n {NAMESPACE} -f {EXAMPLE}"));
    let cluster = create(stage).await?;

    tell::title("3. An application writes through the Service");
    let mut watch = Watch::start(stage, cluster, Load::default(), false).await?;
    watch.writer.wait_for(ROWS_FIRST).await?;
    let before = watch.before().await?;
    tell::line(&format!(
        "8 connections to {}-primary, one row per transaction: {} rows acknowledged, and going on",
        watch.cluster.name,
        watch.writer.count().await?
    ));

    tell::title(&format!("4. kill -9 of mariadbd on the primary, {}", before.primary));
    let dead = before.primary.clone();
    let killed = watch.cluster.kill_mariadbd(&dead).await?;
    let story = live::tell_changes(watch.cluster.clone(), killed);
    let outcome = watch.after(before, killed).await;
    story.abort();
    let run = outcome?;
    tell::line(&format!(
        "{dead} is back as a replica; the writer was stopped and every row was looked for on every member"
    ));

    tell::title("5. What happened");
    summary(&watch, &run).await?;
    stage.report.keep(run)?;
    farewell(&watch.cluster).await?;
    Ok(stage.report.passed)
}

/// Applies the example, with the image that `make cluster` built, and tells how it becomes ready.
async fn create(stage: &Stage) -> Result<Cluster> {
    let text = std::fs::read_to_string(EXAMPLE)
        .with_context(|| format!("no {EXAMPLE}: run this from the root of the repository"))?;
    let mut manifest: Value = serde_saphyr::from_str(&text)?;
    manifest["spec"]["image"] = stage.settings.mariadb_image.as_str().into();
    let cluster = Cluster::apply(&stage.kube, &manifest).await?;
    let mut last = String::new();
    let limit = Duration::from_secs(300);
    wait::until(&format!("{} is ready", cluster.name), limit, async || {
        let status = cluster.status().await?;
        let ready = status.condition("Ready").cloned().unwrap_or_default();
        let now = format!(
            "{} of {} members ready; {} {}",
            status.ready_members.unwrap_or(0),
            cluster.members,
            ready.reason,
            ready.message
        );
        if now != last {
            tell::line(now.trim());
            last = now;
        }
        ensure!(ready.status == "True", "Ready is {:?}", ready);
        Ok(())
    })
    .await?;
    let status = cluster.wait_ready().await?;
    let ackers: Vec<&str> = status.ackers.iter().map(|acker| acker.member.as_str()).collect();
    tell::line(&format!(
        "{} is the primary; every commit waits until one of {} has it",
        status.current_primary.unwrap_or_default(),
        ackers.join(", ")
    ));
    Ok(cluster)
}

async fn summary(watch: &Watch, run: &Run) -> Result<()> {
    let ledger = watch.writer.report().await?;
    tell::pair("primary", &format!("{} -> {}", run.from, run.to));
    for (step, ms) in timeline(run) {
        tell::pair(&format!("  {step}"), &format!("{ms:>6} ms after the first sign of the death"));
    }
    for salvaged in run.more["failover"]["salvaged"].as_array().into_iter().flatten() {
        let text = |name: &str| salvaged[name].as_str().unwrap_or_default().to_owned();
        tell::pair("rescued", &format!("{} from the binary log of {}", text("gtids"), text("source")));
    }
    let outage = run.outage_ms.map_or("less than could be measured".to_owned(), |ms| format!("{ms} ms"));
    tell::pair("write outage", &format!("{outage}, from the last acknowledged row before to the first after"));
    tell::pair("acknowledged", &format!("{} rows", ledger.acknowledged));
    tell::pair(
        "found",
        &format!("{} rows, on each of {} members", ledger.acknowledged.saturating_sub(run.lost), watch.cluster.members),
    );
    tell::pair("lost", &format!("{} rows", run.lost));
    tell::pair(
        "members",
        if run.members_equal { "equal: positions, row counts, checksums, schemas" } else { "DIFFERENT" },
    );
    for difference in run.more.get("differences").and_then(Value::as_array).into_iter().flatten() {
        tell::line(&format!("  {}", difference.as_str().unwrap_or_default()));
    }
    Ok(())
}

fn timeline(run: &Run) -> Vec<(String, u64)> {
    let steps = run.more["failover"]["timeline"].as_array().cloned().unwrap_or_default();
    let mut steps: Vec<_> =
        steps.iter().filter_map(|step| Some((step["step"].as_str()?.to_owned(), step["ms"].as_u64()?))).collect();
    steps.sort_by_key(|(_, ms)| *ms);
    steps
}

async fn farewell(cluster: &Cluster) -> Result<()> {
    cluster.kube.delete("v1", "Pod", "writer", &DeleteParams::default()).await?;
    tell::title("Go on by hand");
    tell::command("export KUBECONFIG=$(make -s kubeconfig) PATH=$(e2e/cluster/cluster bin-dir):$PATH");
    for command in [
        "get mrc -o wide",
        &format!("describe mrc {}", cluster.name),
        "get failovers",
        "get events --sort-by=.lastTimestamp",
    ] {
        tell::command(&format!("kubectl -n {NAMESPACE} {command}"));
    }
    tell::command(&format!("kubectl -n {NAMESPACE} exec {}-0 -- sh -c 'kill -9 $(pidof mariadbd)'", cluster.name));
    tell::title("Clean up");
    tell::command("make cluster-down");
    Ok(())
}
