//! What is special about the binary logs whose tail is rescued, and how it is shown that they are so.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::harness::cluster::Cluster;
use crate::harness::stage::Stage;

/// The Secret with the key file.
const KEYS: &str = "shop-keys";
/// Key 1, which encrypts binary logs. It lives as long as the scenario's namespace.
const KEY_FILE: &str = "1;2f1d0a5e7c3b49688a9be0d4c6f7125390817263544536271809fadbeccddef0\n";
/// A binary log begins with its format, its encryption and two lists; the events of the first transactions follow.
const FIRST_EVENTS: u32 = 20;
/// The least size of a tail.
const BYTES: u64 = 20_000_000;
/// The same with compressed rows; the statements that are noted beside them are not compressed.
const BYTES_COMPRESSED: u64 = 10_000_000;

/// One of the scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// As they are by default.
    Plain,
    /// Encrypted with the keys of spec.encryption.
    Encrypted,
    /// With compressed events.
    Compressed,
    /// Written and applied by MariaDB 11.8.
    Mariadb11_8,
}

impl Variant {
    /// Makes the cluster.
    ///
    /// # Errors
    /// When it does not become whole.
    pub async fn cluster(self, stage: &Stage) -> Result<Cluster> {
        let mut spec = json!({"members": 3, "replication": {"mode": "Async"}});
        match self {
            Self::Plain => {}
            Self::Encrypted => {
                stage.kube.apply(&secret()).await?;
                spec["encryption"] = json!({"keysSecretKeyRef": {"name": KEYS}});
                spec["myCnf"] = "encrypt_binlog = ON\ninnodb_encrypt_tables = ON\n".into();
            }
            // The default of 256 bytes would leave short rows as they are.
            Self::Compressed => spec["myCnf"] = "log_bin_compress = ON\nlog_bin_compress_min_len = 10\n".into(),
            Self::Mariadb11_8 => spec["image"] = stage.settings.mariadb_11_8_image.clone().into(),
        }
        stage.cluster(spec).await
    }

    /// Says how the primary's binary logs are, when they are what this variant is about.
    ///
    /// # Errors
    /// When they are not.
    pub async fn prove(self, cluster: &Cluster, primary: &str, logs: &[String]) -> Result<String> {
        let version = cluster.sql_value(primary, "SELECT VERSION()").await?;
        ensure!(self != Self::Mariadb11_8 || version.starts_with("11.8."), "{primary} is {version}");
        for log in logs {
            let events = first_events(cluster, primary, log).await?;
            let has = |kind: fn(&str) -> bool| events.iter().any(|event| kind(event));
            let encrypted = has(|event| event == "Start_encryption");
            let compressed = has(|event| event.ends_with("_compressed_v1") || event.ends_with("_compressed"));
            let expected = (self == Self::Encrypted, self == Self::Compressed);
            ensure!((encrypted, compressed) == expected, "{log} is of another kind: {events:?}");
        }
        let kind = match self {
            Self::Plain | Self::Mariadb11_8 => "plain",
            Self::Encrypted => "encrypted",
            Self::Compressed => "compressed",
        };
        Ok(format!("{kind}, MariaDB {version}"))
    }

    /// The least size of a tail.
    #[must_use]
    pub fn least_bytes(self) -> u64 {
        if self == Self::Compressed { BYTES_COMPRESSED } else { BYTES }
    }
}

/// Types of the first events of a binary log.
async fn first_events(cluster: &Cluster, member: &str, log: &str) -> Result<Vec<String>> {
    let rows = cluster.sql(member, &format!("SHOW BINLOG EVENTS IN '{log}' LIMIT {FIRST_EVENTS}")).await?;
    let kinds: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().nth(2)).collect();
    ensure!(kinds.len() > 4, "{member}: {log} holds {kinds:?} only");
    Ok(kinds)
}

fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS}, "stringData": {"keys": KEY_FILE}})
}
