//! When a cluster's objects were applied last, so that the operator's own status writes do not cause six more requests
//! each. No I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::registry::Key;
use crate::api::ReplicationCluster;
use crate::orders::Secret;

/// At rest objects are applied again after this long: a Service that somebody deleted comes back.
const AT_REST: Duration = Duration::from_secs(10);
/// The same after somebody changed one of them: what else is under way may be ours.
const CHANGED: Duration = Duration::from_secs(2);
/// During a transition the API server belongs to it; but one that waits long may wait for a deleted object.
const IN_TRANSITION: Duration = Duration::from_secs(60);

/// What was applied of one cluster.
#[derive(Debug, Clone)]
struct Last {
    uid: Option<String>,
    generation: Option<i64>,
    at: Instant,
    probe: Secret,
    /// One of the objects has changed since.
    changed: bool,
}

/// What was applied of every cluster.
#[derive(Debug, Default)]
pub(crate) struct Applied(BTreeMap<Key, Last>);

impl Applied {
    /// The probe's password, when nothing needs to be applied now.
    #[must_use]
    pub(crate) fn current(&self, key: &Key, object: &ReplicationCluster, now: Instant) -> Option<Secret> {
        let last = self.0.get(key)?;
        let same = last.uid == object.metadata.uid && last.generation == object.metadata.generation;
        let in_transition = object.status.as_ref().is_some_and(|status| status.transition.is_some());
        let lasts = match (in_transition, last.changed) {
            (true, _) => IN_TRANSITION,
            (false, true) => CHANGED,
            (false, false) => AT_REST,
        };
        (same && now.saturating_duration_since(last.at) < lasts).then(|| last.probe.clone())
    }

    /// Applying begins: what changes from now on may have been applied before it changed.
    pub(crate) fn begin(&mut self, key: &Key) {
        if let Some(last) = self.0.get_mut(key) {
            last.changed = false;
        }
    }

    /// Everything was applied.
    pub(crate) fn note(&mut self, key: Key, object: &ReplicationCluster, probe: Secret, now: Instant) {
        let last = Last {
            uid: object.metadata.uid.clone(),
            generation: object.metadata.generation,
            at: now,
            probe,
            changed: self.0.get(&key).is_some_and(|last| last.changed),
        };
        self.0.insert(key, last);
    }

    /// One of the objects of a cluster was changed or deleted, by us or by somebody else.
    pub(crate) fn note_changed(&mut self, key: &Key) {
        if let Some(last) = self.0.get_mut(key) {
            last.changed = true;
        }
    }

    /// How soon to look again at a cluster whose objects have changed; none when nothing has.
    #[must_use]
    pub(crate) fn again(&self, key: &Key) -> Option<Duration> {
        self.0.get(key).filter(|last| last.changed).map(|_| CHANGED)
    }

    /// Forgets clusters that no longer exist.
    pub(crate) fn keep(&mut self, exists: impl Fn(&Key) -> bool) {
        self.0.retain(|key, _| exists(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::desired::tests::example;

    #[test]
    fn objects_are_applied_when_the_spec_changed_or_some_time_has_passed() {
        let key = ("prod".to_owned(), "shop".to_owned());
        let start = Instant::now();
        let mut applied = Applied::default();
        let object = example();
        assert_eq!(applied.current(&key, &object, start), None);
        applied.note(key.clone(), &object, Secret("p".to_owned()), start);
        assert!(applied.current(&key, &object, start + AT_REST / 2).is_some());
        assert_eq!(applied.current(&key, &object, start + AT_REST), None);
        let mut changed = object.clone();
        changed.metadata.generation = Some(5);
        assert_eq!(applied.current(&key, &changed, start), None);
        changed = object;
        changed.metadata.uid = Some("another".to_owned());
        assert_eq!(applied.current(&key, &changed, start), None);
    }

    #[test]
    fn a_change_by_somebody_else_is_undone_soon() {
        let key = ("prod".to_owned(), "shop".to_owned());
        let start = Instant::now();
        let mut applied = Applied::default();
        let object = example();
        applied.note_changed(&key);
        assert_eq!(applied.again(&key), None, "never applied");
        applied.note(key.clone(), &object, Secret("p".to_owned()), start);
        applied.note_changed(&key);
        assert_eq!(applied.again(&key), Some(CHANGED));
        assert!(applied.current(&key, &object, start + CHANGED / 2).is_some());
        assert_eq!(applied.current(&key, &object, start + CHANGED), None);
        applied.begin(&key);
        applied.note(key.clone(), &object, Secret("p".to_owned()), start + CHANGED);
        assert_eq!(applied.again(&key), None);
        assert!(applied.current(&key, &object, start + CHANGED * 2).is_some());
        applied.begin(&key);
        applied.note_changed(&key);
        applied.note(key.clone(), &object, Secret("p".to_owned()), start + CHANGED * 2);
        assert_eq!(applied.again(&key), Some(CHANGED), "changed while the others were applied");
    }

    #[test]
    fn a_transition_is_left_alone() {
        let key = ("prod".to_owned(), "shop".to_owned());
        let start = Instant::now();
        let mut object = example();
        let transition = serde_json::json!({
            "kind": "Failover", "term": 3, "step": "Decided", "startedAt": "2026-11-22T11:00:00.000000Z",
        });
        object.status.get_or_insert_default().transition = Some(serde_json::from_value(transition).unwrap());
        let mut applied = Applied::default();
        applied.note(key.clone(), &object, Secret("p".to_owned()), start);
        assert!(applied.current(&key, &object, start + AT_REST * 2).is_some());
        assert_eq!(applied.current(&key, &object, start + IN_TRANSITION), None);
    }
}
