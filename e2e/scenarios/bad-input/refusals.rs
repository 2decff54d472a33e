//! Manifests that the API server must refuse, with words that help.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use kube::api::DeleteParams;
use serde_json::Value;

use crate::harness::kube::Kube;

/// One manifest each, refused when it is created.
const CASES: &str = "e2e/scenarios/bad-input/cases";
/// Two manifests each: the first is accepted, the change to the second is refused.
const UPDATES: &str = "e2e/scenarios/bad-input/updates";
const EXPECT: &str = "# expect:";

/// A file of these folders.
pub struct Refusal {
    pub name: String,
    expect: String,
    /// Accepted, then refused.
    accepted: Option<Value>,
    refused: Value,
}

impl Refusal {
    /// Every one, in the order of their names.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn all() -> Result<Vec<Self>> {
        let mut paths = yaml_files(CASES)?;
        paths.extend(yaml_files(UPDATES)?);
        paths.iter().map(|path| Self::read(path).with_context(|| path.display().to_string())).collect()
    }

    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let expect = text
            .lines()
            .find_map(|line| line.strip_prefix(EXPECT))
            .with_context(|| format!("no line `{EXPECT} TEXT`"))?;
        let parsed: Result<Vec<Value>, _> = text.split("\n---\n").map(serde_saphyr::from_str).collect();
        let mut manifests = parsed?;
        let refused = manifests.pop().context("no manifest")?;
        let kind = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self { name: format!("{kind}/{name}"), expect: expect.trim().into(), accepted: manifests.pop(), refused })
    }

    /// What the API server said, when it refused with the expected words.
    ///
    /// # Errors
    /// When it accepted, or said something else.
    pub async fn happens(&self, kube: &Kube) -> Result<String> {
        if let Some(accepted) = &self.accepted {
            kube.apply(accepted).await.context("what is to be changed was refused already")?;
        }
        let outcome = kube.apply(&self.refused).await;
        if self.accepted.is_some() || outcome.is_ok() {
            self.remove(kube).await?;
        }
        let Err(error) = outcome else {
            bail!("it was accepted; expected a refusal that says: {}", self.expect);
        };
        let said = format!("{error:#}");
        ensure!(said.contains(&self.expect), "refused, but not with `{}`: {said}", self.expect);
        Ok(format!("refused: {}", self.expect))
    }

    async fn remove(&self, kube: &Kube) -> Result<()> {
        let text = |pointer: &str| self.refused.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        kube.delete(text("/apiVersion"), text("/kind"), text("/metadata/name"), &DeleteParams::default()).await
    }
}

fn yaml_files(folder: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.to_owned())?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    ensure!(!paths.is_empty(), "no manifests in {folder}");
    Ok(paths)
}
