//! The primary dies while no operator runs. When one is started again it completes the failover.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::harness::failover::Watch;
use crate::harness::install;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;

/// Deaths, unless asked otherwise.
pub const RUNS: u32 = 1;
/// Pods of the operator, as the chart has it.
const OPERATORS: u32 = 2;

/// Runs it.
///
/// # Errors
/// When the series cannot be finished.
pub async fn run(stage: &mut Stage, runs: u32) -> Result<()> {
    let outcome = series(stage, runs).await;
    // Whatever happened: other clusters need their operator.
    let restored = install::scale_operator(&stage.kube, OPERATORS).await.context("starting the operator again");
    outcome.and(restored)
}

async fn series(stage: &mut Stage, runs: u32) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "replication": {"mode": "SemiSync"}})).await?;
    let mut watch = Watch::start(stage, cluster, Load::default(), false).await?;
    for _ in 0..runs {
        let before = watch.before().await?;
        install::scale_operator(&stage.kube, 0).await?;
        let killed = watch.cluster.kill_mariadbd(&before.primary).await?;
        let status = watch.cluster.status().await?;
        ensure!(
            status.term == Some(before.term),
            "without an operator the term went from {} to {:?}",
            before.term,
            status.term
        );
        install::scale_operator(&stage.kube, OPERATORS).await?;
        let run = watch.after(before, killed).await?;
        stage.report.add(run)?;
    }
    Ok(())
}
