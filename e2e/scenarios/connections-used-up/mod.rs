//! All replicas are cut off from the primary for a while. Commits wait for them and hold their connections, also after their
//! clients have left, until no client gets in any more. When the network is back, writes go on by themselves.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::cut::Cut;
use crate::harness::failover::Watch;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// Fewer than a server has by default, so that they are used up soon.
const CONNECTIONS: u32 = 40;
const LOAD: Load = Load { workers: 16, payload_bytes: 100, pause_ms: 10 };
/// A worker gives a commit up after 2 s and connects anew: three times as many as it takes.
const USED_UP_WITHIN: Duration = Duration::from_secs(60);
/// From the network's return to rows. A replica gets in within 3 s; when its coming makes the primary hang, that is found and
/// confirmed within 3 s more, waited for 3 s, and ended by a failover.
const ROWS_WITHIN: Duration = Duration::from_secs(15);
/// So many rows show that writes flow.
const ROWS: u64 = 50;

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    let spec = json!({
        "members": 3,
        "replication": {"mode": "SemiSync"},
        "myCnf": format!("max_connections={CONNECTIONS}\n"),
    });
    let cluster = stage.cluster(spec).await?;
    let watch = Watch::start(stage, cluster, LOAD, false).await?;
    let before = watch.cluster.wait_settled(0).await?;
    let primary = before.current_primary.context("no primary")?;
    stage.report.check("replicas use the members' own port", own_port(&watch.cluster, &primary).await)?;
    let cut = Cut::make(&watch.cluster, &primary).await?;
    let used_up = used_up(&watch.cluster).await;
    let written = watch.writer.count().await;
    cut.heal().await?;
    let (written, healed) = (written?, Instant::now());
    stage.report.check("that no client gets in is told, with what would help", used_up)?;
    stage.report.check("writes go on when the network is back", rows(&watch, written, healed).await)?;
    let after = watch.cluster.wait_settled(0).await?;
    let now = after.current_primary.unwrap_or_default();
    stage.report.series.insert("primary".into(), json!({"before": primary, "after": now}));
    stage.report.check("nothing lost", watch.nothing_lost().await)
}

async fn own_port(cluster: &Cluster, primary: &str) -> Result<String> {
    for replica in cluster.member_names().into_iter().filter(|member| member != primary) {
        let status = cluster.sql(&replica, "SHOW SLAVE STATUS").await?;
        // Slave_IO_State, Master_Host, Master_User, Master_Port.
        let port = status.first().and_then(|row| row.get(3)).cloned().unwrap_or_default();
        ensure!(port == "3308", "{replica} replicates from port {port}");
    }
    Ok("3308".into())
}

async fn used_up(cluster: &Cluster) -> Result<String> {
    wait::until("Ready says that no client gets in", USED_UP_WITHIN, async || {
        let status = cluster.status().await?;
        let ready = status.condition("Ready").context("no condition Ready")?;
        let told = ready.message.contains("turns new connections away") && ready.message.contains("port 3308");
        ensure!(ready.status == "False" && told, "{ready:?}");
        Ok(ready.message.clone())
    })
    .await
}

async fn rows(watch: &Watch, written: u64, healed: Instant) -> Result<String> {
    watch.writer.wait_for(written + ROWS).await?;
    let took = healed.elapsed();
    ensure!(took <= ROWS_WITHIN, "only after {} ms", took.as_millis());
    Ok(format!("after {} ms", took.as_millis()))
}
