//! Whether the death of the primary would be survived, and who would be promoted: everything that would keep a failover from
//! happening, or from succeeding.

use super::super::candidate::{Ranking, rank};
use super::super::decide::Decision;
use super::super::member::follows;
use super::super::observation::{IoThread, MemberView, Observation, ServerSight};
use super::super::outdated;
use super::super::policy::Policy;
use super::super::reasons::{MemberState, Reason};
use super::super::record::{Durability, Record};
use super::super::rules::Rules;
use super::super::safety::{self};
use super::locks::unlock;
use super::primary::{judge, unhealthy};
use super::shown::{Condition, MemberReport, condition as told};
use super::{maintenance, nodes};
use crate::api::status::ConditionType;
use crate::orders::Ordinal;

/// A member that has not answered for so long is not vouched for, in milliseconds.
const UNREAD_MS: u64 = 2_000;

pub(super) fn condition(
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    (members, decision): (&[MemberReport], &Decision),
) -> Condition {
    let blockers = blockers(policy, record, seen, (members, decision));
    let Some(primary) = record.primary else {
        return told(ConditionType::FailoverReady, false, Reason::NotInitialised, "no primary yet");
    };
    let ranking = rank(policy, record, seen, primary, None);
    let candidate = match ranking.best() {
        Some(_) => format!("{} would be promoted", candidates(policy, seen, &ranking)),
        None => "no member can be promoted".to_owned(),
    };
    let candidate = match nodes::shared(policy, seen, primary) {
        Some(shared) => format!("{candidate}; {shared}"),
        None => candidate,
    };
    match blockers.first() {
        None => told(ConditionType::FailoverReady, true, Reason::CandidateReady, candidate),
        Some((reason, _)) => {
            let all: Vec<&str> = blockers.iter().map(|(_, message)| message.as_str()).collect();
            let named = [Reason::CandidateNotReceiving, Reason::ProbeDenied, Reason::WritesLocked];
            let names_it = blockers.iter().any(|(reason, _)| named.contains(reason));
            let candidate = if names_it { String::new() } else { format!("; {candidate}") };
            told(ConditionType::FailoverReady, false, *reason, format!("{}{candidate}", all.join("; ")))
        }
    }
}

fn is_free(seen: &Observation, ordinal: Ordinal) -> bool {
    seen.member(ordinal).is_none_or(|member| member.writes_locked().is_none())
}

/// The member that would be promoted: one that a lock holds up comes after one that is free.
fn candidate(seen: &Observation, ranking: &Ranking) -> Option<Ordinal> {
    let free = ranking.candidates.iter().copied().find(|ordinal| is_free(seen, *ordinal));
    free.or_else(|| ranking.best())
}

/// The candidate; with those that differ from it only in what they have received so far, which changes with every reading.
fn candidates(policy: &Policy, seen: &Observation, ranking: &Ranking) -> String {
    let first = ranking.candidates.iter().copied().take(ranking.alike);
    let mut alike: Vec<Ordinal> = first.filter(|ordinal| is_free(seen, *ordinal)).collect();
    if alike.is_empty() {
        alike.extend(candidate(seen, ranking));
    }
    alike.sort();
    let names: Vec<String> = alike.into_iter().map(|ordinal| policy.name(ordinal)).collect();
    names.join(" or ")
}

/// Everything that keeps a failover from happening, or from succeeding, should the primary's mariadbd die now.
fn blockers(
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    (members, decision): (&[MemberReport], &Decision),
) -> Vec<(Reason, String)> {
    let mut blockers = Vec::new();
    if let Some(proof) = outdated::proof(record, seen) {
        blockers.push((Reason::RecordOutdated, outdated::words(policy, record, proof)));
    }
    if record.transition.is_some() {
        blockers.push((Reason::InTransition, "a transition is under way".to_owned()));
    } else if let Some(primary) = record.primary.and_then(|primary| seen.member(primary)) {
        blockers.extend(of_primary(policy, seen, primary, decision));
        blockers.extend(of_candidate(policy, record, seen, primary));
        blockers.extend(all_locked(policy, record, seen, primary));
        blockers.extend(logs_reset(policy, record, seen, primary));
    }
    if policy.paused {
        blockers.push((Reason::SpecPaused, "spec.paused is true: no failover is begun".to_owned()));
    }
    if !policy.failover_enabled {
        blockers.push((Reason::FailoverDisabled, "spec.failover.enabled is false".to_owned()));
    }
    if seen.members.len() < 2 {
        blockers.push((Reason::NoReplica, "the cluster has one member only".to_owned()));
    } else if record.primary.is_some_and(|primary| rank(policy, record, seen, primary, None).best().is_none()) {
        blockers.push((Reason::NoCandidate, "no replica is fit to be promoted".to_owned()));
    }
    match record.durability {
        Durability::Enforced => blockers.extend(unproven(policy, record, seen)),
        Durability::Async => {}
        Durability::CatchingUp => {
            blockers.push((Reason::CatchingUp, "no acker has proved yet that it has everything".to_owned()))
        }
        Durability::Degraded => {
            blockers.push((Reason::Degraded, "commits do not wait for ackers, because there was none".to_owned()));
        }
    }
    let unfit = members.iter().filter(|member| matches!(member.state, MemberState::Quarantined | MemberState::Refused));
    blockers.extend(unfit.map(|member| {
        let reason = member.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let message = member.message.clone().unwrap_or_default();
        (Reason::MemberUnfit, format!("{}{reason}: {message}", policy.name(member.ordinal)))
    }));
    // Changed settings explain why durability is what it is. In a transition orders change them.
    let at_rest = record.transition.is_none();
    let drift = seen.members.iter().filter(|_| at_rest).filter_map(|member| maintenance::drift(policy, seen, member));
    drift.chain(blockers).collect()
}

/// What about the primary itself keeps it from being replaced.
fn of_primary(
    policy: &Policy,
    seen: &Observation,
    primary: &MemberView,
    decision: &Decision,
) -> Option<(Reason, String)> {
    if let Some(reason) = unhealthy(&judge(policy, seen, primary)) {
        let why = decision.obstacle().unwrap_or_else(|| "the primary is not healthy".to_owned());
        return Some((reason, why));
    }
    let name = policy.name(primary.ordinal);
    primary.state().is_none().then(|| {
        (
            Reason::AgentUnreachable,
            format!("the agent of {name} cannot be reached, so the death of its mariadbd would not be seen"),
        )
    })
}

/// Whether the member to be promoted has what it needs to be a good candidate.
fn of_candidate(
    policy: &Policy,
    record: &Record,
    seen: &Observation,
    primary: &MemberView,
) -> Option<(Reason, String)> {
    let candidate = candidate(seen, &rank(policy, record, seen, primary.ordinal, None))
        .and_then(|candidate| seen.member(candidate))?;
    let host = policy.hosts.get(usize::from(primary.ordinal.0)).map_or("", String::as_str);
    let Some(view) = candidate.view() else {
        let (reason, why) = match &candidate.server {
            ServerSight::Denied { message } => {
                (Reason::ProbeDenied, format!("refuses the operator's account ({message})"))
            }
            ServerSight::Sick { message } => {
                (Reason::CandidateNotReceiving, format!("answers with an error ({message})"))
            }
            ServerSight::Silent { since } | ServerSight::Refused { since } if seen.now.since(*since) >= UNREAD_MS => {
                (Reason::CandidateNotReceiving, "does not answer the operator".to_owned())
            }
            // One late answer says nothing, nor does a new leader's first look.
            _ => return None,
        };
        let candidate = policy.name(candidate.ordinal);
        return Some((reason, format!("{candidate} would be promoted and {why}: whether it receives is not known")));
    };
    let slave = view.slave.as_ref();
    let connected = slave.is_some_and(|slave| slave.io == IoThread::Yes && slave.host == host);
    let receives = follows(view, host) && connected;
    (!receives).then(|| {
        let error = slave.map(|slave| slave.io_error.as_str()).filter(|error| !error.is_empty());
        let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
        let (candidate, primary) = (policy.name(candidate.ordinal), policy.name(primary.ordinal));
        let what = if connected { "apply what it receives" } else { "receive" };
        (
            Reason::CandidateNotReceiving,
            format!("{candidate} would be promoted and does not {what} from {primary}{error}"),
        )
    })
}

/// Nobody can apply what it has received, or take writes, until a lock is released.
fn all_locked(policy: &Policy, record: &Record, seen: &Observation, primary: &MemberView) -> Option<(Reason, String)> {
    let ranking = rank(policy, record, seen, primary.ordinal, None);
    let locked = |ordinal: &Ordinal| {
        let held = seen.member(*ordinal)?.writes_locked()?;
        let name = policy.name(*ordinal);
        Some(format!("{name}: {held}; {}", unlock(policy, *ordinal)))
    };
    let all: Option<Vec<String>> = ranking.candidates.iter().map(locked).collect();
    let all = all.filter(|all| !all.is_empty())?;
    Some((Reason::WritesLocked, format!("a lock holds up every replica that could be promoted: {}", all.join("; "))))
}

/// Binary logs that no longer hold what they held when the primary's term began are not believed after a crash; then only
/// the ackers could prove what was acknowledged.
fn logs_reset(policy: &Policy, record: &Record, seen: &Observation, primary: &MemberView) -> Option<(Reason, String)> {
    let (now, began) = (primary.current_view()?, record.began.as_ref()?);
    if now.read_only || now.binlog_position.covers(began) {
        return None;
    }
    safety::feasible_by_ackers(Rules::default(), policy, record, seen).err()?;
    let name = policy.name(primary.ordinal);
    Some((
        Reason::BinaryLogsReset,
        format!(
            "the binary logs of {name} are at {} and no longer hold what they held when it became primary ({began}), so somebody \
             ran RESET MASTER or FLUSH BINARY LOGS DELETE_DOMAIN_ID: they would prove nothing after a crash; with \
             replication.mode SemiSync and a replica that acknowledges, that one proves what was acknowledged",
            now.binlog_position
        ),
    ))
}

/// A run in the list of ackers that could not be asked if the primary were lost together with its files.
fn unproven(policy: &Policy, record: &Record, seen: &Observation) -> Option<(Reason, String)> {
    let missing = safety::feasible_by_ackers(Rules::default(), policy, record, seen).err()?;
    Some((
        Reason::AckerUnproven,
        format!("if the primary's volume were lost, too, nothing could be promoted: {missing}"),
    ))
}
