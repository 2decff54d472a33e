//! Volumes that hold something else than the member expects.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::shown::shown;
use crate::harness::cluster::{API_VERSION, Cluster, KIND};
use crate::harness::kube::Kube;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// Objects and pods come and go within this time.
const GONE_LIMIT: Duration = Duration::from_secs(120);

/// A cluster is deleted and another one gets a volume of it: data of one must never be taken for data of the other.
pub async fn foreign(stage: &Stage) -> Result<String> {
    let image = &stage.settings.mariadb_image;
    let donor = Cluster::apply(&stage.kube, &Cluster::manifest("donor", image, json!({"members": 2}))).await?;
    donor.wait_ready().await?;
    let volume = release(&donor, "donor-0").await?;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-heir-0"},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
    });
    stage.kube.apply(&claim).await?;
    wait::until("data-heir-0 has the volume", GONE_LIMIT, async || {
        let claim = stage.kube.get("v1", "PersistentVolumeClaim", "data-heir-0").await?;
        ensure!(claim["status"]["phase"] == "Bound", "it is {}", claim["status"]["phase"]);
        Ok(())
    })
    .await?;
    // Only now: a released volume with this policy is deleted at once. Later it must not be left behind.
    reclaim(&stage.kube, &volume, "Delete").await?;
    let heir = Cluster::apply(&stage.kube, &Cluster::manifest("heir", image, json!({"members": 2}))).await?;
    shown(&heir, &["data of", "donor"]).await
}

/// Deletes the cluster, keeps the member's volume and makes it free for another claim. Returns the volume's name.
async fn release(cluster: &Cluster, member: &str) -> Result<String> {
    let kube = &cluster.kube;
    let claim = format!("data-{member}");
    let volume = kube.get("v1", "PersistentVolumeClaim", &claim).await?["spec"]["volumeName"]
        .as_str()
        .context("no volume")?
        .to_owned();
    reclaim(kube, &volume, "Retain").await?;
    kube.delete(API_VERSION, KIND, &cluster.name, &DeleteParams::default()).await?;
    wait::until(&format!("{}'s pods are gone", cluster.name), GONE_LIMIT, async || {
        for member in cluster.member_names() {
            ensure!(kube.pods().get_opt(&member).await?.is_none(), "{member} is still there");
        }
        Ok(())
    })
    .await?;
    kube.delete("v1", "PersistentVolumeClaim", &claim, &DeleteParams::default()).await?;
    wait::until(&format!("{claim} is gone"), GONE_LIMIT, async || {
        ensure!(kube.api("v1", "PersistentVolumeClaim").get_opt(&claim).await?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    let free = json!({"spec": {"claimRef": null}});
    kube.global("v1", "PersistentVolume").patch(&volume, &PatchParams::default(), &Patch::Merge(free)).await?;
    Ok(volume)
}

async fn reclaim(kube: &Kube, volume: &str, policy: &str) -> Result<()> {
    let patch = json!({"spec": {"persistentVolumeReclaimPolicy": policy}});
    kube.global("v1", "PersistentVolume").patch(volume, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// A replica's claim is lost and its next pod gets an empty volume: it must say so, and the cluster must take writes.
pub async fn blank(cluster: &Cluster) -> Result<String> {
    let primary = cluster.status().await?.current_primary.context("no primary")?;
    let replica = cluster.member_names().into_iter().find(|member| *member != primary).context("no replica")?;
    let uid = cluster.pod_uid(&replica).await?;
    cluster.kube.delete("v1", "PersistentVolumeClaim", &format!("data-{replica}"), &DeleteParams::default()).await?;
    cluster.kube.delete("v1", "Pod", &replica, &DeleteParams::default()).await?;
    wait::until(&format!("{replica}'s next pod"), GONE_LIMIT, async || {
        ensure!(cluster.pod_uid(&replica).await? != uid, "the old pod is still there");
        Ok(())
    })
    .await?;
    shown(cluster, &["BlankVolume"]).await
}
