//! A ReplicationCluster under test, as its user sees it: applied, watched through its status, asked by SQL, and hurt.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::kube::Kube;
use super::wait;

pub const API_VERSION: &str = "beachmaster.dev/v1alpha1";
pub const KIND: &str = "ReplicationCluster";
/// Container of mariadbd in a member's pod.
pub const MARIADB: &str = "mariadb";
/// Most ackers a cluster has, whatever its size.
const MOST_ACKERS: usize = 2;
/// From `kubectl apply` to Ready on two busy cores, images present.
const READY_LIMIT: Duration = Duration::from_secs(180);
/// From the death of a member to all members ready again. A member recovers, reconnects and catches up meanwhile.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
/// Ends a batch for the client, whose end of input does not arrive on every version of the exec protocol.
const QUIT: &str = "\n\\q\n";
/// Prints the clock in microseconds and kills mariadbd at once after. No pid file and no ps: neither is a given.
const KILL_MARIADBD: &str = r#"for p in /proc/[0-9]*; do
  if read -r name <"$p/comm" && [ "$name" = mariadbd ]; then date +%s%6N; kill -9 "${p#/proc/}"; exit; fi
done 2>/dev/null
echo "no mariadbd runs" >&2; exit 1"#;

/// A cluster in the namespace of its client.
#[derive(Clone)]
pub struct Cluster {
    pub kube: Kube,
    pub name: String,
    pub members: usize,
    pub semi_sync: bool,
}

/// The part of the status that scenarios look at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub term: Option<u64>,
    pub current_primary: Option<String>,
    pub durability: Option<String>,
    pub ackers: Vec<Acker>,
    pub ready_members: Option<usize>,
    pub transition: Option<Value>,
    pub members: Vec<Member>,
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Acker {
    pub member: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Member {
    pub name: String,
    pub role: Option<String>,
    pub state: String,
    pub reason: Option<String>,
    pub message: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

impl Status {
    /// A condition, if it was ever written.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    fn expect(&self, kind: &str) -> Result<()> {
        let condition = self.condition(kind).ok_or_else(|| anyhow!("no condition {kind} yet"))?;
        ensure!(condition.status == "True", "{kind}={} {}: {}", condition.status, condition.reason, condition.message);
        Ok(())
    }
}

impl Cluster {
    /// The manifest of a small cluster.
    #[must_use]
    pub fn manifest(name: &str, image: &str, spec: Value) -> Value {
        let mut manifest = json!({
            "apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name},
            "spec": {"image": image, "storage": {"size": "1Gi"}},
        });
        if let (Some(target), Value::Object(more)) = (manifest["spec"].as_object_mut(), spec) {
            target.extend(more);
        }
        manifest
    }

    /// Applies a manifest and returns the cluster it describes.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(kube: &Kube, manifest: &Value) -> Result<Self> {
        kube.apply(manifest).await.context("the ReplicationCluster was refused")?;
        let name = manifest["metadata"]["name"].as_str().context("a manifest without name")?;
        // Read back: the API server filled the defaults in.
        let spec = kube.get(API_VERSION, KIND, name).await?["spec"].take();
        Ok(Self {
            kube: kube.clone(),
            name: name.into(),
            members: spec["members"].as_u64().and_then(|members| usize::try_from(members).ok()).unwrap_or(3),
            semi_sync: spec["replication"]["mode"].as_str() != Some("Async"),
        })
    }

    /// Names of the members.
    #[must_use]
    pub fn member_names(&self) -> Vec<String> {
        (0..self.members).map(|ordinal| format!("{}-{ordinal}", self.name)).collect()
    }

    /// The status now.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn status(&self) -> Result<Status> {
        let mut object = self.kube.get(API_VERSION, KIND, &self.name).await?;
        match object["status"].take() {
            Value::Null => Ok(Status::default()),
            status => Ok(serde_json::from_value(status)?),
        }
    }

    /// Waits for the first Ready and everything that belongs to it.
    ///
    /// # Errors
    /// When it is not reached.
    pub async fn wait_ready(&self) -> Result<Status> {
        wait::until(&format!("{} is complete", self.name), READY_LIMIT, async || self.settled(0).await).await
    }

    /// Waits until the cluster is whole again in `term` or a later one.
    ///
    /// # Errors
    /// When it is not reached.
    pub async fn wait_settled(&self, term: u64) -> Result<Status> {
        wait::until(&format!("{} is whole again", self.name), SETTLE_LIMIT, async || self.settled(term).await).await
    }

    /// At rest, every member ready, and ready to lose the primary.
    async fn settled(&self, term: u64) -> Result<Status> {
        let status = self.status().await?;
        ensure!(status.term.unwrap_or(0) >= term, "term is {:?}, not yet {term}", status.term);
        ensure!(status.transition.is_none(), "a transition is under way: {:?}", status.transition);
        status.expect("Ready")?;
        status.expect("FailoverReady")?;
        ensure!(
            status.ready_members == Some(self.members),
            "ready members: {:?} of {}",
            status.ready_members,
            self.members
        );
        if self.semi_sync {
            ensure!(status.durability.as_deref() == Some("Enforced"), "durability is {:?}", status.durability);
            let ackers = MOST_ACKERS.min(self.members - 1);
            ensure!(status.ackers.len() == ackers, "ackers: {} of {ackers}", status.ackers.len());
        }
        Ok(status)
    }

    /// Waits until another member than `old` is the primary and the transition is over.
    ///
    /// # Errors
    /// When it does not happen within `limit`.
    pub async fn wait_failed_over(&self, old: &str, limit: Duration) -> Result<Status> {
        wait::until(&format!("{}: another primary than {old}", self.name), limit, async || {
            let status = self.status().await?;
            let primary = status.current_primary.as_deref();
            ensure!(
                primary.is_some_and(|primary| primary != old),
                "the primary is {primary:?}: {:?}",
                status.conditions
            );
            status.expect("Ready")?;
            Ok(status)
        })
        .await
    }

    /// Runs SQL on a member as its local administrator and returns the rows.
    ///
    /// # Errors
    /// When the member does not answer, or what the server said.
    pub async fn sql(&self, member: &str, script: &str) -> Result<Vec<Vec<String>>> {
        let client = ["mariadb", "--no-defaults", "--socket=/run/mysqld/mysqld.sock", "--batch", "--skip-column-names"];
        let printed = self.kube.exec(member, MARIADB, &client, &format!("{script};{QUIT}")).await?;
        Ok(printed.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }

    /// Runs SQL on a member as somebody else. The session lasts as long as the script.
    ///
    /// # Errors
    /// When the member does not answer, or what the server said.
    pub async fn sql_as(&self, user: &str, password: &str, member: &str, script: &str) -> Result<()> {
        let (user, password) = (format!("--user={user}"), format!("--password={password}"));
        let client = ["mariadb", "--no-defaults", "--socket=/run/mysqld/mysqld.sock", &user, &password];
        self.kube.exec(member, MARIADB, &client, &format!("{script};{QUIT}")).await.map(drop)
    }

    /// Runs SQL that answers one value.
    ///
    /// # Errors
    /// As `sql`, and when it answers something else.
    pub async fn sql_value(&self, member: &str, query: &str) -> Result<String> {
        let rows = self.sql(member, query).await?;
        rows.into_iter()
            .next()
            .and_then(|row| row.into_iter().next())
            .with_context(|| format!("{member}: no answer to {query}"))
    }

    /// `kill -9` of a member's mariadbd. Returns the `CLOCK_REALTIME` microseconds just before.
    ///
    /// # Errors
    /// When none runs.
    pub async fn kill_mariadbd(&self, member: &str) -> Result<u64> {
        let printed = self.kube.exec(member, MARIADB, &["sh", "-c", KILL_MARIADBD], "").await?;
        printed.trim().parse().with_context(|| format!("{member}: not a time: {printed}"))
    }

    /// The addresses of the members' pods.
    ///
    /// # Errors
    /// When one has none.
    pub async fn addresses(&self) -> Result<BTreeMap<String, String>> {
        let mut addresses = BTreeMap::new();
        for member in self.member_names() {
            let status = self.kube.pods().get(&member).await?.status.unwrap_or_default();
            let address = status.pod_ip.with_context(|| format!("{member} has no address"))?;
            addresses.insert(member, address);
        }
        Ok(addresses)
    }

    /// The node a member's pod runs on.
    ///
    /// # Errors
    /// When it runs on none.
    pub async fn node_of(&self, member: &str) -> Result<String> {
        let spec = self.kube.pods().get(member).await?.spec.unwrap_or_default();
        spec.node_name.with_context(|| format!("{member} is on no node"))
    }

    /// The uid of a member's pod.
    ///
    /// # Errors
    /// When there is no pod.
    pub async fn pod_uid(&self, member: &str) -> Result<String> {
        self.kube.pods().get(member).await?.metadata.uid.with_context(|| format!("{member} has no uid"))
    }

    /// The address of NAME-primary.
    ///
    /// # Errors
    /// When there is none.
    pub async fn primary_service(&self) -> Result<String> {
        let service = self.kube.get("v1", "Service", &format!("{}-primary", self.name)).await?;
        match service["spec"]["clusterIP"].as_str() {
            Some(address) if !address.is_empty() && address != "None" => Ok(address.into()),
            other => bail!("Service {}-primary has no address: {other:?}", self.name),
        }
    }

    /// The record of the failover of a term, as soon as it says how it ended.
    ///
    /// # Errors
    /// When it does not within some seconds.
    pub async fn failover_record(&self, term: u64) -> Result<Value> {
        let name = format!("{}-{term}", self.name);
        wait::until(&format!("Failover {name}"), Duration::from_secs(15), async || {
            let record = self.kube.get(API_VERSION, "Failover", &name).await?;
            ensure!(record.pointer("/status/conditions/0").is_some(), "it does not say how it ended");
            Ok(record["status"].clone())
        })
        .await
    }
}
