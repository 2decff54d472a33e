//! Whole transitions as people would read them: what is seen, and what is decided about it, step by step.

mod at_rest;
mod failover;
mod resume;

use super::decide::decide;
use super::decision::{Act, Decision};
use super::member::samples::{acker, acking, cluster, dead, edit, policy, primary, record, running};
use super::member_progress::Serving;
use super::observation::{AgentSight, MemberView, Observation, ServerSight};
use super::policy::Policy;
use super::record::{Durability, Record};
use super::transition::{Step, Transition, TransitionKind};
use crate::orders::{
    Answer, Frozen, Incarnation, LogEvidence, Mariadbd, Order, OrderError, Ordinal, Reason, Secret, Source, Term,
    Volume,
};
use crate::time::Millis;

/// A cluster that is asked again and again, as the operator does it.
struct Story {
    policy: Policy,
    record: Record,
    seen: Observation,
}

impl Story {
    /// Member 0 takes writes, 1 and 2 acknowledge them.
    fn at_rest() -> Self {
        let members = vec![primary(), acking(1), acking(2)];
        let record = Record { ackers: vec![acker(1, 1), acker(2, 1)], ..record() };
        Self { policy: policy(3), record, seen: cluster(members) }
    }

    fn primary_dies(mut self) -> Self {
        self.seen.members[0] = MemberView { pod: self.seen.members[0].pod.clone(), ..dead(0) };
        if let Some(pod) = &mut self.seen.members[0].pod {
            pod.ip = Some("10.0.0.1".to_owned());
        }
        self
    }

    fn at(&self, now: Millis) -> Self {
        let seen = Observation { now, ..self.seen.clone() };
        Self { policy: self.policy.clone(), record: self.record.clone(), seen }
    }

    fn member(&mut self, ordinal: usize) -> &mut MemberView {
        &mut self.seen.members[ordinal]
    }

    fn next(&self) -> Decision {
        decide(&self.policy, &self.record, &self.seen)
    }

    /// Expects one write, does it, and forgets what was reached when the term rose.
    fn written(&mut self) -> String {
        let decision = self.next();
        let [Act::Write { record, why }] = decision.acts.as_slice() else { panic!("no write: {decision:?}") };
        if record.term != self.record.term {
            self.seen.members.iter_mut().for_each(|member| member.progress = Default::default());
        }
        self.record = (**record).clone();
        self.seen.my_term = Some(self.record.term);
        why.clone()
    }

    /// Names of the acts decided now: `fence 0`, `route 1` …
    fn acts(&self) -> Vec<String> {
        let name = |act: &Act| match act {
            Act::Write { why, .. } => format!("write: {why}"),
            Act::Order { member, order } => format!("{} {member}", order.name()),
            Act::SwitchService { member } => format!("route {member}"),
        };
        self.next().acts.iter().map(name).collect()
    }

    fn serves(&mut self, ordinal: usize, end: &str) {
        let member = self.member(ordinal);
        member.progress.serving = Some(Serving { port: 3307, end: end.parse().unwrap(), bytes: None });
        if let AgentSight::Present(state) = &mut member.agent {
            state.serving = Some(3307);
        }
    }

    fn settles(&mut self, ordinal: usize, applied: &str) {
        let progress = &mut self.member(ordinal).progress;
        (progress.applied, progress.settled) = (Some(applied.parse().unwrap()), true);
    }

    fn freeze(&mut self, ordinal: usize, received: &str, applied: &str) {
        self.member(ordinal).progress.frozen = Some(Frozen {
            incarnation: Incarnation(1),
            received: received.parse().unwrap(),
            applied: applied.parse().unwrap(),
            killed: false,
            dropped: false,
            settled: true,
        });
    }

    fn fence(&mut self, end: &str) {
        self.member(0).progress.fenced = Some(LogEvidence::Readable { end: end.parse().unwrap(), torn: None });
    }
}
