//! Candidates that cannot apply what they have received: a dump's lock, DDL, a stopped SQL thread.

use super::decide::{Act, Case, order};
use super::observation::MemberView;
use crate::gtid::GtidPosition;
use crate::orders::{Order, Ordinal};

/// The best candidate is held up, so all others are, too: whichever comes free first is promoted.
pub(super) fn ask_others(case: &Case<'_>, from: Ordinal, candidate: &MemberView, target: &GtidPosition) -> Vec<Act> {
    let has_all = |member: &&MemberView| {
        // In an earlier term it was held up, too: it may have come free since.
        let was_held = member.progress.held.is_some() || member.stumbled;
        was_held
            && member.progress.following.is_none()
            && member.frozen().is_some_and(|frozen| !frozen.killed && frozen.received.covers(target))
    };
    let others = case.others(from).filter(|member| member.ordinal != candidate.ordinal).filter(has_all);
    others.filter_map(|member| order(member, Order::Await { position: target.clone() })).collect()
}

/// Members that were passed over because something holds them up, or an order failed on them.
pub(super) fn passed_over(case: &Case<'_>, from: Ordinal, best: Ordinal) -> Vec<String> {
    let others = case.others(from).filter(|member| member.ordinal != best);
    others.filter_map(|member| Some(format!("member {}: {}", member.ordinal, why(member)?))).collect()
}

fn why(member: &MemberView) -> Option<String> {
    let held = member.progress.held.as_ref().map(|held| format!("it cannot apply what it has received: {held}"));
    held.or_else(|| {
        let failure = member.progress.failure()?;
        Some(format!("{} failed: {}", failure.order, failure.error))
    })
}

#[cfg(test)]
mod tests {
    use super::super::member::samples::replica;
    use super::*;
    use crate::orders::{OrderError, Reason};

    #[test]
    fn what_holds_a_member_up_is_said_or_how_its_order_failed() {
        let mut member = replica(1, "p0");
        assert_eq!(why(&member), None);
        let error = OrderError { reason: Reason::Sql, message: "STOP SLAVE: no answer within 4s".to_owned() };
        member.progress.note_failure(&Order::Freeze, error);
        assert!(why(&member).unwrap().contains("freeze failed: STOP SLAVE: no answer"));
        member.progress.held = Some("Waiting for table metadata lock".to_owned());
        assert!(why(&member).unwrap().contains("metadata lock"));
    }
}
