//! Where a scenario plays: the installed operator, a namespace of its own, and its report.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cluster::Cluster;
use super::install::{self, Release};
use super::kube::Kube;
use super::report::Report;
use super::settings::Settings;
use super::turn::Turn;

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
        install::operator(&kube, &Release::current(&settings)).await.context("installing the operator")?;
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
