//! Our own pods beside the cluster: the writer, which is the application, the observer, a knocker and half-open requests.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::kube::Kube;
use super::settings::Settings;
use super::wait;
use crate::inside::clock::Stamp;
use crate::inside::half_open::Tallies;
use crate::inside::knocker::Knocks;
use crate::inside::ledger::Ledger;
use crate::inside::observer::Verdict;

/// Password of the account that the scenarios write with; it lives as long as the scenario's namespace.
const PASSWORD: &str = "Only-for-1-test-and-no-longer";
const START_LIMIT: Duration = Duration::from_secs(60);
/// Every question to a writer is a process in its pod.
const ASK_PERIOD: Duration = Duration::from_millis(500);
/// The slowest scenario waits for tens of thousands of rows.
const ROWS_LIMIT: Duration = Duration::from_secs(180);
/// Between two rows of a worker: together some hundred rows a second, and time for others on a machine of two cores.
const PAUSE_MS: u64 = 5;

/// What a scenario asks of its writer.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub workers: u32,
    pub payload_bytes: usize,
    pub pause_ms: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self { workers: 8, payload_bytes: 100, pause_ms: PAUSE_MS }
    }
}

/// Makes the account and the tables of writer and observer: an ordinary account, without READ ONLY ADMIN.
///
/// # Errors
/// When the primary refuses.
pub async fn prepare(cluster: &Cluster) -> Result<()> {
    let primary = cluster.status().await?.current_primary.context("no primary")?;
    let mut script = format!(
        "CREATE DATABASE IF NOT EXISTS e2e;
         CREATE TABLE IF NOT EXISTS e2e.writes
           (id BIGINT UNSIGNED PRIMARY KEY, worker INT UNSIGNED NOT NULL, payload VARCHAR(8192) NOT NULL) ENGINE=InnoDB;
         CREATE USER IF NOT EXISTS e2e@'%' IDENTIFIED BY '{PASSWORD}';
         GRANT SELECT, INSERT ON e2e.* TO e2e@'%';"
    );
    for ordinal in 0..cluster.members {
        script += &format!(
            "CREATE TABLE IF NOT EXISTS e2e.observer_{ordinal} (id BIGINT UNSIGNED PRIMARY KEY) ENGINE=InnoDB;"
        );
    }
    cluster.sql(&primary, &script).await?;
    Ok(())
}

/// A running writer.
pub struct Writer(Commanded);

impl Writer {
    /// Starts a writer that goes through NAME-primary and waits for its first row.
    ///
    /// # Errors
    /// When the pod does not start or nothing is acknowledged.
    pub async fn start(cluster: &Cluster, settings: &Settings, load: Load) -> Result<Self> {
        let arguments = [
            "writer".to_owned(),
            format!("--address={}", cluster.primary_service().await?),
            format!("--workers={}", load.workers),
            format!("--payload-bytes={}", load.payload_bytes),
            format!("--pause-ms={}", load.pause_ms),
        ];
        let writer = Self(Commanded::start(&cluster.kube, "writer", &settings.e2e_image, &arguments).await?);
        writer.wait_for(1).await?;
        Ok(writer)
    }

    /// Rows acknowledged so far.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn count(&self) -> Result<u64> {
        self.0.ask(&["count"]).await
    }

    /// Waits until this many rows were acknowledged.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn wait_for(&self, rows: u64) -> Result<()> {
        wait::every(ASK_PERIOD, &format!("{rows} rows acknowledged"), ROWS_LIMIT, async || {
            let count = self.count().await?;
            ensure!(count >= rows, "{count} are");
            Ok(())
        })
        .await
    }

    /// Everything it saw.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn report(&self) -> Result<Ledger> {
        self.0.ask(&["report"]).await
    }

    /// Lets it finish what it began and rest; what it saw.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn pause(&self) -> Result<Ledger> {
        self.0.ask(&["pause"]).await
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn resume(&self) -> Result<()> {
        self.0.ask(&["resume"]).await
    }
}

/// A running observer.
pub struct Observer(Commanded);

impl Observer {
    /// Starts an observer of every member.
    ///
    /// # Errors
    /// When the pod does not start.
    pub async fn start(cluster: &Cluster, settings: &Settings) -> Result<Self> {
        let addresses = cluster.addresses().await?;
        let members = addresses.iter().map(|(member, address)| format!("--member={member}={address}"));
        let arguments: Vec<String> = std::iter::once("observer".to_owned()).chain(members).collect();
        Ok(Self(Commanded::start(&cluster.kube, "observer", &settings.e2e_image, &arguments).await?))
    }

    /// Ends it.
    ///
    /// # Errors
    /// When its pod does not go.
    pub async fn end(self) -> Result<()> {
        self.0.end().await
    }

    /// Its clock now.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn now(&self) -> Result<u64> {
        self.0.ask(&["now"]).await
    }

    /// What it saw since then, when `new` was made primary.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn judge(&self, new: &str, since: u64) -> Result<Verdict> {
        self.0.ask(&["judge", new, &since.to_string()]).await
    }

    /// Lets it rest.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn pause(&self) -> Result<()> {
        self.0.ask(&["pause"]).await
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn resume(&self) -> Result<()> {
        self.0.ask(&["resume"]).await
    }
}

/// A client that opens new connections through NAME-primary all the time.
pub struct Knocker(Commanded);

impl Knocker {
    /// Starts one; the account of [`prepare`] must exist.
    ///
    /// # Errors
    /// When the pod does not start.
    pub async fn start(cluster: &Cluster, settings: &Settings) -> Result<Self> {
        let arguments = ["knocker".to_owned(), format!("--address={}", cluster.primary_service().await?)];
        Ok(Self(Commanded::start(&cluster.kube, "knocker", &settings.e2e_image, &arguments).await?))
    }

    /// Forgets what it met so far.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn begin(&self) -> Result<()> {
        self.0.ask(&["begin"]).await
    }

    /// What it met since.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn report(&self) -> Result<Knocks> {
        self.0.ask(&["report"]).await
    }
}

/// HTTP requests that never end, hanging on servers.
pub struct HalfOpen(Commanded);

impl HalfOpen {
    /// Starts them: `connections` to each target.
    ///
    /// # Errors
    /// When the pod does not start.
    pub async fn start(kube: &Kube, settings: &Settings, targets: &[SocketAddr], connections: usize) -> Result<Self> {
        let options = ["half-open".to_owned(), format!("--connections={connections}")];
        let targets = targets.iter().map(|target| format!("--target={target}"));
        let arguments: Vec<String> = options.into_iter().chain(targets).collect();
        Ok(Self(Commanded::start(kube, "half-open", &settings.e2e_image, &arguments).await?))
    }

    /// Waits until every target has accepted this many connections.
    ///
    /// # Errors
    /// When one does not.
    pub async fn wait_for(&self, connections: usize) -> Result<()> {
        wait::every(ASK_PERIOD, &format!("{connections} connections to each target"), START_LIMIT, async || {
            let tallies = self.between(0, Stamp::now().realtime_us).await?;
            let few = tallies.iter().find(|(_, tally)| tally.opened < connections);
            ensure!(few.is_none(), "too few: {few:?}");
            Ok(())
        })
        .await
    }

    /// What happened to the connections between two times, in microseconds of `CLOCK_REALTIME`.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub async fn between(&self, from_us: u64, to_us: u64) -> Result<Tallies> {
        self.0.ask(&["tallies", &from_us.to_string(), &to_us.to_string()]).await
    }
}

struct Commanded {
    kube: Kube,
    name: String,
}

impl Commanded {
    async fn start(kube: &Kube, name: &str, image: &str, arguments: &[String]) -> Result<Self> {
        kube.apply(&manifest(name, image, arguments)).await?;
        let commanded = Self { kube: kube.clone(), name: name.into() };
        wait::until(&format!("pod {name} answers"), START_LIMIT, async || {
            let phase = kube.pods().get(name).await?.status.unwrap_or_default().phase.unwrap_or_default();
            ensure!(phase == "Running", "it is {phase}");
            Ok(())
        })
        .await?;
        Ok(commanded)
    }

    async fn end(self) -> Result<()> {
        let how = DeleteParams::default().grace_period(0);
        self.kube.delete("v1", "Pod", &self.name, &how).await?;
        wait::until(&format!("pod {} is gone", self.name), START_LIMIT, async || {
            ensure!(self.kube.pods().get_opt(&self.name).await?.is_none(), "it is still there");
            Ok(())
        })
        .await
    }

    async fn ask<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let command: Vec<&str> = ["/e2e", "ctl"].into_iter().chain(words.iter().copied()).collect();
        let printed = self.kube.exec(&self.name, "main", &command, "").await?;
        serde_json::from_str(&printed).with_context(|| format!("pod {}: not an answer: {printed}", self.name))
    }
}

/// A pod that a namespace with Pod Security `restricted` admits.
fn manifest(name: &str, image: &str, arguments: &[String]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "args": arguments,
                "env": [{"name": "E2E_PASSWORD", "value": PASSWORD}],
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "run", "mountPath": "/run/e2e"}],
            }],
            "volumes": [{"name": "run", "emptyDir": {}}],
        },
    })
}
