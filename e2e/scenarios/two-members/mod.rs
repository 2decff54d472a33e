//! The smallest cluster: one primary, one replica. The survivor has no acker until the dead one is back.

use anyhow::Result;
use serde_json::json;

use crate::harness::failover::Watch;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;

/// Kills, unless asked otherwise.
pub const RUNS: u32 = 3;

/// Runs it.
///
/// # Errors
/// When the series cannot be finished.
pub async fn run(stage: &mut Stage, runs: u32) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 2, "replication": {"mode": "SemiSync"}})).await?;
    let mut watch = Watch::start(stage, cluster, Load::default(), false).await?;
    for _ in 0..runs {
        stage.report.add(watch.crash().await?)?;
    }
    Ok(())
}
