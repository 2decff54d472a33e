//! The operator is upgraded under load from an earlier commit, and taken back again: no mariadbd and no agent restarts, and a
//! failover works whichever side is the older one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::failover::Watch;
use crate::harness::install::{self, Release};
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::vitals::Vitals;
use crate::harness::wait;
use crate::inside::clock::Stamp;

/// The commit to start from; by default the last release, or the commit before where there is none.
const BEFORE: &str = "BEFORE";
/// A deleted pod is followed by another one within this time.
const BACK_LIMIT: Duration = Duration::from_secs(90);
const LOAD: Load = Load { workers: 4, payload_bytes: 100, pause_ms: 10 };

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    let current = Release::current(&stage.settings);
    let before = Release::before(std::env::var(BEFORE).ok().as_deref()).await?;
    let outcome = series(stage, &before, &current).await;
    // Whatever happened: other scenarios are about this work tree.
    let restored =
        install::operator(&stage.kube, &current).await.context("installing the operator of this work tree again");
    outcome.and(restored)
}

async fn series(stage: &mut Stage, before: &Release, current: &Release) -> Result<()> {
    install::operator(&stage.kube, before).await.context("installing the operator of the commit before")?;
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let mut watch = Watch::start(stage, cluster, LOAD, true).await?;

    exchange(stage, &mut watch, current, "upgraded").await?;
    stage.report.add(watch.crash().await?)?;
    exchange(stage, &mut watch, before, "taken back while the agents are old").await?;
    exchange(stage, &mut watch, current, "upgraded again").await?;
    let outcome = renew_replicas(stage, &mut watch, current).await;
    stage.report.check("replicas take up the new agent when their pods are deleted", outcome)?;
    // Its agent is an old one, those of the candidates are new.
    stage.report.add(watch.crash().await?)?;
    let outcome = renew_replicas(stage, &mut watch, current).await;
    stage.report.check("and so does the old primary", outcome)?;
    exchange(stage, &mut watch, before, "taken back while the agents are new").await?;
    stage.report.add(watch.crash().await?)?;
    exchange(stage, &mut watch, current, "upgraded from an older operator with newer agents").await?;
    stage.report.add(watch.crash().await?)?;

    let violations = watch.violations;
    let alone = if violations == 0 { Ok("never two".to_owned()) } else { Err(anyhow::anyhow!("{violations} times")) };
    stage.report.check("two members never acknowledged at once", alone)
}

/// Another operator is installed under load: nothing else may change, and nothing may be lost.
async fn exchange(stage: &mut Stage, watch: &mut Watch, release: &Release, what: &str) -> Result<()> {
    let outcome = exchanged(stage, watch, release).await;
    stage.report.check(what, outcome)
}

async fn exchanged(stage: &Stage, watch: &mut Watch, release: &Release) -> Result<String> {
    let cluster = watch.cluster.clone();
    let status = cluster.wait_settled(0).await?;
    let members = vitals(&cluster).await?;
    let (primary, term) = (status.current_primary.context("no primary")?, status.term.unwrap_or(0));
    let (began_us, observed_us) = (Stamp::now().realtime_us, watch.observed_now().await?);
    install::operator(&stage.kube, release).await?;
    let status = cluster.wait_settled(term + 1).await?;
    for (now, then) in vitals(&cluster).await?.iter().zip(&members) {
        now.not_restarted(then, None)?;
        now.stayed_ready(then)?;
    }
    let now = status.current_primary.unwrap_or_default();
    ensure!(now == primary, "{primary} was followed by {now}");
    let seen = watch.observed_since(&primary, observed_us).await?;
    ensure!(seen.by_new > 0, "the observer saw {primary} acknowledge nothing");
    watch.violations += seen.violations.len();
    let longest = watch.writer.report().await?.longest_after(began_us).map_or(0, |gap| gap.micros() / 1_000);
    let lost = watch.nothing_lost().await?;
    Ok(format!("term {} after {term}, longest pause of writes {longest} ms, {lost}", status.term.unwrap_or(0)))
}

async fn vitals(cluster: &Cluster) -> Result<Vec<Vitals>> {
    let mut members = Vec::new();
    for member in cluster.member_names() {
        members.push(Vitals::of(&cluster.kube, &member).await?);
    }
    Ok(members)
}

/// The pods of all replicas whose agent is not that of `release` are deleted, one after the other.
async fn renew_replicas(stage: &Stage, watch: &mut Watch, release: &Release) -> Result<String> {
    let cluster = watch.cluster.clone();
    let wanted = release.image().context("this scenario needs the cluster of `make cluster`")?;
    let primary = cluster.wait_settled(0).await?.current_primary.context("no primary")?;
    let mut renewed = Vec::new();
    for member in cluster.member_names().into_iter().filter(|member| *member != primary) {
        if agent_image(&cluster, &member).await? == wanted {
            continue;
        }
        let before = cluster.pod_uid(&member).await?;
        cluster.kube.delete("v1", "Pod", &member, &DeleteParams::default()).await?;
        // The status speaks of the pod before for a moment.
        wait::until(&format!("{member}'s next pod is ready"), BACK_LIMIT, async || {
            ensure!(cluster.pod_uid(&member).await? != before, "the old pod is still there");
            ensure!(Vitals::of(&cluster.kube, &member).await?.ready(), "it is not ready");
            Ok(())
        })
        .await?;
        let image = agent_image(&cluster, &member).await?;
        ensure!(image == wanted, "{member}'s next agent is {image}, not {wanted}");
        cluster.wait_settled(0).await?;
        renewed.push(member);
    }
    ensure!(!renewed.is_empty(), "none was left to renew");
    watch.observe_anew(stage).await?;
    Ok(format!("{}, {}", renewed.join(", "), watch.nothing_lost().await?))
}

async fn agent_image(cluster: &Cluster, member: &str) -> Result<String> {
    let spec = cluster.kube.pods().get(member).await?.spec.context("a pod without spec")?;
    let containers = spec.init_containers.into_iter().flatten().chain(spec.containers);
    let agent = containers.into_iter().find(|container| container.name == "agent").context("no container agent")?;
    agent.image.context("without image")
}
