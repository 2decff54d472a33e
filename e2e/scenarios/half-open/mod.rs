//! The primary dies while half-open HTTP requests hang on every agent and on the operator: the failover takes about its
//! usual time, nothing is lost, and neither operator nor agent is restarted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::harness::cluster::{Cluster, MARIADB};
use crate::harness::failover::{FAILOVER_LIMIT, Watch};
use crate::harness::install;
use crate::harness::kube::Kube;
use crate::harness::pods::{HalfOpen, Load};
use crate::harness::report::Run;
use crate::harness::stage::Stage;
use crate::harness::vitals::Vitals;
use crate::harness::wait;
use crate::inside::clock::Stamp;
use crate::inside::half_open::{Tallies, Tally};

/// Half-open requests on each port.
const CONNECTIONS: usize = 1_500;
const AGENT_PORT: u16 = 8080;
/// Probes and metrics.
const OPERATOR_PORTS: [u16; 2] = [8081, 8082];
/// Connections made from the kill until the cluster is whole again, over all ports. Fewer are no load.
const FEWEST: usize = 1_000;
/// The load lasts at least this long: a kubelet restarts an operator after 30 s without an answer to a liveness probe.
const LASTS: Duration = Duration::from_secs(40);
/// How much longer than the plain outage the one under load may be.
const LONGER_MS: u64 = 3_000;
/// No outage under load is this long.
const TOO_LONG_MS: u64 = 10_000;
/// A member of a whole cluster is ready for the kubelet, too, within this time.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let mut watch = Watch::start(stage, cluster, Load::default(), false).await?;
    let plain = watch.crash().await?;
    let plain_ms = plain.outage_ms;
    stage.report.add(plain)?;

    let pods = pods(&watch.cluster).await?;
    let (began, began_us) = (Instant::now(), Stamp::now().realtime_us);
    let targets = targets(&pods).await?;
    let load = HalfOpen::start(&watch.cluster.kube, &stage.settings, &targets, CONNECTIONS).await?;
    let crash = crash(&mut watch, &load).await;
    tokio::time::sleep(LASTS.saturating_sub(began.elapsed())).await;
    let in_all = load.between(began_us, Stamp::now().realtime_us).await?;
    // What became of the pods explains a crash that did not end well.
    stage.report.check("no container is restarted", not_restarted(&pods).await)?;
    stage.report.check("probes pass", probes_pass(&pods).await)?;
    stage.report.series.insert("half_open_in_all".into(), json!(in_all));
    let crash = crash.context("the crash under load")?;
    stage.report.series.insert("half_open_from_the_kill".into(), json!(crash.until_whole));
    stage.report.check("the load is there all the time", crash.loaded(&in_all))?;
    stage.report.check("the failover takes about its usual time", usual_time(plain_ms, crash.run.outage_ms))?;
    stage.report.add(crash.run)
}

/// A pod with a port under load.
struct Watched {
    kube: Kube,
    name: String,
    before: Vitals,
    /// Its mariadbd is the one that is killed.
    killed: bool,
}

impl Watched {
    async fn find(kube: Kube, name: String, killed: bool) -> Result<Self> {
        let before = ready(&kube, &name).await?;
        Ok(Self { kube, name, before, killed })
    }

    async fn now(&self) -> Result<Vitals> {
        Vitals::of(&self.kube, &self.name).await
    }
}

/// The members' pods and the operator's, all of them ready.
async fn pods(cluster: &Cluster) -> Result<Vec<Watched>> {
    let primary = cluster.status().await?.current_primary.context("no primary")?;
    let system = cluster.kube.within(install::OPERATOR_NAMESPACE);
    let mut pods = Vec::new();
    for name in cluster.member_names() {
        let killed = name == primary;
        pods.push(Watched::find(cluster.kube.clone(), name, killed).await?);
    }
    for name in install::operator_pods(&cluster.kube).await? {
        pods.push(Watched::find(system.clone(), name, false).await?);
    }
    Ok(pods)
}

async fn ready(kube: &Kube, pod: &str) -> Result<Vitals> {
    wait::until(&format!("{pod} is ready"), READY_LIMIT, async || {
        let vitals = Vitals::of(kube, pod).await?;
        ensure!(vitals.ready(), "it is not");
        Ok(vitals)
    })
    .await
}

async fn targets(pods: &[Watched]) -> Result<Vec<SocketAddr>> {
    let mut targets = Vec::new();
    for pod in pods {
        let status = pod.kube.pods().get(&pod.name).await?.status.unwrap_or_default();
        let address = status.pod_ip.with_context(|| format!("{} has no address", pod.name))?.parse()?;
        let operator = pod.kube.namespace == install::OPERATOR_NAMESPACE;
        let ports: &[u16] = if operator { &OPERATOR_PORTS } else { &[AGENT_PORT] };
        targets.extend(ports.iter().map(|port| SocketAddr::new(address, *port)));
    }
    Ok(targets)
}

/// A crash under load.
struct Crash {
    run: Run,
    /// Connections from the kill until the cluster was whole again.
    until_whole: Tallies,
    /// Connections from the kill until the first row was acknowledged.
    until_written: Tallies,
}

async fn crash(watch: &mut Watch, load: &HalfOpen) -> Result<Crash> {
    load.wait_for(CONNECTIONS).await?;
    let cluster = watch.cluster.clone();
    let before = watch.before().await?;
    let killed_us = cluster.kill_mariadbd(&before.primary).await?;
    let status = cluster.wait_failed_over(&before.primary, FAILOVER_LIMIT).await?;
    cluster.wait_settled(status.term.unwrap_or(0)).await?;
    let whole_us = Stamp::now().realtime_us;
    let run = watch.after(before, killed_us).await?;
    let written_us = run.more["first_ack_us"].as_u64().context("nothing was written after the kill")?;
    Ok(Crash {
        run,
        until_whole: load.between(killed_us, whole_us).await?,
        until_written: load.between(killed_us, written_us).await?,
    })
}

impl Crash {
    fn loaded(&self, in_all: &Tallies) -> Result<String> {
        let (whole, written, all) = (sum(&self.until_whole), sum(&self.until_written), sum(in_all));
        let figures = format!(
            "{} connections opened in all, {} failed, {} dropped, {} hang; {} opened from the kill until the cluster \
             was whole again, {} until the first row",
            all.opened, all.failed, all.dropped, all.hanging, whole.opened, written.opened
        );
        ensure!(whole.opened >= FEWEST, "{figures}");
        let free: Vec<_> = self.until_written.iter().filter(|(_, tally)| tally.opened + tally.hanging == 0).collect();
        ensure!(free.is_empty(), "nothing hung on {free:?}; {figures}");
        Ok(figures)
    }
}

fn sum(tallies: &Tallies) -> Tally {
    tallies.values().fold(Tally::default(), |sum, tally| Tally {
        opened: sum.opened + tally.opened,
        failed: sum.failed + tally.failed,
        dropped: sum.dropped + tally.dropped,
        hanging: sum.hanging + tally.hanging,
    })
}

async fn not_restarted(pods: &[Watched]) -> Result<String> {
    for pod in pods {
        pod.now().await?.not_restarted(&pod.before, pod.killed.then_some(MARIADB))?;
    }
    Ok(format!("the containers of {} pods run on", pods.len()))
}

async fn probes_pass(pods: &[Watched]) -> Result<String> {
    for pod in pods.iter().filter(|pod| pod.killed) {
        ready(&pod.kube, &pod.name).await?;
    }
    for pod in pods.iter().filter(|pod| !pod.killed) {
        pod.now().await?.stayed_ready(&pod.before)?;
    }
    Ok("the old primary's pod is ready again, every other one stayed ready".into())
}

fn usual_time(plain_ms: Option<u64>, loaded_ms: Option<u64>) -> Result<String> {
    let plain = plain_ms.context("no outage of the plain crash")?;
    let loaded = loaded_ms.context("no outage of the crash under load")?;
    let figures = format!("{plain} ms without load, {loaded} ms under load");
    ensure!(loaded <= plain + LONGER_MS && loaded < TOO_LONG_MS, "{figures}");
    Ok(figures)
}
