//! Everything that takes part in the initialisation of a cluster is killed during it: the cluster becomes Ready by itself. A
//! step that fails again and again is told all the time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::cluster::{API_VERSION, Cluster, KIND};
use crate::harness::failover::Watch;
use crate::harness::host;
use crate::harness::install;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// A new member's pod runs and its datadir is made within this time.
const BEGIN_LIMIT: Duration = Duration::from_secs(90);
/// The process of a step that lasts for a second or two must not be missed.
const LOOK: Duration = Duration::from_millis(20);
/// The order has failed, and the status says so, within this time.
const STALLED_LIMIT: Duration = Duration::from_secs(60);
/// The order is given several times meanwhile.
const STALLED_FOR: Duration = Duration::from_secs(10);
const AGENT: &[&str] = &["/beachmaster", "agent", "run"];
/// A shell's script; its server is called by its path.
const INSTALL: &[&str] = &["/bin/sh", "/usr/bin/mariadb-install-db"];
const MARIADBD: &[&str] = &["mariadbd"];
/// mariadbd does not know it.
const BAD_OPTION: &str = "no_such_option_of_mariadbd";
const LOAD: Load = Load { workers: 4, payload_bytes: 100, pause_ms: 10 };

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    let image = stage.settings.mariadb_image.clone();
    let spec = json!({"members": 3, "replication": {"mode": "SemiSync"}});
    let cluster = Cluster::apply(&stage.kube, &Cluster::manifest("shop", &image, spec)).await?;
    for (name, outcome) in interrupt(&cluster).await {
        stage.report.check(name, outcome)?;
    }
    let began = Instant::now();
    let ready = cluster.wait_ready().await;
    stage.report.check("Ready by itself", ready.map(|_| format!("{} s later", began.elapsed().as_secs())))?;
    stage.report.check("one primary", one_primary(&cluster).await)?;
    let mut watch = Watch::start(stage, cluster, LOAD, false).await?;
    stage.report.add(watch.crash().await?)?;

    let spec = json!({"members": 2, "myCnf": format!("{BAD_OPTION} = 1\n")});
    let cluster = Cluster::apply(&stage.kube, &Cluster::manifest("broken", &image, spec)).await?;
    stage.report.check("a step that fails is told all the time", keeps_its_condition(&cluster).await)?;
    stage.report.check("Ready once the cause is gone", mended(&cluster).await)
}

/// Side by side, because the members are initialised side by side; the operator's leader last.
async fn interrupt(cluster: &Cluster) -> [(&'static str, Result<String>); 4] {
    let (pod, agent, mariadbd) = futures::join!(
        in_step(cluster, "shop-2", INSTALL, Blow::DeletePod),
        in_step(cluster, "shop-1", INSTALL, Blow::KillAgent),
        in_step(cluster, "shop-0", MARIADBD, Blow::KillMariadbd),
    );
    [
        ("a pod deleted while its datadir is made", pod),
        ("an agent killed while its datadir is made", agent),
        ("a mariadbd killed before it is ready", mariadbd),
        ("the leading operator's pod deleted by force", leader(cluster).await),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Blow {
    DeletePod,
    KillAgent,
    KillMariadbd,
}

/// Waits until the member runs `process`, and strikes at once.
async fn in_step(cluster: &Cluster, member: &str, process: &[&str], blow: Blow) -> Result<String> {
    let uid = wait::every(LOOK, &format!("{member} has a pod"), BEGIN_LIMIT, || cluster.pod_uid(member)).await?;
    let pids = wait::every(LOOK, &format!("{member} runs {}", process.join(" ")), BEGIN_LIMIT, async || {
        let pids = host::pids_in_pod(&uid, process)?;
        ensure!(!pids.is_empty(), "it does not");
        Ok(pids)
    })
    .await?;
    match blow {
        Blow::DeletePod => {
            cluster.kube.delete("v1", "Pod", member, &DeleteParams::default().grace_period(0)).await?;
        }
        Blow::KillAgent => kill(&host::pids_in_pod(&uid, AGENT)?).await?,
        Blow::KillMariadbd => kill(&pids).await?,
    }
    during_initialise(cluster).await
}

async fn kill(pids: &[i32]) -> Result<()> {
    ensure!(!pids.is_empty(), "there is nothing to kill");
    for pid in pids {
        host::run("kill", &["-KILL", &pid.to_string()], "").await?;
    }
    Ok(())
}

async fn leader(cluster: &Cluster) -> Result<String> {
    let old = install::leader(&cluster.kube).await?;
    let system = cluster.kube.within(install::OPERATOR_NAMESPACE);
    system.delete("v1", "Pod", &old, &DeleteParams::default().grace_period(0)).await?;
    during_initialise(cluster).await
}

/// A blow that came too late proves nothing.
async fn during_initialise(cluster: &Cluster) -> Result<String> {
    let status = cluster.status().await?;
    let transition = status.transition.context("the initialisation is over already")?;
    ensure!(transition["kind"] == "Initialise", "{transition}");
    Ok(format!("at step {}", transition["step"].as_str().unwrap_or_default()))
}

async fn one_primary(cluster: &Cluster) -> Result<String> {
    let mut writable = Vec::new();
    for member in cluster.member_names() {
        if cluster.sql_value(&member, "SELECT @@read_only").await? == "0" {
            writable.push(member);
        }
    }
    let primary = cluster.status().await?.current_primary;
    ensure!(writable.len() == 1 && writable.first() == primary.as_ref(), "{writable:?} take writes, not {primary:?}");
    Ok(writable.join(", "))
}

/// Stalled is True from the first failure on, with the same time of its last change.
async fn keeps_its_condition(cluster: &Cluster) -> Result<String> {
    let first = wait::every(LOOK, "Stalled names the line", STALLED_LIMIT, async || stalled(cluster).await).await?;
    let began = Instant::now();
    while began.elapsed() < STALLED_FOR {
        let now = stalled(cluster).await.with_context(|| format!("after {} ms", began.elapsed().as_millis()))?;
        let since = |told: &Value| told["lastTransitionTime"].clone();
        ensure!(since(&now) == since(&first), "it was something else meanwhile: {first}, {now}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(first["message"].as_str().unwrap_or_default().to_owned())
}

async fn stalled(cluster: &Cluster) -> Result<Value> {
    let object = cluster.kube.get(API_VERSION, KIND, &cluster.name).await?;
    let conditions = object["status"]["conditions"].as_array().context("no conditions")?;
    let stalled = conditions.iter().find(|condition| condition["type"] == "Stalled").context("no condition Stalled")?;
    let message = stalled["message"].as_str().unwrap_or_default();
    ensure!(stalled["status"] == "True" && message.contains(BAD_OPTION), "{stalled}");
    Ok(stalled.clone())
}

/// The next pods read the new file at once; those that run would get it within a minute or two.
async fn mended(cluster: &Cluster) -> Result<String> {
    let clusters = cluster.kube.api(API_VERSION, KIND);
    let patch = json!({"spec": {"myCnf": null}});
    clusters.patch(&cluster.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    let config = format!("{}-config", cluster.name);
    wait::until(&format!("{config} lacks the line"), STALLED_LIMIT, async || {
        let config = cluster.kube.get("v1", "ConfigMap", &config).await?;
        ensure!(!config["data"].to_string().contains(BAD_OPTION), "it has it");
        Ok(())
    })
    .await?;
    for member in cluster.member_names() {
        cluster.kube.delete("v1", "Pod", &member, &DeleteParams::default()).await?;
    }
    let began = Instant::now();
    cluster.wait_ready().await?;
    Ok(format!("{} s after its pods were deleted", began.elapsed().as_secs()))
}
