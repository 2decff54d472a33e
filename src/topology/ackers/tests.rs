//! Who is shut out, and which entries may leave.

use super::super::member::samples::{acker, cluster, edit, policy, record, replica, running, state};
use super::super::observation::{AgentSight, ServerSight};
use super::*;
use crate::orders::{Ended, ExitStatus, Mariadbd, Volume};

/// Member 0 takes writes; `replicas` of them acknowledge, every one a recorded acker.
fn acknowledged_by(replicas: u8) -> (Record, Observation) {
    let acks = |ordinal| {
        let mut member = replica(ordinal, "p0");
        edit(&mut member, |view| (view.acker_wanted, view.acker_active) = (true, true));
        member
    };
    let members = [running(0)].into_iter().chain((1..=replicas).map(acks)).collect();
    let ackers = (1..=replicas).map(|ordinal| acker(ordinal, 1)).collect();
    let mut seen = cluster(members);
    seen.now = Millis(60_000);
    (Record { ackers, ..record() }, seen)
}

fn evicted(record: &Record, seen: &Observation) -> Option<Ordinal> {
    to_evict(Rules::default(), &policy(3), record, seen, &seen.members[0])
}

#[test]
fn an_agent_that_is_away_is_no_reason_to_shut_out_an_acker() {
    let (record, mut seen) = acknowledged_by(1);
    seen.members[1].agent = AgentSight::Away { since: Millis(0) };
    assert_eq!(evicted(&record, &seen), None);
    assert!(any_active(&policy(3), &record, &seen), "nor does it count as no acker at all");
    seen.members[1].server = ServerSight::Silent { since: Millis(0) };
    assert!(!any_active(&policy(3), &record, &seen));
    assert_eq!(evicted(&record, &seen), None, "nobody could take over from it: that would only stop writes");
}

#[test]
fn one_of_two_ackers_is_shut_out_when_it_is_away_and_does_not_acknowledge_either() {
    let (record, mut seen) = acknowledged_by(2);
    seen.members[1].agent = AgentSight::Away { since: Millis(0) };
    assert_eq!(evicted(&record, &seen), None, "it acknowledges");
    let mut behind = seen.clone();
    edit(&mut behind.members[0], |view| view.binlog_position = "0-17-99".parse().unwrap());
    assert_eq!(evicted(&record, &behind), Some(Ordinal(1)), "it does not receive what the primary has written");
    let mut read_earlier = behind.clone();
    edit(&mut read_earlier.members[0], |view| view.begun = Millis(60));
    assert_eq!(evicted(&record, &read_earlier), None, "that was written after it was read");
    let mut late = behind;
    if let ServerSight::Answers { view, before } = &mut late.members[1].server {
        *before = Some(view.clone());
        view.slave.as_mut().unwrap().io_position = "0-17-98".parse().unwrap();
    }
    assert_eq!(evicted(&record, &late), None, "it receives, only later");
    let mut cut_off = seen.clone();
    edit(&mut cut_off.members[1], |view| view.slave.as_mut().unwrap().io = IoThread::Connecting);
    assert_eq!(evicted(&record, &cut_off), Some(Ordinal(1)));
    seen.members[1].server = ServerSight::Silent { since: Millis(58_000) };
    assert_eq!(evicted(&record, &seen), None, "one late answer says nothing");
    seen.members[1].server = ServerSight::Silent { since: Millis(0) };
    assert_eq!(evicted(&record, &seen), Some(Ordinal(1)));
}

#[test]
fn one_acker_is_shut_out_after_the_other_has_come_back() {
    let (mut record, mut seen) = acknowledged_by(2);
    // Earlier runs on other nodes, of which nobody knows whether they are over.
    let earlier = |ordinal| Acker { pod_uid: "old".to_owned(), boot_id: "old".to_owned(), ..acker(ordinal, 0) };
    record.ackers.extend([earlier(1), earlier(2)]);
    assert_eq!(evicted(&record, &seen), Some(Ordinal(1)));
    seen.members[0].progress.evicted.insert(Ordinal(1), Millis(59_000));
    record.ackers.remove(2);
    assert_eq!(evicted(&record, &seen), None, "what is read of the first was so before it was shut out");
    edit(&mut seen.members[1], |view| view.begun = Millis(59_001));
    assert_eq!(evicted(&record, &seen), Some(Ordinal(2)));
}

#[test]
fn who_still_follows_another_member_acknowledges_nothing_to_the_primary() {
    let (mut record, mut seen) = acknowledged_by(2);
    record.ackers.push(Acker { pod_uid: "old".to_owned(), boot_id: "old".to_owned(), ..acker(1, 0) });
    assert_eq!(evicted(&record, &seen), Some(Ordinal(1)));
    edit(&mut seen.members[2], |view| view.slave.as_mut().unwrap().host = "p1".to_owned());
    assert_eq!(evicted(&record, &seen), None, "it could not take over");
    edit(&mut seen.members[1], |view| view.slave.as_mut().unwrap().host = "p2".to_owned());
    assert!(!any_active(&policy(3), &record, &seen));
}

#[test]
fn a_run_ends_in_its_pod_or_on_its_volume_under_its_kernel() {
    let (record, mut seen) = acknowledged_by(2);
    for member in &mut seen.members {
        edit(member, |view| view.begun = Millis(60));
    }
    let mut leaves = |change: fn(&mut AgentState)| {
        let exited = Mariadbd::Exited {
            incarnation: Incarnation(1),
            status: ExitStatus { code: Some(7), signal: None },
            message: String::new(),
            at: None,
        };
        let mut there = state(1, exited);
        change(&mut there);
        let member = &mut seen.members[1];
        (member.agent, member.server) =
            (AgentSight::Present(Box::new(there)), ServerSight::Refused { since: Millis(40) });
        (member.running_since, member.dead_since) = (None, Some(Millis(40)));
        let leaving = leaving(Rules::default(), &policy(3), &record, &seen, &seen.members[0]);
        assert_eq!(leaving.is_empty(), !is_over(Rules::default(), &seen, &record.ackers[0]));
        leaving == [acker(1, 1)]
    };
    assert!(leaves(|_| ()), "it does not start any more, and its agent answers");
    assert!(leaves(|state| state.mariadbd = Mariadbd::NotStarted), "the agent was started anew");
    assert!(leaves(|state| "new".clone_into(&mut state.pod_uid)), "another pod on the same volume and kernel");
    assert!(leaves(|state| "new".clone_into(&mut state.boot_id)), "the pod outlived its node's boot");
    assert!(!leaves(|state| state.mariadbd = Mariadbd::Unknown { message: String::new() }));
    assert!(
        !leaves(|state| {
            "new".clone_into(&mut state.pod_uid);
            "new".clone_into(&mut state.boot_id);
        }),
        "the old pod may live elsewhere"
    );
    assert!(
        !leaves(|state| {
            "new".clone_into(&mut state.pod_uid);
            state.volume = Volume::Blank;
        }),
        "the old pod may live on its own volume"
    );
    // As a pod on another node finds it.
    fn moved(state: &mut AgentState, pod_uid: &str, run: u64) {
        "new".clone_into(&mut state.pod_uid);
        "new".clone_into(&mut state.boot_id);
        let Volume::Recorded { record } = &mut state.volume else { panic!() };
        record.incarnation = Incarnation(4);
        record.note_end(Ended { pod_uid: pod_uid.to_owned(), incarnation: Incarnation(run) });
        record.note_end(Ended { pod_uid: "new".to_owned(), incarnation: Incarnation(3) });
    }
    assert!(leaves(|state| moved(state, "pod-1", 1)), "its own pod has seen it end");
    assert!(leaves(|state| moved(state, "pod-1", 2)), "and a later one");
    assert!(!leaves(|state| moved(state, "pod-1", 0)), "an earlier one");
    assert!(!leaves(|state| moved(state, "other", 9)), "another pod says nothing of it");
}

#[test]
fn a_run_that_ended_leaves_only_when_another_acker_has_what_came_before() {
    let (record, mut seen) = acknowledged_by(2);
    let mut there = state(1, Mariadbd::NotStarted);
    there.boot_ms = crate::orders::BootMillis(2);
    (seen.members[1].agent, seen.members[1].server) =
        (AgentSight::Present(Box::new(there)), ServerSight::Refused { since: Millis(40) });
    (seen.members[1].running_since, seen.members[1].dead_since) = (None, Some(Millis(40)));
    let leaves =
        |seen: &Observation| !leaving(Rules::default(), &policy(3), &record, seen, &seen.members[0]).is_empty();
    assert!(!leaves(&seen), "the primary was read before");
    edit(&mut seen.members[0], |view| view.begun = Millis(60));
    assert!(leaves(&seen));
    edit(&mut seen.members[0], |view| view.binlog_position = "0-17-99".parse().unwrap());
    assert!(!leaves(&seen));
}
