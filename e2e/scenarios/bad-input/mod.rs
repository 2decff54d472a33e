//! What users may get wrong: refused by the API server with words that help, or shown in the status with a remedy.
//!
//! What only shows when pods start is tried beside a healthy cluster that must not suffer.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::failover::Watch;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;

mod objects;
mod refusals;
mod shown;
mod volumes;

use refusals::Refusal;
use shown::shown;

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    for refusal in Refusal::all()? {
        let outcome = refusal.happens(&stage.kube).await;
        stage.report.check(&refusal.name, outcome)?;
    }
    let healthy = stage.cluster(json!({"members": 2, "replication": {"mode": "SemiSync"}})).await?;
    let image = image_that_does_not_exist(stage).await;
    stage.report.check("an image that cannot be pulled", image)?;
    let class = class_that_does_not_exist(stage).await;
    stage.report.check("a StorageClass that does not exist", class)?;
    let secret = secret_that_does_not_exist(stage).await;
    stage.report.check("a Secret that does not exist", secret)?;
    stage.report.check("limits below requests", objects::limits_below_requests(stage).await)?;
    stage.report.check("a quantity that is none", objects::no_quantity(stage).await)?;
    stage.report.check("a Service of somebody else", objects::name_taken(stage).await)?;
    let outcome = volumes::foreign(stage).await;
    stage.report.check("a foreign volume", outcome)?;
    let outcome = still_works(stage, healthy.clone()).await;
    stage.report.check("the operator goes on with other clusters", outcome)?;
    let outcome = volumes::blank(&healthy).await;
    stage.report.check("a blank volume in a running cluster", outcome)
}

async fn image_that_does_not_exist(stage: &Stage) -> Result<String> {
    let manifest = Cluster::manifest("no-image", "localhost/no-such-image:1", json!({"members": 2}));
    let cluster = Cluster::apply(&stage.kube, &manifest).await?;
    shown(&cluster, &["localhost/no-such-image:1"]).await
}

async fn class_that_does_not_exist(stage: &Stage) -> Result<String> {
    let storage = json!({"size": "1Gi", "storageClassName": "no-such-class"});
    let manifest =
        Cluster::manifest("no-class", &stage.settings.mariadb_image, json!({"members": 2, "storage": storage}));
    let cluster = Cluster::apply(&stage.kube, &manifest).await?;
    shown(&cluster, &["no-such-class"]).await
}

async fn secret_that_does_not_exist(stage: &Stage) -> Result<String> {
    let spec = json!({"members": 2, "encryption": {"keysSecretKeyRef": {"name": "no-such-secret"}}});
    let manifest = Cluster::manifest("no-secret", &stage.settings.mariadb_image, spec);
    let cluster = Cluster::apply(&stage.kube, &manifest).await?;
    shown(&cluster, &["SecretNotFound", "no-such-secret", "create the Secret"]).await
}

/// The healthy cluster survives the death of its primary while the broken ones are there.
async fn still_works(stage: &Stage, healthy: Cluster) -> Result<String> {
    healthy.wait_settled(0).await?;
    let mut watch = Watch::start(stage, healthy, Load::default(), false).await?;
    let run = watch.crash().await?;
    ensure!(run.lost == 0 && run.members_equal, "{} rows lost, {:?}", run.lost, run.more.get("differences"));
    Ok(format!("a failover beside them took {} ms and lost nothing", run.outage_ms.unwrap_or(0)))
}
