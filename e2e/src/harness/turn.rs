//! One scenario at a time on a cluster: they share its operator, and some of them stop it.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Held while a scenario plays; given back when dropped, or when the program ends in whatever way.
pub struct Turn {
    _locked: File,
}

impl Turn {
    /// Waits until nobody else plays on the cluster of this kubeconfig.
    ///
    /// # Errors
    /// When the kubeconfig cannot be locked.
    pub async fn wait() -> Result<Self> {
        let path = kubeconfig();
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            println!("another scenario plays on this cluster: waiting for its end");
            let waiting = file.try_clone()?;
            tokio::task::spawn_blocking(move || flock(&waiting, FlockOperation::LockExclusive)).await??;
        }
        Ok(Self { _locked: file })
    }
}

/// The file that names the cluster: the same file is the same cluster.
fn kubeconfig() -> PathBuf {
    let default = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".kube/config");
    std::env::var_os("KUBECONFIG").and_then(|paths| std::env::split_paths(&paths).next()).unwrap_or_else(default)
}
