//! Members that take writes and are not the primary: a deposed one that comes back, or a replica whose `read_only` somebody
//! switched off. What clients write there is lost, and the Service may lead to them in a transition.

use super::decision::{Act, Case, Decision};
use super::observation::{MemberView, ServerView};
use super::record::term_of;
use super::transition::Transition;
use crate::orders::{Order, Reason};

/// What has to be done about them before anything else of a transition that has not passed the point of no return: clients are
/// led to a candidate before it is promoted, and one that is killed is none for now.
pub(super) fn first(case: &Case<'_>) -> Option<Decision> {
    let (Transition::Failover { .. } | Transition::Resume { .. }) = case.record.transition.as_ref()? else {
        return None;
    };
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
            Act::Order { member, .. } | Act::SwitchService { member } => *member != stray.ordinal,
            Act::Write { .. } => true,
        });
        decision.acts.extend(fence(stray));
    }
    decision
}

/// Those that are seen, with an agent that can be told: by a reading of the present run, whatever was ordered since, because
/// nothing but a promotion makes a member writable; or by an agent that refuses to freeze it. An old primary that was started
/// again is none before it is promoted again; one that was promoted since the record was written proves that the record is old.
fn strays<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a MemberView> {
    let case = *case;
    let newer = move |view: &ServerView| term_of(view.server_id).is_some_and(|term| term > case.record.promoted_in);
    let takes_writes = move |member: &MemberView| {
        let refused =
            member.progress.failure_of(&Order::Freeze).is_some_and(|error| error.reason == Reason::StillRunning);
        let unread = refused && member.view().is_none() && member.is_running() && member.progress.fenced.is_none();
        unread || member.current_view().is_some_and(|view| !view.read_only && !newer(view))
    };
    let resumes = |transition: &Transition| matches!(transition, Transition::Resume { .. });
    let primary = case.record.primary.filter(|_| !case.record.transition.as_ref().is_some_and(resumes));
    let members = case.seen.members.iter().filter(move |member| Some(member.ordinal) != primary);
    members.filter(move |member| !case.rules.ignore_strays && case.is_ours(member) && takes_writes(member))
}

/// Also in place of an order in flight, which its agent then gives up: a `follow` that waits could call it caught up by what it
/// has written itself.
fn fence(member: &MemberView) -> Option<Act> {
    let under_way = member.busy == Some(Order::Fence.name());
    (!under_way).then_some(Act::Order { member: member.ordinal, order: Order::Fence })
}
