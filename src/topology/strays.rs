//! Members that take writes and are not the primary: a deposed one that comes back, or a replica whose `read_only` somebody
//! switched off. What clients write there is lost, and the Service may lead to them in a transition.

use super::decide::{Act, Case, Decision, order};
use super::observation::MemberView;
use super::record::{Step, Transition, TransitionKind};
use crate::orders::Order;

/// What has to be done about them before anything else of a transition that has not passed the point of no return: clients are
/// led to a candidate before it is promoted, and one that is killed is none for now.
pub(super) fn first(case: &Case<'_>) -> Option<Decision> {
    let transition = case.record.transition.as_ref().filter(|transition| transition.step == Step::Decided)?;
    transition.from?;
    // A fence that failed is repeated, and waited for no longer.
    let awaited = |member: &&MemberView| !member.progress.has_failed(&Order::Fence);
    let strays: Vec<&MemberView> = strays(case).filter(awaited).collect();
    let member = strays.first()?;
    let why =
        format!("{} takes writes and is not the primary: its mariadbd is killed", case.policy.name(member.ordinal));
    Some(Decision { acts: strays.into_iter().filter_map(fence).collect(), ..Decision::blocked(why) })
}

/// `decision` with all of them fenced, and nothing else asked of them.
pub(super) fn fenced(case: &Case<'_>, mut decision: Decision) -> Decision {
    if decision.acts.iter().any(|act| matches!(act, Act::Write { .. })) {
        return decision;
    }
    for stray in strays(case) {
        decision.acts.retain(|act| match act {
            Act::Order { member, .. } | Act::Route { member } => *member != stray.ordinal,
            Act::Write { .. } => true,
        });
        decision.acts.extend(fence(stray));
    }
    decision
}

/// Those that are seen: by a reading that shows what the last order did, and with an agent that can be told. An old primary that
/// was started again is none before it is promoted again.
fn strays<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a MemberView> {
    let case = *case;
    let takes_writes = |member: &MemberView| member.settled_view().is_some_and(|view| !view.read_only);
    let decided =
        |transition: &Transition| (transition.kind, transition.step) == (TransitionKind::Resume, Step::Decided);
    let primary = case.record.primary.filter(|_| !case.record.transition.as_ref().is_some_and(decided));
    let members = case.seen.members.iter().filter(move |member| Some(member.ordinal) != primary);
    members.filter(move |member| !case.rules.ignore_strays && case.is_ours(member) && takes_writes(member))
}

fn fence(member: &MemberView) -> Option<Act> {
    order(member, Order::Fence)
}
