//! Labels on pods, for people and for NAME-replicas. They follow the facts and decide nothing.
//!
//! A label that changes what a Service selects makes kube-proxy write its rules, and it does that at most once a second:
//! so labels wait until a transition's flip of NAME-primary has settled.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use tracing::warn;

use super::pods::PodFacts;
use crate::operator::apply::FIELD_MANAGER;
use crate::operator::clients::call;
use crate::operator::lease::Leadership;
use crate::resources::labels;
use crate::topology::observation::{IoThread, MemberView, Millis};

/// kube-proxy's minimum time between two writes is 1 s; the flip must be through before we cause the next.
pub const SETTLED_MS: u64 = 2_000;

/// What a member's labels should say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// It is the recorded primary.
    pub primary: bool,
    /// NAME-replicas leads to it.
    pub readable: bool,
}

impl Wanted {
    /// What follows from the facts. A replica that does not answer the probe right now keeps its label: readiness takes
    /// it out of the Service anyway.
    #[must_use]
    pub fn of(member: &MemberView, primary: bool, max_lag_s: u64) -> Option<Self> {
        if primary {
            return Some(Self { primary, readable: false });
        }
        let slave = member.view()?.slave.as_ref();
        let fresh = |lag: Option<u64>| lag.is_some_and(|lag| lag <= max_lag_s);
        let readable = slave.is_some_and(|slave| slave.io == IoThread::Yes && slave.sql && fresh(slave.lag_s));
        Some(Self { primary, readable })
    }

    fn values(self) -> [(&'static str, &'static str); 2] {
        let role = if self.primary { "primary" } else { "replica" };
        [(labels::ROLE, role), (labels::READABLE, if self.readable { "true" } else { "false" })]
    }

    fn is_on(self, pod: &PodFacts) -> bool {
        self.values().iter().all(|(key, value)| pod.labels.get(*key).is_some_and(|found| found == value))
    }
}

/// Writes labels that are not as they should be, in the background.
pub struct PodLabels {
    api: Api<Pod>,
    leadership: Leadership,
    written: Vec<(String, Wanted, Millis)>,
}

/// A write whose effect the watch has not shown by then is done again.
const REPEAT_MS: u64 = 10_000;

impl PodLabels {
    /// For the pods of one namespace.
    #[must_use]
    pub fn new(api: Api<Pod>, leadership: Leadership) -> Self {
        Self { api, leadership, written: Vec::new() }
    }

    /// Puts `wanted` on a pod unless it is there or on its way.
    pub fn put(&mut self, pod: &PodFacts, wanted: Wanted, now: Millis) {
        if wanted.is_on(pod) || pod.deleting {
            return;
        }
        let same =
            |(uid, was, at): &(String, Wanted, Millis)| *uid == pod.uid && *was == wanted && now.since(*at) < REPEAT_MS;
        if self.written.iter().any(same) {
            return;
        }
        self.written.retain(|(uid, _, at)| *uid != pod.uid && now.since(*at) < REPEAT_MS);
        self.written.push((pod.uid.clone(), wanted, now));
        let (api, leadership, pod) = (self.api.clone(), self.leadership.clone(), pod.clone());
        tokio::spawn(async move {
            let labels: serde_json::Map<_, _> =
                wanted.values().into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
            let patch = serde_json::json!({"metadata": {"uid": pod.uid, "labels": labels}});
            let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            if let Err(error) = call(&leadership, api.patch(&pod.name, &params, &Patch::Merge(&patch))).await {
                warn!(pod = pod.name, %error, "the labels of a pod were not written");
            }
        });
    }
}
