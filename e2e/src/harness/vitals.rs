//! What the kubelet says of a pod: restarts of its containers, and since when it is ready.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::kube::Kube;

/// A pod at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vitals {
    pod: String,
    uid: Option<String>,
    /// Container → how often it was restarted, and why its last run ended.
    containers: BTreeMap<String, (i32, Option<String>)>,
    /// None while it is not ready.
    ready_since: Option<Time>,
}

impl Vitals {
    /// Of a pod now.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn of(kube: &Kube, pod: &str) -> Result<Self> {
        Ok(Self::from(kube.pods().get(pod).await?))
    }

    /// No container was restarted since `before`, apart from those of the name `except`.
    ///
    /// # Errors
    /// When one was: which, and why its last run ended.
    pub fn not_restarted(&self, before: &Self, except: Option<&str>) -> Result<()> {
        ensure!(self.uid == before.uid, "{} is another pod", self.pod);
        for (name, (restarts, reason)) in &self.containers {
            let earlier = before.containers.get(name).map_or(0, |(restarts, _)| *restarts);
            ensure!(
                Some(name.as_str()) == except || *restarts == earlier,
                "{}/{name} was restarted {} times: {}",
                self.pod,
                restarts - earlier,
                reason.as_deref().unwrap_or("no reason given")
            );
        }
        Ok(())
    }

    /// The pod was ready all the time since `before`.
    ///
    /// # Errors
    /// When it was not: a condition that changed and changed back has a later time.
    pub fn stayed_ready(&self, before: &Self) -> Result<()> {
        ensure!(before.ready_since.is_some(), "{} was not ready before", self.pod);
        ensure!(self.ready_since.is_some(), "{} is not ready", self.pod);
        ensure!(self.ready_since == before.ready_since, "{} was not ready for some time", self.pod);
        Ok(())
    }

    /// The pod is ready now.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.ready_since.is_some()
    }
}

impl From<Pod> for Vitals {
    fn from(pod: Pod) -> Self {
        let status = pod.status.unwrap_or_default();
        // A native sidecar is an init container.
        let containers = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
        let mut conditions = status.conditions.into_iter().flatten();
        let ready = conditions.find(|condition| condition.type_ == "Ready" && condition.status == "True");
        Self {
            pod: pod.metadata.name.unwrap_or_default(),
            uid: pod.metadata.uid,
            containers: containers.map(container).collect(),
            ready_since: ready.and_then(|condition| condition.last_transition_time),
        }
    }
}

fn container(status: ContainerStatus) -> (String, (i32, Option<String>)) {
    let ended = status.last_state.and_then(|state| state.terminated);
    (status.name, (status.restart_count, ended.and_then(|ended| ended.reason)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vitals(restarts: i32, since: &str) -> Vitals {
        let ended = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
        let status = |name: &str, restarts: i32| {
            let state = if restarts > 0 { ended.clone() } else { json!({}) };
            json!({"name": name, "restartCount": restarts, "lastState": state,
                   "image": "", "imageID": "", "ready": true})
        };
        let pod = json!({
            "metadata": {"name": "shop-0", "uid": "1"},
            "status": {
                "initContainerStatuses": [status("agent", restarts)],
                "containerStatuses": [status("mariadb", 0)],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}],
            },
        });
        Vitals::from(serde_json::from_value::<Pod>(pod).unwrap())
    }

    #[test]
    fn a_restart_and_a_pause_of_readiness_are_seen() {
        let before = vitals(0, "2026-01-01T00:00:00Z");
        let later = vitals(1, "2026-01-01T00:00:09Z");
        assert!(before.not_restarted(&before, None).is_ok() && before.stayed_ready(&before).is_ok());
        let restarted = later.not_restarted(&before, Some("mariadb")).unwrap_err().to_string();
        assert_eq!(restarted, "shop-0/agent was restarted 1 times: OOMKilled");
        assert!(later.not_restarted(&before, Some("agent")).is_ok());
        assert!(later.stayed_ready(&before).is_err() && later.ready());
    }
}
