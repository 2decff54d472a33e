//! Whole transitions as people would read them: what is seen, and what is decided about it, step by step.

use super::decide::{Act, Decision, decide};
use super::member::samples::{acker, acking, cluster, dead, edit, policy, primary, record, running};
use super::observation::{AgentSight, MemberView, Millis, Observation, ServerSight};
use super::policy::Policy;
use super::reached::Serving;
use super::record::{Durability, Record, Step, Transition, TransitionKind};
use crate::orders::{
    Answer, Frozen, Incarnation, LogEvidence, Mariadbd, Order, OrderError, Ordinal, Reason, Secret, Source, Term,
    Volume,
};

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
            Act::Route { member } => format!("route {member}"),
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

#[test]
fn a_healthy_cluster_is_left_alone() {
    assert_eq!(Story::at_rest().next(), Decision::default());
}

#[test]
fn a_dead_primary_is_fenced_salvaged_and_replaced() {
    let mut story = Story::at_rest().primary_dies();
    assert_eq!(story.written(), "member 0 is dead: mariadbd exited with signal 9");
    assert_eq!((story.record.term, story.record.primary), (Term(4), Some(Ordinal(0))));
    assert_eq!(story.acts(), ["fence 0", "freeze 1", "freeze 2"]);

    story.fence("0-17-12");
    story.freeze(1, "0-17-10", "0-17-10");
    assert_eq!(story.acts(), ["freeze 2"], "nothing goes on before every answer is there");
    story.freeze(2, "0-17-11", "0-17-9");
    assert_eq!(story.acts(), ["route 2", "serve-binlog 0"]);
    story.seen.routed = Some(Ordinal(2));
    story.serves(0, "0-17-12");
    assert_eq!(story.acts(), ["follow 2"], "the member that received most has the shortest way");
    story.member(2).progress.following = Some("10.0.0.1".to_owned());
    story.member(2).progress.applied = Some("0-17-11".parse().unwrap());
    assert_eq!(story.acts(), ["await 2"]);
    story.settles(2, "0-17-12");

    assert_eq!(story.written(), "member 2 has everything up to 0-17-12");
    assert_eq!(story.record.primary, Some(Ordinal(2)), "the point of no return names the new primary");
    assert_eq!(story.record.durability, Durability::CatchingUp);
    assert_eq!(story.record.ackers, [acker(1, 1)]);
    assert_eq!(story.acts(), ["promote 2", "follow 1"]);
    story.member(2).progress.promoted = Some("0-17-12".parse().unwrap());
    assert_eq!(story.written(), "the new primary takes writes");
    assert_eq!(story.record.transition, None);
}

#[test]
fn a_candidate_that_dies_before_the_point_of_no_return_is_replaced_under_a_new_term() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-12");
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-11", "0-17-11");
    story.serves(0, "0-17-12");
    story.member(2).progress.following = Some("10.0.0.1".to_owned());
    let gone = dead(2);
    story.member(2).agent = gone.agent;
    story.member(2).server = gone.server;
    assert!(story.written().contains("member 1 is the next candidate"));
    assert_eq!(story.record.term, Term(5));
    assert_eq!(story.acts(), ["fence 0", "freeze 1"]);
}

#[test]
fn a_promoted_member_that_dies_at_once_is_where_the_next_failover_starts() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-10");
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-10", "0-17-10");
    story.written();
    assert_eq!(story.record.primary, Some(Ordinal(1)));
    let gone = dead(1);
    story.member(1).agent = gone.agent;
    story.member(1).server = gone.server;
    story.written();
    let transition = story.record.transition.clone().unwrap();
    assert_eq!((transition.kind, transition.from), (TransitionKind::Failover, Some(Ordinal(1))));
    assert_eq!(story.acts()[0], "fence 1");
}

#[test]
fn frozen_ackers_do_when_the_dead_primarys_volume_is_unreadable() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.freeze(1, "0-17-11", "0-17-10");
    story.freeze(2, "0-17-10", "0-17-10");
    story.member(0).progress.fenced = Some(LogEvidence::Unreadable { message: "Input/output error".to_owned() });
    assert_eq!(story.acts(), ["await 1"], "its relay log is drained by the SQL thread alone");
    story.settles(1, "0-17-11");
    assert_eq!(story.written(), "member 1 has everything up to 0-17-11");
}

#[test]
fn a_candidate_whose_donor_is_lost_is_frozen_again_and_recovers_what_it_threw_away() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-12");
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-11", "0-17-9");
    story.seen.routed = Some(Ordinal(2));
    story.serves(0, "0-17-12");
    story.member(2).progress.following = Some("10.0.0.1".to_owned());
    story.member(2).progress.applied = Some("0-17-9".parse().unwrap());
    story.member(0).agent = AgentSight::default();
    assert_eq!(story.acts(), ["freeze 2"], "nobody knows any more what it has received");

    let again = Answer::Frozen(Frozen {
        incarnation: Incarnation(1),
        received: "0-17-9".parse().unwrap(),
        applied: "0-17-9".parse().unwrap(),
        killed: false,
        dropped: true,
        settled: true,
    });
    story.member(2).progress.note(&Order::Freeze, &again, Millis(0));
    assert_eq!(story.acts(), ["recover 2"], "it acknowledged 0-17-11, which its kept relay logs have");
    let Answer::Frozen(frozen) = again else { panic!() };
    let has = "0-17-11".parse().unwrap();
    let frozen = Frozen { applied: "0-17-11".parse().unwrap(), received: has, dropped: false, ..frozen };
    let recover = Order::Recover { incarnation: Incarnation(1), server_id: 17 };
    let recovered = Answer::Recovered { of: Incarnation(1), frozen };
    story.member(2).progress.note(&recover, &recovered, Millis(0));
    assert_eq!(story.written(), "member 2 has everything up to 0-17-11");
}

#[test]
fn what_a_crash_left_half_done_is_mended_before_the_point_of_no_return() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-10");
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-9", "0-17-9");
    story.seen.routed = Some(Ordinal(1));
    story.member(1).progress.frozen.as_mut().unwrap().settled = false;
    assert_eq!(story.acts(), ["await 1"], "it has everything, and is not fit yet");
    let error = OrderError { reason: Reason::MissingTransactions, message: "not in its tables".to_owned() };
    story.member(1).progress.note_failure(&Order::Await { position: "0-17-10".parse().unwrap() }, error);
    assert_eq!(story.acts(), ["serve-binlog 0"], "only a source has what is missing");
    story.serves(0, "0-17-10");
    assert_eq!(story.acts(), ["follow 1"]);
    story.settles(1, "0-17-10");
    assert_eq!(story.written(), "member 1 has everything up to 0-17-10");
}

#[test]
fn what_only_a_rejected_acker_received_is_not_passed_over() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.freeze(1, "0-17-11", "0-17-10");
    story.freeze(2, "0-17-10", "0-17-10");
    story.member(0).progress.fenced = Some(LogEvidence::Unreadable { message: "Input/output error".to_owned() });
    let error = OrderError { reason: Reason::Sql, message: "the SQL thread stopped: error 1062".to_owned() };
    let wait = Order::Await { position: "0-17-11".parse().unwrap() };
    let counts = [1, 2, 3].map(|_| story.member(1).progress.note_failure(&wait, error.clone()));
    assert_eq!(counts, [1, 2, 3]);
    let decision = story.next();
    let writes = decision.acts.iter().any(|act| matches!(act, Act::Write { .. }));
    assert!(!writes, "0-17-11 may be acknowledged: {decision:?}");
    story.settles(1, "0-17-11");
    assert!(story.acts().contains(&"follow 2".to_owned()), "it has applied it after all, and gives it on");
}

#[test]
fn a_candidate_that_is_held_up_yields_and_when_all_are_the_first_to_come_free_is_promoted() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-12");
    story.freeze(1, "0-17-12", "0-17-10");
    story.freeze(2, "0-17-12", "0-17-10");
    story.seen.routed = Some(Ordinal(1));
    let told = |story: &mut Story, member: usize, held: Option<&str>| {
        let position = if held.is_some() { "0-17-10" } else { "0-17-12" };
        let order = Order::Await { position: "0-17-12".parse().unwrap() };
        let answer = Answer::Applied {
            position: position.parse().unwrap(),
            reached: held.is_none(),
            held: held.map(str::to_owned),
        };
        story.member(member).progress.note(&order, &answer, Millis(1));
    };
    assert_eq!(story.acts(), ["await 1"]);
    told(&mut story, 1, Some("Waiting for table level lock"));
    story.seen.routed = Some(Ordinal(2));
    assert_eq!(story.acts(), ["await 2"]);
    assert!(story.next().rejected.join("; ").contains("member 1: it cannot apply what it has received: Waiting for"));
    told(&mut story, 2, Some("ALTER TABLE t"));
    story.seen.routed = Some(Ordinal(1));
    assert_eq!(story.acts(), ["await 1", "await 2"]);
    assert!(story.next().blocked.unwrap().contains("Waiting for table level lock"));
    told(&mut story, 2, None);
    assert_eq!(story.written(), "member 2 has everything up to 0-17-12");
}

#[test]
fn orders_that_fail_in_a_circle_are_counted() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-10");
    story.seen.routed = Some(Ordinal(1));
    story.freeze(2, "0-17-9", "0-17-9");
    story.serves(0, "0-17-10");
    let wait = Order::Await { position: "0-17-10".parse().unwrap() };
    let lacks = OrderError { reason: Reason::MissingTransactions, message: "not in its tables".to_owned() };
    let source = Source::Member { host: "h".to_owned(), port: 1 };
    let follow = Order::Follow { source, acker: None, wait: Some("0-17-10".parse().unwrap()) };
    let beyond = OrderError { reason: Reason::Sql, message: "rebuild the member".to_owned() };
    for round in 0..3 {
        story.freeze(1, "0-17-10", "0-17-10");
        story.member(1).progress.frozen.as_mut().unwrap().settled = false;
        if round == 0 {
            assert_eq!(story.acts(), ["await 1"]);
            story.member(1).progress.note_failure(&wait, lacks.clone());
        }
        assert_eq!(story.acts(), ["follow 1"]);
        story.member(1).progress.note_failure(&follow, beyond.clone());
        assert_eq!(story.acts(), ["freeze 1"], "nobody knows what it has now");
    }
    story.freeze(1, "0-17-10", "0-17-10");
    assert!(story.acts().contains(&"follow 2".to_owned()), "the next one: {:?}", story.next());
}

#[test]
fn frozen_ackers_do_when_the_tail_cannot_be_served_after_all() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-12");
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-10", "0-17-10");
    story.seen.routed = Some(Ordinal(1));
    let error = OrderError { reason: Reason::Volume, message: "Input/output error".to_owned() };
    let serve = Order::ServeBinlog {
        user: "u".to_owned(),
        password: Secret("p".to_owned()),
        after: "0-17-10".parse().unwrap(),
    };
    story.member(0).progress.note_failure(&serve, error.clone());
    story.member(0).progress.note_failure(&serve, error.clone());
    assert_eq!(story.acts(), ["serve-binlog 0"]);
    story.member(0).progress.note_failure(&serve, error);
    assert_eq!(story.written(), "member 1 has everything up to 0-17-10");
}

#[test]
fn without_readable_logs_a_missing_acker_blocks_and_is_named() {
    let mut story = Story::at_rest().primary_dies();
    if let AgentSight::Present(state) = &mut story.member(0).agent {
        state.volume = Volume::Unusable { message: "Input/output error".to_owned() };
    }
    story.member(1).agent = AgentSight::Away { since: Millis(50) };
    story.seen.now = Millis(10_000);
    let decision = story.next();
    assert!(decision.acts.is_empty(), "nothing is frozen when nothing can be completed: {decision:?}");
    assert!(decision.blocked.unwrap().contains("member 1 in incarnation 1"));
}

#[test]
fn the_old_primary_is_not_started_again_while_a_candidate_may_still_turn_up() {
    let mut story = Story::at_rest().primary_dies();
    let present = [story.member(1).agent.clone(), story.member(2).agent.clone()];
    for member in &mut story.seen.members[1..] {
        member.agent = AgentSight::Away { since: Millis(100) };
    }
    story.seen.now = Millis(1_000);
    let decision = story.next();
    assert!(decision.acts.is_empty() && decision.blocked.unwrap().contains("cannot be reached yet"));
    let mut alone = story.at(Millis(3_100));
    assert!(alone.written().contains("nobody else can be promoted"));
    for (member, agent) in story.seen.members[1..].iter_mut().zip(present) {
        member.agent = agent;
    }
    story.written();
    assert_eq!(story.record.transition.map(|transition| transition.kind), Some(TransitionKind::Failover));
}

#[test]
fn a_single_member_is_resumed_with_a_new_server_id() {
    let mut story = Story::at_rest().primary_dies();
    story.policy = policy(1);
    story.seen.members.truncate(1);
    story.record.ackers.clear();
    assert!(story.written().contains("nobody else can be promoted"));
    assert_eq!(story.acts(), ["fence 0"], "first where its binary logs end");
    story.fence("0-17-10");
    assert_eq!(story.written(), "the binary logs of member 0 end at 0-17-10");
    assert_eq!(story.acts(), ["start 0"]);
    *story.member(0) = running(0);
    story.written();
    let Act::Order { order: Order::Promote { server_id, .. }, .. } = &story.next().acts[0] else {
        panic!("no promote")
    };
    assert_eq!(*server_id, 4 << 4 | 1);
}

#[test]
fn a_primary_whose_logs_cannot_be_read_is_not_resumed_before_somebody_knows_what_it_would_lose() {
    let mut story = Story::at_rest().primary_dies();
    for member in &mut story.seen.members[1..] {
        (member.agent, member.server) =
            (AgentSight::Away { since: Millis(0) }, ServerSight::Silent { since: Millis(0) });
    }
    story.seen.now = Millis(60_000);
    story.written();
    assert_eq!(story.record.transition.as_ref().map(|transition| transition.kind), Some(TransitionKind::Resume));
    story.member(0).progress.fenced = Some(LogEvidence::Unreadable { message: "bin.index: not found".to_owned() });
    story.member(0).answered_at = Some(Millis(59_000));
    let decision = story.next();
    assert!(decision.acts.is_empty(), "{decision:?}");
    let blocked = decision.blocked.unwrap();
    for part in ["bin.index: not found", "member 1 in incarnation 1", "member 2 in incarnation 1"] {
        assert!(blocked.contains(part), "{blocked}");
    }
    story.seen.now = Millis(64_000);
    assert_eq!(story.acts(), ["fence 0"], "they are read again, should somebody have put them right");
    let back = Story::at_rest();
    story.seen.members[1..].clone_from_slice(&back.seen.members[1..]);
    assert!(story.written().contains("cannot be read"));
    assert_eq!(story.record.transition.as_ref().map(|transition| transition.kind), Some(TransitionKind::Failover));
    story.member(0).progress.fenced = Some(LogEvidence::Unreadable { message: "bin.index: not found".to_owned() });
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-10", "0-17-10");
    assert_eq!(story.written(), "member 1 has everything up to 0-17-10", "both ackers together prove it");
}

#[test]
fn a_failover_that_finds_unreadable_logs_and_too_few_ackers_waits() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.member(0).progress.fenced = Some(LogEvidence::Unreadable { message: "bin.index: not found".to_owned() });
    story.member(0).answered_at = Some(Millis(59_000));
    story.freeze(1, "0-17-9", "0-17-9");
    (story.member(2).agent, story.member(2).server) =
        (AgentSight::Away { since: Millis(0) }, ServerSight::Silent { since: Millis(0) });
    story.seen.now = Millis(60_000);
    let decision = story.next();
    assert!(decision.acts.is_empty(), "{decision:?}");
    assert!(decision.blocked.unwrap().contains("member 2 in incarnation 1"));
}

#[test]
fn a_primary_that_starts_with_less_than_its_logs_held_is_not_promoted_again() {
    let mut story = Story::at_rest().primary_dies();
    story.policy = policy(1);
    story.seen.members.truncate(1);
    story.record.ackers.clear();
    story.written();
    story.fence("0-17-12");
    story.written();
    *story.member(0) = running(0);
    let decision = story.next();
    assert!(decision.acts.is_empty() && decision.blocked.unwrap().contains("0-17-12"));
}

#[test]
fn a_primary_that_lost_its_logs_is_left_when_the_ackers_prove_everything() {
    let mut story = Story::at_rest().primary_dies();
    let (kind, from) = (TransitionKind::Resume, Some(Ordinal(0)));
    let target = Some("0-17-12".parse().unwrap());
    story.record.transition = Some(Transition { kind, step: Step::Decided, from, to: None, target });
    *story.member(0) = running(0);
    // One acker, which may never be primary; the other member is down.
    story.policy.members[1].never_primary = true;
    story.record.ackers = vec![acker(1, 1)];
    *story.member(2) = dead(2);
    assert_eq!(story.acts(), ["start 2"], "it may take over once it runs");
    assert!(story.next().blocked.unwrap().contains("put back what is missing in its datadir"));
    *story.member(2) = acking(2);
    assert!(story.written().contains("started without all that its binary logs held up to 0-17-12"));
    assert_eq!(story.record.transition.as_ref().map(|transition| transition.kind), Some(TransitionKind::Failover));
    story.fence("");
    story.freeze(1, "0-17-12", "0-17-12");
    story.freeze(2, "0-17-10", "0-17-10");
    assert_eq!(story.acts(), ["route 2", "follow 2"], "it gets from the acker what it lacks");
}

/// The old primary is started again because all others were held up, and has failed to start in time twice.
fn resumed_because_all_were_held() -> Story {
    let mut story = Story::at_rest().primary_dies();
    let (kind, from) = (TransitionKind::Resume, Some(Ordinal(0)));
    let target = Some("0-17-20".parse().unwrap());
    story.record.transition = Some(Transition { kind, step: Step::Decided, from, to: None, target });
    for member in &mut story.seen.members[1..] {
        member.stumbled = true;
        edit(member, |view| view.slave.as_mut().unwrap().io_position = "0-17-20".parse().unwrap());
    }
    let state = crate::topology::member::samples::state;
    let recovers = Mariadbd::Running { incarnation: Incarnation(2), sql: false };
    story.member(0).agent = AgentSight::Present(Box::new(state(0, recovers)));
    let late = OrderError { reason: Reason::Expired, message: "not done at its deadline".to_owned() };
    for _ in 0..2 {
        story.member(0).progress.note_failure(&Order::Start, late.clone());
    }
    story.fence("0-17-20");
    story
}

#[test]
fn a_recovery_is_waited_for_as_long_as_everybody_else_is_held_up() {
    let mut story = resumed_because_all_were_held();
    assert!(!story.acts().iter().any(|act| act.starts_with("write")), "{:?}", story.acts());
    edit(story.member(2), |view| view.slave.as_mut().unwrap().io_position = "0-17-10".parse().unwrap());
    let waits = story.acts();
    assert!(
        !waits.iter().any(|act| act.starts_with("write")),
        "member 2 has applied all it has, and lacks the tail: {waits:?}"
    );
    edit(story.member(2), |view| view.binlog_position = "0-17-20".parse().unwrap());
    assert!(story.written().contains("member 0 does not start"), "member 2 came free");
    assert_eq!(story.record.transition.as_ref().unwrap().kind, TransitionKind::Failover);
}

#[test]
fn a_member_that_is_ahead_of_a_resumed_primary_is_waited_for_while_its_agent_is_away() {
    let mut story = resumed_because_all_were_held();
    *story.member(0) = running(0);
    edit(story.member(0), |view| view.binlog_position = "0-17-20".parse().unwrap());
    edit(story.member(1), |view| view.slave.as_mut().unwrap().io_position = "0-17-21".parse().unwrap());
    story.member(1).agent = AgentSight::Away { since: Millis(0) };
    let decision = story.next();
    assert!(decision.acts.is_empty(), "{decision:?}");
    let blocked = decision.blocked.unwrap();
    assert!(blocked.contains("member 1 has transactions that member 0 lost") && blocked.contains("c-1"), "{blocked}");
    story.member(1).agent = Story::at_rest().member(1).agent.clone();
    assert!(story.written().contains("member 1 has transactions"), "now it can be frozen");
    assert_eq!(story.record.transition.as_ref().unwrap().kind, TransitionKind::Failover);
}

#[test]
fn nothing_is_promoted_when_the_record_names_no_position() {
    let mut story = Story::at_rest();
    let kind = TransitionKind::Failover;
    story.record.transition =
        Some(Transition { kind, step: Step::Promoting, from: Some(Ordinal(1)), to: Some(Ordinal(0)), target: None });
    edit(story.member(0), |view| view.read_only = true);
    story.seen.members.truncate(1);
    let decision = story.next();
    assert!(decision.acts.is_empty(), "{decision:?}");
    assert!(decision.blocked.unwrap().contains("targetGtid"));
}

#[test]
fn a_returned_old_primary_becomes_an_acker_before_it_follows() {
    let mut story = Story::at_rest();
    story.record.primary = Some(Ordinal(0));
    story.record.ackers = vec![acker(1, 1)];
    *story.member(2) = dead(2);
    assert_eq!(story.acts(), ["start 2"]);
    *story.member(2) = running(2);
    assert_eq!(story.written(), "member 2 may acknowledge");
    let decision = story.next();
    let [Act::Order { order: Order::Follow { acker, .. }, .. }] = decision.acts.as_slice() else {
        panic!("no follow: {decision:?}")
    };
    assert!(acker.is_some());
}

#[test]
fn an_acker_that_restarted_leaves_only_when_another_has_what_came_before() {
    let mut story = Story::at_rest();
    if let AgentSight::Present(state) = &mut story.member(1).agent {
        state.mariadbd = Mariadbd::Running { incarnation: Incarnation(2), sql: true };
    }
    story.member(1).running_since = Some(Millis(40));
    edit(story.member(1), |view| view.begun = Millis(45));
    assert_eq!(story.written(), "member 1 may acknowledge");
    assert_eq!(story.record.ackers.len(), 3, "the old run stays recorded");
    let waits = story.next();
    assert!(waits.acts.iter().all(|act| !matches!(act, Act::Write { .. })), "{waits:?}");
    for member in &mut story.seen.members {
        edit(member, |view| view.begun = Millis(60));
    }
    assert_eq!(story.written(), "member 1 (incarnation 1) acknowledges no more");
    assert_eq!(story.record.ackers, [acker(2, 1), acker(1, 2)]);
}

#[test]
fn a_blank_volume_in_a_running_cluster_is_never_used() {
    let mut story = Story::at_rest();
    if let AgentSight::Present(state) = &mut story.member(2).agent {
        state.volume = Volume::Blank;
        state.mariadbd = Mariadbd::NotStarted;
    }
    story.record.ackers = vec![acker(1, 1)];
    assert_eq!(story.acts(), Vec::<String>::new());
}

#[test]
fn a_member_that_another_source_has_refused_follows_the_primary() {
    let mut story = Story::at_rest();
    let refused = |host: &'static str| {
        move |view: &mut crate::topology::observation::ServerView| {
            let slave = view.slave.as_mut().unwrap();
            (slave.io, slave.io_errno) = (crate::topology::observation::IoThread::No, 1236);
            host.clone_into(&mut slave.host);
        }
    };
    edit(story.member(2), refused("p1"));
    assert_eq!(story.acts(), ["follow 2"]);
    edit(story.member(2), refused("p0"));
    assert_eq!(story.acts(), Vec::<String>::new(), "it is kept as it is");
}

#[test]
fn a_second_writable_member_is_killed() {
    let mut story = Story::at_rest();
    edit(story.member(2), |view| view.read_only = false);
    assert_eq!(story.acts(), ["fence 2"]);
}

#[test]
fn a_new_leader_raises_the_term_before_anything_else() {
    let mut story = Story::at_rest().primary_dies();
    story.seen.my_term = None;
    story.written();
    assert_eq!((story.record.term, &story.record.transition), (Term(4), &None));
    story.written();
    assert_eq!(story.record.transition.as_ref().unwrap().step, Step::Decided);
}
