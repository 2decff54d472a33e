//! A status from before a failover is put back: the operator that wrote the newer one undoes it; one that was not there goes
//! on from the newest term that the volumes prove. Both say so, and no second primary opens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::harness::cluster::{API_VERSION, Cluster, KIND};
use crate::harness::failover::Watch;
use crate::harness::host::Stopped;
use crate::harness::install;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// Operators of the chart.
const OPERATORS: u32 = 2;
/// What was put back is told of within this time.
const TOLD_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks: what is said may be over soon.
const LOOK: Duration = Duration::from_millis(50);
/// The operator writes the status, too: the next try meets another version.
const PUT_LIMIT: Duration = Duration::from_secs(10);
/// While a member does not tell, nothing may change for this long.
const UNTOUCHED: Duration = Duration::from_secs(5);
/// Ready again, with the newer primary, within this time.
const READY_AGAIN: Duration = Duration::from_secs(60);
const AGENT: &[&str] = &["/beachmaster", "agent", "run"];
const REASON: &str = "RecordOutdated";
const LOAD: Load = Load { workers: 4, payload_bytes: 100, pause_ms: 10 };

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let mut watch = Watch::start(stage, cluster, LOAD, true).await?;
    let before = watch.before().await?;
    let saved = watch.cluster.kube.get(API_VERSION, KIND, &watch.cluster.name).await?["status"].take();
    let killed = watch.cluster.kill_mariadbd(&before.primary).await?;
    let run = watch.after(before, killed).await?;
    let newer = Newer { primary: run.to.clone(), term: run.more["term"].as_u64().context("no term")? };
    stage.report.add(run)?;

    let since = watch.observed_now().await?;
    put_back(&watch.cluster, &saved).await?;
    let began = Instant::now();
    let told = undone(&watch.cluster, began).await;
    stage.report.check("put back under a running operator: an Event says so", told)?;
    let ready = ready_again(&watch.cluster, &newer, began).await;
    stage.report.check("Ready again with the newer primary", ready)?;

    let outcome = without_operator(stage, &watch.cluster, &saved, &newer).await;
    let scaled = install::scale_operator(&stage.kube, OPERATORS).await;
    let (told, ready) = outcome.and_then(|outcome| scaled.map(|()| outcome))?;
    stage.report.check("put back while no operator ran: RecordOutdated is said", told)?;
    stage.report.check("Ready again with the newer primary, once all members answer", ready)?;

    let alone = alone(&watch, &newer.primary, since).await;
    stage.report.check("nobody else acknowledged a write", alone)?;
    let outcome = watch.nothing_lost().await;
    stage.report.check("nothing lost", outcome)
}

/// One agent does not answer at first: as long as not every volume is known, nothing may be changed.
async fn without_operator(
    stage: &Stage,
    cluster: &Cluster,
    saved: &Value,
    newer: &Newer,
) -> Result<(Result<String>, Result<String>)> {
    let replica = cluster.member_names().into_iter().find(|member| *member != newer.primary).context("no replica")?;
    install::scale_operator(&stage.kube, 0).await?;
    put_back(cluster, saved).await?;
    let stopped = Stopped::in_pod(&cluster.pod_uid(&replica).await?, AGENT).await?;
    install::scale_operator(&stage.kube, OPERATORS).await?;
    let told = match told(cluster, Instant::now()).await {
        Ok(told) => untouched(cluster, saved).await.map(|()| told),
        Err(error) => Err(error),
    };
    drop(stopped);
    let ready = ready_again(cluster, newer, Instant::now()).await;
    Ok((told, ready))
}

/// What the saved status does not know.
struct Newer {
    primary: String,
    term: u64,
}

/// As `kubectl replace --subresource=status` does it.
async fn put_back(cluster: &Cluster, saved: &Value) -> Result<()> {
    let clusters = cluster.kube.api(API_VERSION, KIND);
    wait::every(LOOK, "the saved status is put back", PUT_LIMIT, async || {
        let mut object = clusters.get(&cluster.name).await?;
        object.data["status"] = saved.clone();
        clusters.replace_status(&cluster.name, &PostParams::default(), &object).await?;
        Ok(())
    })
    .await
}

async fn undone(cluster: &Cluster, began: Instant) -> Result<String> {
    wait::every(LOOK, "an Event StatusOverwritten", TOLD_LIMIT, async || {
        let events = cluster.kube.list("v1", "Event").await?;
        let told = events.iter().find(|event| event["reason"] == "StatusOverwritten");
        let term = cluster.status().await?.term;
        let told = told.with_context(|| format!("there is none, and the status says term {term:?}"))?;
        let message = told["message"].as_str().unwrap_or_default();
        Ok(format!("after {} ms: {message}", began.elapsed().as_millis()))
    })
    .await
}

async fn told(cluster: &Cluster, began: Instant) -> Result<String> {
    wait::every(LOOK, REASON, TOLD_LIMIT, async || {
        let status = cluster.status().await?;
        let told = status.conditions.iter().find(|condition| condition.reason == REASON);
        let told = told.with_context(|| format!("term {:?}: {:?}", status.term, status.conditions))?;
        Ok(format!("after {} ms: {} is {}: {}", began.elapsed().as_millis(), told.kind, told.status, told.message))
    })
    .await
}

/// As long as a member does not tell, nothing is changed.
async fn untouched(cluster: &Cluster, saved: &Value) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < UNTOUCHED {
        let now = cluster.status().await?;
        ensure!(now.term == saved["term"].as_u64(), "the term was changed to {:?}", now.term);
        ensure!(
            now.current_primary.as_deref() == saved["currentPrimary"].as_str(),
            "the primary was changed to {:?}",
            now.current_primary
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn ready_again(cluster: &Cluster, newer: &Newer, began: Instant) -> Result<String> {
    let status = wait::until("Ready with the newer primary", READY_AGAIN, async || {
        let status = cluster.status().await?;
        ensure!(
            status.current_primary.as_deref() == Some(newer.primary.as_str()),
            "the primary is {:?} in term {:?}: {:?}",
            status.current_primary,
            status.term,
            status.conditions
        );
        ensure!(status.term >= Some(newer.term), "the term is {:?}, it was {}", status.term, newer.term);
        let ready = status.condition("Ready").context("no condition Ready")?;
        ensure!(ready.status == "True", "{ready:?}");
        Ok(status)
    })
    .await?;
    let took = began.elapsed().as_millis();
    // Whole again includes durability Enforced.
    cluster.wait_settled(newer.term).await?;
    Ok(format!("after {took} ms: {}, term {}", newer.primary, status.term.unwrap_or(0)))
}

/// The observer writes to every member past the Service.
async fn alone(watch: &Watch, primary: &str, since: u64) -> Result<String> {
    let verdict = watch.observed_since(primary, since).await?;
    ensure!(verdict.by_others == 0 && verdict.violations.is_empty(), "{verdict:?}");
    ensure!(verdict.by_new > 0, "{primary} acknowledged nothing past the Service");
    Ok(format!("{primary} acknowledged {} writes past the Service, nobody else one", verdict.by_new))
}
