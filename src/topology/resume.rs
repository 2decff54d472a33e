//! The old primary becomes primary again, because nobody else can: one member, or all of them gone at once.

use super::announce;
use super::candidate::{rank, received};
use super::decision::{Act, Case, Decision, order};
use super::member::volume_trouble;
use super::observation::MemberView;
use super::policy::Mode;
use super::record::written_outside_terms;
use super::record::{Durability, Record};
use super::safety;
use super::transition::{Promotion, Transition};
use crate::gtid::{GtidPosition, Shown};
use crate::orders::{LogEvidence, Mariadbd, Order, Ordinal};

/// After this many failed starts another member is preferred, should one have appeared.
const STARTS_TO_GIVE_UP: u32 = 2;

/// Between two attempts to read damaged binary logs: they may be large, and people are not faster. In milliseconds.
const READ_AGAIN_MS: u64 = 5_000;

/// True when `old`, the recorded primary, can be started from its own volume.
pub(super) fn is_possible(case: &Case<'_>, old: &MemberView) -> bool {
    case.record.primary == Some(old.ordinal) && case.is_ours(old)
}

pub(super) fn decide(case: &Case<'_>, from: Ordinal, logs_end: Option<&GtidPosition>) -> Decision {
    let Some(old) = case.primary() else {
        return Decision::blocked(
            "the primary is not among spec.members: put back the spec or the status that was changed",
        );
    };
    if old.state().is_none() {
        return Decision::blocked(format!("{}: its agent cannot be reached", case.name(old.ordinal)));
    }
    if !case.is_ours(old) {
        return without_data(case, old);
    }
    let Some(end) = logs_end else { return find_end(case, old, from) };
    if !old.is_running() {
        return start(case, old, end);
    }
    let Some(view) = old.current_view() else {
        return Decision::blocked(format!("{}: mariadbd is starting", case.name(old.ordinal)));
    };
    // Somebody made it writable before it was promoted: numbers alone no longer tell what it has.
    if !view.has_logged(end) && !case.rules.resumes_unread {
        return fell_short(case, old, end);
    }
    let ahead = case.others(old.ordinal).filter(|member| {
        let theirs = received(member);
        // What an earlier term gave up is no reason to go back to it.
        let clean = written_outside_terms(&theirs).is_none() && case.given_up(&theirs).is_none();
        let ours = case.is_ours(member) || member.state().is_none();
        member.view().is_some() && ours && clean && !view.has_logged(&theirs)
    });
    let ahead: Vec<&MemberView> = ahead.collect();
    // Without its agent it cannot be frozen, and a failover would pass over what it has.
    match ahead.iter().find(|member| member.state().is_none()).or(ahead.first()) {
        Some(member) => someone_is_ahead(case, old, member),
        None => point_of_no_return(case, old, view),
    }
}

/// Where its binary logs end is read before mariadbd touches them, and recorded: a mariadbd that does not find them begins a
/// new history from nothing, as if none had been written.
fn find_end(case: &Case<'_>, old: &MemberView, from: Ordinal) -> Decision {
    let found = |end: GtidPosition, why: String| {
        let transition = Transition::Resume { from, logs_end: Some(end) };
        Decision::write(Record { transition: Some(transition), ..case.record.clone() }, why)
    };
    match old.progress.fenced.as_ref().map(|evidence| safety::logs_end(case.record, evidence)) {
        Some(Ok(end)) => {
            let why = format!("the binary logs of {} end at {}", case.name(old.ordinal), Shown(&end));
            found(end, why)
        }
        Some(Err(message)) if !case.rules.resumes_unread => unreadable(case, old, &message),
        Some(Err(_)) => found(GtidPosition::empty(), "unread".to_owned()),
        None => Decision {
            acts: order(old, Order::Fence).into_iter().collect(),
            blocked: old.progress.failure().map(|failure| {
                format!("{}: {} failed: {}", case.name(old.ordinal), failure.order, failure.error).into()
            }),
            ..Decision::default()
        },
    }
}

/// Nobody knows what its binary logs hold. They are read again, should somebody have put them right, and the ackers may prove
/// instead that another member has everything.
fn unreadable(case: &Case<'_>, old: &MemberView, message: &str) -> Decision {
    let proof = safety::feasible_by_ackers(case.rules, case.policy, case.record, case.seen);
    let ranking = rank(case.policy, case.record, case.seen, old.ordinal, None);
    let missing = match proof {
        Err(missing) => missing,
        Ok(()) if case.may_fail_over() && ranking.best().is_some() => {
            let why = format!("the binary logs of {} cannot be read: {message}", case.name(old.ordinal));
            return announce::failover(case, old.ordinal, why).rejecting(ranking.rejected);
        }
        Ok(()) => case.unless_disabled("no other member can be promoted".to_owned()),
    };
    let why = format!(
        "the binary logs of {} cannot be read ({message}), so it is not known what it would lose: put back what is \
         missing in its datadir; and {missing}",
        case.name(old.ordinal)
    );
    let again = read_again(case, old).into_iter();
    Decision { acts: again.chain(announce::start_idle(case, old.ordinal)).collect(), ..Decision::blocked(why) }
        .rejecting(ranking.rejected)
}

/// Binary logs that could not be read are read again: somebody may have put them right.
pub(super) fn read_again(case: &Case<'_>, old: &MemberView) -> Option<Act> {
    let unknown = |evidence: &LogEvidence| safety::logs_end(case.record, evidence).is_err();
    let unreadable = old.progress.fenced.as_ref().is_some_and(unknown);
    let due = old.answered_at.is_none_or(|answered| case.lasted(answered) >= READ_AGAIN_MS);
    (unreadable && due && announce::is_fenceable(old)).then(|| order(old, Order::Fence)).flatten()
}

/// mariadbd came up with less than its binary logs held: nobody is promoted without that, unless the ackers prove that it
/// was not acknowledged.
fn fell_short(case: &Case<'_>, old: &MemberView, end: &GtidPosition) -> Decision {
    let why =
        format!("{} has started without all that its binary logs held up to {}", case.name(old.ordinal), Shown(end));
    let ranking = rank(case.policy, case.record, case.seen, old.ordinal, None);
    let has_all = |member: &MemberView| ranking.candidates.contains(&member.ordinal) && received(member).covers(end);
    let proven = || {
        ranking.best().is_some() && safety::feasible_by_ackers(case.rules, case.policy, case.record, case.seen).is_ok()
    };
    if case.may_fail_over() && (case.others(old.ordinal).any(has_all) || proven()) {
        return announce::failover(case, old.ordinal, why);
    }
    let remedy = format!("{why}: put back what is missing in its datadir, then delete its pod");
    Decision { acts: announce::start_idle(case, old.ordinal), ..Decision::blocked(case.unless_disabled(remedy)) }
}

fn start(case: &Case<'_>, old: &MemberView, end: &GtidPosition) -> Decision {
    if let Some(failure) = old.progress.failure() {
        if failure.count >= STARTS_TO_GIVE_UP && can_fail_over(case, old) && !is_better_waited_for(case, old, end) {
            let why = format!("{} does not start: {}", case.name(old.ordinal), failure.error);
            return announce::failover(case, old.ordinal, why);
        }
        let why =
            case.unless_disabled(format!("{}: {} failed: {}", case.name(old.ordinal), failure.order, failure.error));
        let acts = order(old, Order::Start).into_iter().chain(announce::start_idle(case, old.ordinal)).collect();
        return Decision { acts, blocked: Some(why.into()), ..Decision::default() };
    }
    Decision::acts(order(old, Order::Start).into_iter().collect())
}

/// Its mariadbd runs, in its recovery, and whoever else could be primary was passed over and has not applied since what its
/// binary logs held: a failover would only begin both anew.
fn is_better_waited_for(case: &Case<'_>, old: &MemberView, end: &GtidPosition) -> bool {
    let recovers = old.state().is_some_and(|state| matches!(state.mariadbd, Mariadbd::Running { .. }));
    let ranking = rank(case.policy, case.record, case.seen, old.ordinal, None);
    let has_all = |member: &MemberView| member.view().is_some_and(|view| view.applied().covers(end));
    let mut candidates = ranking.candidates.iter().filter_map(|ordinal| case.seen.member(*ordinal));
    recovers && candidates.all(|candidate| candidate.stumbled && !has_all(candidate))
}

/// The old primary's volume is gone: only somebody else can be primary now.
fn without_data(case: &Case<'_>, old: &MemberView) -> Decision {
    let trouble = volume_trouble(case.record, &case.policy.cluster, old);
    let why = format!("{}: {}", case.name(old.ordinal), trouble.map(|trouble| trouble.message()).unwrap_or_default());
    if can_fail_over(case, old) {
        return announce::failover(case, old.ordinal, why);
    }
    Decision { acts: announce::start_idle(case, old.ordinal), ..Decision::blocked(case.unless_disabled(why)) }
}

fn can_fail_over(case: &Case<'_>, old: &MemberView) -> bool {
    case.may_fail_over()
        && safety::feasible(case.rules, case.policy, case.record, case.seen, old.ordinal).is_ok()
        && rank(case.policy, case.record, case.seen, old.ordinal, None).best().is_some()
}

/// A member has what the old primary lost: it must not be passed over. The old primary is not writable yet, so killing it
/// again harms nobody.
fn someone_is_ahead(case: &Case<'_>, old: &MemberView, ahead: &MemberView) -> Decision {
    let missing = format!("{} has transactions that {} lost", case.name(ahead.ordinal), case.name(old.ordinal));
    if ahead.state().is_none() {
        let name = case.policy.name(ahead.ordinal);
        return Decision::blocked(format!("{missing}, and its agent does not answer: look at pod {name}"));
    }
    let ranking = rank(case.policy, case.record, case.seen, old.ordinal, None);
    if case.may_fail_over() && ranking.best().is_some() {
        return announce::failover(case, old.ordinal, missing).rejecting(ranking.rejected);
    }
    Decision { acts: announce::start_idle(case, old.ordinal), ..Decision::blocked(case.unless_disabled(missing)) }
        .rejecting(ranking.rejected)
}

fn point_of_no_return(case: &Case<'_>, old: &MemberView, view: &super::observation::ServerView) -> Decision {
    let semi_sync = case.policy.mode == Mode::SemiSync;
    let record = Record {
        promoted_in: case.record.term,
        began: Some(view.binlog_position.clone()),
        durability: if semi_sync { Durability::CatchingUp } else { Durability::Async },
        transition: Some(Transition::Promoting {
            what: Promotion::Resume,
            to: old.ordinal,
            required: view.binlog_position.clone(),
        }),
        ..case.record.clone()
    };
    Decision::write(record, format!("{} runs again and no member is ahead of it", case.name(old.ordinal)))
}
