//! What people are told: conditions and one line for each member, derived from the same values decisions are made from.

mod failover_ready;
mod locks;
mod maintenance;
mod nodes;
mod primary;
mod shown;

pub(crate) use self::shown::{Condition, MemberReport, Report, Role};

use self::locks::unlock;
use self::primary::{judge, unhealthy};
use self::shown::condition;
use super::ackers;
use super::decision::{Act, Decision};
use super::last_error_line::of_exit;
use super::member::{follows, trouble};
use super::observation::{IoThread, MemberView, NewConnection, Observation, ServerSight, ServerView};
use super::outdated;
use super::policy::Policy;
use super::reasons::{MemberReason, MemberState, Reason};
use super::record::{Record, boot_server_id};
use super::transition::TransitionKind;
use super::verdict::Verdict;
use super::wedged;
use crate::api::status::ConditionType;
use crate::orders::{Mariadbd, Order, SqlNotes, Volume};
use crate::time::Millis;

/// An agent that says for this long that it gets in has tried meanwhile, in milliseconds.
const AGENT_KNOWS_MS: u64 = 5_000;

/// Puts the report together. `stalled` is a reason outside this module (a spec that does not validate).
#[must_use]
pub(crate) fn report(policy: &Policy, record: &Record, seen: &Observation, decision: &Decision) -> Report {
    let members: Vec<MemberReport> =
        seen.members.iter().map(|member| of_member(policy, record, seen, member)).collect();
    let conditions = vec![
        ready(policy, record, seen, decision),
        failover_ready::condition(policy, record, seen, (&members, decision)),
        reconciling(policy, record, decision),
        stalled(seen, decision),
        paused(policy),
        maintenance::storage(policy, seen),
    ];
    Report { conditions, members }
}

fn ready(policy: &Policy, record: &Record, seen: &Observation, decision: &Decision) -> Condition {
    let not = |reason, message: String| condition(ConditionType::Ready, false, reason, message);
    if let Some(proof) = outdated::proof(record, seen) {
        return not(Reason::RecordOutdated, outdated::words(policy, record, proof));
    }
    if let Some(transition) = &record.transition {
        let what = format!("{:?} is under way", transition.kind());
        return not(Reason::InTransition, decision.obstacle().unwrap_or(what));
    }
    let Some(primary) = record.primary.and_then(|primary| seen.member(primary)) else {
        return not(Reason::NotInitialised, decision.obstacle().unwrap_or_else(|| "no primary yet".to_owned()));
    };
    let verdict = judge(policy, seen, primary);
    let unsaid = || match verdict {
        Verdict::Unpromoted => unpromoted(&policy.name(primary.ordinal)),
        _ => "the primary does not answer".to_owned(),
    };
    let why = || decision.obstacle().unwrap_or_else(unsaid);
    let leads_elsewhere = seen.service_member != Some(primary.ordinal);
    let (Some(view), None) = (primary.view(), unhealthy(&verdict)) else {
        let reason = unhealthy(&verdict).unwrap_or(Reason::PrimarySuspect);
        if !leads_elsewhere || !primary::is_led_back_to(&verdict) {
            return not(reason, why());
        }
        let misdirected = misdirected(policy, seen, primary);
        return if primary::may_take_writes(&verdict) {
            not(Reason::ServiceMisdirected, format!("{misdirected}; besides, {}", why()))
        } else {
            not(reason, format!("{}; besides, {misdirected}", why()))
        };
    };
    if let NewConnection::TurnedAway { message } = &primary.new_connection {
        let name = policy.name(primary.ordinal);
        // Commits that wait hold them, also after their clients have left.
        let waits = |view: &ServerView| view.semi_sync.wait_sessions > 0;
        let nobody = ackers::active(policy, record, seen).next().is_none();
        let end = || wedged::how_to_end(policy, primary.ordinal);
        let remedy = match primary.extra_port {
            _ if !(nobody && waits(view) && primary.before().is_some_and(waits)) => {
                primary::more_connections(policy, primary.ordinal)
            }
            Some(port) => format!(
                "commits wait for a replica and hold them; replicas have port {port} for themselves: look why none connects \
                 there (its pod, network policies, its message in status.members); {}",
                end()
            ),
            None => format!("commits wait and no replica is connected: {}", end()),
        };
        return not(Reason::PrimarySick, format!("{name} turns new connections away ({message}): {remedy}"));
    }
    // A reading from before the answer to `promote` says nothing.
    if view.read_only && primary.progress.promoted_at.is_none_or(|promoted| view.begun > promoted) {
        let name = policy.name(primary.ordinal);
        if view.server_id == boot_server_id(primary.ordinal) {
            return not(Reason::PrimaryReadOnly, unpromoted(&name));
        }
        return not(
            Reason::PrimaryReadOnly,
            format!(
                "{name} is read-only: somebody set read_only by hand; `{} mariadb -e 'SET GLOBAL read_only=OFF'` ends it",
                policy.exec(primary.ordinal)
            ),
        );
    }
    if let Some(stopped) = maintenance::writes_stopped(policy, primary) {
        return not(Reason::PrimaryReadOnly, stopped);
    }
    if let Some(held) = primary.writes_locked() {
        let name = policy.name(primary.ordinal);
        return not(Reason::WritesLocked, format!("{name}: {held}; {}", unlock(policy, primary.ordinal)));
    }
    if leads_elsewhere {
        return not(Reason::ServiceMisdirected, misdirected(policy, seen, primary));
    }
    if ackers::waits(record.durability)
        && !ackers::any_active(policy, record, seen)
        && !may_have_acker(record, seen, primary)
    {
        return not(Reason::NoAcker, primary::no_acker(policy));
    }
    let name = policy.name(primary.ordinal);
    // At first the agent's last try may be older than the first one that hung.
    let lasts = |since: Millis| seen.now.since(since) >= AGENT_KNOWS_MS;
    let way = if primary.new_connections_hang().is_some_and(lasts) {
        "; new connections from the operator hang and those of its agent do not: look at the network between them (policies, \
         connection tracking)"
    } else {
        ""
    };
    condition(ConditionType::Ready, true, Reason::PrimaryAcceptsWrites, format!("{name} accepts writes{way}"))
}

/// True when the primary counts connected ackers, none of its commits waits for long, and a recorded acker refuses the
/// operator's account: that one may be meant.
fn may_have_acker(record: &Record, seen: &Observation, primary: &MemberView) -> bool {
    let refuses = |member: &MemberView| matches!(member.server, ServerSight::Denied { .. });
    let (Some(now), Some(before)) = (primary.view(), primary.before()) else { return false };
    let waits = now.semi_sync.wait_sessions > 0 && before.semi_sync.wait_sessions > 0;
    let stands = waits && now.binlog_position == before.binlog_position;
    now.semi_sync.clients > 0 && !stands && ackers::live(record, seen).any(refuses)
}

fn unpromoted(name: &str) -> String {
    format!(
        "{name} runs, and was not promoted since it was started: it is stopped, and then a failover or a resume follows"
    )
}

fn misdirected(policy: &Policy, seen: &Observation, primary: &MemberView) -> String {
    let leads = seen.service_member.map_or_else(|| "no member".to_owned(), |other| policy.name(other));
    let next = if policy.paused { "spec.paused is true, so it is left as it is" } else { "it is put back" };
    let cluster = policy.short_name();
    format!("Service {cluster}-primary selects {leads}, not {}: {next}", policy.name(primary.ordinal))
}

fn reconciling(policy: &Policy, record: &Record, decision: &Decision) -> Condition {
    match &record.transition {
        Some(transition) => {
            let progress = decision.progress.map(|progress| format!("{} {progress}", policy.name(progress.member)));
            let message = decision.obstacle().or(progress);
            let message = message.unwrap_or_else(|| format!("step {:?}", transition.step()));
            let reason = match transition.kind() {
                TransitionKind::Initialise => Reason::Initialise,
                TransitionKind::Failover => Reason::Failover,
                TransitionKind::Resume => Reason::Resume,
            };
            condition(ConditionType::Reconciling, true, reason, message)
        }
        None => condition(ConditionType::Reconciling, false, Reason::AtRest, ""),
    }
}

fn stalled(seen: &Observation, decision: &Decision) -> Condition {
    match &decision.blocked {
        Some(blocked) if decision.acts.iter().all(|act| is_retry(seen, act)) => {
            condition(ConditionType::Stalled, true, blocked.reason(), blocked.message())
        }
        _ => condition(ConditionType::Stalled, false, Reason::Progressing, ""),
    }
}

/// True for an order that failed or was held up when it was given last: as long as that goes on nothing has changed.
fn is_retry(seen: &Observation, act: &Act) -> bool {
    let Act::Order { member, order } = act else { return false };
    let held = |member: &MemberView| matches!(order, Order::Await { .. }) && member.progress.held.is_some();
    seen.member(*member).is_some_and(|member| member.progress.has_failed(order) || held(member))
}

fn paused(policy: &Policy) -> Condition {
    let message = if policy.paused { "spec.paused is true: members are watched and left alone" } else { "" };
    condition(
        ConditionType::Paused,
        policy.paused,
        if policy.paused { Reason::SpecPaused } else { Reason::NotPaused },
        message,
    )
}

fn of_member(policy: &Policy, record: &Record, seen: &Observation, member: &MemberView) -> MemberReport {
    let is_primary = record.primary == Some(member.ordinal);
    let primary = record.primary.and_then(|primary| seen.member(primary));
    let (state, reason, message) = state_of(policy, record, member, primary);
    MemberReport {
        ordinal: member.ordinal,
        role: if is_primary { Role::Primary } else { Role::Replica },
        state,
        reason,
        message,
        lag_s: member.view().and_then(|view| view.slave.as_ref()).and_then(|slave| slave.lag_s),
    }
}

type State = (MemberState, Option<MemberReason>, Option<String>);

fn state_of(policy: &Policy, record: &Record, member: &MemberView, primary: Option<&MemberView>) -> State {
    if member.pod.is_none() {
        return (MemberState::Pending, Some(MemberReason::NoPod), Some("it has no pod yet".to_owned()));
    }
    let Some(state) = member.state() else {
        return (
            MemberState::Pending,
            Some(MemberReason::AgentUnreachable),
            Some("its agent cannot be reached".to_owned()),
        );
    };
    let initialising =
        record.transition.as_ref().is_some_and(|transition| transition.kind() == TransitionKind::Initialise);
    if initialising && state.volume == Volume::Blank {
        let message = "its datadir is being created".to_owned();
        return (MemberState::Starting, Some(MemberReason::NotStarted), Some(message));
    }
    if let Some(trouble) = trouble(record, &policy.cluster, member, primary) {
        let volume = super::member::volume_trouble(record, &policy.cluster, member).is_some();
        return (
            if volume { MemberState::Refused } else { MemberState::Quarantined },
            Some(trouble.reason()),
            Some(trouble.message()),
        );
    }
    match &state.mariadbd {
        Mariadbd::Exited { status, message, .. } => {
            (MemberState::Down, Some(MemberReason::MariadbdExited), Some(of_exit(*status, message)))
        }
        Mariadbd::NotStarted if state.record().is_some_and(|record| record.hold) => (
            MemberState::Held,
            Some(MemberReason::VolumeHeld),
            Some("its volume is held until it is ordered to start".to_owned()),
        ),
        Mariadbd::NotStarted => (MemberState::Starting, Some(MemberReason::NotStarted), None),
        Mariadbd::Unknown { message } => {
            (MemberState::Down, Some(MemberReason::MariadbdUnknown), Some(message.clone()))
        }
        Mariadbd::Running { .. } if state.sql_notes != SqlNotes::default() => {
            noted(policy, record, member, &state.sql_notes)
        }
        Mariadbd::Running { sql: false, .. } => (MemberState::Starting, Some(MemberReason::SqlNotReady), None),
        Mariadbd::Running { .. } => running(policy, record, member),
    }
}

/// What the agent says of its own SQL explains what else is seen. A member that does its part all the same stays Ready.
fn noted(policy: &Policy, record: &Record, member: &MemberView, notes: &SqlNotes) -> State {
    let (state, reason, message) = running(policy, record, member);
    if let Some(refused) = &notes.login_refused {
        let message = format!(
            "mariadbd refuses the agent's login ({refused}): restore mysql@localhost as mariadb-install-db creates it \
             (IDENTIFIED VIA unix_socket, all rights, WITH GRANT OPTION)"
        );
        return (MemberState::Starting, Some(MemberReason::LoginRefused), Some(message));
    }
    if let Some(held) = &notes.writes_locked {
        let lock = format!("{held}; {}", unlock(policy, member.ordinal));
        let message = match message {
            None => lock,
            // It was held up by this very lock when it was asked last.
            Some(other) if other.contains(held) => format!("{other}; {}", unlock(policy, member.ordinal)),
            Some(other) => format!("{other}; besides, {lock}"),
        };
        return (state, Some(reason.unwrap_or(MemberReason::WritesLocked)), Some(message));
    }
    match &notes.accounts_wrong {
        Some(wrong) if reason.is_none() || reason == Some(MemberReason::SqlUnreachable) => {
            let message = format!("the operator's accounts cannot be set: {wrong}");
            (state, Some(MemberReason::AccountsWrong), Some(message))
        }
        _ => (state, reason, message),
    }
}

fn running(policy: &Policy, record: &Record, member: &MemberView) -> State {
    let Some(view) = member.view() else {
        let (reason, message) = unanswered(member);
        return (MemberState::Starting, Some(reason), Some(message));
    };
    if member.wedged_since().is_some() {
        let message = "it answers open sessions and takes no new connections".to_owned();
        return (MemberState::Starting, Some(MemberReason::NoNewConnections), Some(message));
    }
    let Some(primary) = record.primary else { return (MemberState::Starting, None, None) };
    if primary == member.ordinal {
        let which = match view.drift.iter().any(|drift| drift.stops_writes) {
            _ if view.read_only => "read_only",
            true => "tx_read_only",
            false => return (MemberState::Ready, None, None),
        };
        let message = format!("it takes no writes: {which} is on");
        return (MemberState::Starting, Some(MemberReason::ReadOnly), Some(message));
    }
    let host = policy.hosts.get(usize::from(primary.0)).map_or("", String::as_str);
    let receives = view.slave.as_ref().is_some_and(|slave| slave.io == IoThread::Yes);
    if follows(view, host) && receives {
        return (MemberState::Ready, None, None);
    }
    let error = || view.slave.as_ref().map(|slave| slave.io_error.clone()).filter(|error| !error.is_empty());
    let stopped = || {
        let slave = view.slave.as_ref().filter(|slave| slave.io == IoThread::No || !slave.sql)?;
        let which = if slave.io != IoThread::No { "STOP SLAVE SQL_THREAD" } else { "STOP SLAVE" };
        Some(format!("its replica threads do not run ({which})"))
    };
    // Once its source is gone the error only says so.
    let held = member.progress.held.as_ref().map(|held| format!("it cannot apply what it has received: {held}"));
    (MemberState::Starting, Some(MemberReason::NotReplicating), held.or_else(error).or_else(stopped))
}

/// Why the operator reads nothing of a member whose mariadbd runs.
fn unanswered(member: &MemberView) -> (MemberReason, String) {
    match &member.server {
        ServerSight::Denied { message } => {
            (MemberReason::ProbeDenied, format!("it refuses the operator's account: {message}"))
        }
        ServerSight::Sick { message } => (MemberReason::SqlUnreachable, message.clone()),
        _ => (MemberReason::SqlUnreachable, "SQL does not answer the operator".to_owned()),
    }
}

#[cfg(test)]
mod tests;
