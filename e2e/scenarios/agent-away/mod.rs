//! An agent that does not answer says nothing about its mariadbd: no acker is shut out, no write waits, nothing is promoted,
//! and the status names the agent.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::harness::cluster::{Cluster, Status};
use crate::harness::failover::Watch;
use crate::harness::host::Stopped;
use crate::harness::pods::{Knocker, Load};
use crate::harness::stage::Stage;
use crate::harness::wait;

/// A replica's agent is away for longer than it takes until an acker that is gone is shut out: its stream is given up after
/// 10 to 15 s, and 10 s later it would be.
const REPLICA_AWAY: Duration = Duration::from_secs(30);
const PRIMARY_AWAY: Duration = Duration::from_secs(25);
/// The status names the agent this long after it was stopped: 6 s without an answer, found out by the next ping, which may
/// be 2 s later, and a second until the status is written; the rest is for a machine that stands still meanwhile.
const NAMED_WITHIN: Duration = Duration::from_secs(15);
/// And says nothing of it any more this long after it goes on.
const CLEAN_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks at the status.
const LOOK: Duration = Duration::from_millis(200);
/// Longest pause of all writers together, and of new connections, on a busy machine. What waits for the agent waits for 10 s
/// and more.
const LONGEST_MS: u64 = 5_000;
const AGENT: &[&str] = &["/beachmaster", "agent", "run"];
const REASON: &str = "AgentUnreachable";
const LOAD: Load = Load { workers: 4, payload_bytes: 100, pause_ms: 10 };

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let watch = Watch::start(stage, cluster, LOAD, false).await?;
    let knocker = Knocker::start(&watch.cluster, &stage.settings).await?;
    let status = watch.cluster.wait_settled(0).await?;
    let primary = status.current_primary.context("no primary")?;
    let acker = status.ackers.first().context("no acker")?.member.clone();
    for (role, member, time) in [("an acker", &acker, REPLICA_AWAY), ("the primary", &primary, PRIMARY_AWAY)] {
        let away = away(&watch, &knocker, member, time).await.with_context(|| format!("the agent of {role}"))?;
        let report = &mut stage.report;
        report.check(&format!("{role}'s agent is away: nothing changes"), away.calm())?;
        report.check(&format!("{role}'s agent is away: nobody waits"), away.fast())?;
        report.check(&format!("{role}'s agent is away: it is named"), away.named())?;
        report.check(&format!("{role}'s agent is back: the status is clean"), away.clean)?;
    }
    let outcome = watch.nothing_lost().await;
    stage.report.check("nothing lost", outcome)
}

/// What was seen while an agent was away.
struct Away {
    member: String,
    /// What should not have been seen.
    changes: Vec<String>,
    named_after: Option<(Duration, String)>,
    longest_write_ms: u64,
    longest_connect_ms: u64,
    clean: Result<String>,
}

async fn away(watch: &Watch, knocker: &Knocker, member: &str, time: Duration) -> Result<Away> {
    let cluster = &watch.cluster;
    let before = cluster.wait_settled(0).await?;
    knocker.begin().await?;
    let begun_us = now_us()?;
    let stopped = Stopped::in_pod(&cluster.pod_uid(member).await?, AGENT).await?;
    let began = Instant::now();
    let mut seen = Away {
        member: member.into(),
        changes: vec![],
        named_after: None,
        longest_write_ms: 0,
        longest_connect_ms: 0,
        clean: Ok(String::new()),
    };
    while began.elapsed() < time {
        // One read that fails on a busy machine says nothing; without any the agent is never named.
        if let Ok(status) = cluster.status().await {
            seen.look(&before, &status, began.elapsed());
        }
        tokio::time::sleep(LOOK).await;
    }
    drop(stopped);
    seen.clean = clean(cluster, &before).await;
    seen.longest_connect_ms = knocker.report().await?.longest_ms;
    let gap = watch.writer.report().await?.longest_after(begun_us);
    seen.longest_write_ms = gap.map_or(0, |gap| gap.micros() / 1_000);
    Ok(seen)
}

impl Away {
    fn look(&mut self, before: &Status, now: &Status, after: Duration) {
        let mut differs = |what: &str, text: String| {
            let change = format!("{what} {text}");
            if !self.changes.contains(&change) {
                self.changes.push(change);
            }
        };
        if now.current_primary != before.current_primary {
            differs("primary:", format!("{:?} in term {:?}", now.current_primary, now.term));
        }
        if now.durability != before.durability {
            differs("durability:", format!("{:?}", now.durability));
        }
        if !before.ackers.iter().all(|acker| now.ackers.iter().any(|left| left.member == acker.member)) {
            differs("ackers:", format!("{:?}", now.ackers));
        }
        match now.condition("Ready") {
            Some(ready) if ready.status == "True" => (),
            other => differs("Ready:", format!("{other:?}")),
        }
        if self.named_after.is_none() {
            self.named_after = names(now, &self.member).map(|message| (after, message));
        }
    }

    fn calm(&self) -> Result<String> {
        ensure!(self.changes.is_empty(), "{}", self.changes.join("; "));
        Ok("same primary, same ackers, same durability, Ready all the time".to_owned())
    }

    fn fast(&self) -> Result<String> {
        let (write, connect) = (self.longest_write_ms, self.longest_connect_ms);
        ensure!(
            write <= LONGEST_MS && connect <= LONGEST_MS,
            "{write} ms without a write, {connect} ms without a new connection"
        );
        Ok(format!("longest time without a write {write} ms, without a new connection {connect} ms"))
    }

    fn named(&self) -> Result<String> {
        let (after, message) = self.named_after.as_ref().with_context(|| format!("{} never was", self.member))?;
        ensure!(*after <= NAMED_WITHIN, "only after {} ms: {message}", after.as_millis());
        Ok(format!("after {} ms: {message}", after.as_millis()))
    }
}

/// What the status says of the agent of `member`: the member's own line, or a condition that names it.
fn names(status: &Status, member: &str) -> Option<String> {
    let row = status.members.iter().find(|row| row.name == member && row.reason.as_deref() == Some(REASON));
    let row = row.map(|row| format!("{} is {}: {}", row.name, row.state, row.message.clone().unwrap_or_default()));
    let condition = status.conditions.iter().find(|told| told.reason == REASON && told.message.contains(member));
    let condition = condition.map(|told| format!("{} is {}: {}", told.kind, told.status, told.message));
    condition.or(row)
}

/// Nothing speaks of an agent any more, and all is as it was before.
async fn clean(cluster: &Cluster, before: &Status) -> Result<String> {
    let began = Instant::now();
    wait::until("no agent is away any more", CLEAN_LIMIT, async || {
        let status = cluster.status().await?;
        let rows = status.members.iter().filter(|row| row.reason.is_some());
        let told: Vec<_> = rows.map(|row| format!("{row:?}")).collect();
        ensure!(told.is_empty(), "{}", told.join(", "));
        ensure!(status.conditions.iter().all(|told| told.reason != REASON), "{:?}", status.conditions);
        Ok(())
    })
    .await?;
    let took = began.elapsed().as_millis();
    let status = cluster.wait_settled(0).await?;
    ensure!(status.current_primary == before.current_primary, "the primary is {:?}", status.current_primary);
    Ok(format!("after {took} ms, and durability is {}", status.durability.unwrap_or_default()))
}

fn now_us() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros().try_into()?)
}
