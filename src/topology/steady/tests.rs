use super::super::decide::decide;
use super::super::member::samples::{acker, cluster, dead, edit, policy, record, replica, running};
use super::super::observation::{AgentSight, IoThread, Observation, ServerSight};
use super::super::policy::Policy;
use super::super::record::boot_server_id;
use super::super::transition::Transition;
use super::*;
use crate::orders::{Ordinal, Term};
use crate::time::Millis;

fn paused() -> Policy {
    Policy { paused: true, ..policy(3) }
}

/// A cluster in which everything is to be done: the Service leads nowhere, a member does not follow, another one is down,
/// semi-sync is off, nobody acknowledges.
fn neglected() -> Observation {
    let mut primary = running(0);
    edit(&mut primary, |view| view.read_only = false);
    let mut idle = replica(1, "p0");
    edit(&mut idle, |view| view.slave = None);
    Observation { service_member: None, ..cluster(vec![primary, idle, dead(2)]) }
}

#[test]
fn a_replica_follows_a_primary_of_another_release_to_its_port() {
    let told = |io: IoThread, errno: u32, port: Option<u16>| {
        let mut primary = running(0);
        edit(&mut primary, |view| view.read_only = false);
        primary.extra_port = port;
        let mut member = replica(1, "p0");
        edit(&mut member, |view| {
            let slave = view.slave.as_mut().unwrap();
            (slave.io, slave.port, slave.io_errno) = (io, 3308, errno);
        });
        let policy = Policy { mode: Mode::Async, ..policy(2) };
        let record = Record { durability: Durability::Async, ..record() };
        let acts = decide(&policy, &record, &cluster(vec![primary, member])).acts;
        acts.into_iter().find_map(|act| match act {
            Act::Order { order: Order::Follow { source: Source::Member { port, .. }, .. }, .. } => Some(port),
            _ => None,
        })
    };
    assert_eq!(told(IoThread::Connecting, 2003, None), Some(3306));
    assert_eq!(told(IoThread::Yes, 0, None), None, "it receives");
    assert_eq!(told(IoThread::Connecting, 2003, Some(3308)), None, "the port is not the matter");
}

#[test]
fn nothing_is_done_to_the_members_of_a_paused_cluster() {
    let record = Record { durability: Durability::CatchingUp, ackers: vec![acker(1, 1)], ..record() };
    assert!(decide(&policy(3), &record, &neglected()).acts.len() > 2);
    assert_eq!(decide(&paused(), &record, &neglected()).acts, vec![]);
}

#[test]
fn what_was_seen_before_a_primary_died_is_recorded_before_its_failover() {
    let died = MemberView { weakened: Some("semi-sync was switched off".to_owned()), ..dead(0) };
    let acts = decide(&policy(2), &record(), &cluster(vec![died, replica(1, "p0")])).acts;
    let [Act::Write { record, .. }] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!((record.durability, record.transition.clone()), (Durability::CatchingUp, None));
}

#[test]
fn a_primary_that_was_started_and_not_promoted_is_stopped() {
    let mut started = running(0);
    edit(&mut started, |view| (view.read_only, view.server_id) = (true, boot_server_id(Ordinal(0))));
    let decision = decide(&policy(2), &record(), &cluster(vec![started.clone(), replica(1, "p0")]));
    assert_eq!(decision.acts, [Act::Order { member: Ordinal(0), order: Order::Fence }]);
    assert_eq!(decision.blocked, None);
    let alone = decide(&paused(), &record(), &cluster(vec![started.clone(), replica(1, "p0")]));
    assert!(alone.acts.is_empty() && alone.blocked.is_some_and(|why| why.message().contains("set it to false")));
    let by_hand = |view: &mut ServerView| (view.read_only, view.server_id) = (true, 17);
    edit(&mut started, by_hand);
    let decision = decide(&policy(2), &record(), &cluster(vec![started, replica(1, "p0")]));
    assert!(!decision.acts.contains(&Act::Order { member: Ordinal(0), order: Order::Fence }), "read_only by hand");
}

#[test]
fn what_weakens_an_acknowledgement_is_recorded_in_a_paused_cluster_too() {
    let record = Record { ackers: vec![acker(1, 1)], ..record() };
    let acts = decide(&paused(), &record, &neglected()).acts;
    let [Act::Write { record, .. }] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(record.durability, Durability::CatchingUp);
}

#[test]
fn clients_are_led_back_to_a_primary_that_is_not_read_and_to_no_dead_one() {
    let back = vec![Act::SwitchService { member: Ordinal(0) }];
    let message = || "its words".to_owned();
    let sights = [
        ServerSight::Denied { message: message() },
        ServerSight::Sick { message: message() },
        ServerSight::Silent { since: Millis(1) },
        ServerSight::Refused { since: Millis(1) },
    ];
    for (server, agent) in sights.into_iter().flat_map(|server| {
        [running(0).agent, AgentSight::Away { since: Millis(1) }].map(|agent| (server.clone(), agent))
    }) {
        let unread = MemberView { server, agent, ..running(0) };
        let mut seen = cluster(vec![unread.clone(), replica(1, "p0")]);
        assert_eq!(decide(&policy(2), &record(), &seen).acts, vec![], "{unread:?}");
        for service_member in [None, Some(Ordinal(1))] {
            seen.service_member = service_member;
            let decision = decide(&policy(2), &record(), &seen);
            assert_eq!((&decision.acts, decision.blocked.is_some()), (&back, true), "{unread:?}");
            assert_eq!(decide(&paused(), &record(), &seen).acts, vec![], "{unread:?}");
        }
        let in_transition =
            Record { transition: Some(Transition::Failover { from: Ordinal(0), logs_end: None }), ..record() };
        let routes = |act: &Act| matches!(act, Act::SwitchService { .. });
        assert!(!decide(&policy(2), &in_transition, &seen).acts.iter().any(routes), "{unread:?}");
        seen.my_term = Some(Term(1));
        assert!(!decide(&policy(2), &record(), &seen).acts.iter().any(routes), "another leader's term");
    }
    let seen = Observation { service_member: None, ..cluster(vec![dead(0), replica(1, "p0")]) };
    assert_ne!(decide(&policy(2), &record(), &seen).acts, back, "a failover");
}

#[test]
fn a_dead_primary_of_a_paused_cluster_is_told_and_left_alone() {
    let mut seen = neglected();
    seen.members[0] = dead(0);
    let decision = decide(&paused(), &record(), &seen);
    assert_eq!(decision.acts, vec![]);
    assert!(decision.blocked.is_some_and(|why| why.message().contains("spec.paused")));
}
