//! Status and events as they come, with the time since the kill.

use std::pin::pin;

use futures::{Stream, StreamExt};
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::tell;
use crate::harness::cluster::{API_VERSION, Cluster, KIND, Status};
use crate::inside::clock::Stamp;

/// Tells every change of the cluster's status and every event until it is aborted.
pub fn tell_changes(cluster: Cluster, killed_us: u64) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut statuses = pin!(changes(cluster.kube.api(API_VERSION, KIND), &cluster.name));
        let mut events = pin!(all_changes(cluster.kube.api("v1", "Event")));
        let mut told = Told::default();
        loop {
            let lines = tokio::select! {
                Some(status) = statuses.next() => told.status(&status),
                Some(event) = events.next() => told.event(&event, killed_us),
                else => return,
            };
            let ms = Stamp::now().realtime_us.saturating_sub(killed_us) / 1_000;
            lines.iter().for_each(|line| tell::moment(ms, line));
        }
    })
}

fn changes(api: Api<DynamicObject>, name: &str) -> impl Stream<Item = Value> + use<> {
    json(watcher(api, watcher::Config::default().fields(&format!("metadata.name={name}"))))
}

fn all_changes(api: Api<DynamicObject>) -> impl Stream<Item = Value> {
    json(watcher(api, watcher::Config::default()))
}

/// A watch that breaks is begun again by the watcher; what is not told meanwhile is in the objects.
fn json(events: impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>>) -> impl Stream<Item = Value> {
    events.applied_objects().filter_map(async |object| serde_json::to_value(object.ok()?).ok())
}

/// What was told already.
#[derive(Default)]
struct Told {
    primary: Option<String>,
    step: Option<String>,
    ready: String,
    durability: Option<String>,
    members: Vec<(String, String)>,
    started: bool,
}

impl Told {
    fn status(&mut self, object: &Value) -> Vec<String> {
        let status: Status = serde_json::from_value(object["status"].clone()).unwrap_or_default();
        let step = status.transition.as_ref().map(|transition| {
            format!(
                "{} in term {}: {}",
                transition["kind"].as_str().unwrap_or(""),
                transition["term"],
                transition["step"].as_str().unwrap_or("")
            )
        });
        let ready = status
            .condition("Ready")
            .map(|ready| format!("Ready={} {}: {}", ready.status, ready.reason, ready.message));
        let ready = ready.unwrap_or_default();
        let members: Vec<_> = status.members.iter().map(|member| (member.name.clone(), member.state.clone())).collect();
        let mut lines = Vec::new();
        // The first one is the state before: known, not news.
        if self.started {
            if step != self.step {
                lines.push(step.clone().unwrap_or_else(|| "the transition is over".into()));
            }
            if status.current_primary != self.primary {
                lines.push(format!("the primary is {}", status.current_primary.clone().unwrap_or_default()));
            }
            if ready != self.ready {
                lines.push(ready.clone());
            }
            if status.durability != self.durability {
                lines.push(format!("durability: {}", status.durability.clone().unwrap_or_default()));
            }
            let news = members.iter().filter(|member| !self.members.contains(member));
            lines.extend(news.map(|(name, state)| format!("{name} is {state}")));
        }
        *self = Self {
            primary: status.current_primary,
            step,
            ready,
            durability: status.durability,
            members,
            started: true,
        };
        lines
    }

    fn event(&self, event: &Value, killed_us: u64) -> Vec<String> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let time = ["/eventTime", "/lastTimestamp", "/metadata/creationTimestamp"]
            .map(text)
            .into_iter()
            .find(|time| !time.is_empty());
        let time: Option<jiff::Timestamp> = time.and_then(|time| time.parse().ok());
        // Some events have whole seconds only.
        let second_of_the_kill = i64::try_from(killed_us / 1_000_000).unwrap_or(i64::MAX);
        if time.is_none_or(|time| time.as_second() < second_of_the_kill) {
            return vec![];
        }
        vec![format!("Event {}: {}", text("/reason"), text("/message"))]
    }
}
