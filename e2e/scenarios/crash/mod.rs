//! The primary's mariadbd is killed again and again on one cluster, under load, with an observer on every member.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::harness::failover::Watch;
use crate::harness::metrics;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::steps;

/// Kills, unless asked otherwise.
pub const RUNS: u32 = 5;

/// Runs it.
///
/// # Errors
/// When the series cannot be finished.
pub async fn run(stage: &mut Stage, runs: u32) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let mut watch = Watch::start(stage, cluster, Load::default(), true).await?;
    let fsync_before = metrics::etcd_fsync().await;
    for _ in 0..runs {
        let run = watch.crash().await?;
        if let (Ok(before), Ok(now)) = (&fsync_before, metrics::etcd_fsync().await) {
            stage.report.series.insert("etcd_fsync_p50_ms".into(), json!(metrics::median_ms(before, &now)));
        }
        stage.report.add(run)?;
        let steps = steps::since_the_kill(&stage.report.runs);
        stage.report.series.insert("steps".into(), steps);
        let share = steps::share_of_the_service(&stage.report.runs);
        stage.report.series.insert("share_of_the_service".into(), json!(share));
    }
    stage.report.check("no two members acknowledged at once", one_at_a_time(&watch))
}

fn one_at_a_time(watch: &Watch) -> Result<String> {
    ensure!(watch.violations == 0, "{} writes on an old primary, see the runs", watch.violations);
    Ok("no write begun on an old primary after the new one had acknowledged was itself acknowledged".into())
}
