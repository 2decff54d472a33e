//! Candidates that cannot apply what they have received: a dump's lock, DDL, a stopped SQL thread.

use super::decide::{Act, Case, order};
use super::observation::MemberView;
use crate::gtid::GtidPosition;
use crate::orders::{Order, Ordinal};

/// The best candidate is held up, so all others are, too: whichever comes free first is promoted.
pub(super) fn ask_others(case: &Case<'_>, from: Ordinal, candidate: &MemberView, target: &GtidPosition) -> Vec<Act> {
    let has_all = |member: &&MemberView| {
        let stayed = member.progress.held.is_some() && member.progress.following.is_none();
        stayed && member.frozen().is_some_and(|frozen| !frozen.killed && frozen.received.covers(target))
    };
    let others = case.others(from).filter(|member| member.ordinal != candidate.ordinal).filter(has_all);
    others.filter_map(|member| order(member, Order::Await { position: target.clone() })).collect()
}

/// Members that were passed over because something holds them up.
pub(super) fn passed_over(case: &Case<'_>, best: Ordinal) -> Vec<String> {
    let others = case.seen.members.iter().filter(|member| member.ordinal != best);
    let held = others.filter_map(|member| Some((member.ordinal, member.progress.held.as_ref()?)));
    held.map(|(ordinal, held)| format!("member {ordinal}: it cannot apply what it has received: {held}")).collect()
}
