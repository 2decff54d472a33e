//! Where a scenario plays: the installed operator, a namespace of its own, and its report.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cluster::Cluster;
use super::install;
use super::kube::Kube;
use super::report::Report;
use super::turn::Turn;

/// What differs between the cluster of `make cluster` and somebody's own.
#[derive(Debug, Clone)]
pub struct Settings {
    /// MariaDB's image.
    pub mariadb_image: String,
    /// MariaDB 11.8's.
    pub mariadb_11_8_image: String,
    /// Image of this program.
    pub e2e_image: String,
    /// Values for the chart, when its image is not the one that `make images` loads.
    pub values: Option<String>,
}

impl Settings {
    /// From the environment; by default what `make cluster` provides.
    #[must_use]
    pub fn from_env() -> Self {
        let or = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
        Self {
            mariadb_image: or("BEACHMASTER_MARIADB_IMAGE", "localhost/mariadb:10.11"),
            mariadb_11_8_image: or("BEACHMASTER_MARIADB_11_8_IMAGE", "localhost/mariadb:11.8"),
            e2e_image: or("BEACHMASTER_E2E_IMAGE", "localhost/beachmaster-e2e:dev"),
            values: std::env::var("BEACHMASTER_VALUES").ok(),
        }
    }
}

/// See the module.
pub struct Stage {
    pub kube: Kube,
    pub settings: Settings,
    pub report: Report,
    _turn: Turn,
}

impl Stage {
    /// Waits for its turn, installs the operator and makes the namespace, empty.
    ///
    /// # Errors
    /// When the cluster does not allow it.
    pub async fn set(name: &str, namespace: &str) -> Result<Self> {
        ensure!(
            std::path::Path::new(install::CHART).exists(),
            "no {} here: run this from the root of the repository",
            install::CHART
        );
        let settings = Settings::from_env();
        let kube = Kube::connect().await?.within(namespace);
        let turn = Turn::wait().await?;
        install::operator(&kube, &settings).await.context("installing the operator")?;
        install::fresh_namespace(&kube).await?;
        Ok(Self { kube, settings, report: Report::new(name), _turn: turn })
    }

    /// Applies a cluster named `shop` and waits until it is whole.
    ///
    /// # Errors
    /// When it does not become so.
    pub async fn cluster(&self, spec: Value) -> Result<Cluster> {
        let cluster =
            Cluster::apply(&self.kube, &Cluster::manifest("shop", &self.settings.mariadb_image, spec)).await?;
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    /// Removes the namespace.
    ///
    /// # Errors
    /// When it does not go.
    pub async fn clear(&self) -> Result<()> {
        install::remove_namespace(&self.kube).await
    }
}
