//! A replica's connection is cut silently while nobody commits. Its next connection makes the primary wait for an acker to
//! say something, and meanwhile it accepts no new connection: found and woken within seconds, and never called ready.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::cut::PORTS;
use crate::harness::host;
use crate::harness::pods::{self, Knocker};
use crate::harness::stage::Stage;
use crate::harness::wait;

/// Flows cut, unless asked otherwise.
pub const RUNS: u32 = 4;

/// Not every cut wedges the primary (about 7 of 10 do): so many are made until one has.
const MOST_RUNS: u32 = 12;

/// Longest a client may go without a new connection.
const LONGEST_MS: u64 = 5_000;
/// A wait longer than this must have been told while it lasted: what finds it takes up to 3 s.
const TOLD_AFTER_MS: u64 = 4_000;
/// From the cut to the replica's next connection: slave_net_timeout (2 s), a second between tries, and the wait for the wedge.
const RECONNECT_LIMIT: Duration = Duration::from_secs(30);
/// After a reconnect the primary wedges at once or not at all; this long it is watched.
const WATCH: Duration = Duration::from_secs(6);
/// Between two looks at the status.
const LOOK: Duration = Duration::from_millis(200);
/// mariadbd's parent in the pod.
const LAUNCH: &[&str] = &["/beachmaster/bin/launch"];
/// Table of our rules in the pod's network.
const TABLE: &str = "e2e_wedge";

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage, runs: u32) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    pods::prepare(&cluster).await?;
    let knocker = Knocker::start(&cluster, &stage.settings).await?;
    let mut rounds = Vec::new();
    for n in 0..runs.max(MOST_RUNS) {
        if n >= runs && rounds.iter().any(|round: &Round| round.told) {
            break;
        }
        let round = cut(&cluster, &knocker, n).await.with_context(|| format!("cut {n}"))?;
        println!(
            "  cut {n}: longest wait for a new connection {} ms, told as wedged: {}",
            round.longest_ms, round.told
        );
        rounds.push(round);
        let waits: Vec<u64> = rounds.iter().map(|round| round.longest_ms).collect();
        stage.report.series.insert("longest_wait_ms".into(), json!(waits));
    }
    stage.report.check("no client waits longer than 5 s for a new connection", no_long_wait(&rounds))?;
    stage.report.check("what clients wait for is told while it lasts", told(&rounds))?;
    stage.report.check("the primary stayed the same", same_primary(&cluster, &rounds).await)
}

struct Round {
    longest_ms: u64,
    /// Ready was False with the reason PrimaryWedged.
    told: bool,
    primary: String,
}

/// Cuts the flow of one replica and watches until the cluster is whole again.
async fn cut(cluster: &Cluster, knocker: &Knocker, n: u32) -> Result<Round> {
    let status = cluster.wait_settled(0).await?;
    let primary = status.current_primary.context("no primary")?;
    let replicas: Vec<String> = cluster.member_names().into_iter().filter(|member| *member != primary).collect();
    let replica = &replicas[n as usize % replicas.len()];
    let uid = cluster.pod_uid(replica).await?;
    let flow = flow(&uid).await?;
    knocker.begin().await?;
    drop_flow(&uid, &flow).await?;
    let mut told = wait::until(&format!("{replica} connects anew"), RECONNECT_LIMIT, async || {
        let told = is_told(cluster).await?;
        ensure!(self::flow(&uid).await? != flow, "it still has its old connection");
        Ok(told)
    })
    .await?;
    let watched = Instant::now();
    while watched.elapsed() < WATCH {
        told |= is_told(cluster).await?;
        tokio::time::sleep(LOOK).await;
    }
    let longest_ms = knocker.report().await?.longest_ms;
    cluster.wait_settled(0).await?;
    mend(&uid).await?;
    Ok(Round { longest_ms, told, primary })
}

/// The local port of the replica's connection to its primary.
async fn flow(uid: &str) -> Result<String> {
    let command = ["ss", "-Htn", "state", "established", "(", "dport", "=", ":3306", "or", "dport", "=", ":3308", ")"];
    let shown = host::in_network_of_pod(uid, LAUNCH, &command, "").await?;
    // Recv-Q, Send-Q, local address and port, peer.
    let local = shown.lines().find_map(|line| line.split_whitespace().nth(2)).context("no connection to a primary")?;
    Ok(local.rsplit(':').next().unwrap_or_default().to_owned())
}

async fn drop_flow(uid: &str, port: &str) -> Result<()> {
    let rules = format!(
        "table inet {TABLE} {{
           chain in {{ type filter hook input priority 0; tcp sport {{ {PORTS} }} tcp dport {port} drop; }}
           chain out {{ type filter hook output priority 0; tcp sport {port} tcp dport {{ {PORTS} }} drop; }}
         }}"
    );
    host::in_network_of_pod(uid, LAUNCH, &["nft", "-f", "-"], &rules).await.map(drop)
}

async fn mend(uid: &str) -> Result<()> {
    host::in_network_of_pod(uid, LAUNCH, &["nft", "delete", "table", "inet", TABLE], "").await.map(drop)
}

async fn is_told(cluster: &Cluster) -> Result<bool> {
    let status = cluster.status().await?;
    let ready = status.condition("Ready").context("no condition Ready")?;
    Ok(ready.status == "False" && ready.reason == "PrimaryWedged")
}

fn no_long_wait(rounds: &[Round]) -> Result<String> {
    let longest = rounds.iter().map(|round| round.longest_ms).max().unwrap_or(0);
    ensure!(longest <= LONGEST_MS, "{longest} ms");
    let wedged = rounds.iter().filter(|round| round.told).count();
    Ok(format!("longest {longest} ms; {wedged} of {} cuts were told as PrimaryWedged", rounds.len()))
}

fn told(rounds: &[Round]) -> Result<String> {
    let silent: Vec<u64> = rounds.iter().filter(|round| !round.told).map(|round| round.longest_ms).collect();
    ensure!(silent.iter().all(|wait| *wait < TOLD_AFTER_MS), "not told, and clients waited {silent:?} ms");
    ensure!(rounds.iter().any(|round| round.told), "no cut wedged the primary: this run shows nothing");
    Ok("Ready was False with PrimaryWedged in every longer wait".into())
}

async fn same_primary(cluster: &Cluster, rounds: &[Round]) -> Result<String> {
    let now = cluster.status().await?.current_primary.unwrap_or_default();
    ensure!(rounds.iter().all(|round| round.primary == now), "the primary changed to {now}");
    Ok(now)
}
