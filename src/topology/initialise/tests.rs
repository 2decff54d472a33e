//! The initialisation under faults between a member's `init` and the first term.

use super::super::decide::{Act, decide};
use super::super::member::samples::{cluster, dead, policy, record, running};
use super::super::observation::{AgentSight, MemberView, Observation};
use super::super::record::Record;
use super::super::report::report;
use super::super::transition::Transition;
use crate::orders::{Mariadbd, Order, OrderError, Ordinal, Reason, Volume};

fn under_way() -> Record {
    Record { primary: None, transition: Some(Transition::Initialise { first: Ordinal(0) }), ..record() }
}

fn initialised(mut member: MemberView) -> MemberView {
    member.progress.initialised = true;
    member
}

fn blank(ordinal: u8) -> MemberView {
    let mut member = dead(ordinal);
    if let AgentSight::Present(state) = &mut member.agent {
        (state.volume, state.mariadbd) = (Volume::Blank, Mariadbd::NotStarted);
    }
    member
}

fn acts(seen: &Observation) -> Vec<String> {
    let name = |act: &Act| match act {
        Act::Write { why, .. } => format!("write: {why}"),
        Act::Order { member, order } => format!("{} {member}", order.name()),
        Act::SwitchService { member } => format!("route {member}"),
    };
    decide(&policy(2), &under_way(), seen).acts.iter().map(name).collect()
}

#[test]
fn a_member_that_ends_after_its_init_is_started_again() {
    let done = |second| cluster(vec![initialised(running(0)), initialised(second)]);
    assert_eq!(acts(&done(running(1))), ["write: every member is initialised"]);
    assert_eq!(acts(&done(dead(1))), ["init 1"], "killed");
    let mut new_pod = dead(1);
    if let AgentSight::Present(state) = &mut new_pod.agent {
        state.mariadbd = Mariadbd::NotStarted;
    }
    assert_eq!(acts(&done(new_pod)), ["init 1"], "its pod was replaced");
    assert_eq!(acts(&done(blank(1))), ["init 1"], "and its volume, too");
}

#[test]
fn the_first_primary_is_chosen_again_when_it_is_no_member_any_more() {
    let record = Record { transition: Some(Transition::Initialise { first: Ordinal(4) }), ..under_way() };
    let seen = cluster(vec![initialised(running(0)), initialised(running(1))]);
    let decision = decide(&policy(2), &record, &seen);
    assert!(matches!(&decision.acts[..], [Act::Write { record, .. }] if record.primary == Some(Ordinal(0))));
}

#[test]
fn an_init_that_keeps_failing_stalls_all_the_time_and_one_under_way_does_not() {
    let stalled = |seen: &Observation| {
        let (policy, record) = (policy(2), under_way());
        let told = report(&policy, &record, seen, &decide(&policy, &record, seen));
        let stalled = told.conditions.into_iter().find(|condition| condition.kind == "Stalled").unwrap();
        stalled.status.then_some(stalled.message)
    };
    let mut seen = cluster(vec![initialised(running(0)), blank(1)]);
    assert_eq!(acts(&seen), ["init 1"]);
    assert_eq!(stalled(&seen), None);
    seen.members[1].busy = Some("init");
    assert_eq!(stalled(&seen), None, "it is under way");
    let init = Order::Init {
        identity: crate::orders::Identity {
            cluster: String::new(),
            data_uid: seen.fresh_uid.clone(),
            ordinal: Ordinal(1),
        },
    };
    let error = OrderError::new(Reason::Launch, "unknown variable 'foo=1'");
    seen.members[1].progress.note_failure(&init, error);
    for (busy, resting) in [(Some("init"), true), (None, false), (Some("init"), false)] {
        (seen.members[1].busy, seen.members[1].resting) = (busy, resting);
        let message = stalled(&seen).unwrap_or_else(|| panic!("flips while busy is {busy:?}"));
        assert!(message.contains("c-1: init failed: unknown variable"), "{message}");
    }
}
