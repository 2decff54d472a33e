//! The record decisions are made from, in the words of the object's status and back. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use thiserror::Error;

use super::timeline::promotion_term;
use crate::api::failover::record_name;
use crate::api::status::{self, BeganAt, ClusterStatus, UnknownKeys};
use crate::api::validate::member_ordinal;
use crate::gtid::GtidPosition;
use crate::orders::{Ordinal, Term, member_name};
use crate::topology::record::{Acker, Durability, Record};
use crate::topology::transition::{Promotion, Step, Transition, TransitionKind};

/// A status that this operator cannot continue from.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// A word or a name of another version.
    #[error(
        "status.{field} is {value:?}, which this version does not know: a newer operator wrote it, run that version"
    )]
    Unknown {
        /// Where.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// A transition without what its step needs: no operator wrote that.
    #[error("status.{field} is missing, {what}: put back the status as the operator wrote it")]
    Missing {
        /// Where.
        field: &'static str,
        /// What stands there otherwise.
        what: &'static str,
    },
    /// A promotion of another member than the recorded primary: no operator wrote that.
    #[error(
        "status.{field} is {value}, and status.currentPrimary is {primary}: put back the status as the operator wrote it"
    )]
    Contradiction {
        /// Where.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What must stand there.
        primary: String,
    },
}

/// Reads the record out of a status.
///
/// # Errors
/// When the status has words or names this version does not know: acting on a guess could lose data.
pub fn read(cluster: &str, status: Option<&ClusterStatus>) -> Result<Record, RecordError> {
    let Some(status) = status else { return Ok(Record::default()) };
    let primary = optional(cluster, "currentPrimary", status.current_primary.as_deref())?;
    let transition = status.transition.as_ref();
    Ok(Record {
        data_uid: status.data_uid.clone(),
        term: status.term.unwrap_or_default(),
        primary,
        promoted_in: status.promoted_in.unwrap_or_default(),
        began: began(status)?,
        durability: status.durability.as_ref().map_or(Ok(Durability::default()), durability)?,
        ackers: status.ackers.iter().map(|acker| read_acker(cluster, acker)).collect::<Result<_, _>>()?,
        transition: transition.map(|transition| read_transition(cluster, primary, transition)).transpose()?,
    })
}

/// Writes the record into a status; what does not belong to the record stays.
pub(crate) fn write(cluster: &str, record: &Record, status: &mut ClusterStatus, now: Timestamp) {
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
    let before = std::mem::take(&mut status.ackers);
    status.ackers = ackers.iter().map(|acker| write_acker(cluster, acker, &before)).collect();
    let before = status.transition.take();
    status.transition = transition.as_ref().map(|transition| {
        let mut next = write_transition(cluster, record, transition, MicroTime(now));
        let same_kind = before.filter(|before| before.kind == next.kind);
        next.started_at = same_kind.as_ref().map_or(next.started_at, |before| before.started_at.clone());
        next.unknown =
            same_kind.filter(|before| goes_on(before, &next)).map(|before| before.unknown).unwrap_or_default();
        next
    });
}

/// True when `next` is the transition of `before`, of the same kind, and not a new one: away from the same primary, and not behind
/// the point of no return again.
fn goes_on(before: &status::Transition, next: &status::Transition) -> bool {
    let promoting = step_word(Step::Promoting);
    before.from == next.from && (before.step != promoting || next.step == promoting)
}

/// An earlier release keeps what it does not know and writes a new `promotedIn` beside it: then it says nothing.
fn began(status: &ClusterStatus) -> Result<Option<GtidPosition>, RecordError> {
    let of_this_term = |began: &&BeganAt| Some(began.term) == status.promoted_in;
    let began = status.began_at_gtid.as_ref().filter(of_this_term);
    began.map(|began| began.gtid.parse().map_err(|_| unknown("beganAtGtid", &began.gtid))).transpose()
}

fn unknown(field: &'static str, value: &str) -> RecordError {
    RecordError::Unknown { field, value: value.to_owned() }
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
    let status::Acker { member, pod_uid, boot_id, incarnation, unknown: _ } = acker;
    Ok(Acker {
        member: ordinal(cluster, "ackers", member)?,
        pod_uid: pod_uid.clone(),
        boot_id: boot_id.clone(),
        incarnation: *incarnation,
    })
}

/// An entry as it stands in `before`, or a new one.
fn write_acker(cluster: &str, acker: &Acker, before: &[status::Acker]) -> status::Acker {
    let same = before.iter().find(|before| read_acker(cluster, before).as_ref() == Ok(acker));
    let Acker { member, pod_uid, boot_id, incarnation } = acker;
    status::Acker {
        member: member_name(cluster, *member),
        pod_uid: pod_uid.clone(),
        boot_id: boot_id.clone(),
        incarnation: *incarnation,
        unknown: same.map(|same| same.unknown.clone()).unwrap_or_default(),
    }
}

fn read_transition(
    cluster: &str,
    primary: Option<Ordinal>,
    transition: &status::Transition,
) -> Result<Transition, RecordError> {
    let status::Transition { kind, step, from, to, target_gtid, .. } = transition;
    let (kind, step) = (read_kind(kind)?, read_step(step)?);
    let from = optional(cluster, "transition.from", from.as_deref())?;
    let to = optional(cluster, "transition.to", to.as_deref())?;
    let position = target_gtid.as_deref().map(|gtid| gtid.parse().map_err(|_| unknown("transition.targetGtid", gtid)));
    let position: Option<GtidPosition> = position.transpose()?;
    let from = || from.ok_or(missing("transition.from", "the primary before"));
    let to = || to.ok_or(missing("transition.to", "the member to be promoted"));
    if step == Step::Promoting {
        let required = position.ok_or(missing("transition.targetGtid", "the position that the new primary must have"));
        let promoted = primary.ok_or(missing("currentPrimary", "the member that is being promoted"))?;
        let name = |ordinal| member_name(cluster, ordinal);
        let is_promoted = |field, ordinal| {
            let differs = || RecordError::Contradiction { field, value: name(ordinal), primary: name(promoted) };
            (ordinal == promoted).then_some(()).ok_or_else(differs)
        };
        is_promoted("transition.to", to()?)?;
        let what = match kind {
            TransitionKind::Initialise => Promotion::Initialise,
            TransitionKind::Failover => Promotion::Failover { from: from()? },
            TransitionKind::Resume => is_promoted("transition.from", from()?).map(|()| Promotion::Resume)?,
        };
        return Ok(Transition::Promoting { what, to: promoted, required: required? });
    }
    Ok(match kind {
        TransitionKind::Initialise => Transition::Initialise { first: to()? },
        TransitionKind::Failover => Transition::Failover { from: from()?, logs_end: position },
        TransitionKind::Resume => Transition::Resume { from: from()?, logs_end: position },
    })
}

fn missing(field: &'static str, what: &'static str) -> RecordError {
    RecordError::Missing { field, what }
}

fn write_transition(
    cluster: &str,
    record: &Record,
    transition: &Transition,
    started_at: MicroTime,
) -> status::Transition {
    let kind = transition.kind();
    let name = |ordinal: Option<Ordinal>| ordinal.map(|ordinal| member_name(cluster, ordinal));
    let position = match transition {
        Transition::Initialise { .. } => None,
        Transition::Failover { logs_end, .. } | Transition::Resume { logs_end, .. } => logs_end.as_ref(),
        Transition::Promoting { required, .. } => Some(required),
    };
    status::Transition {
        kind: write_kind(kind),
        name: (kind == TransitionKind::Failover).then(|| record_name(cluster, promotion_term(record))),
        term: record.term,
        step: step_word(transition.step()).to_owned(),
        from: name(transition.from()),
        to: name(transition.to()),
        target_gtid: position.map(ToString::to_string),
        started_at,
        unknown: UnknownKeys::new(),
    }
}

fn read_kind(word: &status::TransitionKind) -> Result<TransitionKind, RecordError> {
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

fn read_step(word: &str) -> Result<Step, RecordError> {
    Step::ALL.into_iter().find(|step| step_word(*step) == word).ok_or_else(|| unknown("transition.step", word))
}

fn step_word(step: Step) -> &'static str {
    match step {
        Step::Decided => "Decided",
        Step::Promoting => "Promoting",
    }
}

#[cfg(test)]
mod tests;
