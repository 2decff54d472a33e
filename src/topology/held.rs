//! Candidates that cannot apply what they have received: a dump's lock, DDL, a stopped SQL thread.

use super::candidate::Ranking;
use super::decision::{Act, Case, order};
use super::observation::MemberView;
use super::policy::Policy;
use crate::gtid::GtidPosition;
use crate::orders::{Order, Ordinal};

/// All candidates held up for so long: a start of mariadbd and its recovery take less, mostly. In milliseconds.
const HELD_FOR_MS: u64 = 10_000;

/// The best candidate is held up, so all others are, too: whichever comes free first is promoted. One that lacks a part of
/// the target is asked to apply what it has: once it is free it ranks first, and gets the rest like any candidate.
pub(super) fn ask_others(case: &Case<'_>, from: Ordinal, candidate: &MemberView, target: &GtidPosition) -> Vec<Act> {
    let asked = |member: &MemberView| {
        // In an earlier term it was held up, too: it may have come free since.
        let was_held = member.progress.held.is_some() || member.stumbled;
        let frozen = member.frozen().filter(|frozen| !frozen.killed && member.progress.following.is_none())?;
        let position = if frozen.received.covers(target) { target } else { &frozen.received };
        was_held.then(|| order(member, Order::Await { position: position.clone() })).flatten()
    };
    case.others(from).filter(|member| member.ordinal != candidate.ordinal).filter_map(asked).collect()
}

/// What holds up the best candidate, when all of them have been held up for a while: waiting longer helps less than the old
/// primary, if that can be started again.
pub(super) fn all_of_them(case: &Case<'_>, ranking: &Ranking) -> Option<String> {
    let candidates = || ranking.candidates.iter().filter_map(|ordinal| case.seen.member(*ordinal));
    let long = |member: &MemberView| member.progress.held_since.is_some_and(|since| case.lasted(since) >= HELD_FOR_MS);
    let best = candidates().next().filter(|_| candidates().all(long))?;
    best.progress.held.as_ref().map(|held| format!("{}: {held}", case.policy.name(best.ordinal)))
}

/// Members that were passed over because something holds them up, or an order failed on them.
pub(super) fn passed_over(case: &Case<'_>, from: Ordinal, best: Ordinal) -> Vec<String> {
    let others = case.others(from).filter(|member| member.ordinal != best);
    others.filter_map(|member| Some(format!("{}: {}", case.name(member.ordinal), why(member)?))).collect()
}

fn why(member: &MemberView) -> Option<String> {
    let held = member.progress.held.as_ref().map(|held| format!("it cannot apply what it has received: {held}"));
    held.or_else(|| {
        let failure = member.progress.failure()?;
        Some(format!("{} failed: {}", failure.order, failure.error))
    })
}

/// What is said of a candidate that is held up.
pub(super) fn words(policy: &Policy, candidate: Ordinal, held: &str) -> String {
    let (name, exec) = (policy.name(candidate), policy.exec(candidate));
    format!("{name} cannot apply what it has received: {held}; `{exec} mariadb -e 'KILL ID'` ends a session")
}

#[cfg(test)]
mod tests {
    use super::super::decide::decide;
    use super::super::member::samples::{cluster, dead, policy, record, replica};
    use super::super::observation::Observation;
    use super::super::record::Record;
    use super::super::transition::{Transition, TransitionKind};
    use super::*;
    use crate::orders::{Frozen, Incarnation, LogEvidence, OrderError, Reason};
    use crate::time::Millis;

    fn held(ordinal: u8, since: u64) -> MemberView {
        let mut member = replica(ordinal, "p0");
        let position: GtidPosition = "0-17-10".parse().unwrap();
        member.progress.frozen = Some(Frozen {
            incarnation: Incarnation(1),
            received: position.clone(),
            applied: "0-17-9".parse().unwrap(),
            killed: false,
            dropped: false,
            settled: true,
        });
        (member.progress.held, member.progress.held_since) = (Some("a backup".to_owned()), Some(Millis(since)));
        member
    }

    #[test]
    fn when_all_are_held_up_for_long_the_old_primary_is_started_again() {
        let transition = Transition::Failover { from: Ordinal(0), logs_end: None };
        let record = Record { transition: Some(transition), ..record() };
        let mut old = dead(0);
        old.progress.fenced = Some(LogEvidence::Readable { end: "0-17-10".parse().unwrap(), torn: None });
        let told = |second: u64, old: &MemberView| {
            let members = vec![old.clone(), held(1, 1_000), held(2, second)];
            decide(&policy(3), &record, &Observation { now: Millis(11_000), ..cluster(members) }).acts
        };
        assert!(matches!(&told(1_000, &old)[..], [Act::Write { record, why }]
            if record.transition.as_ref().is_some_and(|transition| transition.kind() == TransitionKind::Resume)
                && why.contains("c-1: a backup")));
        let waits =
            |acts: Vec<Act>| acts.iter().all(|act| matches!(act, Act::Order { order: Order::Await { .. }, .. }));
        assert!(waits(told(1_001, &old)), "one of them only since a moment ago");
        old.progress.fenced = Some(LogEvidence::Readable { end: "0-17-9".parse().unwrap(), torn: None });
        let acts = told(1_000, &old);
        assert!(!acts.iter().any(|act| matches!(act, Act::Write { .. })), "they have more than it: {acts:?}");
        old.progress.fenced = Some(LogEvidence::Unreadable { message: "an input/output error".to_owned() });
        assert!(!told(1_000, &old).iter().any(|act| matches!(act, Act::Write { .. })), "its logs cannot be read");
    }

    #[test]
    fn what_holds_a_member_up_is_said_or_how_its_order_failed() {
        let mut member = replica(1, "p0");
        assert_eq!(why(&member), None);
        let error = OrderError::new(Reason::Sql, "STOP SLAVE: no answer within 4s");
        member.progress.note_failure(&Order::Freeze, error);
        assert!(why(&member).unwrap().contains("freeze failed: STOP SLAVE: no answer"));
        member.progress.held = Some("Waiting for table metadata lock".to_owned());
        assert!(why(&member).unwrap().contains("metadata lock"));
    }
}
