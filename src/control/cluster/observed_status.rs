//! What people read: the status beside the record, and labels on pods.

use super::{Cluster, Moment, Write};
use crate::api::ClusterStatus;
use crate::control::effect::Effect;
use crate::control::labels::{SETTLED_MS, Wanted};
use crate::control::member::Member;
use crate::control::status::{self, Scene};
use crate::time::Millis;
use crate::topology::decide::Decision;
use crate::topology::observation::Observation;
use crate::topology::record::Record;
use crate::topology::report::{Report, report};
use crate::topology::transition::TransitionKind;

/// Status for people is written at most this often.
const PEOPLE_MS: u64 = 1_000;
/// The same when the cluster becomes ready, or no longer is: a trouble that is over within a second is seen, too.
const TURN_MS: u64 = 100;
/// So long a new leader does not take back what its predecessor has said of a cluster that is ready: its first readings come in.
const SETTLES_IN_MS: u64 = 3_000;

impl Cluster {
    /// What may wait: status for people, labels. Not while a transition has its own writes to do.
    pub(super) fn settle(&mut self, seen: &Observation, decision: &Decision, at: Moment) {
        let record = self.store.record();
        let told = report(&self.desired.policy, record, seen, decision);
        self.telemetry.reported(record, &told);
        for member in self.members.iter() {
            self.telemetry.troubled(record.term, member, at.now);
        }
        let promoting = self.timeline.story().is_some_and(|story| story.kind != TransitionKind::Initialise);
        if promoting && decision.blocked.is_none() && decision.progress.is_none() {
            return;
        }
        self.put_labels(seen);
        // Decisions wait for a status write, and clients for this one.
        if self.service.is_leading() {
            return;
        }
        let turns = !self.people_failed && status::turns(&told, self.store.status());
        let pause = if turns { TURN_MS } else { PEOPLE_MS };
        if self.people_at.is_some_and(|people_at| at.now.since(people_at) < pause) {
            return;
        }
        let record = self.store.record().clone();
        let status = self.compose(&record, seen, &told, at);
        if self.store.status() == Some(&status) {
            return;
        }
        self.people_at = Some(at.now);
        self.writing = Some(Write::People);
        let write = self.store.write(record, status);
        self.effects.push(write);
    }

    pub(super) fn compose(&self, record: &Record, seen: &Observation, told: &Report, at: Moment) -> ClusterStatus {
        let scene = Scene {
            desired: &self.desired,
            manager: &self.leader.manager,
            members: &seen.members,
            pods: self.members.iter().map(Member::pod).collect(),
            troubles: self.members.iter().map(|member| member.trouble(seen.now)).collect(),
            now: at.wall,
        };
        let mut status = self.store.status().cloned().unwrap_or_default();
        if !self.is_settling_in(record, told, seen.now) {
            status::compose(&mut status, told, &scene);
        }
        status
    }

    /// The cluster was ready and rests, and this leader has only just begun to look.
    fn is_settling_in(&self, record: &Record, told: &Report, now: Millis) -> bool {
        record.transition.is_none()
            && self.began.is_none_or(|began| now.since(began) < SETTLES_IN_MS)
            && status::turns(told, self.store.status())
            && status::is_ready(self.store.status())
    }

    fn put_labels(&mut self, seen: &Observation) {
        let settled = self.routed_at.is_none_or(|at| seen.now.since(at) >= SETTLED_MS);
        let record = self.store.record();
        if !settled || record.transition.is_some() || self.timeline.trouble_since().is_some() {
            return;
        }
        let Some(primary) = record.primary else { return };
        let max_lag = self.desired.cluster.spec.max_lag.as_secs();
        for view in &seen.members {
            let pod = self.members.get(view.ordinal).and_then(Member::pod);
            if let (Some(pod), Some(wanted)) = (pod, Wanted::of(view, view.ordinal == primary, max_lag)) {
                let patch = self.labels.put(pod, wanted, seen.now);
                self.effects.extend(patch.map(Effect::Label));
            }
        }
    }
}
