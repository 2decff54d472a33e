//! The pods of one cluster, as Kubernetes tells them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::absent;
use super::claims;
use super::mounts;
use crate::control::input::Input;
use crate::control::pod::{PodFacts, Trouble};
use crate::orders::Ordinal;
use crate::resources::labels;

/// A watch that says nothing for this long is asked for again: kube's 290 s would leave a dead connection unnoticed.
const WATCH_SECONDS: u32 = 20;

/// Events of pods that do not start are looked at this often: they are not watched. A refusal is told within 5 s, of which
/// a trouble must last 3.
const EVENT_LOOKS: Duration = Duration::from_secs(2);

/// Follows the pods of one cluster.
pub(crate) struct PodWatch {
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
    pub(crate) fn new(client: kube::Client, namespace: String, cluster: String, members: u8) -> Self {
        Self { client, namespace, cluster, members, pods: BTreeMap::new(), absent: BTreeMap::new(), listing: true }
    }

    /// Tells `inputs` the pods whenever they change. Ends only when nobody listens any more.
    pub(crate) async fn run(mut self, inputs: mpsc::UnboundedSender<Input>) {
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
                warn!(%namespace, %cluster, %error, "watching the pods failed; the last known state is kept");
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
