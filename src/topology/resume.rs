//! The old primary becomes primary again, because nobody else can: one member, or all of them gone at once.

use super::candidate::{rank, received};
use super::decide::{Case, Decision, order};
use super::failover;
use super::member::{volume_trouble, written_outside_reigns};
use super::observation::MemberView;
use super::policy::Mode;
use super::record::{Durability, Record, Step, Transition, TransitionKind};
use super::safety;
use crate::orders::Order;

/// After this many failed starts another member is preferred, should one have appeared.
const STARTS_TO_GIVE_UP: u32 = 2;

/// True when `old`, the recorded primary, can be started from its own volume.
pub(super) fn is_possible(case: &Case<'_>, old: &MemberView) -> bool {
    case.record.primary == Some(old.ordinal) && case.is_ours(old)
}

pub(super) fn decide(case: &Case<'_>) -> Decision {
    let Some(old) = case.primary() else {
        return Decision::blocked("the primary is no member any more: raise spec.members again");
    };
    if old.state().is_none() {
        return Decision::blocked(format!("member {}: its agent cannot be reached", old.ordinal));
    }
    if !case.is_ours(old) {
        return without_data(case, old);
    }
    if !old.is_running() {
        return start(case, old);
    }
    let Some(view) = old.current_view() else {
        return Decision::blocked(format!("member {}: mariadbd is starting", old.ordinal));
    };
    let ahead = case.others(old.ordinal).find(|member| {
        let theirs = received(member);
        // What an earlier reign gave up is no reason to go back to it.
        let clean = written_outside_reigns(&theirs).is_none() && case.record.given_up(&theirs).is_none();
        member.view().is_some() && case.is_ours(member) && clean && !view.binlog_position.covers(&theirs)
    });
    match ahead {
        Some(member) => someone_is_ahead(case, old, member),
        None => point_of_no_return(case, old, view),
    }
}

fn start(case: &Case<'_>, old: &MemberView) -> Decision {
    if let Some(failure) = old.progress.failure() {
        if failure.count >= STARTS_TO_GIVE_UP && can_fail_over(case, old) {
            let why = format!("member {} does not start: {}", old.ordinal, failure.error);
            return failover::announce(case, TransitionKind::Failover, old.ordinal, why);
        }
        let why = format!("member {}: {} failed: {}", old.ordinal, failure.order, failure.error);
        let acts = order(old, Order::Start).into_iter().chain(failover::start_idle(case, old.ordinal)).collect();
        return Decision { acts, blocked: Some(why), ..Decision::default() };
    }
    Decision::acts(order(old, Order::Start).into_iter().collect())
}

/// The old primary's volume is gone: only somebody else can be primary now.
fn without_data(case: &Case<'_>, old: &MemberView) -> Decision {
    let trouble = volume_trouble(case.record, &case.policy.cluster, old);
    let why = format!("member {}: {}", old.ordinal, trouble.map(|trouble| trouble.message()).unwrap_or_default());
    if can_fail_over(case, old) {
        return failover::announce(case, TransitionKind::Failover, old.ordinal, why);
    }
    Decision { acts: failover::start_idle(case, old.ordinal), ..Decision::blocked(why) }
}

fn can_fail_over(case: &Case<'_>, old: &MemberView) -> bool {
    case.may_fail_over()
        && safety::feasible(case.rules, case.record, case.seen, old.ordinal).is_ok()
        && rank(case.policy, case.record, case.seen, old.ordinal, None).best().is_some()
}

/// A member has what the old primary lost: it must not be passed over. The old primary is not writable yet, so killing it
/// again harms nobody.
fn someone_is_ahead(case: &Case<'_>, old: &MemberView, ahead: &MemberView) -> Decision {
    let missing = format!("member {} has transactions that member {} lost", ahead.ordinal, old.ordinal);
    let ranking = rank(case.policy, case.record, case.seen, old.ordinal, None);
    if case.may_fail_over() && ranking.best().is_some() {
        return failover::announce(case, TransitionKind::Failover, old.ordinal, missing).rejecting(ranking.rejected);
    }
    Decision::blocked(missing).rejecting(ranking.rejected)
}

fn point_of_no_return(case: &Case<'_>, old: &MemberView, view: &super::observation::ServerView) -> Decision {
    let semi_sync = case.policy.mode == Mode::SemiSync;
    let record = Record {
        promoted_in: case.record.term,
        began: Some(view.binlog_position.clone()),
        durability: if semi_sync { Durability::CatchingUp } else { Durability::Async },
        transition: Some(Transition {
            kind: TransitionKind::Resume,
            step: Step::Promoting,
            from: Some(old.ordinal),
            to: Some(old.ordinal),
            target: Some(view.binlog_position.clone()),
        }),
        ..case.record.clone()
    };
    Decision::write(record, format!("member {} runs again and nobody is ahead of it", old.ordinal))
}
