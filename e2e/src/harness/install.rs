//! The operator, installed as users install it; and namespaces that come and go.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::cluster::{API_VERSION, KIND};
use super::host;
use super::kube::Kube;
use super::settings::Settings;
use super::wait;

/// The chart, from the root of the repository.
pub const CHART: &str = "charts/beachmaster";
/// Namespace, release and Deployment of the operator.
pub const OPERATOR_NAMESPACE: &str = "beachmaster-system";
pub const RELEASE: &str = "beachmaster";
/// On the Deployment's pods: which build they run. The tag stays the same, so only this makes a new build start.
const BUILD_ANNOTATION: &str = "e2e.beachmaster.dev/build";
const ROLLOUT_LIMIT: Duration = Duration::from_secs(120);
const NAMESPACE_LIMIT: Duration = Duration::from_secs(120);
/// Servers that do not end by themselves within this time are killed with their pods.
const POLITE_LIMIT: Duration = Duration::from_secs(45);

/// What helm installs: a chart, and the image or values that go with it.
#[derive(Debug, Clone)]
pub struct Release {
    chart: String,
    values: Vec<String>,
    image: Option<String>,
}

impl Release {
    /// That of this work tree.
    #[must_use]
    pub fn current(settings: &Settings) -> Self {
        match &settings.values {
            Some(values) => Self { chart: CHART.into(), values: vec!["--values".into(), values.clone()], image: None },
            None => Self::of_image(CHART, "localhost/beachmaster"),
        }
    }

    /// That of an earlier commit (default: the last tag, or the commit before), compiled and loaded into the nodes.
    ///
    /// # Errors
    /// When there is no such commit, it does not compile, or the cluster is not that of `make cluster`.
    pub async fn before(commit: Option<&str>) -> Result<Self> {
        println!("  compiling the programs of {}, once", commit.unwrap_or("the release before"));
        let arguments: Vec<&str> = std::iter::once("before").chain(commit).collect();
        let tree = host::run(&host::cluster_tool(), &arguments, "")
            .await
            .context("this scenario loads another image, so it needs the cluster of `make cluster`")?;
        Ok(Self::of_image(&format!("{}/{CHART}", tree.trim()), "localhost/beachmaster-before"))
    }

    fn of_image(chart: &str, repository: &str) -> Self {
        let values = [format!("image.repository={repository}"), "image.tag=dev".into()];
        Self {
            chart: chart.into(),
            values: values.into_iter().flat_map(|value| ["--set".into(), value]).collect(),
            image: Some(format!("{repository}:dev")),
        }
    }

    /// The image of operator and agents; none when only a values file knows it.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }
}

/// Installs or upgrades the operator with the real helm and waits until every pod of it is ready.
///
/// # Errors
/// What helm said, or when the pods do not become ready.
pub async fn operator(kube: &Kube, release: &Release) -> Result<()> {
    let mut arguments =
        vec!["upgrade", "--install", RELEASE, &release.chart, "--namespace", OPERATOR_NAMESPACE, "--create-namespace"];
    arguments.extend(release.values.iter().map(String::as_str));
    host::run(&host::program("helm").await, &arguments, "").await?;
    let kube = kube.within(OPERATOR_NAMESPACE);
    mark_build(&kube).await?;
    wait_operator(&kube).await
}

/// Sets the number of operator pods and waits until it is so.
///
/// # Errors
/// When it does not become so.
pub async fn scale_operator(kube: &Kube, replicas: u32) -> Result<()> {
    let kube = kube.within(OPERATOR_NAMESPACE);
    let patch = json!({"spec": {"replicas": replicas}});
    kube.api("apps/v1", "Deployment").patch(RELEASE, &PatchParams::default(), &Patch::Merge(patch)).await?;
    if replicas > 0 {
        return wait_operator(&kube).await;
    }
    wait::until("the operator's pods are gone", ROLLOUT_LIMIT, async || {
        let left = operator_pods(&kube).await?;
        ensure!(left.is_empty(), "{} still there", left.join(", "));
        Ok(())
    })
    .await
}

/// Names of the operator's pods.
///
/// # Errors
/// What the API server said.
pub async fn operator_pods(kube: &Kube) -> Result<Vec<String>> {
    let kube = kube.within(OPERATOR_NAMESPACE);
    let selector = format!("app.kubernetes.io/name={RELEASE}");
    let pods = kube.pods().list(&ListParams::default().labels(&selector)).await?;
    Ok(pods.items.into_iter().filter_map(|pod| pod.metadata.name).collect())
}

/// The operator pod that holds the Lease.
///
/// # Errors
/// When nobody holds it.
pub async fn leader(kube: &Kube) -> Result<String> {
    let kube = kube.within(OPERATOR_NAMESPACE);
    let lease = kube.get("coordination.k8s.io/v1", "Lease", RELEASE).await?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    let pods = operator_pods(&kube).await?;
    pods.into_iter()
        .find(|pod| holder.contains(pod.as_str()))
        .ok_or_else(|| anyhow!("the Lease is held by '{holder}', which is no pod"))
}

/// Stops the process of the operator that leads, until what is returned is dropped.
///
/// # Errors
/// When nobody leads, or it does not run on this machine.
pub async fn stop_leader(kube: &Kube) -> Result<host::Stopped> {
    let pod = kube.within(OPERATOR_NAMESPACE).pods().get(&leader(kube).await?).await?;
    host::Stopped::in_pod(&pod.metadata.uid.unwrap_or_default(), &["/beachmaster", "operator"]).await
}

async fn wait_operator(kube: &Kube) -> Result<()> {
    wait::until("the operator is available and leads", ROLLOUT_LIMIT, async || {
        rolled_out(&kube.get("apps/v1", "Deployment", RELEASE).await?)?;
        leader(kube).await.map(|_| ())
    })
    .await
}

fn rolled_out(deployment: &Value) -> Result<()> {
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let wanted = number("/spec/replicas");
    let (updated, available, all) =
        (number("/status/updatedReplicas"), number("/status/availableReplicas"), number("/status/replicas"));
    ensure!(
        number("/status/observedGeneration") >= number("/metadata/generation"),
        "the Deployment was not looked at yet"
    );
    ensure!(
        (updated, available, all) == (wanted, wanted, wanted),
        "{updated} new, {available} available, {all} in all, {wanted} wanted"
    );
    Ok(())
}

/// Makes the Deployment start new pods when the image behind the tag has changed.
async fn mark_build(kube: &Kube) -> Result<()> {
    let Some(build) = loaded_build() else { return Ok(()) };
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {BUILD_ANNOTATION: build}}}}});
    kube.api("apps/v1", "Deployment").patch(RELEASE, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// What the cluster tool noted about the image it loaded.
fn loaded_build() -> Option<String> {
    let home = || Some(format!("{}/.local/state", std::env::var("HOME").ok()?));
    let state = std::env::var("BEACHMASTER_STATE")
        .ok()
        .or_else(|| Some(format!("{}/beachmaster", std::env::var("XDG_STATE_HOME").ok().or_else(home)?)))?;
    let key = std::fs::read_to_string(format!("{state}/images/beachmaster.key")).ok()?;
    Some(key.trim().to_owned())
}

/// Makes the client's namespace, empty, with Pod Security `restricted` enforced.
///
/// # Errors
/// When an earlier one does not go.
pub async fn fresh_namespace(kube: &Kube) -> Result<()> {
    remove_namespace(kube).await?;
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    kube.apply(
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kube.namespace, "labels": labels}}),
    )
    .await
}

/// Removes the client's namespace and waits until it is gone. Clusters and pods first: a namespace that still has some when it
/// is deleted is looked at again in ever longer intervals.
///
/// # Errors
/// When it does not go.
pub async fn remove_namespace(kube: &Kube) -> Result<()> {
    if gone(kube).await.is_ok() {
        return Ok(());
    }
    remove_all(kube, API_VERSION, KIND, &DeleteParams::default()).await?;
    remove_all(kube, "apps/v1", "StatefulSet", &DeleteParams::default()).await?;
    remove_all(kube, "v1", "Pod", &DeleteParams::default()).await?;
    if wait::until("the pods end by themselves", POLITE_LIMIT, async || no_pods(kube).await).await.is_err() {
        println!("  pods do not end by themselves and are removed by force");
        remove_all(kube, "v1", "Pod", &DeleteParams::default().grace_period(0)).await?;
    }
    kube.delete("v1", "Namespace", &kube.namespace, &DeleteParams::default()).await?;
    wait::until(&format!("namespace {} is gone", kube.namespace), NAMESPACE_LIMIT, async || gone(kube).await).await
}

async fn remove_all(kube: &Kube, api_version: &str, kind: &str, how: &DeleteParams) -> Result<()> {
    let api = kube.api(api_version, kind);
    match api.delete_collection(how, &ListParams::default()).await {
        // The kind itself does not exist before the chart is installed.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(|_| ()).map_err(Into::into),
    }
}

async fn no_pods(kube: &Kube) -> Result<()> {
    let pods = kube.pods().list(&ListParams::default()).await?;
    ensure!(pods.items.is_empty(), "{} are left", pods.items.len());
    Ok(())
}

async fn gone(kube: &Kube) -> Result<()> {
    match kube.global("v1", "Namespace").get_opt(&kube.namespace).await? {
        None => Ok(()),
        Some(namespace) => bail!("{}", serde_json::to_string(&namespace.data["status"])?),
    }
}
