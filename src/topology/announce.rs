//! How a transition is announced, and what may be done beside it.

use super::decision::{Act, Case, Decision, order};
use super::observation::MemberView;
use super::record::Record;
use super::safety;
use super::transition::Transition;
use crate::gtid::GtidPosition;
use crate::orders::{Order, Ordinal};

/// Members that do not run may be what is missing; started they are read-only and follow nobody.
pub(super) fn start_idle(case: &Case<'_>, from: Ordinal) -> Vec<Act> {
    let idle =
        |member: &&MemberView| case.is_ours(member) && member.state().is_some_and(|state| state.mariadbd.is_dead());
    case.others(from).filter(idle).filter_map(|member| order(member, Order::Start)).collect()
}

/// Announces that another member is to take the place of `from`.
pub(super) fn failover(case: &Case<'_>, from: Ordinal, why: String) -> Decision {
    announce(case, Transition::Failover { from, logs_end: known_end(case, from) }, why)
}

/// Announces that `from` is to be started and promoted again.
pub(super) fn resume(case: &Case<'_>, from: Ordinal, why: String) -> Decision {
    announce(case, Transition::Resume { from, logs_end: known_end(case, from) }, why)
}

/// Term+1, before any order of the transition.
fn announce(case: &Case<'_>, transition: Transition, why: String) -> Decision {
    let record = Record { term: case.record.term.next(), transition: Some(transition), ..case.record.clone() };
    Decision::write(record, why)
}

/// What the binary logs of `from` are known to have held stays known.
fn known_end(case: &Case<'_>, from: Ordinal) -> Option<GtidPosition> {
    match case.record.transition.as_ref()? {
        Transition::Failover { from: before, logs_end } | Transition::Resume { from: before, logs_end }
            if *before == from =>
        {
            logs_end.clone().or_else(|| case.seen.member(from).and_then(|old| read_end(case, old)))
        }
        _ => None,
    }
}

pub(super) fn is_fenceable(old: &MemberView) -> bool {
    old.state().is_some_and(|state| state.record().is_some())
}

/// Where the old primary's binary logs end, once they were read and can be believed.
pub(super) fn read_end(case: &Case<'_>, old: &MemberView) -> Option<GtidPosition> {
    safety::logs_end(case.record, old.progress.fenced.as_ref()?).ok()
}
