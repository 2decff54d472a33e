//! A cluster at rest: every member does its part, ackers are recorded before they acknowledge, and the primary is watched.

use super::ackers::{self, is_recorded, waits};
use super::decision::{Act, Case, Decision, order};
use super::failover;
use super::maintain::maintain;
use super::member::{follows, has_old_password, io_failed_with, slave, trouble_following};
use super::observation::{MemberView, ServerView, SlaveStatus};
use super::policy::{Mode, WhenNoAcker};
use super::record::{Durability, Record};
use super::verdict::{Verdict, verdict};
use super::wedged;
use crate::errno;
use crate::layout::PROBE_USER;
use crate::orders::{Order, Source};

pub(super) fn decide(case: &Case<'_>) -> Decision {
    let Some(primary) = case.primary() else {
        return Decision::blocked(
            "the recorded primary is not among spec.members: put back the spec or the status that was changed",
        );
    };
    let others: Vec<&MemberView> = case.others(primary.ordinal).collect();
    match verdict(primary, &case.host(primary.ordinal), &others) {
        Verdict::Healthy if case.rests_paused() => watch_only(case, primary),
        Verdict::Wedged { .. } if case.rests_paused() => {
            let decision = watch_only(case, primary);
            let why = format!(
                "{} takes no new connections, and spec.paused is true: set it to false, and it is woken, or killed for a failover",
                case.policy.name(primary.ordinal)
            );
            if decision.acts.is_empty() { Decision::blocked(why) } else { decision }
        }
        Verdict::Healthy => healthy(case, primary),
        Verdict::Unpromoted => stop(case, primary),
        Verdict::Wedged { since } => wedged::waking(case, primary, since, healthy(case, primary)),
        Verdict::Dead { how } => match weaken(case, primary) {
            // Seen, and not yet recorded when it died: the failover must know.
            Some((record, why)) => Decision::write(record, why),
            None => failover::begin(case, primary, &how),
        },
        Verdict::Sick { message } => unread(
            case,
            primary,
            format!(
                "{} answers with an error ({message}): no failover helps; look at its connections and its disk",
                case.name(primary.ordinal)
            ),
        ),
        Verdict::Denied { message } => unread(
            case,
            primary,
            format!(
                "{} refuses the operator's account {PROBE_USER} ({message}), so its state is not known; that alone stops no \
                 client; its agent sets the account up again within seconds, after a change of its Secret within 90 s; if it does \
                 not, look at the agent's log",
                case.policy.name(primary.ordinal)
            ),
        ),
        Verdict::PathBroken => unread(
            case,
            primary,
            format!(
                "the operator cannot reach {}, but a replica still receives from it: it has just stopped, or the network \
                 between operator and members is broken; nothing is done yet",
                case.name(primary.ordinal)
            ),
        ),
        Verdict::Suspect { message } => unread(case, primary, format!("{}: {message}", case.name(primary.ordinal))),
    }
}

/// A primary that is not read, and not proven dead either: clients are led to it all the same. Nobody else may take writes until a
/// transition is recorded, and the Service is not written once one is (control/primary_service.rs).
fn unread(case: &Case<'_>, primary: &MemberView, why: String) -> Decision {
    let acts = lead_back(case, primary).filter(|_| !case.rests_paused());
    Decision { acts: acts.into_iter().collect(), ..Decision::blocked(why) }
}

fn lead_back(case: &Case<'_>, primary: &MemberView) -> Option<Act> {
    (!case.seen.service_selects(primary.ordinal)).then_some(Act::SwitchService { member: primary.ordinal })
}

/// A paused cluster: what weakens an acknowledgement or proves it is recorded, and no member is touched.
fn watch_only(case: &Case<'_>, primary: &MemberView) -> Decision {
    let seen = weaken(case, primary).or_else(|| remove_ackers(case, primary)).or_else(|| enforce(case, primary));
    seen.map_or_else(Decision::default, |(record, why)| Decision::write(record, why))
}

/// It is stopped: after that it is a primary that died, for which there is a failover.
fn stop(case: &Case<'_>, primary: &MemberView) -> Decision {
    let name = case.name(primary.ordinal);
    if case.rests_paused() {
        return Decision::blocked(format!(
            "{name} runs, and was not promoted since it was started; spec.paused is true, so it is left alone: set it to false"
        ));
    }
    let failure = primary.progress.failure_of(&Order::Fence);
    Decision {
        acts: order(primary, Order::Fence).into_iter().collect(),
        blocked: failure.map(|error| format!("{name}: it cannot be stopped: {error}").into()),
        ..Decision::default()
    }
}

fn healthy(case: &Case<'_>, primary: &MemberView) -> Decision {
    if let Some((record, why)) = recorded_first(case, primary) {
        return Decision::write(record, why);
    }
    let mut acts: Vec<Act> = lead_back(case, primary).into_iter().collect();
    acts.extend(on_primary(case, primary));
    acts.extend(case.others(primary.ordinal).filter_map(|member| on_member(case, member, primary)));
    if let Some(acker) = ackers::stuck(case.policy, case.record, case.seen, primary)
        && !is_ordered(&acts, acker)
    {
        acts.extend(order(acker, Order::Unstick));
    }
    // Upkeep can wait for everything else.
    let idle: Vec<&MemberView> = case.seen.members.iter().filter(|member| !is_ordered(&acts, member)).collect();
    acts.extend(idle.into_iter().filter_map(|member| maintain(case, member, primary)));
    Decision::acts(acts)
}

fn is_ordered(acts: &[Act], one: &MemberView) -> bool {
    acts.iter().any(|act| matches!(act, Act::Order { member, .. } if *member == one.ordinal))
}

/// Changes of the record that must be written before anything is done; what weakens comes first.
fn recorded_first(case: &Case<'_>, primary: &MemberView) -> Option<(Record, String)> {
    mode_change(case)
        .or_else(|| weaken(case, primary))
        .or_else(|| add_ackers(case, primary))
        .or_else(|| remove_ackers(case, primary))
        .or_else(|| degrade_or_return(case, primary))
        .or_else(|| enforce(case, primary))
}

fn with_durability(case: &Case<'_>, durability: Durability) -> Record {
    Record { durability, ..case.record.clone() }
}

fn mode_change(case: &Case<'_>) -> Option<(Record, String)> {
    match (case.policy.mode, case.record.durability) {
        (Mode::SemiSync, Durability::Async) => {
            Some((with_durability(case, Durability::CatchingUp), "spec.replication.mode is SemiSync now".to_owned()))
        }
        (Mode::Async, Durability::Enforced | Durability::CatchingUp | Durability::Degraded) => {
            Some((with_durability(case, Durability::Async), "spec.replication.mode is Async now".to_owned()))
        }
        _ => None,
    }
}

fn weaken(case: &Case<'_>, primary: &MemberView) -> Option<(Record, String)> {
    let why = (case.record.durability == Durability::Enforced).then(|| ackers::weakened(primary)).flatten()?;
    Some((with_durability(case, Durability::CatchingUp), why))
}

fn add_ackers(case: &Case<'_>, primary: &MemberView) -> Option<(Record, String)> {
    if case.record.durability == Durability::Async {
        return None;
    }
    let missing = ackers::missing(case.policy, case.record, case.seen, primary);
    let names: Vec<String> = missing.iter().map(|acker| case.name(acker.member)).collect();
    let ackers = case.record.ackers.iter().cloned().chain(missing).collect();
    (!names.is_empty())
        .then(|| (Record { ackers, ..case.record.clone() }, format!("{} may acknowledge", names.join(", "))))
}

fn remove_ackers(case: &Case<'_>, primary: &MemberView) -> Option<(Record, String)> {
    let leaving = ackers::leaving(case.rules, case.policy, case.record, case.seen, primary);
    let names: Vec<String> = leaving
        .iter()
        .map(|acker| format!("{} (incarnation {})", case.name(acker.member), acker.incarnation))
        .collect();
    let ackers = case.record.ackers.iter().filter(|acker| !leaving.contains(acker)).cloned().collect();
    (!names.is_empty())
        .then(|| (Record { ackers, ..case.record.clone() }, format!("{} no longer acknowledges", names.join(", "))))
}

fn degrade_or_return(case: &Case<'_>, primary: &MemberView) -> Option<(Record, String)> {
    let gone_for = case.seen.no_acker_since.map(|since| case.lasted(since));
    match (case.record.durability, case.policy.when_no_acker) {
        (Durability::Enforced | Durability::CatchingUp, WhenNoAcker::Degrade { after_ms })
            if gone_for.is_some_and(|gone| gone >= after_ms) =>
        {
            let why = format!("no acker for {after_ms} ms and spec.replication.whenNoAcker is Degrade");
            Some((with_durability(case, Durability::Degraded), why))
        }
        (Durability::Degraded, _) if is_acker_back(case, primary) => {
            Some((with_durability(case, Durability::CatchingUp), "an acker is back and has caught up".to_owned()))
        }
        _ => None,
    }
}

/// An acker that lags would stop writes until it has caught up: it counts once it has what the primary had one reading ago.
fn is_acker_back(case: &Case<'_>, primary: &MemberView) -> bool {
    let Some(earlier) = primary.before() else { return false };
    ackers::active(case.policy, case.record, case.seen)
        .any(|acker| acker.current_view().is_some_and(|view| view.received().covers(&earlier.binlog_position)))
}

fn enforce(case: &Case<'_>, primary: &MemberView) -> Option<(Record, String)> {
    let proved = case.record.durability == Durability::CatchingUp
        && ackers::is_enforced(case.policy, case.record, case.seen, primary);
    proved.then(|| (with_durability(case, Durability::Enforced), "an acker has everything".to_owned()))
}

/// What the primary itself has to change: whether it waits, and who is shut out.
fn on_primary(case: &Case<'_>, primary: &MemberView) -> Option<Act> {
    let view = primary.settled_view()?;
    let on = waits(case.record.durability);
    if view.semi_sync.enabled != on || on && !ackers::has_heard(case.record, primary) {
        return order(primary, Order::SemiSync { on });
    }
    let returning = |member: &&MemberView| ackers::is_readmitted(case.policy, case.record, case.seen, member, primary);
    let returning = case.others(primary.ordinal).filter(returning);
    // Ackers first: commits may wait for them.
    let readmit = returning.min_by_key(|member| !is_recorded(case.record, member));
    let readmit = readmit.map(|member| Order::ReadmitAcker { ordinal: member.ordinal });
    let evict = ackers::to_evict(case.rules, case.policy, case.record, case.seen, primary);
    let evict = evict.map(|ordinal| Order::EvictAcker { ordinal });
    // One that fails again and again does not keep the other from being done.
    let failures = |order: &Option<Order>| order.as_ref().map_or(0, |order| primary.progress.failures_of(order));
    let next = if failures(&readmit) > failures(&evict) { evict.or(readmit) } else { readmit.or(evict) };
    order(primary, next?)
}

/// What a member other than the primary has to do.
fn on_member(case: &Case<'_>, member: &MemberView, primary: &MemberView) -> Option<Act> {
    let state = member.state()?;
    if !case.is_ours(member) {
        return None;
    }
    if state.mariadbd.is_dead() {
        return order(member, Order::Start);
    }
    let view = member.settled_view()?;
    if !view.read_only {
        // A deposed primary is only killed: anything gentler could answer OK to clients that still wait.
        return order(member, Order::Fence);
    }
    let host = case.host(primary.ordinal);
    if trouble_following(case.record, &case.policy.cluster, member, primary, &host).is_some() {
        return None;
    }
    replicate(case, member, view, primary).or_else(|| admit(case, member))
}

/// Whoever may be a replica is let in by each member before that is promoted: its IO thread comes back within milliseconds
/// then, and does not wait for an order.
fn admit(case: &Case<'_>, member: &MemberView) -> Option<Act> {
    let may_come = |other: &&MemberView| {
        ackers::is_unadmitted(other, member) && ackers::may_return(case.policy, case.record, other)
    };
    let ordinal = case.others(member.ordinal).find(may_come)?.ordinal;
    order(member, Order::ReadmitAcker { ordinal })
}

fn replicate(case: &Case<'_>, member: &MemberView, view: &ServerView, primary: &MemberView) -> Option<Act> {
    let host = case.host(primary.ordinal);
    // Degraded, it is to acknowledge again as soon as the primary asks.
    let wanted = waits(case.record.durability) || case.record.durability == Durability::Degraded;
    let acker = member.incarnation().filter(|_| wanted && is_recorded(case.record, member));
    if !follows(view, &host)
        || slave(member).is_none()
        || has_old_password(member)
        || is_at_a_closed_port(member, primary)
    {
        let source = Source::Member { host, port: primary.port_for_members() };
        return order(member, Order::Follow { source, acker, wait: None });
    }
    if view.acker_wanted != acker.is_some() {
        return order(member, Order::SetAcker { acker });
    }
    None
}

/// True when nobody listens where it looks for the primary, and that listens elsewhere: its pod was replaced by one of another
/// release, or its agent had not told its port yet.
fn is_at_a_closed_port(member: &MemberView, primary: &MemberView) -> bool {
    let closed = |slave: &SlaveStatus| io_failed_with(slave, errno::CONN_HOST_ERROR);
    let elsewhere = |slave: &SlaveStatus| slave.port != primary.port_for_members();
    primary.state().is_some() && slave(member).is_some_and(|slave| closed(slave) && elsewhere(slave))
}

#[cfg(test)]
mod tests;
