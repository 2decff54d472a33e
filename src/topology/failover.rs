//! A failover from its announcement to the point of no return: fence, freeze, find out who has what, bring the candidate
//! to that point.

use super::ackers;
use super::announce::{self, is_fenceable, read_end, start_idle};
use super::candidate::{Ranking, rank, received};
use super::catch_up::CatchUp;
use super::decision::{Act, Case, Decision, order};
use super::held;
use super::member::volume_trouble;
use super::observation::{AgentSight, MemberView};
use super::policy::Mode;
use super::record::{Acker, Durability, Record};
use super::resume;
use super::safety::{self, Basis};
use super::transition::{Promotion, Transition};
use crate::gtid::GtidPosition;
use crate::orders::{BINLOG_SERVER_PORT, LONG_TAIL, Order, Ordinal, Reason, Source};

/// A new leader's streams to the agents open within a second of each other; the old primary is started again only when
/// nobody else may still turn up. In milliseconds.
const STREAMS_OPEN_WITHIN: u64 = 3_000;

/// A member that failed too often in a term in which nothing else goes on is asked again after so long, in a new term. In
/// milliseconds: a cluster passes through fewer than 2^20 terms in a year of it.
const RESTED_MS: u64 = 60_000;

/// The primary is dead: announce what will be done about it, or say why nothing can be.
pub(super) fn begin(case: &Case<'_>, primary: &MemberView, how: &str) -> Decision {
    if !case.seen.members.iter().all(MemberView::is_sighted) {
        return Decision::blocked("not every member has been observed yet");
    }
    if case.rests_paused() {
        let name = case.policy.name(primary.ordinal);
        return Decision::blocked(format!(
            "{name} is dead ({how}) and spec.paused is true: set it to false, and a failover follows"
        ));
    }
    let ranking = rank(case.policy, case.record, case.seen, primary.ordinal, None);
    let allowed = case.may_fail_over();
    let safe = safety::feasible(case.rules, case.policy, case.record, case.seen, primary.ordinal);
    if allowed && safe.is_ok() && ranking.best().is_some() {
        let why = format!("{} is dead: {how}", case.name(primary.ordinal));
        return announce::failover(case, primary.ordinal, why).rejecting(ranking.rejected);
    }
    if let Some(awaited) = awaited(case, primary.ordinal) {
        return Decision::blocked(awaited).rejecting(ranking.rejected);
    }
    if resume::is_possible(case, primary) {
        let why = format!("{} is dead: {how}, and no other member can be promoted", case.name(primary.ordinal));
        return announce::resume(case, primary.ordinal, why).rejecting(ranking.rejected);
    }
    let why = case.unless_disabled(safe.err().unwrap_or_else(|| nobody(&ranking)));
    Decision { acts: start_idle(case, primary.ordinal), ..Decision::blocked(why) }.rejecting(ranking.rejected)
}

/// A member that was away for a moment only: it may be the candidate that is missing.
fn awaited(case: &Case<'_>, from: Ordinal) -> Option<String> {
    let just_away = |member: &&MemberView| matches!(member.agent, AgentSight::Away { since } if case.lasted(since) < STREAMS_OPEN_WITHIN);
    let member = case.others(from).find(just_away)?;
    Some(format!("{}: its agent cannot be reached yet", case.name(member.ordinal)))
}

/// The member just promoted died before it was confirmed: a new failover from it.
pub(super) fn after_promotion_failed(case: &Case<'_>, primary: &MemberView) -> Decision {
    begin(case, primary, "it died while it was being promoted")
}

/// The next step of an announced failover.
pub(super) fn decide(case: &Case<'_>, from: Ordinal, logs_end: Option<&GtidPosition>) -> Decision {
    let acts: Vec<Act> = gather(case, from);
    if !acts.is_empty() || is_gathering(case, from) {
        return Decision { acts, blocked: failures(case).map(Into::into), ..Decision::default() };
    }
    let ranking = rank(case.policy, case.record, case.seen, from, known_end(case, from).as_ref());
    let basis = match basis(case, from) {
        Ok(basis) => basis,
        Err(missing) => {
            let decision = recovery(case, &missing).unwrap_or_else(|| without_basis(case, from, missing));
            return decision.rejecting(ranking.rejected);
        }
    };
    let Some(best) = ranking.best() else { return without_candidate(case, from, &ranking) };
    if let Some(other) = already_moved(case, from, best) {
        let why = format!("{} can no longer be promoted: {} is the next candidate", case.name(other), case.name(best));
        return announce::failover(case, from, why).rejecting(ranking.rejected);
    }
    let frozen = frozen_members(case, from, &ranking);
    let acknowledged = match basis {
        // Also what those have that cannot be candidates: it may have been acknowledged.
        Basis::Ackers => {
            safety::received_by_ackers(case.rules, case.policy, case.record, case.seen).unwrap_or_default()
        }
        // Also what those logs held when they were read before: since then mariadbd may have begun new ones.
        Basis::Salvage { .. } | Basis::Received { .. } => logs_end.cloned().unwrap_or_default(),
    };
    let target = safety::target(&basis, &frozen).union(&acknowledged);
    let Some(candidate) = case.seen.member(best) else {
        return Decision::blocked("the candidate is no longer a member").rejecting(ranking.rejected);
    };
    // Whoever has more than its files hold would send the resumed one back here.
    let can_resume =
        |old: &MemberView| resume::is_possible(case, old) && read_end(case, old).is_some_and(|end| end.covers(&target));
    if case.seen.member(from).is_some_and(can_resume)
        && let Some(held) = held::all_of_them(case, &ranking)
    {
        let why =
            format!("no candidate can apply what it has received ({held}): the old primary is started again instead");
        return announce::resume(case, from, why).rejecting(ranking.rejected);
    }
    let mut decision = equalise(case, from, candidate, &basis, &target);
    if let Some(held) = &candidate.progress.held {
        decision.acts.extend(held::ask_others(case, from, candidate, &target));
        decision.blocked.get_or_insert_with(|| held::words(case.policy, best, held).into());
    }
    let rejected = ranking.rejected.into_iter().chain(held::passed_over(case, from, best)).collect();
    decision.rejecting(rejected)
}

/// Fence the old primary and freeze everybody else, side by side.
fn gather(case: &Case<'_>, from: Ordinal) -> Vec<Act> {
    let fence = case.seen.member(from).filter(|old| old.progress.fenced.is_none() && is_fenceable(old));
    let fence = fence.and_then(|old| order(old, Order::Fence));
    let freeze = case.others(from).filter(|member| is_freezable(case, member) && member.frozen().is_none());
    fence.into_iter().chain(freeze.filter_map(|member| order(member, Order::Freeze))).collect()
}

fn is_freezable(case: &Case<'_>, member: &MemberView) -> bool {
    member.is_running() && case.is_ours(member)
}

/// True while an answer is still to come that could change the outcome. One failure is answer enough: the order is given
/// again, but nobody waits for it. The failure of another order is none: who is frozen once more because of it is waited for.
fn is_gathering(case: &Case<'_>, from: Ordinal) -> bool {
    let fencing = case.seen.member(from).is_some_and(|old| {
        is_fenceable(old) && old.progress.fenced.is_none() && !old.progress.has_failed(&Order::Fence)
    });
    let freezing = |member: &MemberView| {
        is_freezable(case, member) && member.frozen().is_none() && !member.progress.has_failed(&Order::Freeze)
    };
    fencing || case.others(from).any(freezing)
}

fn failures(case: &Case<'_>) -> Option<String> {
    let failures: Vec<String> = case
        .seen
        .members
        .iter()
        .filter_map(|member| {
            let failure = member.progress.failure()?;
            Some(format!("{}: {} failed: {}", case.name(member.ordinal), failure.order, failure.error))
        })
        .collect();
    (!failures.is_empty()).then(|| failures.join("; "))
}

/// Where the old term's history is known to have come to: the end of the old primary's files, else what its ackers
/// received, else what those files held before. Who has something beyond that must have it from the old term.
fn known_end(case: &Case<'_>, from: Ordinal) -> Option<GtidPosition> {
    let end = case.seen.member(from).and_then(|old| read_end(case, old));
    let end = end.or_else(|| safety::received_by_ackers(case.rules, case.policy, case.record, case.seen));
    end.or_else(|| safety::held_before(case.record).cloned())
}

/// Why a promotion is safe now. When the tail is needed and can no longer be had, only the ackers can answer.
fn basis(case: &Case<'_>, from: Ordinal) -> Result<Basis, String> {
    let basis = safety::basis(case.rules, case.policy, case.record, case.seen, from)?;
    let Basis::Salvage { end } = &basis else { return Ok(basis) };
    let spread = case.others(from).any(|member| member.frozen().is_some_and(|frozen| frozen.received.covers(end)));
    match lost_donor(case, from).filter(|_| !spread) {
        None => Ok(basis),
        Some(why) => safety::by_ackers(case.rules, case.policy, case.record, case.seen)
            .map(|()| Basis::Ackers)
            .map_err(|missing| format!("{why}; and {missing}")),
    }
}

/// Why the old primary, whose files were read once, cannot serve them any more.
fn lost_donor(case: &Case<'_>, from: Ordinal) -> Option<String> {
    let name = case.name(from);
    let Some(old) = case.seen.member(from).filter(|old| old.state().is_some()) else {
        return Some(format!("{name}: its agent cannot be reached"));
    };
    if let Some(trouble) = volume_trouble(case.record, &case.policy.cluster, old) {
        return Some(format!("{name}: {}", trouble.message()));
    }
    let failure = old.progress.given_up()?;
    Some(format!("{name}: {} failed {} times: {}", failure.order, failure.count, failure.error))
}

/// Frozen members that count towards the target: candidates, and those that only their policy keeps from promotion.
fn frozen_members<'a>(case: &Case<'a>, from: Ordinal, ranking: &Ranking) -> Vec<&'a MemberView> {
    let counts = |member: &&MemberView| {
        ranking.candidates.contains(&member.ordinal) || case.policy.member(member.ordinal).never_primary
    };
    let clean = |member: &&MemberView| {
        let theirs = received(member);
        // What an earlier term gave up binds nobody.
        super::record::written_outside_terms(&theirs).is_none() && case.given_up(&theirs).is_none()
    };
    case.others(from).filter(|member| member.frozen().is_some()).filter(counts).filter(clean).collect()
}

/// Ackers that were restarted apply what they had received before: then they are evidence again.
fn recovery(case: &Case<'_>, missing: &str) -> Option<Decision> {
    let mut ackers = safety::recoverable(case.rules, case.record, case.seen);
    // Long relay logs take more than one go.
    let given_up =
        |member: &MemberView| member.progress.given_up().is_some_and(|failure| failure.error.reason != Reason::Expired);
    if ackers.is_empty() || ackers.iter().any(|(member, _)| given_up(member)) {
        return None;
    }
    let server_id = case.record.primary_server_id()?;
    let recover = |(member, acker): (&MemberView, &Acker)| {
        order(member, Order::Recover { incarnation: acker.incarnation, server_id })
    };
    // One after the other when a member was restarted more than once.
    ackers.sort_by_key(|(member, acker)| (member.ordinal, acker.incarnation));
    ackers.dedup_by_key(|(member, _)| member.ordinal);
    let acts = ackers.into_iter().filter_map(recover).collect();
    Some(Decision { acts, ..Decision::blocked(format!("{missing}; their relay logs are being applied")) })
}

fn without_basis(case: &Case<'_>, from: Ordinal, missing: String) -> Decision {
    if let Some(awaited) = awaited(case, from) {
        return Decision::blocked(awaited);
    }
    match case.seen.member(from) {
        // What it would have lost otherwise nobody knows: either its logs are read after all, or the ackers come back.
        Some(old) if resume::is_possible(case, old) && read_end(case, old).is_some() => {
            announce::resume(case, from, format!("{missing}: the old primary is started again instead"))
        }
        old => {
            if let Some(failure) = case.others(from).find_map(|member| tired(case, member)) {
                let why = format!("{missing}; asked again, because {failure}");
                return announce::failover(case, from, why);
            }
            let again = old.and_then(|old| resume::read_again(case, old)).into_iter();
            Decision { acts: again.chain(start_idle(case, from)).collect(), ..Decision::blocked(missing) }
        }
    }
}

/// What a member failed at too often to be asked any more in this term, a while ago: it may have been a passing trouble, and
/// in a new term it is asked again, after all others.
fn tired(case: &Case<'_>, member: &MemberView) -> Option<String> {
    let failure = member.progress.given_up().filter(|_| member.is_running())?;
    let rested = member.answered_at.is_none_or(|answered| case.lasted(answered) >= RESTED_MS);
    rested.then(|| format!("{} failed at {} more than a minute ago", case.name(member.ordinal), failure.order))
}

fn without_candidate(case: &Case<'_>, from: Ordinal, ranking: &Ranking) -> Decision {
    without_basis(case, from, nobody(ranking)).rejecting(ranking.rejected.clone())
}

fn nobody(ranking: &Ranking) -> String {
    format!("no member can be promoted ({})", ranking.rejected.join("; "))
}

/// A member other than `best` that was already taken off its source in this term: it must be ordered back under a new
/// one, for its late promotion to be refused.
fn already_moved(case: &Case<'_>, from: Ordinal, best: Ordinal) -> Option<Ordinal> {
    let moved = |member: &&MemberView| member.progress.following.is_some() || member.is_doing("follow");
    case.others(from).filter(|member| member.ordinal != best).find(moved).map(|member| member.ordinal)
}

/// Brings the candidate to the target, then passes the point of no return.
fn equalise(case: &Case<'_>, from: Ordinal, candidate: &MemberView, basis: &Basis, target: &GtidPosition) -> Decision {
    let Some(frozen) = candidate.frozen() else { return Decision::blocked("the candidate is not frozen yet") };
    if candidate.is_settled_at(target) {
        return point_of_no_return(case, from, candidate, target);
    }
    let applied = candidate.progress.applied.as_ref().unwrap_or(&frozen.applied);
    // What it received is in its relay logs as long as it was not ordered to follow somebody else.
    let stayed = !frozen.killed && candidate.progress.following.is_none();
    let has_all = stayed && frozen.received.covers(target);
    let wait = || order(candidate, Order::Await { position: target.clone() });
    if has_all && !candidate.progress.needs_a_source {
        return Decision::acts(wait().into_iter().collect());
    }
    let act = match basis {
        Basis::Salvage { end } if end.covers(target) && lost_donor(case, from).is_none() => {
            salvage(case, from, candidate, target)
        }
        _ if follows_nobody_left(case, from, candidate) => Ok(order(candidate, Order::Freeze)),
        _ => relay(case, from, candidate, target),
    };
    // The Service flips beside a short catching up: clients meet a read-only member for a moment instead of a dead
    // address, and kube-proxy's delay is over by the time of the promotion. During a long one their reconnects would
    // only take time away from it.
    let near = target.distance(applied) <= LONG_TAIL;
    let switch = (near && !case.seen.service_selects(candidate.ordinal))
        .then_some(Act::SwitchService { member: candidate.ordinal });
    match act {
        Ok(act) => Decision {
            progress: CatchUp::of(candidate, target, case.seen.member(from).and_then(MemberView::tail_bytes)),
            ..Decision::acts(switch.into_iter().chain(act).collect())
        },
        // What only a source can mend, nobody can: it fails again, until another member is the candidate.
        Err(_) if has_all => Decision::acts(wait().into_iter().collect()),
        Err(missing) => Decision::blocked(missing),
    }
}

/// True when `candidate` was ordered to follow the old primary's binlog server, which is lost: frozen once more it tells what
/// it has, and whether relay logs were dropped on the way.
fn follows_nobody_left(case: &Case<'_>, from: Ordinal, candidate: &MemberView) -> bool {
    let is_member = |host: &String| case.others(from).any(|member| case.host(member.ordinal) == *host);
    candidate.progress.following.as_ref().is_some_and(|host| !is_member(host))
}

/// The candidate replicates the tail from the old primary's binlog server.
fn salvage(
    case: &Case<'_>,
    from: Ordinal,
    candidate: &MemberView,
    target: &GtidPosition,
) -> Result<Option<Act>, String> {
    let old = case.seen.member(from).ok_or("the old primary is no longer a member")?;
    let (user, password) = case.seen.fresh_login.clone();
    // A new agent or a new pod of the old primary does not serve any more, whatever was answered before.
    let serves = old.state().is_some_and(|state| state.serving.is_some());
    if old.progress.serving.is_none() || !serves {
        let after = candidate.progress.applied.clone().or(candidate.frozen().map(|frozen| frozen.applied.clone()));
        return Ok(order(old, Order::ServeBinlog { user, password, after: after.unwrap_or_default() }));
    }
    let host = old
        .pod
        .as_ref()
        .and_then(|pod| pod.ip.clone())
        .ok_or_else(|| format!("the pod {}, whose binary logs are served, has no address", case.name(from)))?;
    if candidate.progress.following.as_ref() == Some(&host) {
        return Ok(order(candidate, Order::Await { position: target.clone() }));
    }
    let port = old.progress.serving.as_ref().map_or(BINLOG_SERVER_PORT, |serving| serving.port);
    let source = Source::BinlogServer { host, port, user, password };
    Ok(order(candidate, Order::Follow { source, acker: None, wait: Some(target.clone()) }))
}

/// The candidate replicates from the member that has everything, once that has applied it.
fn relay(case: &Case<'_>, from: Ordinal, candidate: &MemberView, target: &GtidPosition) -> Result<Option<Act>, String> {
    let has_all = |member: &&MemberView| {
        let frozen = member.frozen().filter(|frozen| !frozen.killed && member.progress.following.is_none());
        frozen.is_some_and(|frozen| frozen.received.covers(target)) || member.is_settled_at(target)
    };
    let donor = case.others(from).filter(|member| member.ordinal != candidate.ordinal).find(has_all);
    let donor = donor.ok_or_else(|| format!("no single member has everything up to {target}"))?;
    let applied = donor.progress.applied.as_ref().or(donor.frozen().map(|frozen| &frozen.applied));
    if !applied.is_some_and(|applied| applied.covers(target)) {
        return Ok(order(donor, Order::Await { position: target.clone() }));
    }
    if ackers::is_readmitted(case.policy, case.record, case.seen, candidate, donor) {
        return Ok(order(donor, Order::ReadmitAcker { ordinal: candidate.ordinal }));
    }
    let host = case.host(donor.ordinal);
    if candidate.progress.following.as_ref() == Some(&host) {
        return Ok(order(candidate, Order::Await { position: target.clone() }));
    }
    let source = Source::Member { host, port: donor.port_for_members() };
    Ok(order(candidate, Order::Follow { source, acker: None, wait: Some(target.clone()) }))
}

fn point_of_no_return(case: &Case<'_>, from: Ordinal, candidate: &MemberView, target: &GtidPosition) -> Decision {
    let semi_sync = case.policy.mode == Mode::SemiSync;
    let record = Record {
        primary: Some(candidate.ordinal),
        promoted_in: case.record.term,
        began: Some(target.clone()),
        durability: if semi_sync { Durability::CatchingUp } else { Durability::Async },
        ackers: if semi_sync { next_ackers(case, from, candidate.ordinal) } else { vec![] },
        transition: Some(Transition::Promoting {
            what: Promotion::Failover { from },
            to: candidate.ordinal,
            required: target.clone(),
        }),
        ..case.record.clone()
    };
    Decision::write(record, format!("{} has everything up to {target}", case.name(candidate.ordinal)))
}

/// The ackers of the new term. Those of the old one may go when their runs are known to be over: the new primary has
/// everything they acknowledged.
fn next_ackers(case: &Case<'_>, from: Ordinal, to: Ordinal) -> Vec<Acker> {
    let mut fit: Vec<&MemberView> = case
        .others(from)
        .filter(|member| member.ordinal != to && is_freezable(case, member))
        .filter(|member| member.frozen().is_some_and(|frozen| !frozen.killed))
        .filter(|member| super::member::sql_or_volume_trouble(case.record, &case.policy.cluster, member).is_none())
        .collect();
    fit.sort_by_key(|member| (case.policy.member(member.ordinal).never_primary, member.ordinal));
    let mut next: Vec<Acker> = fit.into_iter().filter_map(ackers::entry_of).take(ackers::WANTED).collect();
    for old in &case.record.ackers {
        if !ackers::is_over(case.rules, case.seen, old) && !next.contains(old) {
            next.push(old.clone());
        }
    }
    next
}
