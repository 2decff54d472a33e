//! What is kept of a failure: objects, events and logs, in target/e2e/NAME/.

use std::path::Path;

use anyhow::Result;
use kube::api::{ListParams, LogParams};
use serde_json::Value;

use super::cluster::{API_VERSION, KIND};
use super::install::OPERATOR_NAMESPACE;
use super::kube::Kube;

/// Lines kept of each container's log.
const LOG_LINES: i64 = 20_000;
/// Of the newest Events and records so many are printed, too: where this runs unattended only what is printed remains.
const TOLD_LINES: usize = 40;
/// No printed line is longer, in characters.
const TOLD_WIDTH: usize = 600;
const KINDS: [(&str, &str); 6] = [
    (API_VERSION, KIND),
    (API_VERSION, "Failover"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("apps/v1", "StatefulSet"),
    ("v1", "PersistentVolumeClaim"),
];

/// Writes everything that may explain what went wrong.
///
/// # Errors
/// When the folder cannot be written; what cannot be read from the cluster is left out.
pub async fn write(kube: &Kube, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for (version, kind) in KINDS {
        if let Ok(objects) = kube.list(version, kind).await {
            std::fs::write(folder.join(format!("{kind}.json")), serde_json::to_string_pretty(&objects)?)?;
            if kind == "Failover" {
                let mut records = objects;
                records.sort_by_key(|record| record["status"]["term"].as_u64());
                tell(&records.iter().map(record).collect::<Vec<_>>());
            }
        }
    }
    if let Ok(events) = kube.list("v1", "Event").await {
        let lines = timeline(&events);
        std::fs::write(folder.join("events.txt"), lines.join("\n"))?;
        tell(&lines);
    }
    logs(kube, folder).await?;
    logs(&kube.within(OPERATOR_NAMESPACE), folder).await?;
    println!("  what the cluster looked like is in {}", folder.display());
    Ok(())
}

fn tell(lines: &[String]) {
    for line in lines.iter().skip(lines.len().saturating_sub(TOLD_LINES)) {
        println!("    {}", line.replace('\n', " ").chars().take(TOLD_WIDTH).collect::<String>());
    }
}

/// What a Failover record says, in one line.
fn record(record: &Value) -> String {
    let said = &record["status"];
    format!("Failover of term {}: {} -> {}: {}", said["term"], said["from"], said["to"], said["evidence"])
}

/// Events, oldest first, one a line.
fn timeline(events: &[Value]) -> Vec<String> {
    let text = |event: &Value, pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let mut lines: Vec<String> = events
        .iter()
        .map(|event| {
            // Of a repeated one the last time.
            let time = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
            let time =
                time.iter().map(|pointer| text(event, pointer)).find(|time| !time.is_empty()).unwrap_or_default();
            let object = format!("{}/{}", text(event, "/involvedObject/kind"), text(event, "/involvedObject/name"));
            format!("{time} {object} {}: {}", text(event, "/reason"), text(event, "/message"))
        })
        .collect();
    lines.sort();
    lines
}

async fn logs(kube: &Kube, folder: &Path) -> Result<()> {
    let Ok(pods) = kube.pods().list(&ListParams::default()).await else { return Ok(()) };
    for pod in pods {
        let (Some(name), Some(spec)) = (pod.metadata.name, pod.spec) else { continue };
        let containers = spec.init_containers.unwrap_or_default().into_iter().chain(spec.containers);
        for container in containers {
            for previous in [false, true] {
                let how = LogParams {
                    container: Some(container.name.clone()),
                    tail_lines: Some(LOG_LINES),
                    timestamps: true,
                    previous,
                    ..LogParams::default()
                };
                if let Ok(log) = kube.pods().logs(&name, &how).await {
                    let suffix = if previous { ".previous" } else { "" };
                    std::fs::write(folder.join(format!("{name}.{}{suffix}.log", container.name)), log)?;
                }
            }
        }
    }
    Ok(())
}
