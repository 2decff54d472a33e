//! What users may get wrong: refused by the API server with words that help, or shown in the status with a remedy.
//!
//! `cases/*.yaml` are manifests with a comment `# expect: TEXT`: the API server must refuse them, saying TEXT.
//! What only shows when pods start is tried here, beside a healthy cluster that must not suffer.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::harness::cluster::{Cluster, Status};
use crate::harness::failover::Watch;
use crate::harness::pods::Load;
use crate::harness::stage::Stage;
use crate::harness::wait;

mod volumes;

const CASES: &str = "e2e/bad-input/cases";
const EXPECT: &str = "# expect:";
/// The kubelet reports a failed pull after some seconds, an event of the provisioner likewise.
const SHOWN_LIMIT: Duration = Duration::from_secs(60);

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    for case in cases()? {
        let outcome = case.refused(stage).await;
        stage.report.check(&case.name, outcome)?;
    }
    let healthy = stage.cluster(json!({"members": 2, "replication": {"mode": "SemiSync"}})).await?;
    let image = image_that_does_not_exist(stage).await;
    stage.report.check("an image that cannot be pulled", image)?;
    let class = class_that_does_not_exist(stage).await;
    stage.report.check("a StorageClass that does not exist", class)?;
    let outcome = volumes::foreign(stage).await;
    stage.report.check("a foreign volume", outcome)?;
    let outcome = volumes::blank(&healthy).await;
    stage.report.check("a blank volume in a running cluster", outcome)?;
    let outcome = still_works(stage, healthy).await;
    stage.report.check("the operator goes on with other clusters", outcome)
}

struct Case {
    name: String,
    expect: String,
    manifest: Value,
}

fn cases() -> Result<Vec<Case>> {
    let mut paths: Vec<_> = std::fs::read_dir(CASES)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    ensure!(!paths.is_empty(), "no cases in {CASES}");
    paths.iter().map(|path| Case::read(path).with_context(|| path.display().to_string())).collect()
}

impl Case {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let expect = text
            .lines()
            .find_map(|line| line.strip_prefix(EXPECT))
            .with_context(|| format!("no line `{EXPECT} TEXT`"))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, expect: expect.trim().into(), manifest: serde_saphyr::from_str(&text)? })
    }

    /// What the API server said, when it refused with the expected words.
    async fn refused(&self, stage: &Stage) -> Result<String> {
        let Err(error) = stage.kube.apply(&self.manifest).await else {
            bail!("it was accepted; expected a refusal that says: {}", self.expect);
        };
        let said = format!("{error:#}");
        ensure!(said.contains(&self.expect), "refused, but not with `{}`: {said}", self.expect);
        Ok(format!("refused: {}", self.expect))
    }
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

/// Waits until a condition that is not well says all of these words; a reader of `kubectl describe` sees it there.
async fn shown(cluster: &Cluster, words: &[&str]) -> Result<String> {
    wait::until(&format!("{} says what is wrong", cluster.name), SHOWN_LIMIT, async || {
        let status = cluster.status().await?;
        find(&status, words)
            .with_context(|| format!("conditions: {:?}, members: {:?}", status.conditions, status.members))
    })
    .await
}

fn find(status: &Status, words: &[&str]) -> Option<String> {
    let conditions = status
        .conditions
        .iter()
        .map(|condition| format!("{} {}: {}", condition.kind, condition.reason, condition.message));
    conditions.into_iter().find(|text| words.iter().all(|word| text.contains(word)))
}

/// The healthy cluster survives the death of its primary while the broken ones are there.
async fn still_works(stage: &Stage, healthy: Cluster) -> Result<String> {
    healthy.wait_settled(0).await?;
    let mut watch = Watch::start(stage, healthy, Load::default(), false).await?;
    let before = watch.before().await?;
    let killed = watch.cluster.kill_mariadbd(&before.primary).await?;
    let run = watch.after(before, killed).await?;
    ensure!(run.lost == 0 && run.members_equal, "{} rows lost, {:?}", run.lost, run.more.get("differences"));
    Ok(format!("a failover beside them took {} ms and lost nothing", run.outage_ms.unwrap_or(0)))
}
