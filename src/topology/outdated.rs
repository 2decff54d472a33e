//! A record from the past: a status that was put back (a restored backup) while no operator ran, or the memory of a leader
//! that was deposed and does not know yet. The volumes tell: their tokens are of a later term, and a term is written before
//! its first order.
//!
//! Nothing is changed by such a record. Once every member tells what is on its volume, the cluster goes on from what the
//! volumes prove: who was promoted last, and nothing about acknowledgements.

use super::ackers;
use super::blocked::Blocked;
use super::decision::{Case, Decision};
use super::observation::{MemberView, Observation};
use super::policy::{Mode, Policy};
use super::record::{Acker, Durability, Record, member_of, term_of};
use super::transition::Transition;
use crate::gtid::Gtid;
use crate::orders::{Incarnation, MemberRole, Ordinal, Term, Token};

/// What an acker's entry says of a run of which nothing is known: no pod and no boot is called so.
const UNKNOWN: &str = "unknown";

/// A term that the record should know and does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The latest such term; the record's own where only a promotion is missing in it.
    pub(crate) term: Term,
    /// The member that obeyed it, or was promoted in it; none when NAME-primary was written in it.
    pub(crate) by: Option<Ordinal>,
    /// The term in which that member was promoted, when the record's term is as late.
    pub(crate) promoted: Option<Term>,
}

/// The latest term above the record's that a volume has obeyed, that a server takes writes of, or that NAME-primary was written
/// in; or a promotion that the record does not know. Each is recorded before it is ordered, but an order that was on its way
/// when the status was put back arrives after the record was put together from the volumes.
#[must_use]
pub(crate) fn proof(record: &Record, seen: &Observation) -> Option<Proof> {
    // A record that this leader has written itself is newer than any Service.
    let certain = seen.my_term == Some(record.term);
    let obeyed = |member: &MemberView| {
        // A member that has told so once need not be there any more.
        let now = member.state().and_then(|state| state.record()?.token.as_ref());
        let ours = |token: &&Token| Some(&token.data_uid) == record.data_uid.as_ref();
        let term = now.into_iter().chain(&member.obeyed).filter(ours).map(|token| token.term).max()?;
        Some(Proof { term, by: Some(member.ordinal), promoted: None })
    };
    let ids =
        |member: &MemberView| Some(Proof { term: term_of_running(member)?, by: Some(member.ordinal), promoted: None });
    let by_service = seen.service_term.filter(|_| !certain).map(|term| Proof { term, by: None, promoted: None });
    let members = seen.members.iter().flat_map(|member| [obeyed(member), ids(member)]).flatten();
    let later = members.chain(by_service).filter(|proof| proof.term > record.term);
    later.max_by_key(|proof| (proof.term, proof.by.is_some())).or_else(|| unknown_promotion(record, seen))
}

/// The latest promotion that a volume of this data knows and the record does not. One of the record's own term proves that a
/// later record of that term was put back. One of an earlier term says nothing against a primary that may be at work, nor where
/// durability tells that it was since the record was put together: that one has acknowledged, and a volume that comes back later
/// with another history does not take its place.
fn unknown_promotion(record: &Record, seen: &Observation) -> Option<Proof> {
    let (promoted, by) = promotions(record, seen).max().filter(|(term, _)| *term > record.promoted_in)?;
    let found = Proof { term: record.term.max(promoted), by: Some(by), promoted: Some(promoted) };
    let primary = record.primary.and_then(|primary| seen.member(primary));
    let stopped = primary.is_none_or(|primary| primary.is_proven_dead() || primary.was_only_started());
    let was_at_work = matches!(record.durability, Durability::Enforced | Durability::Degraded);
    (promoted == record.term || stopped && !was_at_work).then_some(found)
}

/// When each member was promoted last that tells so, and has its own volume of this data.
fn promotions<'a>(record: &'a Record, seen: &'a Observation) -> impl Iterator<Item = (Term, Ordinal)> + use<'a> {
    let ours = |member: &&MemberView| {
        let volume = member.state().and_then(|state| state.record());
        volume.is_some_and(|volume| {
            Some(&volume.identity.data_uid) == record.data_uid.as_ref() && volume.identity.ordinal == member.ordinal
        })
    };
    seen.members.iter().filter(ours).filter_map(|member| Some((promoted_in(member)?, member.ordinal)))
}

/// What is said about it.
#[must_use]
pub(crate) fn words(policy: &Policy, record: &Record, proof: Proof) -> String {
    let Proof { term, by, promoted } = proof;
    let newer = match by {
        Some(member) if let Some(term) = promoted => {
            format!("{} was promoted in term {term}, which it does not record", policy.name(member))
        }
        Some(member) => format!("{} knows term {term}", policy.name(member)),
        None => format!("Service {}-primary was written in term {term}", policy.short_name()),
    };
    format!(
        "the status says term {}, and {newer}: it is older than the cluster, so the operator changes nothing by it",
        record.term
    )
}

/// Goes on from the volumes, or says what is missing.
pub(super) fn decide(case: &Case<'_>, proof: Proof) -> Decision {
    let told = words(case.policy, case.record, proof);
    match proved(case, proof.term) {
        Ok(record) => Decision::write(record, format!("{told}; the operator goes on from what the volumes prove")),
        Err(missing) => Decision::blocked(Blocked::RecordOutdated(format!("{told}; {missing}"))),
    }
}

/// The record that the volumes prove after `term`.
fn proved(case: &Case<'_>, term: Term) -> Result<Record, String> {
    if case.policy.paused {
        return Err(
            "spec.paused is true: set it to false, and the operator goes on from what the volumes prove".to_owned()
        );
    }
    if let Some(waits) = case.waits_for_news() {
        return Err(waits);
    }
    let silent = silent(case);
    let given_up = case.policy.given_up.as_ref().filter(|wish| wish.term == term);
    let is_missing = |ordinal: &Ordinal| !given_up.is_some_and(|wish| wish.members.contains(ordinal));
    let missing: Vec<Ordinal> = silent.iter().copied().filter(is_missing).collect();
    if !missing.is_empty() {
        return Err(waits_for(case, &missing, term));
    }
    let given_up = given_up.map_or(&[][..], |wish| &wish.members);
    let Some(primary) = promoted_last(case, &silent) else { return without_primary(case, term, &silent, given_up) };
    let looked_at = primary.state().is_some_and(|state| state.mariadbd.is_dead()) || primary.view().is_some();
    if !looked_at {
        return Err(format!("{} does not answer SQL yet", case.policy.name(primary.ordinal)));
    }
    let same = |record: &Record| record.primary == Some(primary.ordinal);
    let promoted_in = promoted_in(primary).unwrap_or(if same(case.record) { case.record.promoted_in } else { term });
    let semi_sync = case.policy.mode == Mode::SemiSync;
    let mut next = Record {
        data_uid: case.record.data_uid.clone(),
        term: term.next(),
        primary: Some(primary.ordinal),
        promoted_in,
        // What it had when a later term began nobody knows.
        began: case.record.began.clone().filter(|_| same(case.record) && promoted_in == case.record.promoted_in),
        durability: if semi_sync { Durability::CatchingUp } else { Durability::Async },
        ackers: possible_ackers(case, primary.ordinal, &silent),
        transition: None,
    };
    if case.rules.past_acknowledgements {
        (next.durability, next.ackers) = (case.record.durability, case.record.ackers.clone());
    }
    // The last promotion may not have come to its end: a primary that runs and takes no writes becomes primary once more, as after
    // a crash, with its logs read and compared first.
    if primary.view().is_some_and(|view| view.read_only) {
        next.transition = Some(Transition::Resume { from: primary.ordinal, logs_end: None });
    }
    Ok(next)
}

/// The member that was promoted last is given up: the others have what they have, and what only it had is lost by the user's
/// word. They stand for it as ackers do, so that all of them are frozen before one is promoted.
fn without_primary(case: &Case<'_>, term: Term, silent: &[Ordinal], given_up: &[Ordinal]) -> Result<Record, String> {
    let recorded = case.record.primary.filter(|primary| silent.contains(primary));
    let from = recorded.or(silent.first().copied());
    let from = from.ok_or("no volume says that its member was ever promoted: put back the newest status")?;
    // Who was never ordered to follow since its own promotion has nothing of the last primary.
    let followed = |member: &&MemberView| {
        !silent.contains(&member.ordinal) && !given_up.contains(&member.ordinal) && !is_primary(member)
    };
    let others: Vec<&MemberView> = case.seen.members.iter().filter(followed).collect();
    if others.is_empty() {
        let back: Vec<Ordinal> = given_up.iter().copied().filter(|ordinal| !silent.contains(ordinal)).collect();
        let remedy = match &back[..] {
            [] => "bring one of them back".to_owned(),
            back => format!("take {} out of the annotation beachmaster.dev/given-up, it is back", names(case, back)),
        };
        let names = names(case, given_up);
        return Err(format!(
            "no other member has anything of what {names} may have written: {remedy}; or put back a status of term \
             {term} or later"
        ));
    }
    if let Some(idle) = others.iter().find(|member| !member.is_running()) {
        let name = case.policy.name(idle.ordinal);
        if !others.iter().any(|member| member.is_running()) {
            return Err(format!(
                "{name} does not run yet: the operator goes on once it does; or put back a status of term {term} or \
                 later"
            ));
        }
        let too: Vec<Ordinal> = given_up.iter().copied().chain([idle.ordinal]).collect();
        return Err(format!("{name} does not run yet; {}", waits_for(case, &too, term)));
    }
    Ok(Record {
        data_uid: case.record.data_uid.clone(),
        term: term.next(),
        primary: Some(from),
        // Nobody knows when; later than all that tell.
        promoted_in: promotions(case.record, case.seen).map(|(term, _)| term).fold(case.record.promoted_in, Term::max),
        began: None,
        durability: Durability::Enforced,
        ackers: others.into_iter().filter_map(ackers::entry_of).collect(),
        transition: Some(Transition::Failover { from, logs_end: None }),
    })
}

/// Members that do not tell what is on their volume, or whose volume has nothing of this cluster.
fn silent(case: &Case<'_>) -> Vec<Ordinal> {
    case.seen.members.iter().filter(|member| !case.is_ours(member)).map(|member| member.ordinal).collect()
}

fn names(case: &Case<'_>, members: &[Ordinal]) -> String {
    members.iter().map(|ordinal| case.policy.name(*ordinal)).collect::<Vec<_>>().join(",")
}

fn waits_for(case: &Case<'_>, missing: &[Ordinal], term: Term) -> String {
    let (namespace, cluster) = case.policy.cluster.split_once('/').unwrap_or(("", &case.policy.cluster));
    let names = names(case, missing);
    // Without any member there is nothing to go on from.
    let give_up = if missing.len() < case.seen.members.len() {
        format!(
            "if one never comes back and may be lost with all that only it has: `kubectl -n {namespace} annotate --overwrite \
             mrc/{cluster} beachmaster.dev/given-up={names}@{term}`; "
        )
    } else {
        String::new()
    };
    format!(
        "the operator goes on once every member's agent reports its volume (missing: {names}); {give_up}or put back a \
         status of term {term} or later"
    )
}

/// The member that was promoted in the latest term; none when that is one of `silent`.
fn promoted_last<'a>(case: &Case<'a>, silent: &[Ordinal]) -> Option<&'a MemberView> {
    let tell = || case.seen.members.iter().filter(|member| case.is_ours(member) && is_primary(member));
    let last = tell().filter(|member| promoted_in(member).is_some()).max_by_key(|member| promoted_in(member));
    // Volumes of an earlier release do not say when; of one alone that need not be known.
    let last = last.or_else(|| tell().next().filter(|_| tell().count() == 1))?;
    let by_silent = |gtid: &Gtid| member_of(gtid.server).is_some_and(|member| silent.contains(&member));
    // Only a volume that keeps its promotions is sure to know the last of those that tell.
    let is_told = last.state().and_then(|state| state.record()).is_some_and(|volume| volume.promoted_as.is_some());
    let is_read = !is_told && promoted_in(last).is_some();
    let later = |gtid: &Gtid| (by_silent(gtid) || is_read) && term_of(gtid.server) > promoted_in(last);
    let received = case.seen.members.iter().filter_map(MemberView::view).map(|view| view.received());
    (!received.into_iter().any(|position| position.iter().any(|gtid| later(&gtid)))).then_some(last)
}

/// The role last ordered, as the volume says.
fn is_primary(member: &MemberView) -> bool {
    member.state().and_then(|state| state.record()).is_some_and(|volume| volume.role == MemberRole::Primary)
}

/// The term in which a member was promoted, while it is to be primary. Agents of an earlier release do not keep it; then the
/// running server tells.
fn promoted_in(member: &MemberView) -> Option<Term> {
    let volume = member.state()?.record().filter(|_| is_primary(member))?;
    volume.promoted_as.and_then(term_of).or_else(|| term_of_running(member))
}

/// The term of a server that takes writes under its own id of that term.
fn term_of_running(member: &MemberView) -> Option<Term> {
    let view = member.view().filter(|view| !view.read_only)?;
    term_of(view.server_id).filter(|_| member_of(view.server_id) == Some(member.ordinal))
}

/// Everything that may have acknowledged, or may still do so: the present run of every other member, because an order to follow
/// may still be on its way, what the record says and is not proven over, and an unknown run of members that do not tell.
fn possible_ackers(case: &Case<'_>, primary: Ordinal, silent: &[Ordinal]) -> Vec<Acker> {
    let unknown = |member: &Ordinal| Acker {
        member: *member,
        pod_uid: UNKNOWN.to_owned(),
        boot_id: UNKNOWN.to_owned(),
        incarnation: Incarnation(0),
    };
    let mut possible: Vec<Acker> = case.others(primary).filter_map(ackers::entry_of).collect();
    let recorded = case.record.ackers.iter().filter(|acker| !ackers::is_over(case.rules, case.seen, acker));
    for acker in recorded.cloned().chain(silent.iter().map(unknown)) {
        if acker.member != primary && !possible.contains(&acker) {
            possible.push(acker);
        }
    }
    possible
}

#[cfg(test)]
mod tests;
