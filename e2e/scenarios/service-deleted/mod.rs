//! Somebody edits or deletes the objects of a running cluster: all of them are put back within seconds, and the status is
//! true meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::check;
use crate::harness::cluster::Cluster;
use crate::harness::failover::Watch;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// Whatever somebody changed is as it was after this time: 5 s, and the way of an API call or two on a busy machine.
const BACK_LIMIT: Duration = Duration::from_secs(7);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
const LOAD: Load = Load { workers: 4, payload_bytes: 100, pause_ms: 20 };

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let watch = Watch::start(stage, cluster, LOAD, false).await?;
    for edit in edits(&watch.cluster).await? {
        let outcome = edited(&watch, &edit).await;
        stage.report.check(edit.name, outcome)?;
    }
    for (kind, api_version, name) in others(&watch.cluster) {
        let outcome = deleted(&watch.cluster, (api_version, kind, &name)).await;
        stage.report.check(&format!("{kind} {name} deleted"), outcome)?;
    }
    let outcome = nothing_lost(&watch).await;
    stage.report.check("nothing lost", outcome)
}

/// A change of NAME-primary.
struct Edit {
    name: &'static str,
    /// A JSON merge patch; none deletes it.
    patch: Option<Value>,
}

async fn edits(cluster: &Cluster) -> Result<Vec<Edit>> {
    let primary = cluster.status().await?.current_primary.context("no primary")?;
    let other = cluster.member_names().into_iter().find(|member| *member != primary).context("no replica")?;
    let (pod_name, label) = ("statefulset.kubernetes.io/pod-name", "beachmaster.dev/cluster");
    let selector = |selector: Value| Some(json!({"spec": {"selector": selector}}));
    Ok(vec![
        Edit { name: "led to a replica", patch: selector(json!({pod_name: other})) },
        Edit { name: "a label of somebody's added to its selector", patch: selector(json!({"app": "theirs"})) },
        Edit { name: "led to every member", patch: selector(json!({pod_name: null})) },
        Edit { name: "its selector taken away", patch: selector(json!({pod_name: null, label: null})) },
        Edit { name: "its selector as an earlier release wrote it", patch: selector(json!({label: null})) },
        Edit { name: "deleted", patch: None },
    ])
}

/// Objects that are as important and quieter.
fn others(cluster: &Cluster) -> [(&'static str, &'static str, String); 4] {
    [
        ("Service", "v1", format!("{}-replicas", cluster.name)),
        ("Service", "v1", format!("{}-members", cluster.name)),
        ("ConfigMap", "v1", format!("{}-config", cluster.name)),
        ("PodDisruptionBudget", "policy/v1", cluster.name.clone()),
    ]
}

async fn edited(watch: &Watch, edit: &Edit) -> Result<String> {
    let cluster = &watch.cluster;
    cluster.wait_settled(0).await?;
    let name = format!("{}-primary", cluster.name);
    match &edit.patch {
        Some(patch) => {
            let services = cluster.kube.api("v1", "Service");
            services.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        }
        None => cluster.kube.delete("v1", "Service", &name, &DeleteParams::default()).await?,
    }
    let began = std::time::Instant::now();
    wait::every(LOOK, &format!("{name} leads to the primary and nothing else"), BACK_LIMIT, async || {
        let service = cluster.kube.get("v1", "Service", &name).await?;
        let primary = cluster.status().await?.current_primary.unwrap_or_default();
        let wanted = json!({"statefulset.kubernetes.io/pod-name": primary, "beachmaster.dev/cluster": cluster.name});
        ensure!(service["spec"]["selector"] == wanted, "it selects {}", service["spec"]["selector"]);
        let term = &service["metadata"]["annotations"]["beachmaster.dev/term"];
        ensure!(term.is_string(), "it does not say its term");
        Ok(())
    })
    .await?;
    let took = began.elapsed().as_millis();
    cluster.wait_settled(0).await?;
    Ok(format!("led to the primary again after {took} ms"))
}

async fn deleted(cluster: &Cluster, (api_version, kind, name): (&str, &str, &str)) -> Result<String> {
    let before = uid(cluster, (api_version, kind, name)).await?;
    cluster.kube.delete(api_version, kind, name, &DeleteParams::default()).await?;
    let began = std::time::Instant::now();
    wait::every(LOOK, &format!("{kind} {name} is there again"), BACK_LIMIT, async || {
        ensure!(uid(cluster, (api_version, kind, name)).await? != before, "the old one is still there");
        Ok(())
    })
    .await?;
    Ok(format!("there again after {} ms", began.elapsed().as_millis()))
}

async fn uid(cluster: &Cluster, (api_version, kind, name): (&str, &str, &str)) -> Result<String> {
    let found = cluster.kube.get(api_version, kind, name).await?;
    Ok(found["metadata"]["uid"].as_str().context("no uid")?.to_owned())
}

async fn nothing_lost(watch: &Watch) -> Result<String> {
    watch.cluster.wait_settled(0).await?;
    let ledger = watch.writer.pause().await?;
    let findings = check::examine(&watch.cluster, &ledger).await?;
    ensure!(findings.lost == 0 && findings.members_equal, "{} lost; {:?}", findings.lost, findings.differences);
    Ok(format!("{} rows acknowledged, 0 lost, members equal", ledger.acknowledged))
}
