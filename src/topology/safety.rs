//! When a promotion can lose nothing that was acknowledged. The only module that answers this, and only from what is
//! recorded as done and what was confirmed in the present term.

use super::observation::{MemberView, Observation};
use super::policy::Policy;
use super::record::written_outside_terms;
use super::record::{Acker, Durability, Record};
use super::rules::Rules;
use super::transition::Transition;
use crate::gtid::{GtidPosition, Shown};
use crate::orders::{Frozen, LogEvidence, Ordinal};

/// Why a promotion is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Basis {
    /// 8(a): the old primary is proven dead and its binary logs were read to this position.
    Salvage {
        /// Last complete group of its files.
        end: GtidPosition,
    },
    /// 8(b): durability is Enforced and every acker is frozen in the incarnation recorded.
    Ackers,
    /// 8(a) by way of a member: the old primary's binary logs were read whole to this position earlier in the transition, it
    /// took no writes since, and a frozen member has received all of that.
    Received {
        /// Last complete group of its files as they were.
        end: GtidPosition,
    },
}

/// Whether 8(a) or 8(b) holds now, in the order of [`Basis`], else what is missing for both.
///
/// # Errors
/// A sentence that names what is missing.
pub(crate) fn basis(
    rules: Rules,
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    from: Ordinal,
) -> Result<Basis, String> {
    let logs = match salvage(policy, record, seen.member(from)) {
        Ok(end) => return Ok(Basis::Salvage { end }),
        Err(missing) => missing,
    };
    match (by_ackers(rules, policy, record, seen), received_whole(record, seen, from)) {
        (Ok(()), _) => Ok(Basis::Ackers),
        (_, Some(end)) => Ok(Basis::Received { end: end.clone() }),
        (Err(ackers), None) => Err(format!("{logs}; and {ackers}")),
    }
}

/// Where the old primary's binary logs ended when they were read whole, once a frozen member has received that and nothing of
/// another history.
fn received_whole<'a>(record: &'a Record, seen: &Observation, from: Ordinal) -> Option<&'a GtidPosition> {
    let end = held_before(record)?;
    let primary = record.primary_server_id();
    let is_whole = |frozen: &Frozen| {
        let of_the_primary = frozen.received.beyond(end).iter().all(|range| Some(range.server) == primary);
        !frozen.killed && of_the_primary && frozen.received.covers(end)
    };
    let mut others = seen.members.iter().filter(|member| member.ordinal != from && member.progress.following.is_none());
    others.any(|member| member.frozen().is_some_and(is_whole)).then_some(end)
}

/// Whether 8(b) holds now, else what is missing.
///
/// # Errors
/// A sentence that names what is missing.
pub(crate) fn by_ackers(rules: Rules, policy: &Policy, record: &Record, seen: &Observation) -> Result<(), String> {
    all_ackers(policy, record, |acker| accounted_for(rules, seen, acker))
}

/// Ackers that by themselves are no evidence, but whose kept relay logs can be applied to become one; empty when others
/// would still be missing.
#[must_use]
pub(crate) fn recoverable<'a>(
    rules: Rules,
    record: &'a Record,
    seen: &'a Observation,
) -> Vec<(&'a MemberView, &'a Acker)> {
    let missing = || record.ackers.iter().filter(|acker| !accounted_for(rules, seen, acker));
    let found: Vec<_> = missing().filter_map(|acker| Some((recovers(seen, acker)?, acker))).collect();
    let all = record.durability == Durability::Enforced && found.len() == missing().count();
    if all { found } else { vec![] }
}

/// What all ackers together have received, when 8(b) holds.
#[must_use]
pub(crate) fn received_by_ackers(
    rules: Rules,
    policy: &Policy,
    record: &Record,
    seen: &Observation,
) -> Option<GtidPosition> {
    by_ackers(rules, policy, record, seen).ok()?;
    let frozen = record.ackers.iter().filter_map(|acker| seen.member(acker.member)?.frozen());
    Some(frozen.fold(GtidPosition::empty(), |all, frozen| all.union(&frozen.received)))
}

/// Whether 8(a) or 8(b) can be completed, asked before anything is frozen.
///
/// # Errors
/// A sentence that names what is missing.
pub(crate) fn feasible(
    rules: Rules,
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    from: Ordinal,
) -> Result<(), String> {
    let logs = match seen.member(from) {
        Some(member) if member.is_proven_dead() && member.state().and_then(|state| state.record()).is_some() => {
            return Ok(());
        }
        _ => format!("the binary logs of {} cannot be read: its agent or its volume is missing", policy.name(from)),
    };
    feasible_by_ackers(rules, policy, record, seen).map_err(|ackers| format!("{logs}; and {ackers}"))
}

/// Whether 8(b) can be completed, asked before anything is frozen.
///
/// # Errors
/// A sentence that names what is missing.
pub(crate) fn feasible_by_ackers(
    rules: Rules,
    policy: &Policy,
    record: &Record,
    seen: &Observation,
) -> Result<(), String> {
    all_ackers(policy, record, |acker| can_account_for(rules, seen, acker))
}

/// True when `acker`, once frozen, can prove what it has.
fn can_account_for(rules: Rules, seen: &Observation, acker: &Acker) -> bool {
    let as_recorded = |member: &MemberView| is_incarnation(rules, member, acker) && member.is_running();
    seen.member(acker.member).is_some_and(as_recorded) || recovers(seen, acker).is_some()
}

fn salvage(policy: &Policy, record: &Record, from: Option<&MemberView>) -> Result<GtidPosition, String> {
    let Some(member) = from else { return Err("the old primary is no longer a member".to_owned()) };
    let name = policy.name(member.ordinal);
    match &member.progress.fenced {
        Some(evidence) => {
            logs_end(record, evidence).map_err(|message| format!("the binary logs of {name} cannot be read: {message}"))
        }
        None => Err(format!("{name} is not fenced")),
    }
}

/// Where the binary logs of the recorded primary end. Logs that end before its term began are not whole, however well they
/// can be read: an older copy of the volume, or a mariadbd that did not find them and began anew.
///
/// # Errors
/// Why that is not known.
pub(crate) fn logs_end(record: &Record, evidence: &LogEvidence) -> Result<GtidPosition, String> {
    let end = match evidence {
        LogEvidence::Readable { end, .. } => end,
        LogEvidence::Unreadable { message } => return Err(message.clone()),
    };
    // By number only, because a candidate that somebody made writable before it was promoted has its own on top
    // (docs/known-gaps.md).
    if let Some(began) = record.began.as_ref().filter(|began| !end.covers(began)) {
        return Err(format!("they end at {} and its term began at {began}, so a part of them is missing", Shown(end)));
    }
    // After writes of its own numbers alone do not tell what is still there.
    let is_there = |held: &GtidPosition| held == end || end.covers(held) && written_outside_terms(end).is_none();
    match held_before(record).filter(|held| !is_there(held)) {
        None => Ok(end.clone()),
        Some(held) => Err(format!("they end at {} and held {held} before, so a part of them is missing", Shown(end))),
    }
}

/// What the old primary's binary logs held when they were read earlier in this transition or in the resume that it replaces.
pub(super) fn held_before(record: &Record) -> Option<&GtidPosition> {
    match record.transition.as_ref()? {
        Transition::Failover { from, logs_end } | Transition::Resume { from, logs_end } => {
            logs_end.as_ref().filter(|_| record.primary == Some(*from))
        }
        Transition::Initialise { .. } | Transition::Promoting { .. } => None,
    }
}

fn all_ackers(policy: &Policy, record: &Record, holds: impl Fn(&Acker) -> bool) -> Result<(), String> {
    if record.durability != Durability::Enforced {
        return Err(format!(
            "durability is {:?}, so the replicas alone do not prove that they have everything",
            record.durability
        ));
    }
    if record.ackers.is_empty() {
        return Err("no acker is recorded".to_owned());
    }
    let missing: Vec<String> = record
        .ackers
        .iter()
        .filter(|acker| !holds(acker))
        .map(|acker| format!("{} in incarnation {}", policy.name(acker.member), acker.incarnation))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("these ackers cannot prove what they have received: {}", missing.join(", ")))
    }
}

/// Nothing it acknowledged can be missing from what the members are known to have.
fn accounted_for(rules: Rules, seen: &Observation, acker: &Acker) -> bool {
    frozen_as_recorded(rules, seen, acker) || is_recovered(seen, acker)
}

/// It has applied all that the run recorded, and those after it, had received: relay logs that mariadbd has thrown away are
/// kept.
fn is_recovered(seen: &Observation, acker: &Acker) -> bool {
    let recovered = |member: &MemberView| {
        let mut since = member.progress.recovered.iter();
        member.frozen().is_some_and(|frozen| !frozen.killed) && since.any(|run| *run <= acker.incarnation)
    };
    recovers(seen, acker).is_some_and(recovered)
}

/// The member of `acker` when it runs since the run recorded, or still, and has thrown away relay logs of that run; in the same
/// pod and under the same kernel: then its kept relay logs are as they were, also those that never reached the disk.
fn recovers<'a>(seen: &'a Observation, acker: &Acker) -> Option<&'a MemberView> {
    let has_dropped = |member: &MemberView| member.frozen().is_some_and(|frozen| frozen.dropped);
    let later = |member: &&MemberView| {
        let run = member.incarnation();
        run.is_some_and(|run| run > acker.incarnation) || run == Some(acker.incarnation) && has_dropped(member)
    };
    let here = seen.member(acker.member).filter(|member| is_same_place(member, acker) && member.is_running());
    here.filter(later)
}

fn is_same_place(member: &MemberView, acker: &Acker) -> bool {
    member.state().is_some_and(|state| state.pod_uid == acker.pod_uid && state.boot_id == acker.boot_id)
}

fn frozen_as_recorded(rules: Rules, seen: &Observation, acker: &Acker) -> bool {
    let Some(member) = seen.member(acker.member) else { return false };
    let frozen = member.frozen().is_some_and(|frozen| {
        !frozen.killed
            && (rules.ignore_dropped || !frozen.dropped)
            && (rules.ignore_incarnations || frozen.incarnation == acker.incarnation)
    });
    frozen && is_incarnation(rules, member, acker)
}

/// True when `member` is now the very run that `acker` records.
fn is_incarnation(rules: Rules, member: &MemberView, acker: &Acker) -> bool {
    rules.ignore_incarnations || matches_acker(member, acker)
}

/// True when `member` is now the very run that `acker` records: same pod, same boot of its node, same incarnation.
#[must_use]
pub(crate) fn matches_acker(member: &MemberView, acker: &Acker) -> bool {
    member.ordinal == acker.member && member.incarnation() == Some(acker.incarnation) && is_same_place(member, acker)
}

/// What the promoted member must have: the basis united with everything that was received by members frozen now.
#[must_use]
pub(crate) fn target(basis: &Basis, frozen: &[&MemberView]) -> GtidPosition {
    let start = match basis {
        Basis::Salvage { end } | Basis::Received { end } => end.clone(),
        Basis::Ackers => GtidPosition::empty(),
    };
    frozen.iter().filter_map(|member| member.frozen()).fold(start, |all, frozen| all.union(&frozen.received))
}

#[cfg(test)]
mod tests {
    use super::super::member::samples::{acker, cluster as seen, dead, policy, replica};
    use super::*;
    use crate::orders::{Frozen, Incarnation, Mariadbd};
    use crate::topology::observation::AgentSight;

    fn frozen(ordinal: u8, received: &str) -> MemberView {
        let mut member = replica(ordinal, "p0");
        member.progress.frozen = Some(Frozen {
            incarnation: Incarnation(1),
            received: received.parse().unwrap(),
            applied: received.parse().unwrap(),
            killed: false,
            dropped: false,
            settled: true,
        });
        member
    }

    fn enforced(ackers: Vec<Acker>) -> Record {
        Record { durability: Durability::Enforced, ackers, ..Record::default() }
    }

    #[test]
    fn frozen_ackers_are_enough_only_under_enforced_and_in_their_incarnation() {
        let cluster = seen(vec![dead(0), frozen(1, "0-17-9"), frozen(2, "0-17-10")]);
        let check = |record: &Record| basis(Rules::default(), &policy(3), record, &cluster, Ordinal(0));
        assert_eq!(check(&enforced(vec![acker(1, 1), acker(2, 1)])), Ok(Basis::Ackers));
        for weak in [Durability::CatchingUp, Durability::Degraded, Durability::Async] {
            let record = Record { durability: weak, ..enforced(vec![acker(1, 1)]) };
            assert!(check(&record).unwrap_err().contains(&format!("{weak:?}")));
        }
        assert!(check(&enforced(vec![])).unwrap_err().contains("no acker"));
        assert!(check(&enforced(vec![acker(1, 1), acker(2, 7)])).unwrap_err().contains("c-2 in incarnation 7"));
        let moved = Acker { pod_uid: "other".to_owned(), ..acker(1, 1) };
        assert!(check(&enforced(vec![moved])).is_err(), "another pod of the same name proves nothing");
    }

    #[test]
    fn a_killed_replica_is_no_frozen_acker() {
        let mut killed = frozen(1, "0-17-9");
        killed.progress.frozen.as_mut().unwrap().killed = true;
        let cluster = seen(vec![dead(0), killed]);
        assert!(basis(Rules::default(), &policy(3), &enforced(vec![acker(1, 1)]), &cluster, Ordinal(0)).is_err());
    }

    #[test]
    fn an_acker_that_was_restarted_counts_once_its_relay_logs_are_applied() {
        let again = |run: u64, recovered: &[u64]| {
            let mut member = frozen(1, "0-17-9");
            let Some(Frozen { incarnation, .. }) = &mut member.progress.frozen else { unreachable!() };
            *incarnation = Incarnation(run);
            if let AgentSight::Present(state) = &mut member.agent {
                state.mariadbd = Mariadbd::Running { incarnation: Incarnation(run), sql: true };
            }
            member.progress.recovered = recovered.iter().copied().map(Incarnation).collect();
            member
        };
        let record = enforced(vec![acker(1, 1)]);
        let check = |member: &MemberView| {
            let cluster = seen(vec![dead(0), member.clone()]);
            let basis = by_ackers(Rules::default(), &policy(3), &record, &cluster).is_ok();
            (basis, recoverable(Rules::default(), &record, &cluster).len())
        };
        assert_eq!(check(&again(1, &[])), (true, 0), "the run recorded");
        assert_eq!(check(&again(2, &[])), (false, 1));
        assert_eq!(check(&again(3, &[2])), (false, 1), "another run's relay logs");
        assert_eq!(check(&again(2, &[1])), (true, 0));
        let mut thawed = again(2, &[1]);
        thawed.progress.frozen = None;
        assert_eq!(check(&thawed), (false, 1), "it may receive again");
        let mut other_kernel = again(2, &[]);
        if let AgentSight::Present(state) = &mut other_kernel.agent {
            "other".clone_into(&mut state.boot_id);
        }
        assert_eq!(check(&other_kernel), (false, 0), "what was in the page cache is gone");
        let both = enforced(vec![acker(1, 1), acker(2, 1)]);
        let cluster = seen(vec![dead(0), again(2, &[])]);
        assert!(recoverable(Rules::default(), &both, &cluster).is_empty(), "of no use while another is missing");
    }

    #[test]
    fn salvage_needs_the_fence_and_readable_files() {
        let mut primary = dead(0);
        let cluster = |primary: &MemberView| seen(vec![primary.clone(), frozen(1, "0-17-9")]);
        let check = |primary: &MemberView| {
            basis(Rules::default(), &policy(3), &Record::default(), &cluster(primary), Ordinal(0))
        };
        assert!(check(&primary).unwrap_err().contains("not fenced"));
        primary.progress.fenced =
            Some(LogEvidence::Unreadable { message: "bin.000001: Input/output error".to_owned() });
        assert!(check(&primary).unwrap_err().contains("Input/output error"));
        primary.progress.fenced = Some(LogEvidence::Readable { end: "0-17-12".parse().unwrap(), torn: None });
        let basis = check(&primary).unwrap();
        assert_eq!(basis, Basis::Salvage { end: "0-17-12".parse().unwrap() });
        let began = |position: &str| {
            let record = Record { began: Some(position.parse().unwrap()), ..Record::default() };
            super::basis(Rules::default(), &policy(3), &record, &cluster(&primary), Ordinal(0))
        };
        assert!(began("0-17-12").is_ok());
        assert!(began("0-17-13").unwrap_err().contains("a part of them is missing"), "an older copy of the volume");
        let ahead = frozen(1, "0-17-13");
        assert_eq!(target(&basis, &[&ahead]).to_string(), "0-17-13", "a member may be ahead of the files");
    }
}
