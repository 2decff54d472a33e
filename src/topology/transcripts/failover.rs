//! From the death of a primary to the next one.

use super::*;

#[test]
fn a_dead_primary_is_fenced_salvaged_and_replaced() {
    let mut story = Story::at_rest().primary_dies();
    assert_eq!(story.written(), "c-0 is dead: mariadbd exited with signal 9");
    assert_eq!((story.record.term, story.record.primary), (Term(4), Some(Ordinal(0))));
    assert_eq!(story.acts(), ["fence 0", "freeze 1", "freeze 2"]);

    story.fence("0-17-12");
    story.freeze(1, "0-17-10", "0-17-10");
    assert_eq!(story.acts(), ["freeze 2"], "nothing goes on before every answer is there");
    story.freeze(2, "0-17-11", "0-17-9");
    assert_eq!(story.acts(), ["route 2", "serve-binlog 0"]);
    story.seen.service_member = Some(Ordinal(2));
    story.serves(0, "0-17-12");
    assert_eq!(story.acts(), ["follow 2"], "the member that received most has the shortest way");
    story.member(2).progress.following = Some("10.0.0.1".to_owned());
    story.member(2).progress.applied = Some("0-17-11".parse().unwrap());
    assert_eq!(story.acts(), ["await 2"]);
    story.settles(2, "0-17-12");

    assert_eq!(story.written(), "c-2 has everything up to 0-17-12");
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
    assert!(story.written().contains("c-1 is the next candidate"));
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
    assert_eq!((transition.kind(), transition.from()), (TransitionKind::Failover, Some(Ordinal(1))));
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
    assert_eq!(story.written(), "c-1 has everything up to 0-17-11");
}

#[test]
fn a_candidate_whose_donor_is_lost_is_frozen_again_and_recovers_what_it_threw_away() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-12");
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-11", "0-17-9");
    story.seen.service_member = Some(Ordinal(2));
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
    assert_eq!(story.written(), "c-2 has everything up to 0-17-11");
}

#[test]
fn what_a_crash_left_half_done_is_mended_before_the_point_of_no_return() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-10");
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-9", "0-17-9");
    story.seen.service_member = Some(Ordinal(1));
    story.member(1).progress.frozen.as_mut().unwrap().settled = false;
    assert_eq!(story.acts(), ["await 1"], "it has everything, and is not fit yet");
    let error = OrderError::new(Reason::MissingTransactions, "not in its tables");
    story.member(1).progress.note_failure(&Order::Await { position: "0-17-10".parse().unwrap() }, error);
    assert_eq!(story.acts(), ["serve-binlog 0"], "only a source has what is missing");
    story.serves(0, "0-17-10");
    assert_eq!(story.acts(), ["follow 1"]);
    story.settles(1, "0-17-10");
    assert_eq!(story.written(), "c-1 has everything up to 0-17-10");
}

#[test]
fn what_only_a_rejected_acker_received_is_not_passed_over() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.freeze(1, "0-17-11", "0-17-10");
    story.freeze(2, "0-17-10", "0-17-10");
    story.member(0).progress.fenced = Some(LogEvidence::Unreadable { message: "Input/output error".to_owned() });
    let error = OrderError::new(Reason::Sql, "the SQL thread stopped: error 1062");
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
fn a_replica_that_somebody_made_writable_is_fenced_before_clients_are_led_anywhere() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    edit(story.member(1), |view| view.read_only = false);
    assert_eq!(story.acts(), ["fence 1"], "before anything else");
    assert!(story.next().blocked.unwrap().to_string().contains("c-1 takes writes and is not the primary"));
    story.member(1).answered_at = Some(Millis(u64::MAX));
    story.member(1).busy = Some("await");
    assert_eq!(story.acts(), ["fence 1"], "in place of what it is doing, and whatever was answered since");
    story.member(1).busy = Some("fence");
    assert_eq!(story.acts(), [""; 0], "it is waited for");
    story.member(1).busy = None;
    let slow = OrderError::new(Reason::Expired, "no answer");
    story.member(1).progress.note_failure(&Order::Fence, slow);
    assert_eq!(story.acts(), ["fence 0", "freeze 2", "fence 1"], "but not for ever");
    let mut down = dead(1);
    std::mem::swap(&mut down.progress, &mut story.member(1).progress);
    *story.member(1) = down;
    story.fence("0-17-10");
    story.freeze(2, "0-17-10", "0-17-10");
    assert_eq!(story.written(), "c-2 has everything up to 0-17-10");
    assert_eq!(story.record.primary, Some(Ordinal(2)));

    *story.member(1) = acking(1);
    edit(story.member(1), |view| view.read_only = false);
    assert!(story.acts().contains(&"fence 1".to_owned()), "beside the promotion: {:?}", story.acts());
    edit(story.member(2), |view| view.read_only = false);
    assert!(!story.acts().contains(&"fence 2".to_owned()), "that one is promoted: {:?}", story.acts());
}

#[test]
fn a_candidate_that_lacks_the_tail_and_came_free_is_not_passed_over_for_ever() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-11");
    story.freeze(1, "0-17-11", "0-17-9");
    story.freeze(2, "0-17-10", "0-17-9");
    story.seen.service_member = Some(Ordinal(1));
    for member in [1, 2] {
        story.member(member).progress.note_lock(&Order::Freeze, Some("a lock"));
        assert_eq!(story.member(member).progress.held_since, None, "it was not asked to apply yet");
    }
    assert_eq!(story.acts(), ["await 1", "await 2"]);
    let has = Order::Await { position: "0-17-10".parse().unwrap() };
    assert!(story.next().acts.contains(&Act::Order { member: Ordinal(2), order: has.clone() }), "what it has");
    let applied = Answer::Applied { position: "0-17-10".parse().unwrap(), reached: true, held: None };
    story.member(2).progress.note(&has, &applied, Millis(1));
    assert_eq!(story.acts(), ["route 2", "serve-binlog 0"], "the rest comes from the old primary");
}

#[test]
fn a_lock_passes_over_nobody_who_has_nothing_left_to_apply() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-10");
    story.freeze(1, "0-17-10", "0-17-10");
    story.freeze(2, "0-17-10", "0-17-4");
    story.member(1).progress.note_lock(&Order::Freeze, Some("a backup"));
    assert_eq!(story.written(), "c-1 has everything up to 0-17-10");
}

#[test]
fn who_failed_too_often_is_asked_again_when_nobody_else_can_be_promoted() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.member(0).agent = AgentSight::default();
    let error = || OrderError::new(Reason::Expired, "the stream ended");
    for member in [1, 2] {
        story.freeze(member, "0-17-11", "0-17-10");
        let awaits = Order::Await { position: "0-17-11".parse().unwrap() };
        for _ in 0..3 {
            story.member(member).progress.note_failure(&awaits, error());
        }
        story.member(member).answered_at = Some(Millis(5_000));
    }
    story.seen.now = Millis(64_000);
    assert!(story.next().blocked.unwrap().to_string().contains("await failed 3 times"), "{:?}", story.next());
    story.seen.now = Millis(65_000);
    assert!(story.written().contains("asked again, because c-1 failed at await"));
    assert_eq!(story.acts(), ["freeze 1", "freeze 2"]);
}

#[test]
fn a_candidate_that_is_held_up_yields_and_when_all_are_the_first_to_come_free_is_promoted() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-12");
    story.freeze(1, "0-17-12", "0-17-10");
    story.freeze(2, "0-17-12", "0-17-10");
    story.seen.service_member = Some(Ordinal(1));
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
    story.seen.service_member = Some(Ordinal(2));
    assert_eq!(story.acts(), ["await 2"]);
    assert!(story.next().rejected.join("; ").contains("c-1: it cannot apply what it has received: Waiting for"));
    told(&mut story, 2, Some("ALTER TABLE t"));
    story.seen.service_member = Some(Ordinal(1));
    assert_eq!(story.acts(), ["await 1", "await 2"]);
    assert!(story.next().blocked.unwrap().to_string().contains("Waiting for table level lock"));
    told(&mut story, 2, None);
    assert_eq!(story.written(), "c-2 has everything up to 0-17-12");
}

#[test]
fn orders_that_fail_in_a_circle_are_counted() {
    let mut story = Story::at_rest().primary_dies();
    story.written();
    story.fence("0-17-10");
    story.seen.service_member = Some(Ordinal(1));
    story.freeze(2, "0-17-9", "0-17-9");
    story.serves(0, "0-17-10");
    let wait = Order::Await { position: "0-17-10".parse().unwrap() };
    let lacks = OrderError::new(Reason::MissingTransactions, "not in its tables");
    let source = Source::Member { host: "h".to_owned(), port: 1 };
    let follow = Order::Follow { source, acker: None, wait: Some("0-17-10".parse().unwrap()) };
    let beyond = OrderError::new(Reason::Sql, "more was executed than asked for");
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
    story.seen.service_member = Some(Ordinal(1));
    let error = OrderError::new(Reason::Volume, "Input/output error");
    let serve = Order::ServeBinlog {
        user: "u".to_owned(),
        password: Secret("p".to_owned()),
        after: "0-17-10".parse().unwrap(),
    };
    story.member(0).progress.note_failure(&serve, error.clone());
    story.member(0).progress.note_failure(&serve, error.clone());
    assert_eq!(story.acts(), ["serve-binlog 0"]);
    story.member(0).progress.note_failure(&serve, error);
    assert_eq!(story.written(), "c-1 has everything up to 0-17-10");
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
    assert!(decision.blocked.unwrap().to_string().contains("c-1 in incarnation 1"));
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
    assert!(decision.blocked.unwrap().to_string().contains("c-2 in incarnation 1"));
}
