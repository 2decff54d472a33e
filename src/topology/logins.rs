//! What an agent says of its logins, and what follows from it.

use super::decide::decide;
use super::decision::{Act, Decision};
use super::member::samples::{acker, acking, cluster, edit, policy, primary, record};
use super::observation::{AgentSight, IoThread, MemberView, Observation};
use super::reasons::{MemberReason, MemberState};
use super::record::Record;
use super::report::report;
use crate::orders::{Mariadbd, Order, Ordinal, SqlNotes};

fn at_rest() -> Observation {
    cluster(vec![primary(), acking(1), acking(2)])
}

fn recorded() -> Record {
    Record { ackers: vec![acker(1, 1), acker(2, 1)], ..record() }
}

fn note(member: &mut MemberView, notes: SqlNotes) {
    let AgentSight::Present(state) = &mut member.agent else { panic!() };
    state.sql_notes = notes;
}

fn follows(seen: &Observation) -> bool {
    let decision: Decision = decide(&policy(3), &recorded(), seen);
    let follow = |act: &Act| matches!(act, Act::Order { member: Ordinal(1), order: Order::Follow { .. }, .. });
    decision.acts.iter().any(follow)
}

#[test]
fn a_refused_password_is_replaced_once_the_member_has_another() {
    let mut seen = at_rest();
    let old = SqlNotes { password_changed: true, ..SqlNotes::default() };
    note(&mut seen.members[1], old.clone());
    assert!(!follows(&seen), "the source still takes the old one, and may not know the new one yet");
    for refusal in [1045, 4150] {
        edit(&mut seen.members[1], |view| {
            if let Some(slave) = &mut view.slave {
                (slave.io, slave.io_errno) = (IoThread::Connecting, refusal);
            }
        });
        assert!(follows(&seen), "{refusal}");
    }
    note(&mut seen.members[1], SqlNotes::default());
    assert!(!follows(&seen), "it has no other password to try");
}

fn told(seen: &Observation, ordinal: usize) -> (MemberState, Option<MemberReason>, String) {
    let decision = decide(&policy(3), &recorded(), seen);
    let report = report(&policy(3), &recorded(), seen, &decision);
    let member = &report.members[ordinal];
    (member.state, member.reason, member.message.clone().unwrap_or_default())
}

#[test]
fn a_login_that_mariadbd_refuses_is_a_reason_of_its_own() {
    let mut seen = at_rest();
    let refused = Some("mysql@/run/mysqld/mysqld.sock: error 1698: Access denied".to_owned());
    note(&mut seen.members[1], SqlNotes { login_refused: refused, ..SqlNotes::default() });
    let AgentSight::Present(state) = &mut seen.members[1].agent else { panic!() };
    state.mariadbd = Mariadbd::Running { incarnation: crate::orders::Incarnation(1), sql: false };
    let (state, reason, message) = told(&seen, 1);
    assert_eq!((state, reason), (MemberState::Starting, Some(MemberReason::LoginRefused)));
    assert!(message.contains("error 1698") && message.contains("mysql@localhost"), "{message}");
}

#[test]
fn accounts_that_cannot_be_set_are_told_even_while_all_goes_well() {
    let mut seen = at_rest();
    let wrong = Some("GRANT REPLICATION: error 1290: no".to_owned());
    note(&mut seen.members[0], SqlNotes { accounts_wrong: wrong, ..SqlNotes::default() });
    let (state, reason, message) = told(&seen, 0);
    assert_eq!((state, reason), (MemberState::Ready, Some(MemberReason::AccountsWrong)));
    assert!(message.contains("error 1290"), "{message}");
}
