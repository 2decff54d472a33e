//! Labels on pods, for people and for NAME-replicas. They follow the facts and decide nothing.
//!
//! A label that changes what a Service selects makes kube-proxy write its rules, and it does that at most once a second:
//! so labels wait until a transition's flip of NAME-primary has settled.

use super::pod::PodFacts;
use crate::resources::labels;
use crate::time::Millis;
use crate::topology::observation::{IoThread, MemberView};

/// kube-proxy's minimum time between two writes is 1 s; the flip must be through before we cause the next.
pub(crate) const SETTLED_MS: u64 = 2_000;
/// A write whose effect the watch has not shown by then is done again.
const REPEAT_MS: u64 = 10_000;

/// New labels for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPatch {
    /// metadata.name of the pod.
    pub(crate) pod: String,
    /// metadata.uid: another pod of that name is another member's life.
    pub(crate) uid: String,
    /// Keys and values.
    pub(crate) labels: [(&'static str, &'static str); 2],
}

/// What a member's labels should say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// It is the recorded primary.
    pub(crate) primary: bool,
    /// NAME-replicas leads to it.
    pub(crate) readable: bool,
}

impl Wanted {
    /// What follows from the facts. A replica that does not answer the probe right now keeps its label: readiness takes
    /// it out of the Service anyway.
    #[must_use]
    pub(crate) fn of(member: &MemberView, primary: bool, max_lag_s: u64) -> Option<Self> {
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

/// The labels that are on their way.
#[derive(Debug, Default)]
pub(crate) struct PodLabels(Vec<(String, Wanted, Millis)>);

impl PodLabels {
    /// What puts `wanted` on a pod; none when it is there or on its way.
    pub(crate) fn put(&mut self, pod: &PodFacts, wanted: Wanted, now: Millis) -> Option<LabelPatch> {
        if wanted.is_on(pod) || pod.deleting {
            return None;
        }
        let same =
            |(uid, was, at): &(String, Wanted, Millis)| *uid == pod.uid && *was == wanted && now.since(*at) < REPEAT_MS;
        if self.0.iter().any(same) {
            return None;
        }
        self.0.retain(|(uid, _, at)| *uid != pod.uid && now.since(*at) < REPEAT_MS);
        self.0.push((pod.uid.clone(), wanted, now));
        Some(LabelPatch { pod: pod.name.clone(), uid: pod.uid.clone(), labels: wanted.values() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::orders::Ordinal;

    #[test]
    fn labels_are_written_once_until_they_should_have_been_seen() {
        let mut pod = PodFacts {
            ordinal: Ordinal(0),
            name: "shop-0".to_owned(),
            uid: "u".to_owned(),
            version: "1".to_owned(),
            ip: None,
            deleting: false,
            node: None,
            trouble: None,
            labels: BTreeMap::new(),
        };
        let mut labels = PodLabels::default();
        let primary = Wanted { primary: true, readable: false };
        let patch = labels.put(&pod, primary, Millis(0)).unwrap();
        assert_eq!(patch.labels[0].1, "primary");
        assert_eq!(labels.put(&pod, primary, Millis(9_999)), None, "on its way");
        assert!(labels.put(&pod, Wanted { primary: false, readable: true }, Millis(9_999)).is_some());
        assert!(labels.put(&pod, primary, Millis(30_000)).is_some());
        pod.labels = primary.values().map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(labels.put(&pod, primary, Millis(60_000)), None, "there");
        pod.labels.clear();
        pod.deleting = true;
        assert_eq!(labels.put(&pod, primary, Millis(90_000)), None);
    }
}
