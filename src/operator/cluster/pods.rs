//! The pods of one cluster, as Kubernetes tells them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod, PodStatus};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::absent;
use super::claims;
use super::input::Input;
use super::link::PodTarget;
use super::mounts;
use crate::api::validate::member_ordinal;
use crate::orders::Ordinal;
use crate::resources::labels;

/// A watch that says nothing for this long is asked for again: kube's 290 s would leave a dead connection unnoticed.
const WATCH_SECONDS: u32 = 20;

/// Events of pods that do not start are looked at this often: they are not watched. A refusal is told within 5 s, of which
/// a trouble must last 3.
const EVENT_LOOKS: Duration = Duration::from_secs(2);

/// The scheduler's word for a pod that no node takes.
pub const UNSCHEDULABLE: &str = "Unschedulable";

/// What matters of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// The member it is.
    pub ordinal: Ordinal,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: String,
    /// metadata.resourceVersion.
    pub version: String,
    /// status.podIP.
    pub ip: Option<IpAddr>,
    /// It has a deletionTimestamp.
    pub deleting: bool,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// What keeps it from running.
    pub trouble: Option<Trouble>,
    /// Its labels for people and for NAME-replicas.
    pub labels: BTreeMap<String, String>,
}

/// Why a pod does not run, in the kubelet's or the scheduler's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One word, for example ImagePullBackOff.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl PodFacts {
    /// Reads a pod of `cluster`; none when its name is not that of a member.
    #[must_use]
    pub fn read(pod: &Pod, cluster: &str) -> Option<Self> {
        let name = pod.name_any();
        let status = pod.status.clone().unwrap_or_default();
        Some(Self {
            ordinal: member_ordinal(cluster, &name)?,
            name,
            uid: pod.uid().unwrap_or_default(),
            version: pod.resource_version().unwrap_or_default(),
            ip: status.pod_ip.as_deref().and_then(|ip| ip.parse().ok()),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            trouble: trouble(&status),
            labels: pod.labels().clone(),
        })
    }

    /// Where the agent's stream goes to; none before the pod is on a node.
    #[must_use]
    pub fn target(&self) -> Option<PodTarget> {
        self.node.as_ref()?;
        Some(PodTarget { name: self.name.clone(), uid: self.uid.clone(), version: self.version.clone() })
    }
}

fn trouble(status: &PodStatus) -> Option<Trouble> {
    let init = status.init_container_statuses.iter().flatten();
    let containers = init.chain(status.container_statuses.iter().flatten());
    containers.filter_map(waiting).next().or_else(|| unscheduled(status))
}

fn waiting(container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.clone()?;
    // The ordinary way of every start.
    if matches!(reason.as_str(), "ContainerCreating" | "PodInitializing") {
        return None;
    }
    let words = waiting.message.clone().unwrap_or_else(|| "no message".to_owned());
    Some(Trouble { reason, message: format!("container {}: {words}", container.name) })
}

fn unscheduled(status: &PodStatus) -> Option<Trouble> {
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled")?;
    (condition.status == "False").then(|| Trouble {
        reason: condition.reason.clone().unwrap_or_else(|| UNSCHEDULABLE.to_owned()),
        message: condition.message.clone().unwrap_or_else(|| "the pod has no node".to_owned()),
    })
}

/// Follows the pods of one cluster.
pub struct PodWatch {
    client: kube::Client,
    namespace: String,
    cluster: String,
    members: u8,
    pods: BTreeMap<String, PodFacts>,
    absent: BTreeMap<Ordinal, Trouble>,
    listing: bool,
}

impl PodWatch {
    /// A watch that has not begun, of a cluster of so many members.
    #[must_use]
    pub fn new(client: kube::Client, namespace: String, cluster: String, members: u8) -> Self {
        Self { client, namespace, cluster, members, pods: BTreeMap::new(), absent: BTreeMap::new(), listing: true }
    }

    /// Tells `inputs` the pods whenever they change. Ends only when nobody listens any more.
    pub async fn run(mut self, inputs: mpsc::UnboundedSender<Input>) {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let selector = labels::selector_text(&self.cluster);
        let config = watcher::Config::default().labels(&selector).timeout(WATCH_SECONDS);
        let mut events = watcher(api, config).default_backoff().boxed();
        let mut looks = interval(EVENT_LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.take_in(event),
                    None => return,
                },
                _ = looks.tick() => {
                    if self.look_for_absent().await && inputs.send(Input::Absent(self.absent.clone())).is_err() {
                        return;
                    }
                    self.look_at_events().await
                }
            };
            if changed && !self.listing && inputs.send(Input::Pods(self.pods.values().cloned().collect())).is_err() {
                return;
            }
        }
    }

    fn take_in(&mut self, event: Result<watcher::Event<Pod>, watcher::Error>) -> bool {
        match event {
            Ok(watcher::Event::Init) => {
                self.pods.clear();
                self.listing = true;
            }
            Ok(watcher::Event::InitApply(pod) | watcher::Event::Apply(pod)) => {
                if let Some(facts) = PodFacts::read(&pod, &self.cluster) {
                    self.pods.insert(facts.name.clone(), facts);
                }
            }
            Ok(watcher::Event::InitDone) => self.listing = false,
            Ok(watcher::Event::Delete(pod)) => {
                self.pods.remove(&pod.name_any());
            }
            Err(error) => {
                let Self { namespace, cluster, .. } = self;
                warn!(%namespace, %cluster, %error, "the watch of the pods failed; the last view stays");
                return false;
            }
        }
        true
    }

    /// Looks why pods are not there, while some are not; true when that has changed.
    async fn look_for_absent(&mut self) -> bool {
        let complete = self.pods.len() >= usize::from(self.members);
        let found = if complete || self.listing {
            BTreeMap::new()
        } else {
            let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
            absent::look(&events, &self.cluster).await
        };
        std::mem::replace(&mut self.absent, found) != self.absent
    }

    /// Replaces what a pod says by what Events say, for pods that wait for a volume or for something to mount.
    async fn look_at_events(&mut self) -> bool {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut changed = false;
        for pod in self.pods.values_mut() {
            let found = if claims::waits_for_volume(pod) {
                claims::look(&events, pod).await
            } else if mounts::waits_for_mounts(pod) {
                mounts::look(&events, pod).await
            } else {
                None
            };
            if found.is_some() && found != pod.trouble {
                pod.trouble = found;
                changed = true;
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: serde_json::Value) -> PodFacts {
        let pod = serde_json::json!({
            "metadata": {"name": "shop-2", "uid": "u", "resourceVersion": "7", "deletionTimestamp": "2026-11-22T10:00:00Z"},
            "spec": {"containers": [], "nodeName": "n1"},
            "status": status,
        });
        PodFacts::read(&serde_json::from_value(pod).unwrap(), "shop").unwrap()
    }

    #[test]
    fn reads_what_matters() {
        let facts = read(serde_json::json!({"podIP": "10.0.0.7"}));
        assert_eq!((facts.ordinal, facts.deleting, facts.trouble.clone()), (Ordinal(2), true, None));
        assert_eq!(facts.ip, Some("10.0.0.7".parse().unwrap()));
        assert_eq!(facts.target().unwrap().uid, "u");
    }

    #[test]
    fn shows_the_reason_of_a_pod_that_does_not_start() {
        let waits = |reason: &str| {
            serde_json::json!({"containerStatuses": [{
                "name": "mariadb", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": {"waiting": {"reason": reason, "message": "not found"}},
            }]})
        };
        let trouble = read(waits("ImagePullBackOff")).trouble.unwrap();
        assert_eq!(
            (trouble.reason.as_str(), trouble.message.as_str()),
            ("ImagePullBackOff", "container mariadb: not found")
        );
        assert_eq!(read(waits("ContainerCreating")).trouble, None);
    }

    #[test]
    fn shows_why_a_pod_has_no_node() {
        let status = serde_json::json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"},
        ]});
        assert_eq!(read(status).trouble.unwrap().message, "0/3 nodes");
    }
}
