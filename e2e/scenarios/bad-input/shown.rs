//! Where users see what is wrong.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::harness::cluster::{Cluster, Status};
use crate::harness::wait;

/// The kubelet reports a failed pull after some seconds, an event of the provisioner likewise.
const SHOWN_LIMIT: Duration = Duration::from_secs(60);

/// Waits until a condition or a member's line says all of these words; a reader of `kubectl describe` sees it there.
pub async fn shown(cluster: &Cluster, words: &[&str]) -> Result<String> {
    wait::until(&format!("{} says what is wrong", cluster.name), SHOWN_LIMIT, async || {
        let status = cluster.status().await?;
        find(&status, words)
            .with_context(|| format!("conditions: {:?}, members: {:?}", status.conditions, status.members))
    })
    .await
}

fn find(status: &Status, words: &[&str]) -> Option<String> {
    let conditions = status.conditions.iter().map(|told| format!("{} {}: {}", told.kind, told.reason, told.message));
    let members = status.members.iter().map(|told| {
        format!(
            "{} {}: {}",
            told.name,
            told.reason.as_deref().unwrap_or_default(),
            told.message.as_deref().unwrap_or_default()
        )
    });
    conditions.chain(members).find(|text| words.iter().all(|word| text.contains(word)))
}
