//! The primary dies with a long tail: thousands of transactions, over three binary logs, that no replica has received.
//!
//! The replicas are cut off by dropping packets in the node's network, so that primary and replicas take part in it
//! unknowing, as in a real partition; STOP SLAVE would be a courtesy that accidents do not show.

mod variant;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::cut::Cut;
use crate::harness::failover::Watch;
use crate::harness::kube::Kube;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::wait;

pub use variant::Variant;

/// Deaths, unless asked otherwise.
pub const RUNS: u32 = 1;
/// The tail: at least this many transactions.
const TRANSACTIONS: u64 = 20_000;
/// Binary logs it is spread over at least.
const LOGS: u64 = 3;
/// A catching up is told after two seconds; an outage of this length has one of more than that.
const CERTAINLY_TOLD_MS: u64 = 4_000;
/// Large rows, so that the bytes come with the transactions; many workers, so that they share syncs of the log.
const LOAD: Load = Load { workers: 16, payload_bytes: 600, pause_ms: 0 };

/// Runs it.
///
/// # Errors
/// When the series cannot be finished.
pub async fn run(stage: &mut Stage, variant: Variant, runs: u32) -> Result<()> {
    let cluster = variant.cluster(stage).await?;
    let mut watch = Watch::start(stage, cluster, LOAD, false).await?;
    for _ in 0..runs {
        let before = watch.before().await?;
        let cut = Cut::make(&watch.cluster, &before.primary).await?;
        let outcome = grow_and_kill(&watch, &before.primary, variant).await;
        cut.heal().await?;
        let (tail, killed) = outcome?;
        let mut run = watch.after(before, killed).await?;
        run.more.insert(
            "tail".into(),
            json!({
                "transactions": tail.transactions, "bytes": tail.bytes, "logs": tail.logs, "kind": tail.kind,
                "received_by_replicas": 0,
            }),
        );
        stage.report.add(run)?;
    }
    let long = stage.report.runs.iter().filter_map(|run| run.outage_ms).any(|ms| ms > CERTAINLY_TOLD_MS);
    let told = if long { progress_was_told(&stage.kube).await } else { Ok("no outage was long enough".to_owned()) };
    stage.report.check("people are told how far the candidate has come", told)
}

/// The operator's Event about the catching up.
async fn progress_was_told(kube: &Kube) -> Result<String> {
    let events = kube.list("v1", "Event").await?;
    let told = events.iter().find(|event| event["reason"] == "CatchingUp").context("there is no Event CatchingUp")?;
    let message = told["message"].as_str().unwrap_or_default();
    ensure!(message.contains("transactions applied"), "it says: {message}");
    Ok(message.to_owned())
}

struct Tail {
    transactions: u64,
    bytes: u64,
    logs: usize,
    /// How its logs are written.
    kind: String,
}

async fn grow_and_kill(watch: &Watch, primary: &str, variant: Variant) -> Result<(Tail, u64)> {
    let cluster = &watch.cluster;
    let frozen =
        wait::until("the replicas receive nothing", Duration::from_secs(20), async || cut_off(cluster, primary).await)
            .await?;
    let start = position(cluster, primary).await?;
    let before = binary_logs(cluster, primary).await?;
    for log in 1..=LOGS {
        let rows = watch.writer.count().await? + TRANSACTIONS.div_ceil(LOGS) + 1;
        watch.writer.wait_for(rows).await?;
        if log < LOGS {
            cluster.sql(primary, "FLUSH BINARY LOGS").await?;
        }
    }
    let after = binary_logs(cluster, primary).await?;
    let size = |logs: &[(String, u64)]| logs.iter().map(|(_, size)| size).sum::<u64>();
    // The tail begins in what was the last log.
    let logs: Vec<String> = after.iter().skip(before.len() - 1).map(|(name, _)| name.clone()).collect();
    let tail = Tail {
        transactions: position(cluster, primary).await? - start,
        // What that log held already is not counted.
        bytes: size(&after) - size(&before),
        kind: variant.prove(cluster, primary, &logs).await?,
        logs: logs.len(),
    };
    ensure!(
        tail.transactions >= TRANSACTIONS && tail.bytes >= variant.least_bytes(),
        "the tail is too short: {} transactions in {} bytes",
        tail.transactions,
        tail.bytes
    );
    for (replica, received) in &frozen {
        let now = received_by(cluster, replica).await?;
        ensure!(now <= *received, "{replica} received up to {now} after it was cut off at {received}");
        ensure!(now <= start, "{replica} has part of the tail: {now}, it begins after {start}");
    }
    let killed = cluster.kill_mariadbd(primary).await?;
    println!(
        "  {} transactions, {} MB in {} binary logs ({}), none received by a replica",
        tail.transactions,
        tail.bytes / 1_000_000,
        tail.logs,
        tail.kind
    );
    Ok((tail, killed))
}

/// What each replica has received, once the primary is ahead of it and it does not move any more.
async fn cut_off(cluster: &Cluster, primary: &str) -> Result<Vec<(String, u64)>> {
    let mut all = Vec::new();
    for replica in cluster.member_names().into_iter().filter(|member| member != primary) {
        let first = received_by(cluster, &replica).await?;
        let ahead = position(cluster, primary).await?;
        // Two looks with the primary's progress between them.
        let again = received_by(cluster, &replica).await?;
        ensure!(first == again && ahead > again, "{replica} is at {again}, the primary at {ahead}");
        all.push((replica, again));
    }
    Ok(all)
}

/// The number of the newest transaction a replica holds, applied or not.
async fn received_by(cluster: &Cluster, replica: &str) -> Result<u64> {
    let rows = cluster.sql(replica, "SHOW ALL SLAVES STATUS\\G").await?;
    let value = |name: &str| {
        let prefix = format!("{name}: ");
        rows.iter().find_map(|row| row[0].trim().strip_prefix(&prefix).map(str::to_owned)).unwrap_or_default()
    };
    Ok(sequence(&value("Gtid_IO_Pos")).unwrap_or(0).max(position(cluster, replica).await?))
}

async fn position(cluster: &Cluster, member: &str) -> Result<u64> {
    let position = cluster.sql_value(member, "SELECT @@gtid_binlog_pos").await?;
    sequence(&position).with_context(|| format!("{member}: not a position of one domain: {position}"))
}

fn sequence(gtid: &str) -> Option<u64> {
    gtid.rsplit('-').next()?.parse().ok()
}

/// Names and sizes of a member's binary logs; there is one at least.
async fn binary_logs(cluster: &Cluster, member: &str) -> Result<Vec<(String, u64)>> {
    let rows = cluster.sql(member, "SHOW BINARY LOGS").await?;
    ensure!(!rows.is_empty(), "{member} has no binary log");
    let log = |row: Vec<String>| match row.as_slice() {
        [name, size, ..] => Ok((name.clone(), size.parse()?)),
        other => bail!("{member}: not a binary log: {other:?}"),
    };
    rows.into_iter().map(log).collect()
}
