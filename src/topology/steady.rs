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
        Verdict::Sick { message } => Decision::blocked(format!(
            "{} answers with an error ({message}): no failover helps; look at its connections and its disk",
            case.name(primary.ordinal)
        )),
        Verdict::Denied { message } => Decision::blocked(format!(
            "{} refuses the operator's account {PROBE_USER} ({message}), so its state is not known: its agent sets the \
             account up again within seconds, after a change of its Secret within 90 s; writes go on meanwhile; if it does not, look \
             at the agent's log",
            case.policy.name(primary.ordinal)
        )),
        Verdict::PathBroken => Decision::blocked(format!(
            "the operator cannot reach {}, but a replica still receives from it: it has just stopped, or the network \
             between operator and members is broken; nothing is done yet",
            case.name(primary.ordinal)
        )),
        Verdict::Suspect { message } => Decision::blocked(format!("{}: {message}", case.name(primary.ordinal))),
    }
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
    let mut acts: Vec<Act> = Vec::new();
    if !case.seen.service_selects(primary.ordinal) {
        acts.push(Act::SwitchService { member: primary.ordinal });
    }
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
mod tests {
    use super::super::decide::decide;
    use super::super::member::samples::{acker, cluster, dead, edit, policy, record, replica, running};
    use super::super::observation::{IoThread, Observation};
    use super::super::policy::Policy;
    use super::super::record::boot_server_id;
    use super::*;
    use crate::orders::Ordinal;

    fn paused() -> Policy {
        Policy { paused: true, ..policy(3) }
    }

    /// A cluster in which everything is to be done: the Service leads nowhere, a member does not follow, another one is down,
    /// semi-sync is off, nobody acknowledges.
    fn neglected() -> Observation {
        let mut primary = running(0);
        edit(&mut primary, |view| view.read_only = false);
        let mut idle = replica(1, "p0");
        edit(&mut idle, |view| view.slave = None);
        Observation { service_member: None, ..cluster(vec![primary, idle, dead(2)]) }
    }

    #[test]
    fn a_replica_follows_a_primary_of_another_release_to_its_port() {
        let told = |io: IoThread, errno: u32, port: Option<u16>| {
            let mut primary = running(0);
            edit(&mut primary, |view| view.read_only = false);
            primary.extra_port = port;
            let mut member = replica(1, "p0");
            edit(&mut member, |view| {
                let slave = view.slave.as_mut().unwrap();
                (slave.io, slave.port, slave.io_errno) = (io, 3308, errno);
            });
            let policy = Policy { mode: Mode::Async, ..policy(2) };
            let record = Record { durability: Durability::Async, ..record() };
            let acts = decide(&policy, &record, &cluster(vec![primary, member])).acts;
            acts.into_iter().find_map(|act| match act {
                Act::Order { order: Order::Follow { source: Source::Member { port, .. }, .. }, .. } => Some(port),
                _ => None,
            })
        };
        assert_eq!(told(IoThread::Connecting, 2003, None), Some(3306));
        assert_eq!(told(IoThread::Yes, 0, None), None, "it receives");
        assert_eq!(told(IoThread::Connecting, 2003, Some(3308)), None, "the port is not the matter");
    }

    #[test]
    fn nothing_is_done_to_the_members_of_a_paused_cluster() {
        let record = Record { durability: Durability::CatchingUp, ackers: vec![acker(1, 1)], ..record() };
        assert!(decide(&policy(3), &record, &neglected()).acts.len() > 2);
        assert_eq!(decide(&paused(), &record, &neglected()).acts, vec![]);
    }

    #[test]
    fn what_was_seen_before_a_primary_died_is_recorded_before_its_failover() {
        let died = MemberView { weakened: Some("semi-sync was switched off".to_owned()), ..dead(0) };
        let acts = decide(&policy(2), &record(), &cluster(vec![died, replica(1, "p0")])).acts;
        let [Act::Write { record, .. }] = acts.as_slice() else { panic!("{acts:?}") };
        assert_eq!((record.durability, record.transition.clone()), (Durability::CatchingUp, None));
    }

    #[test]
    fn a_primary_that_was_started_and_not_promoted_is_stopped() {
        let mut started = running(0);
        edit(&mut started, |view| (view.read_only, view.server_id) = (true, boot_server_id(Ordinal(0))));
        let decision = decide(&policy(2), &record(), &cluster(vec![started.clone(), replica(1, "p0")]));
        assert_eq!(decision.acts, [Act::Order { member: Ordinal(0), order: Order::Fence }]);
        assert_eq!(decision.blocked, None);
        let alone = decide(&paused(), &record(), &cluster(vec![started.clone(), replica(1, "p0")]));
        assert!(alone.acts.is_empty() && alone.blocked.is_some_and(|why| why.message().contains("set it to false")));
        let by_hand = |view: &mut ServerView| (view.read_only, view.server_id) = (true, 17);
        edit(&mut started, by_hand);
        let decision = decide(&policy(2), &record(), &cluster(vec![started, replica(1, "p0")]));
        assert!(!decision.acts.contains(&Act::Order { member: Ordinal(0), order: Order::Fence }), "read_only by hand");
    }

    #[test]
    fn what_weakens_an_acknowledgement_is_recorded_in_a_paused_cluster_too() {
        let record = Record { ackers: vec![acker(1, 1)], ..record() };
        let acts = decide(&paused(), &record, &neglected()).acts;
        let [Act::Write { record, .. }] = acts.as_slice() else { panic!("{acts:?}") };
        assert_eq!(record.durability, Durability::CatchingUp);
    }

    #[test]
    fn a_dead_primary_of_a_paused_cluster_is_told_and_left_alone() {
        let mut seen = neglected();
        seen.members[0] = dead(0);
        let decision = decide(&paused(), &record(), &seen);
        assert_eq!(decision.acts, vec![]);
        assert!(decision.blocked.is_some_and(|why| why.message().contains("spec.paused")));
    }
}
