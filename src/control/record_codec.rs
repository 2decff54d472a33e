//! The record decisions are made from, in the words of the object's status and back. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use thiserror::Error;

use super::timeline::promotion_term;
use crate::api::failover::record_name;
use crate::api::status::{self, BeganAt, ClusterStatus};
use crate::api::validate::{member_name, member_ordinal};
use crate::gtid::GtidPosition;
use crate::orders::{Ordinal, Term};
use crate::topology::record::{Acker, Durability, Record, Step, Transition, TransitionKind};

/// A status that this operator cannot continue from.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("status.{field} is {value:?}, which this version does not know: a newer operator wrote it, run that version")]
pub struct RecordError {
    /// Where.
    pub field: &'static str,
    /// What stands there.
    pub value: String,
}

/// Reads the record out of a status.
///
/// # Errors
/// When the status has words or names this version does not know: acting on a guess could lose data.
pub fn read(cluster: &str, status: Option<&ClusterStatus>) -> Result<Record, RecordError> {
    let Some(status) = status else { return Ok(Record::default()) };
    Ok(Record {
        data_uid: status.data_uid.clone(),
        term: status.term.unwrap_or_default(),
        primary: optional(cluster, "currentPrimary", status.current_primary.as_deref())?,
        promoted_in: status.promoted_in.unwrap_or_default(),
        began: began(status)?,
        durability: status.durability.as_ref().map_or(Ok(Durability::default()), durability)?,
        ackers: status.ackers.iter().map(|acker| read_acker(cluster, acker)).collect::<Result<_, _>>()?,
        transition: status.transition.as_ref().map(|transition| read_transition(cluster, transition)).transpose()?,
    })
}

/// Writes the record into a status; what does not belong to the record stays.
pub fn write(cluster: &str, record: &Record, status: &mut ClusterStatus, now: Timestamp) {
    let Record { data_uid, term, primary, promoted_in, began, durability, ackers, transition } = record;
    let primary = primary.map(|ordinal| member_name(cluster, ordinal));
    if status.current_primary != primary || status.promoted_in.unwrap_or_default() != *promoted_in {
        status.current_primary_since = primary.is_some().then_some(Time(now));
    }
    status.data_uid.clone_from(data_uid);
    status.term = Some(*term);
    status.current_primary = primary;
    status.promoted_in = (*promoted_in != Term::default()).then_some(*promoted_in);
    status.began_at_gtid = began.as_ref().map(|position| BeganAt { term: *promoted_in, gtid: position.to_string() });
    status.durability = Some(write_durability(*durability));
    status.ackers = ackers.iter().map(|acker| write_acker(cluster, acker)).collect();
    let before = status.transition.take();
    status.transition = transition.as_ref().map(|transition| {
        let same = before.filter(|before| before.kind == write_kind(transition.kind));
        let started_at = same.map_or(MicroTime(now), |before| before.started_at);
        write_transition(cluster, record, transition, started_at)
    });
}

/// An earlier release keeps what it does not know and writes a new `promotedIn` beside it: then it says nothing.
fn began(status: &ClusterStatus) -> Result<Option<GtidPosition>, RecordError> {
    let of_this_term = |began: &&BeganAt| Some(began.term) == status.promoted_in;
    let began = status.began_at_gtid.as_ref().filter(of_this_term);
    began.map(|began| began.gtid.parse().map_err(|_| unknown("beganAtGtid", &began.gtid))).transpose()
}

fn unknown(field: &'static str, value: &str) -> RecordError {
    RecordError { field, value: value.to_owned() }
}

fn ordinal(cluster: &str, field: &'static str, name: &str) -> Result<Ordinal, RecordError> {
    member_ordinal(cluster, name).ok_or_else(|| unknown(field, name))
}

fn optional(cluster: &str, field: &'static str, name: Option<&str>) -> Result<Option<Ordinal>, RecordError> {
    name.map(|name| ordinal(cluster, field, name)).transpose()
}

fn durability(word: &status::Durability) -> Result<Durability, RecordError> {
    Ok(match word {
        status::Durability::Enforced => Durability::Enforced,
        status::Durability::CatchingUp => Durability::CatchingUp,
        status::Durability::Degraded => Durability::Degraded,
        status::Durability::Async => Durability::Async,
        status::Durability::Unknown(word) => return Err(unknown("durability", word)),
    })
}

fn write_durability(durability: Durability) -> status::Durability {
    match durability {
        Durability::Enforced => status::Durability::Enforced,
        Durability::CatchingUp => status::Durability::CatchingUp,
        Durability::Degraded => status::Durability::Degraded,
        Durability::Async => status::Durability::Async,
    }
}

fn read_acker(cluster: &str, acker: &status::Acker) -> Result<Acker, RecordError> {
    let status::Acker { member, pod_uid, boot_id, incarnation } = acker;
    Ok(Acker {
        member: ordinal(cluster, "ackers", member)?,
        pod_uid: pod_uid.clone(),
        boot_id: boot_id.clone(),
        incarnation: *incarnation,
    })
}

fn write_acker(cluster: &str, acker: &Acker) -> status::Acker {
    let Acker { member, pod_uid, boot_id, incarnation } = acker;
    status::Acker {
        member: member_name(cluster, *member),
        pod_uid: pod_uid.clone(),
        boot_id: boot_id.clone(),
        incarnation: *incarnation,
    }
}

fn read_transition(cluster: &str, transition: &status::Transition) -> Result<Transition, RecordError> {
    let target = transition.target_gtid.as_deref().map(str::parse).transpose();
    Ok(Transition {
        kind: kind(&transition.kind)?,
        step: step(&transition.step)?,
        from: optional(cluster, "transition.from", transition.from.as_deref())?,
        to: optional(cluster, "transition.to", transition.to.as_deref())?,
        target: target
            .map_err(|_| unknown("transition.targetGtid", transition.target_gtid.as_deref().unwrap_or("")))?,
    })
}

fn write_transition(
    cluster: &str,
    record: &Record,
    transition: &Transition,
    started_at: MicroTime,
) -> status::Transition {
    let Transition { kind, step, from, to, target } = transition;
    let name = |ordinal: &Option<Ordinal>| ordinal.map(|ordinal| member_name(cluster, ordinal));
    status::Transition {
        kind: write_kind(*kind),
        name: (*kind == TransitionKind::Failover).then(|| record_name(cluster, promotion_term(record))),
        term: record.term,
        step: step_word(*step).to_owned(),
        from: name(from),
        to: name(to),
        target_gtid: target.as_ref().map(ToString::to_string),
        started_at,
    }
}

fn kind(word: &status::TransitionKind) -> Result<TransitionKind, RecordError> {
    Ok(match word {
        status::TransitionKind::Initialise => TransitionKind::Initialise,
        status::TransitionKind::Failover => TransitionKind::Failover,
        status::TransitionKind::Resume => TransitionKind::Resume,
        other => return Err(unknown("transition.kind", other.as_str())),
    })
}

fn write_kind(kind: TransitionKind) -> status::TransitionKind {
    match kind {
        TransitionKind::Initialise => status::TransitionKind::Initialise,
        TransitionKind::Failover => status::TransitionKind::Failover,
        TransitionKind::Resume => status::TransitionKind::Resume,
    }
}

fn step(word: &str) -> Result<Step, RecordError> {
    [Step::Decided, Step::Promoting]
        .into_iter()
        .find(|step| step_word(*step) == word)
        .ok_or_else(|| unknown("transition.step", word))
}

fn step_word(step: Step) -> &'static str {
    match step {
        Step::Decided => "Decided",
        Step::Promoting => "Promoting",
    }
}

#[cfg(test)]
mod tests;
