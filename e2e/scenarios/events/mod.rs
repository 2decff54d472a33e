//! Events run on the primary, before and after failovers, and only there; what a user disabled stays disabled.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::failover::FAILOVER_LIMIT;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// Kills, unless asked otherwise: the second makes a member primary again, or a third one that never was.
pub const RUNS: u32 = 2;
/// Events that the agent of the primary finds disabled are told to the replicas within a few seconds; until then nobody kills it.
const TOLD: Duration = Duration::from_secs(20);
/// An event that runs each second has run by then.
const RUNS_BY: Duration = Duration::from_secs(15);
/// Rows say which server ran the event, and that it ran by itself.
const EVENTS: &str = "CREATE DATABASE IF NOT EXISTS events; \
    CREATE TABLE events.ran (id BIGINT AUTO_INCREMENT PRIMARY KEY, event VARCHAR(20), server BIGINT UNSIGNED); \
    CREATE EVENT events.runs ON SCHEDULE EVERY 1 SECOND DO INSERT INTO events.ran (event, server) VALUES ('runs', @@server_id); \
    CREATE EVENT events.created_disabled ON SCHEDULE EVERY 1 SECOND DISABLE \
        DO INSERT INTO events.ran (event, server) VALUES ('created_disabled', @@server_id); \
    CREATE EVENT events.disabled_later ON SCHEDULE EVERY 1 DAY STARTS NOW() + INTERVAL 1 DAY \
        DO INSERT INTO events.ran (event, server) VALUES ('disabled_later', @@server_id); \
    ALTER EVENT events.disabled_later ON SCHEDULE EVERY 1 SECOND DISABLE";
const DISABLED: &str =
    "SELECT COUNT(*) FROM information_schema.events WHERE status = 'DISABLED' AND event_schema = 'events'";

/// Runs it.
///
/// # Errors
/// When the series cannot be finished.
pub async fn run(stage: &mut Stage, runs: u32) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let first = primary(&cluster).await?;
    cluster.sql(&first, EVENTS).await.context("creating the events")?;
    stage.report.check("events run on the first primary", runs_here(&cluster).await)?;
    stage.report.check("read_only for a while leaves them alone", read_only_for_a_while(&cluster, &first).await)?;
    for number in 1..=runs {
        wait::until("every member knows what is disabled", TOLD, async || all_know(&cluster).await).await?;
        let old = primary(&cluster).await?;
        cluster.kill_mariadbd(&old).await?;
        let status = cluster.wait_failed_over(&old, FAILOVER_LIMIT).await?;
        cluster.wait_settled(status.term.unwrap_or(0)).await?;
        let what = format!("events run on the new primary after kill {number}, and only there");
        stage.report.check(&what, runs_here(&cluster).await)?;
    }
    let last = primary(&cluster).await?;
    cluster.sql(&last, "DROP EVENT events.runs").await?;
    let equal = wait::until("all members are equal", RUNS_BY, async || equal(&cluster).await).await;
    stage.report.check("members are equal", equal)
}

/// Somebody stops writes for a moment: that is told, and nothing is left of it.
async fn read_only_for_a_while(cluster: &Cluster, primary: &str) -> Result<String> {
    cluster.sql(primary, "SET GLOBAL read_only=ON").await?;
    let told = wait::until("Ready ends", TOLD, async || {
        let status = cluster.status().await?;
        let ready = status.condition("Ready").context("no condition Ready")?;
        ensure!(ready.reason == "PrimaryReadOnly", "{ready:?}");
        Ok(ready.message.clone())
    })
    .await?;
    let scheduler = cluster.sql_value(primary, "SELECT @@event_scheduler").await?;
    cluster.sql(primary, "SET GLOBAL read_only=OFF").await?;
    ensure!(scheduler == "ON", "event_scheduler={scheduler} while it was read-only");
    let status = wait::until("all is well again", TOLD, async || {
        let status = cluster.status().await?;
        ensure!(
            ["Ready", "FailoverReady"]
                .iter()
                .all(|kind| status.condition(kind).is_some_and(|told| told.status == "True")),
            "{:?}",
            status.conditions
        );
        Ok(status)
    })
    .await?;
    ensure!(status.current_primary.as_deref() == Some(primary), "{:?}", status.current_primary);
    Ok(told)
}

async fn equal(cluster: &Cluster) -> Result<String> {
    let mut found = Vec::new();
    for member in cluster.member_names() {
        found.push(cluster.sql(&member, "SELECT @@gtid_binlog_pos; CHECKSUM TABLE events.ran").await?);
    }
    ensure!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
    Ok(format!("{:?}", found[0]))
}

async fn primary(cluster: &Cluster) -> Result<String> {
    cluster.status().await?.current_primary.context("no primary")
}

async fn all_know(cluster: &Cluster) -> Result<()> {
    for member in cluster.member_names() {
        let disabled = cluster.sql_value(&member, DISABLED).await?;
        ensure!(disabled == "2", "{member} has {disabled} of 2 events disabled");
    }
    Ok(())
}

/// Rows of the event come from the present primary, and from nobody else from the first of them on.
async fn runs_here(cluster: &Cluster) -> Result<String> {
    let primary = primary(cluster).await?;
    let ran = "SELECT COUNT(*) FROM events.ran WHERE event = 'runs' AND server = @@server_id";
    let rows = wait::until(&format!("the event runs on {primary}"), RUNS_BY, async || {
        let rows: u64 = cluster.sql_value(&primary, ran).await?.parse()?;
        ensure!(rows >= 3, "{rows} rows");
        Ok(rows)
    })
    .await?;
    let others = "SELECT COUNT(*) FROM events.ran AS later WHERE server <> @@server_id AND id > \
        (SELECT MIN(id) FROM events.ran WHERE server = @@server_id)";
    let others = cluster.sql_value(&primary, others).await?;
    ensure!(others == "0", "{others} rows of other servers after the first one of {primary}");
    let disabled = cluster.sql_value(&primary, "SELECT COUNT(*) FROM events.ran WHERE event <> 'runs'").await?;
    ensure!(disabled == "0", "{disabled} rows of events that were disabled");
    for member in cluster.member_names().into_iter().filter(|member| *member != primary) {
        let scheduler = cluster.sql_value(&member, "SELECT @@event_scheduler").await?;
        ensure!(scheduler == "OFF", "{member} has event_scheduler={scheduler}");
    }
    Ok(format!("{rows} rows on {primary}"))
}
