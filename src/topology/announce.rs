//! How a transition is announced, and what may be done beside it.

use super::decision::{Act, Case, Decision, order};
use super::observation::MemberView;
use super::record::{Record, Step, Transition, TransitionKind};
use super::safety;
use crate::gtid::GtidPosition;
use crate::orders::{Order, Ordinal};

/// Members that do not run may be what is missing; started they are read-only and follow nobody.
pub(super) fn start_idle(case: &Case<'_>, from: Ordinal) -> Vec<Act> {
    let idle =
        |member: &&MemberView| case.is_ours(member) && member.state().is_some_and(|state| state.mariadbd.is_dead());
    case.others(from).filter(idle).filter_map(|member| order(member, Order::Start)).collect()
}

/// Announces a transition away from `from`: term+1, before any order of it. What its binary logs are known to have held stays
/// known.
pub(super) fn announce(case: &Case<'_>, kind: TransitionKind, from: Ordinal, why: String) -> Decision {
    let same = |transition: &&Transition| transition.step == Step::Decided && transition.from == Some(from);
    let target = case.record.transition.as_ref().filter(same).and_then(|transition| {
        transition.target.clone().or_else(|| case.seen.member(from).and_then(|old| read_end(case, old)))
    });
    let record = Record {
        term: case.record.term.next(),
        transition: Some(Transition::decided(kind, from, target)),
        ..case.record.clone()
    };
    Decision::write(record, why)
}

pub(super) fn is_fenceable(old: &MemberView) -> bool {
    old.state().is_some_and(|state| state.record().is_some())
}

/// Where the old primary's binary logs end, once they were read and can be believed.
pub(super) fn read_end(case: &Case<'_>, old: &MemberView) -> Option<GtidPosition> {
    safety::logs_end(case.record, old.progress.fenced.as_ref()?).ok()
}
