//! The Kubernetes client: objects as JSON, and commands in pods.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, AttachParams, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

/// Who the API server is told wrote our objects.
const FIELD_MANAGER: &str = "beachmaster-e2e";
/// Longest command in a pod: a checksum over everything a scenario wrote.
const EXEC_LIMIT: Duration = Duration::from_secs(120);
/// A command that talks at all talks at once.
const FIRST_LINE_LIMIT: Duration = Duration::from_secs(1);
/// Room for a command's output on its way to us.
const EXEC_BUFFER: usize = 1 << 20;

/// A client that knows which namespace it works in.
#[derive(Clone)]
pub struct Kube {
    pub client: kube::Client,
    pub namespace: String,
}

impl Kube {
    /// Connects to the cluster of `$KUBECONFIG`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn connect() -> Result<Self> {
        // A second provider would be an error of ours; installing the same one twice is none.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = kube::Config::infer().await.context("no Kubernetes: export KUBECONFIG=$(make -s kubeconfig)")?;
        let client = kube::Client::try_from(config)?;
        client.apiserver_version().await.context("the API server does not answer: make cluster")?;
        Ok(Self { client, namespace: "default".into() })
    }

    /// The same client, working in another namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        Self { client: self.client.clone(), namespace: namespace.into() }
    }

    /// Objects of a kind in the namespace.
    #[must_use]
    pub fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(api_version, kind))
    }

    /// Cluster-wide objects of a kind.
    #[must_use]
    pub fn global(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource(api_version, kind))
    }

    /// Pods of the namespace.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates or changes an object, as `kubectl apply --server-side` does.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        let text = |pointer: &str| {
            object.pointer(pointer).and_then(Value::as_str).with_context(|| format!("object without {pointer}"))
        };
        let (version, kind, name) = (text("/apiVersion")?, text("/kind")?, text("/metadata/name")?);
        let api = if kind == "Namespace" { self.global(version, kind) } else { self.api(version, kind) };
        api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await?;
        Ok(())
    }

    /// An object as JSON.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn get(&self, api_version: &str, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.api(api_version, kind).get(name).await?)?)
    }

    /// All objects of a kind in the namespace.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn list(&self, api_version: &str, kind: &str) -> Result<Vec<Value>> {
        let list = self.api(api_version, kind).list(&ListParams::default()).await?;
        list.items.into_iter().map(|item| Ok(serde_json::to_value(item)?)).collect()
    }

    /// Deletes an object, if it is there.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn delete(&self, api_version: &str, kind: &str, name: &str, how: &DeleteParams) -> Result<()> {
        let api = if kind == "Namespace" { self.global(api_version, kind) } else { self.api(api_version, kind) };
        match api.delete(name, how).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.map(|_| ()).map_err(Into::into),
        }
    }

    /// Runs a command in a container, gives it `input` and returns what it printed.
    ///
    /// # Errors
    /// When it cannot be run, fails (with what it said), or takes longer than two minutes.
    pub async fn exec(&self, pod: &str, container: &str, command: &[&str], input: &str) -> Result<String> {
        let run = self.exec_unlimited(pod, container, command, input);
        let name = command.first().copied().unwrap_or_default();
        timeout(EXEC_LIMIT, run)
            .await
            .with_context(|| format!("{pod}/{container}: {name} took longer than {} s", EXEC_LIMIT.as_secs()))?
            .with_context(|| format!("{pod}/{container}: {name}"))
    }

    /// Starts a command that does not end, and returns its first line.
    ///
    /// # Errors
    /// When it cannot be run or says nothing for a second.
    pub async fn exec_first_line(&self, pod: &str, container: &str, command: &[&str]) -> Result<String> {
        // Its input stays open as long as the process is held: the end of input would end the command.
        let how = AttachParams::default().container(container).stdin(true).stdout(true).stderr(false);
        let read = async {
            let mut process = self.pods().exec(pod, command.iter().copied(), &how).await?;
            let stdout = process.stdout().ok_or_else(|| anyhow!("no stdout"))?;
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).await?;
            process.abort();
            Ok(line)
        };
        timeout(FIRST_LINE_LIMIT, read).await.context("it says nothing")?
    }

    async fn exec_unlimited(&self, pod: &str, container: &str, command: &[&str], input: &str) -> Result<String> {
        let how = AttachParams::default()
            .container(container)
            .stdin(!input.is_empty())
            .stdout(true)
            .stderr(true)
            .max_stdout_buf_size(EXEC_BUFFER);
        let mut process = self.pods().exec(pod, command.iter().copied(), &how).await?;
        let stdin = process.stdin();
        let mut stdout = process.stdout().ok_or_else(|| anyhow!("no stdout"))?;
        let mut stderr = process.stderr().ok_or_else(|| anyhow!("no stderr"))?;
        let status = process.take_status().ok_or_else(|| anyhow!("no status"))?;
        let (mut printed, mut complained) = (String::new(), String::new());
        let feed = async {
            if let Some(mut stdin) = stdin {
                stdin.write_all(input.as_bytes()).await?;
                stdin.shutdown().await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let (fed, read, heard) =
            futures::join!(feed, stdout.read_to_string(&mut printed), stderr.read_to_string(&mut complained));
        fed?;
        read?;
        heard?;
        let status = status.await.context("the connection ended before the command")?;
        if status.status.as_deref() != Some("Success") {
            bail!("{}: {}", status.message.unwrap_or_default(), complained.trim());
        }
        Ok(printed)
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}
