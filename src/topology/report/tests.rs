use super::super::decide::decide;
use super::super::member::samples::{acker, acking, cluster, dead, edit, policy, primary, record};
use super::super::observation::AgentSight;
use super::super::policy::WhenNoAcker;
use super::super::record::Durability;
use super::*;
use crate::orders::Ordinal;

fn healthy() -> Vec<MemberView> {
    vec![primary(), acking(1), acking(2)]
}

fn told(policy: &Policy, seen: &Observation) -> Report {
    let record = Record { ackers: vec![acker(1, 1), acker(2, 1)], ..record() };
    report(policy, &record, seen, &decide(policy, &record, seen))
}

/// The condition of `kind` in a cluster of `members`.
fn condition_of(kind: &str, members: Vec<MemberView>) -> (bool, Reason, String) {
    condition_in(kind, &policy(3), &cluster(members))
}

fn condition_in(kind: &str, policy: &Policy, seen: &Observation) -> (bool, Reason, String) {
    let report = told(policy, seen);
    let found = report.conditions.into_iter().find(|condition| condition.kind == kind).unwrap();
    (found.status, found.reason, found.message)
}

fn reasons(members: &[MemberView]) -> (Reason, Reason) {
    let ready = condition_of("Ready", members.to_vec());
    let failover = condition_of("FailoverReady", members.to_vec());
    assert!(!ready.0 && !failover.0, "{ready:?} {failover:?}");
    (ready.1, failover.1)
}

#[test]
fn a_healthy_cluster_is_ready_for_both() {
    assert_eq!(condition_of("Ready", healthy()).1, Reason::PrimaryAcceptsWrites);
    let (ready, reason, message) = condition_of("FailoverReady", healthy());
    assert!(ready && reason == Reason::CandidateReady, "{message}");
}

#[test]
fn a_wedged_primary_is_not_ready_though_it_answers() {
    let mut members = healthy();
    members[0].new_connection = NewConnection::Hangs { since: Millis(8), tried: Millis(9) };
    assert_eq!(reasons(&members), (Reason::PrimaryWedged, Reason::PrimaryWedged));
    let row = told(&policy(3), &cluster(members)).members[0].clone();
    assert_eq!((row.state, row.reason), (MemberState::Starting, Some(MemberReason::NoNewConnections)));
}

#[test]
fn a_primary_that_turns_new_connections_away_is_not_ready() {
    let mut members = healthy();
    members[0].new_connection = NewConnection::TurnedAway { message: "error 1040: Too many connections".to_owned() };
    let (ready, reason, message) = condition_of("Ready", members);
    assert!(!ready && reason == Reason::PrimarySick && message.contains("kubectl -n ns exec c-0"), "{message}");
    assert!(message.contains("SET GLOBAL max_connections=2*@@max_connections"), "{message}");
}

#[test]
fn that_nobody_acknowledges_says_what_ends_the_wait() {
    let with = |when_no_acker, paused| {
        let members = vec![primary(), dead(1), dead(2)];
        let policy = Policy { when_no_acker, paused, ..policy(3) };
        let (ready, reason, message) = condition_in("Ready", &policy, &cluster(members));
        assert_eq!((ready, reason), (false, Reason::NoAcker), "{message}");
        message
    };
    assert!(with(WhenNoAcker::Wait, false).contains("set spec.replication.whenNoAcker to Degrade"));
    let degrade = WhenNoAcker::Degrade { after_ms: 30_000 };
    let message = with(degrade, false);
    assert!(message.contains("none for 30 s") && !message.contains("to Degrade"), "{message}");
    assert!(with(degrade, true).contains("spec.paused is true"));
}

#[test]
fn whatever_keeps_a_primary_from_being_replaced_is_said_in_both_conditions() {
    let with = |server: ServerSight| {
        let mut members = healthy();
        members[0].server = server;
        members
    };
    let message = || "its words".to_owned();
    let cut_off = |mut members: Vec<MemberView>| {
        members[0].agent = AgentSight::Away { since: Millis(1) };
        for member in &mut members[1..] {
            edit(member, |view| view.slave.as_mut().unwrap().io = IoThread::Connecting);
        }
        members
    };
    let silent = || with(ServerSight::Silent { since: Millis(1) });
    assert_eq!(reasons(&cut_off(silent())), (Reason::PrimarySuspect, Reason::PrimarySuspect));
    assert_eq!(reasons(&silent()), (Reason::PathBroken, Reason::PathBroken));
    assert_eq!(reasons(&with(ServerSight::Sick { message: message() })), (Reason::PrimarySick, Reason::PrimarySick));
    assert_eq!(reasons(&with(ServerSight::Denied { message: message() })), (Reason::ProbeDenied, Reason::ProbeDenied));
}

#[test]
fn a_primary_without_its_agent_could_not_be_replaced() {
    let mut members = healthy();
    members[0].agent = AgentSight::Away { since: Millis(1) };
    let (ready, reason, message) = condition_of("FailoverReady", members);
    assert!(!ready && reason == Reason::AgentUnreachable && message.contains("c-0"), "{message}");
}

#[test]
fn an_heir_that_receives_nothing_is_named_with_its_error() {
    let mut members = healthy();
    for member in &mut members[1..] {
        edit(member, |view| {
            let slave = view.slave.as_mut().unwrap();
            slave.io = IoThread::Connecting;
            "Access denied, this account is locked".clone_into(&mut slave.io_error);
        });
    }
    let (ready, reason, message) = condition_of("FailoverReady", members);
    assert!(!ready && reason == Reason::CandidateNotReceiving, "{reason} {message}");
    assert!(message.contains("c-1") && message.contains("account is locked"), "{message}");
}

#[test]
fn a_service_that_leads_elsewhere_is_named() {
    let mut seen = cluster(healthy());
    seen.service_member = None;
    let (ready, reason, message) = condition_in("Ready", &policy(3), &seen);
    assert!(!ready && reason == Reason::ServiceMisdirected, "{reason}");
    assert!(message.contains("c-primary selects no member") && message.contains("put back"), "{message}");
    // A paused cluster leaves a Service as it is that an earlier release has written, and clients get there.
    let paused = Policy { paused: true, ..policy(3) };
    let (ready, reason, message) =
        condition_in("Ready", &paused, &Observation { service_term: None, ..cluster(healthy()) });
    assert!(ready, "{reason}: {message}");
}

#[test]
fn a_service_that_leads_elsewhere_is_named_whatever_keeps_the_primary_from_being_read() {
    let with = |server: ServerSight| {
        let mut members = healthy();
        members[0].server = server;
        let seen = Observation { service_member: Some(Ordinal(1)), ..cluster(members) };
        condition_in("Ready", &policy(3), &seen)
    };
    let message = || "its words".to_owned();
    for (server, expected) in [
        (ServerSight::Denied { message: message() }, Reason::ServiceMisdirected),
        (ServerSight::Silent { since: Millis(1) }, Reason::ServiceMisdirected),
        (ServerSight::Sick { message: message() }, Reason::PrimarySick),
    ] {
        let (ready, reason, message) = with(server);
        assert_eq!((ready, reason), (false, expected), "{message}");
        assert!(message.contains("c-primary selects c-1, not c-0: it is put back"), "{message}");
    }
    let mut members = healthy();
    members[0].new_connection = NewConnection::Hangs { since: Millis(8), tried: Millis(9) };
    let wedged = Observation { service_member: None, ..cluster(members) };
    let (_, reason, message) = condition_in("Ready", &policy(3), &wedged);
    assert_eq!(reason, Reason::PrimaryWedged);
    assert!(message.contains("c-primary selects no member"), "{message}");
}

#[test]
fn a_paused_cluster_says_that_nothing_would_be_done() {
    let paused = Policy { paused: true, ..policy(3) };
    let (ready, reason, _) = condition_in("FailoverReady", &paused, &cluster(healthy()));
    assert!(!ready && reason == Reason::SpecPaused, "{reason}");
    let mut members = healthy();
    members[0] = dead(0);
    let (ready, reason, message) = condition_in("Ready", &paused, &cluster(members));
    assert!(!ready && reason == Reason::PrimaryDead && message.contains("spec.paused"), "{message}");
}

#[test]
fn members_that_share_a_node_are_named_and_the_death_of_a_mariadbd_is_survived_all_the_same() {
    let on = |nodes: [Option<&str>; 3]| {
        let mut members = healthy();
        for (member, node) in members.iter_mut().zip(nodes) {
            member.pod.as_mut().unwrap().node = node.map(str::to_owned);
        }
        condition_of("FailoverReady", members)
    };
    let apart = on([Some("n0"), Some("n1"), Some("n2")]);
    let shared = on([Some("n0"), Some("n0"), Some("n2")]);
    assert_eq!((shared.0, shared.1), (true, apart.1));
    let words = "c-0 and c-1 share node n0: losing it takes them all, the primary among them";
    assert!(shared.2.contains(words), "{}", shared.2);
    assert!(
        on([Some("n0"), Some("n1"), Some("n1")]).2.contains("c-1 and c-2 share node n1: losing it takes them all;")
    );
    for message in [apart.2, on([None, None, None]).2] {
        assert!(!message.contains("share"), "{message}");
    }
}

#[test]
fn binary_logs_that_were_reset_are_told_while_nothing_else_could_prove_what_was_acknowledged() {
    let told = |durability| {
        let began = Some("0-1-9,5-17-3".parse().unwrap());
        let ackers = vec![acker(1, 1), acker(2, 1)];
        let record = Record { began, durability, ackers, ..record() };
        let seen = cluster(healthy());
        let report = report(&policy(3), &record, &seen, &decide(&policy(3), &record, &seen));
        report.conditions.into_iter().find(|condition| condition.kind == "FailoverReady").unwrap()
    };
    let blocked = told(Durability::CatchingUp);
    assert!(!blocked.status && blocked.message.contains("RESET MASTER"), "{blocked:?}");
    assert!(told(Durability::Enforced).status, "its ackers prove it");
}

#[test]
fn replicas_that_differ_only_in_what_they_have_received_are_named_together() {
    let mut members = healthy();
    edit(&mut members[2], |view| view.binlog_position = "0-17-11".parse().unwrap());
    assert!(condition_of("FailoverReady", members).2.contains("c-1 or c-2 would be promoted"));
}

fn lock(member: &mut MemberView) {
    let AgentSight::Present(state) = &mut member.agent else { panic!() };
    state.sql_notes.writes_locked = Some("a lock; held by 7".to_owned());
}

#[test]
fn a_primary_whose_writes_wait_for_a_lock_is_not_ready() {
    let mut members = healthy();
    lock(&mut members[0]);
    let (ready, reason, message) = condition_of("Ready", members.clone());
    assert_eq!((ready, reason), (false, Reason::WritesLocked));
    assert!(message.contains("c-0: a lock; held by 7") && message.contains("kubectl -n ns exec c-0"), "{message}");
    assert!(condition_of("FailoverReady", members).0, "a failover would help");
}

#[test]
fn a_replica_that_was_written_to_is_not_told_to_go_on() {
    let told = |errno, error: &str| {
        let mut members = healthy();
        edit(&mut members[2], |view| {
            let slave = view.slave.as_mut().unwrap();
            (slave.sql, slave.sql_errno, slave.sql_error) = (false, errno, error.to_owned());
        });
        let row = told(&policy(3), &cluster(members)).members[2].clone();
        assert_eq!(row.reason, Some(MemberReason::SqlThreadError));
        row.message.unwrap()
    };
    let message = told(1950, "An attempt was made to binlog GTID 0-17-11");
    assert!(message.contains("START SLAVE does not help") && message.contains("binlog diff"), "{message}");
    assert!(told(1062, "Duplicate entry").contains("mend what that names, then START SLAVE"));
}

#[test]
fn the_heir_that_is_named_is_the_one_that_is_looked_at() {
    let mut members = healthy();
    lock(&mut members[1]);
    edit(&mut members[1], |view| view.slave.as_mut().unwrap().io = IoThread::No);
    let (ready, _, message) = condition_of("FailoverReady", members.clone());
    assert!(ready && message.contains("c-2 would be promoted"), "{message}");
    members[2].server = ServerSight::Denied { message: "Access denied".to_owned() };
    let (ready, reason, message) = condition_of("FailoverReady", members);
    assert!(!ready && reason == Reason::ProbeDenied && message.contains("c-2"), "{message}");
}

#[test]
fn a_lock_does_not_take_the_place_of_what_else_is_wrong() {
    let mut members = healthy();
    lock(&mut members[0]);
    edit(&mut members[0], |view| view.read_only = true);
    lock(&mut members[2]);
    edit(&mut members[2], |view| {
        let slave = view.slave.as_mut().unwrap();
        (slave.io, slave.io_error) = (IoThread::No, "error 1236".to_owned());
    });
    let rows = told(&policy(3), &cluster(members)).members;
    assert_eq!(rows[0].reason, Some(MemberReason::ReadOnly));
    let message = rows[2].message.clone().unwrap();
    assert_eq!(rows[2].reason, Some(MemberReason::NotReplicating));
    assert!(message.starts_with("error 1236; besides, a lock; held by 7"), "{message}");
}

#[test]
fn a_lock_on_every_replica_keeps_a_failover_from_succeeding() {
    let mut members = healthy();
    lock(&mut members[1]);
    let (ready, _, message) = condition_of("FailoverReady", members.clone());
    assert!(ready && message.starts_with("c-2 would be promoted"), "{message}");
    let row = told(&policy(3), &cluster(members.clone())).members[1].clone();
    assert_eq!((row.state, row.reason), (MemberState::Ready, Some(MemberReason::WritesLocked)));
    assert!(row.message.is_some_and(|message| message.contains("KILL ID")));
    lock(&mut members[2]);
    let (ready, reason, message) = condition_of("FailoverReady", members);
    assert_eq!((ready, reason), (false, Reason::WritesLocked));
    assert!(message.contains("c-1: a lock") && message.contains("c-2: a lock"), "{message}");
}

#[test]
fn an_heir_that_is_not_read_is_not_vouched_for_and_may_acknowledge_all_the_same() {
    let mut members = healthy();
    edit(&mut members[0], |view| view.semi_sync.clients = 2);
    for member in &mut members[1..] {
        member.server = ServerSight::Denied { message: "error 1045: its words".to_owned() };
    }
    let (ready, reason, message) = condition_of("FailoverReady", members.clone());
    assert_eq!((ready, reason), (false, Reason::ProbeDenied));
    assert!(message.contains("c-1 would be promoted and refuses the operator's account (error 1045"), "{message}");
    assert!(condition_of("Ready", members.clone()).0, "nothing says that commits wait");
    edit(&mut members[0], |view| view.semi_sync.clients = 0);
    assert_eq!(condition_of("Ready", members.clone()).1, Reason::NoAcker);
    for member in &mut members[1..] {
        member.server = ServerSight::Silent { since: Millis(1) };
    }
    assert!(condition_of("FailoverReady", members.clone()).0, "one late answer says nothing");
    let later = Observation { now: Millis(2_001), ..cluster(members) };
    assert_eq!(condition_in("FailoverReady", &policy(3), &later).1, Reason::CandidateNotReceiving);
}
