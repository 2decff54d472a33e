//! Members that come, go and misbehave while the primary works.

use super::*;

#[test]
fn a_healthy_cluster_is_left_alone() {
    assert_eq!(Story::at_rest().next(), Decision::default());
}

#[test]
fn a_returned_old_primary_becomes_an_acker_before_it_follows() {
    let mut story = Story::at_rest();
    story.record.primary = Some(Ordinal(0));
    story.record.ackers = vec![acker(1, 1)];
    *story.member(2) = dead(2);
    assert_eq!(story.acts(), ["start 2"]);
    *story.member(2) = running(2);
    assert_eq!(story.written(), "c-2 may acknowledge");
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
    assert_eq!(story.written(), "c-1 may acknowledge");
    assert_eq!(story.record.ackers.len(), 3, "the old run stays recorded");
    let waits = story.next();
    assert!(waits.acts.iter().all(|act| !matches!(act, Act::Write { .. })), "{waits:?}");
    for member in &mut story.seen.members {
        edit(member, |view| view.begun = Millis(60));
    }
    assert_eq!(story.written(), "c-1 (incarnation 1) no longer acknowledges");
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
    assert_eq!(story.record.transition.as_ref().unwrap().step(), Step::Decided);
}
