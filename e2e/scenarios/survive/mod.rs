//! Every part beside the primary's mariadbd is killed once, under load: mariadbd goes on where it should, nothing is lost,
//! and the cluster becomes whole again by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::failover::Watch;
use crate::harness::host;
use crate::harness::install;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// Container of the agent.
const AGENT: &str = "agent";
/// Orders must be taken again this long after the agent's container was started anew: how long the kubelet takes for that
/// depends on the machine. Its time is told in whole seconds, rounded down.
const ORDERS_AGAIN: Duration = Duration::from_secs(3);
/// A killed process or pod is back within this time.
const BACK_LIMIT: Duration = Duration::from_secs(90);
/// Light: what is measured here is healing, not speed.
const LOAD: Load = Load { workers: 4, payload_bytes: 100, pause_ms: 20 };
/// Prints pid and start time of mariadbd: another process, or a later one, prints something else.
const MARIADBD: &str = r#"for p in /proc/[0-9]*; do
  if read -r name <"$p/comm" && [ "$name" = mariadbd ]; then echo "${p#/proc/} $(cut -d ' ' -f 22 "$p/stat")"; exit; fi
done 2>/dev/null
echo "no mariadbd runs" >&2; exit 1"#;

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let watch = Watch::start(stage, cluster, LOAD, false).await?;
    for victim in Victim::ALL {
        let outcome = match watch.cluster.wait_settled(0).await {
            Ok(_) => victim.kill(&watch).await,
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(story) => watch.nothing_lost().await.map(|_| story),
            Err(error) => Err(error),
        };
        stage.report.check(victim.name(), outcome)?;
    }
    Ok(())
}

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    PrimarysAgent,
    ReplicasAgent,
    ReplicasMariadbd,
    ReplicasLaunch,
    ReplicasPod,
    OperatorLeader,
    PrimarysLaunch,
}

impl Victim {
    const ALL: [Self; 7] = [
        Self::PrimarysAgent,
        Self::ReplicasAgent,
        Self::ReplicasMariadbd,
        Self::ReplicasLaunch,
        Self::ReplicasPod,
        Self::OperatorLeader,
        Self::PrimarysLaunch,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PrimarysAgent => "kill -9 of the primary's agent",
            Self::ReplicasAgent => "kill -9 of a replica's agent",
            Self::ReplicasMariadbd => "kill -9 of a replica's mariadbd",
            Self::ReplicasLaunch => "kill -9 of a replica's launch",
            Self::ReplicasPod => "a replica's pod deleted",
            Self::OperatorLeader => "the leading operator's pod deleted by force",
            Self::PrimarysLaunch => "kill -9 of the primary's launch",
        }
    }

    async fn kill(self, watch: &Watch) -> Result<String> {
        let cluster = &watch.cluster;
        let status = cluster.status().await?;
        let primary = status.current_primary.context("no primary")?;
        let replica = cluster.member_names().into_iter().find(|member| *member != primary).context("no replica")?;
        match self {
            Self::PrimarysAgent => agent(cluster, &primary).await,
            Self::ReplicasAgent => agent(cluster, &replica).await,
            Self::ReplicasMariadbd => {
                let before = mariadbd(cluster, &replica).await?;
                cluster.kill_mariadbd(&replica).await?;
                another_mariadbd(cluster, &replica, &before).await
            }
            Self::ReplicasLaunch => {
                let before = mariadbd(cluster, &replica).await?;
                kill_in_pod(cluster, &replica, &["/beachmaster/bin/launch"]).await?;
                another_mariadbd(cluster, &replica, &before).await
            }
            Self::ReplicasPod => pod(cluster, &replica).await,
            Self::OperatorLeader => leader(cluster, status.term.unwrap_or(0)).await,
            Self::PrimarysLaunch => {
                kill_in_pod(cluster, &primary, &["/beachmaster/bin/launch"]).await?;
                let status = cluster.wait_failed_over(&primary, BACK_LIMIT).await?;
                Ok(format!("{} took over", status.current_primary.unwrap_or_default()))
            }
        }
    }
}

/// mariadbd must not notice, and the agent's successor must take orders soon.
async fn agent(cluster: &Cluster, member: &str) -> Result<String> {
    let before = mariadbd(cluster, member).await?;
    let killed = Timestamp::now();
    kill_in_pod(cluster, member, &["/beachmaster", "agent", "run"]).await?;
    let start = Instant::now();
    wait::until(&format!("{member}'s agent greets"), BACK_LIMIT, async || greets(cluster, member).await).await?;
    let (took, greeted) = (start.elapsed(), Timestamp::now());
    ensure!(mariadbd(cluster, member).await? == before, "mariadbd did not survive its agent");
    let started = wait::until(&format!("the kubelet tells of {member}'s agent"), BACK_LIMIT, async || {
        let started = started_at(cluster, member).await?;
        ensure!(started.as_second() >= killed.as_second(), "it tells of the one before");
        Ok(started)
    })
    .await?;
    let own = greeted.duration_since(started);
    let whole_second = Duration::from_secs(1);
    ensure!(
        took <= ORDERS_AGAIN || own <= (ORDERS_AGAIN + whole_second).try_into()?,
        "orders are taken again only after {} ms, {own:#} after the container was started",
        took.as_millis()
    );
    Ok(format!("mariadbd went on, orders are taken again after {} ms", took.as_millis()))
}

/// When the kubelet started the agent's container.
async fn started_at(cluster: &Cluster, member: &str) -> Result<Timestamp> {
    let pod = cluster.kube.pods().get(member).await?;
    let status = pod.status.context("no status")?;
    // The agent starts before mariadbd's container, and goes on beside it.
    let mut statuses = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
    let agent = statuses.find(|status| status.name == AGENT).context("no container status")?;
    let running = agent.state.and_then(|state| state.running).context("it does not run")?;
    Ok(running.started_at.context("without a start")?.0)
}

/// Opens the road that orders take: its first line is the agent's whole state.
async fn greets(cluster: &Cluster, member: &str) -> Result<()> {
    let said = cluster.kube.exec_first_line(member, AGENT, &["/beachmaster", "agent", "session"]).await?;
    ensure!(said.contains("hello"), "it says {said}");
    Ok(())
}

async fn pod(cluster: &Cluster, member: &str) -> Result<String> {
    let before = cluster.pod_uid(member).await?;
    cluster.kube.delete("v1", "Pod", member, &DeleteParams::default()).await?;
    wait::until(&format!("{member}'s next pod answers"), BACK_LIMIT, async || {
        ensure!(cluster.pod_uid(member).await? != before, "the old pod is still there");
        mariadbd(cluster, member).await
    })
    .await?;
    Ok("its next pod took the volume up".into())
}

async fn leader(cluster: &Cluster, term: u64) -> Result<String> {
    let old = install::leader(&cluster.kube).await?;
    let system = cluster.kube.within(install::OPERATOR_NAMESPACE);
    system.delete("v1", "Pod", &old, &DeleteParams::default().grace_period(0)).await?;
    let new = wait::until("another operator leads", BACK_LIMIT, async || {
        let new = install::leader(&cluster.kube).await?;
        ensure!(new != old, "{old} still holds the Lease");
        Ok(new)
    })
    .await?;
    let status = cluster.wait_settled(term + 1).await?;
    Ok(format!("{new} leads, term {}", status.term.unwrap_or(0)))
}

async fn another_mariadbd(cluster: &Cluster, member: &str, before: &str) -> Result<String> {
    let start = Instant::now();
    wait::until(&format!("another mariadbd on {member}"), BACK_LIMIT, async || {
        let now = mariadbd(cluster, member).await?;
        ensure!(now != before, "still the old one");
        cluster.sql_value(member, "SELECT 1").await
    })
    .await?;
    Ok(format!("mariadbd answers again after {} ms", start.elapsed().as_millis()))
}

async fn mariadbd(cluster: &Cluster, member: &str) -> Result<String> {
    cluster.kube.exec(member, crate::harness::cluster::MARIADB, &["sh", "-c", MARIADBD], "").await
}

/// From outside the pod: the agent's image has no shell, and a process cannot kill the first one of its namespace.
async fn kill_in_pod(cluster: &Cluster, member: &str, command: &[&str]) -> Result<()> {
    let uid = cluster.pod_uid(member).await?;
    let pids = host::pids_in_pod(&uid, command)?;
    ensure!(
        !pids.is_empty(),
        "no process '{}' of {member} on this machine: this scenario needs the cluster of `make cluster`",
        command.join(" ")
    );
    for pid in pids {
        host::run("kill", &["-KILL", &pid.to_string()], "").await?;
    }
    Ok(())
}
