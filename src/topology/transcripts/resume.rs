//! The old primary becomes primary again, or must not.

use super::*;

#[test]
fn the_old_primary_is_not_started_again_while_a_candidate_may_still_turn_up() {
    let mut story = Story::at_rest().primary_dies();
    let present = [story.member(1).agent.clone(), story.member(2).agent.clone()];
    for member in &mut story.seen.members[1..] {
        member.agent = AgentSight::Away { since: Millis(100) };
    }
    story.seen.now = Millis(1_000);
    let decision = story.next();
    assert!(decision.acts.is_empty() && decision.blocked.unwrap().to_string().contains("cannot be reached yet"));
    let mut alone = story.at(Millis(3_100));
    assert!(alone.written().contains("no other member can be promoted"));
    for (member, agent) in story.seen.members[1..].iter_mut().zip(present) {
        member.agent = agent;
    }
    story.written();
    assert_eq!(story.record.transition.map(|transition| transition.kind()), Some(TransitionKind::Failover));
}

#[test]
fn a_single_member_is_resumed_with_a_new_server_id() {
    let mut story = Story::at_rest().primary_dies();
    story.policy = policy(1);
    story.seen.members.truncate(1);
    story.record.ackers.clear();
    assert!(story.written().contains("no other member can be promoted"));
    assert_eq!(story.acts(), ["fence 0"], "first where its binary logs end");
    story.fence("0-17-10");
    assert_eq!(story.written(), "the binary logs of c-0 end at 0-17-10");
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
    assert_eq!(story.record.transition.as_ref().map(|transition| transition.kind()), Some(TransitionKind::Resume));
    story.member(0).progress.fenced = Some(LogEvidence::Unreadable { message: "bin.index: not found".to_owned() });
    story.member(0).answered_at = Some(Millis(59_000));
    let decision = story.next();
    assert!(decision.acts.is_empty(), "{decision:?}");
    let blocked = decision.blocked.unwrap().to_string();
    for part in ["bin.index: not found", "c-1 in incarnation 1", "c-2 in incarnation 1"] {
        assert!(blocked.contains(part), "{blocked}");
    }
    story.seen.now = Millis(64_000);
    assert_eq!(story.acts(), ["fence 0"], "they are read again, should somebody have put them right");
    let back = Story::at_rest();
    story.seen.members[1..].clone_from_slice(&back.seen.members[1..]);
    assert!(story.written().contains("cannot be read"));
    assert_eq!(story.record.transition.as_ref().map(|transition| transition.kind()), Some(TransitionKind::Failover));
    story.member(0).progress.fenced = Some(LogEvidence::Unreadable { message: "bin.index: not found".to_owned() });
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-10", "0-17-10");
    assert_eq!(story.written(), "c-1 has everything up to 0-17-10", "both ackers together prove it");
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
    assert!(decision.acts.is_empty() && decision.blocked.unwrap().to_string().contains("0-17-12"));
}

/// Member 0 is resumed, and its mariadbd has started with nothing of what its binary logs held.
fn resumed_without_its_logs(began: Option<&str>) -> Story {
    let mut story = Story::at_rest().primary_dies();
    let logs_end = Some("0-17-12".parse().unwrap());
    story.record.transition = Some(Transition::Resume { from: Ordinal(0), logs_end });
    story.record.began = began.map(|began| began.parse().unwrap());
    *story.member(0) = running(0);
    story
}

#[test]
fn a_primary_that_lost_its_logs_is_left_when_the_ackers_prove_everything() {
    // In the first term, and after an upgrade, the beginning of the term tells nothing.
    for began in [None, Some("")] {
        let mut story = resumed_without_its_logs(began);
        // One acker, which may never be primary; the other member is down.
        story.policy.members[1].never_primary = true;
        story.record.ackers = vec![acker(1, 1)];
        *story.member(2) = dead(2);
        assert_eq!(story.acts(), ["start 2"], "it may take over once it runs");
        assert!(story.next().blocked.unwrap().to_string().contains("put back what is missing in its datadir"));
        *story.member(2) = acking(2);
        assert!(story.written().contains("started without all that its binary logs held up to 0-17-12"));
        assert_eq!(
            story.record.transition.as_ref().map(|transition| transition.kind()),
            Some(TransitionKind::Failover)
        );
        story.fence("");
        story.freeze(1, "0-17-11", "0-17-11");
        story.freeze(2, "0-17-10", "0-17-10");
        assert_eq!(
            story.acts(),
            ["route 2", "follow 2"],
            "it gets from the acker what it lacks; nobody acknowledged 12"
        );
    }
}

#[test]
fn logs_that_were_put_back_are_read_again() {
    let mut story = resumed_without_its_logs(Some(""));
    assert!(story.written().contains("started without all"));
    story.fence("");
    story.freeze(1, "0-17-11", "0-17-11");
    (story.member(2).agent, story.member(2).server) =
        (AgentSight::Away { since: Millis(0) }, ServerSight::Silent { since: Millis(0) });
    story.seen.now = Millis(60_000);
    assert!(story.acts().contains(&"fence 0".to_owned()), "{:?}", story.next());
    assert!(
        story.next().blocked.unwrap().to_string().contains("they end at (empty) and held 0-17-12 before"),
        "{:?}",
        story.next()
    );
    story.fence("0-17-12");
    assert!(story.next().blocked.is_none_or(|blocked| !blocked.message().contains("held 0-17-12 before")));
}

/// The old primary is started again because all others were held up, and has failed to start in time twice.
fn resumed_because_all_were_held() -> Story {
    let mut story = Story::at_rest().primary_dies();
    let logs_end = Some("0-17-20".parse().unwrap());
    story.record.transition = Some(Transition::Resume { from: Ordinal(0), logs_end });
    for member in &mut story.seen.members[1..] {
        member.stumbled = true;
        edit(member, |view| view.slave.as_mut().unwrap().io_position = "0-17-20".parse().unwrap());
    }
    let state = crate::topology::member::samples::state;
    let recovers = Mariadbd::Running { incarnation: Incarnation(2), sql: false };
    story.member(0).agent = AgentSight::Present(Box::new(state(0, recovers)));
    let late = OrderError::new(Reason::Expired, "not done by its deadline");
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
        "c-2 has applied all it has, and lacks the tail: {waits:?}"
    );
    edit(story.member(2), |view| view.binlog_position = "0-17-20".parse().unwrap());
    assert!(story.written().contains("c-0 does not start"), "c-2 came free");
    assert_eq!(story.record.transition.as_ref().unwrap().kind(), TransitionKind::Failover);
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
    let blocked = decision.blocked.unwrap().to_string();
    assert!(blocked.contains("c-1 has transactions that c-0 lost") && blocked.contains("c-1"), "{blocked}");
    story.member(1).agent = Story::at_rest().member(1).agent.clone();
    assert!(story.written().contains("c-1 has transactions"), "now it can be frozen");
    assert_eq!(story.record.transition.as_ref().unwrap().kind(), TransitionKind::Failover);
}

#[test]
fn a_member_that_has_all_that_the_lost_logs_held_is_promoted() {
    for began in [None, Some("0-17-4")] {
        let mut story = resumed_without_its_logs(began);
        story.record.durability = Durability::Async;
        story.record.ackers.clear();
        edit(story.member(2), |view| view.binlog_position = "0-17-12".parse().unwrap());
        assert!(story.written().contains("started without all that its binary logs held up to 0-17-12"));
        story.fence("0-17-2");
        story.freeze(1, "0-17-11", "0-17-11");
        story.freeze(2, "0-17-11", "0-17-11");
        assert!(story.next().blocked.is_some_and(|blocked| blocked.message().contains("a part of them")));
        story.freeze(2, "0-17-12", "0-17-11");
        assert_eq!(story.acts(), ["await 2"], "they were read before it started");
        story.settles(2, "0-17-12");
        assert_eq!(story.written(), "c-2 has everything up to 0-17-12");
    }
    let mut story = resumed_without_its_logs(None);
    story.record.durability = Durability::Async;
    story.policy.members[2].never_primary = true;
    edit(story.member(1), |view| view.binlog_position = "0-17-12".parse().unwrap());
    story.written();
    story.fence("0-17-2");
    story.freeze(1, "0-17-11", "0-17-11");
    story.freeze(2, "0-17-12", "0-17-12");
    assert_eq!(story.acts(), ["route 1", "follow 1"]);
    story.freeze(2, "0-33-13", "0-33-13");
    assert!(story.next().blocked.is_some(), "another history");
}

#[test]
fn an_old_primary_that_is_made_writable_before_it_is_promoted_again_is_fenced() {
    let mut story = resumed_without_its_logs(None);
    story.policy = policy(1);
    story.seen.members.truncate(1);
    edit(story.member(0), |view| view.read_only = false);
    assert_eq!(story.acts(), ["fence 0"]);
    *story.member(0) = running(0);
    edit(story.member(0), |view| view.binlog_position = "0-2147483649-104".parse().unwrap());
    let blocked = story.next().blocked.map(|why| why.to_string()).unwrap_or_default();
    assert!(
        blocked.contains("without all that its binary logs held up to 0-17-12"),
        "numbers prove nothing: {blocked}"
    );
    edit(story.member(0), |view| view.logged = vec!["0-17-12".parse().unwrap(), "0-2147483649-104".parse().unwrap()]);
    assert!(story.written().contains("runs again"), "it has them all, and what came on top");
}
