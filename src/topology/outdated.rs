//! A record from the past: a status that was put back (a restored backup) while no operator ran, or the memory of a leader
//! that was deposed and does not know yet. The volumes tell: their tokens are of a later term, and a term is written before
//! its first order.
//!
//! Nothing is changed by such a record. Once every member tells what is on its volume, the cluster goes on from what the
//! volumes prove: who was promoted last, and nothing about acknowledgements.

use super::ackers;
use super::decide::{Case, Decision};
use super::observation::{MemberView, Observation};
use super::policy::{Mode, Policy};
use super::record::{Acker, Durability, Record, Step, Transition, TransitionKind, reign_of};
use crate::orders::{Incarnation, MemberRole, Ordinal, Term};

/// What an acker's entry says of a run of which nothing is known: no pod and no boot is called so.
const UNKNOWN: &str = "unknown";

/// A term that the record should know and does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The latest such term.
    pub term: Term,
    /// The member whose volume obeyed it; none when NAME-primary was written in it.
    pub by: Option<Ordinal>,
}

/// The latest term above the record's that a volume has obeyed or that NAME-primary was written in.
#[must_use]
pub fn proof(record: &Record, seen: &Observation) -> Option<Proof> {
    let obeyed = |member: &MemberView| {
        let token = member.state()?.record()?.token.as_ref()?;
        let ours = Some(&token.data_uid) == record.data_uid.as_ref();
        ours.then_some(Proof { term: token.term, by: Some(member.ordinal) })
    };
    let routed = seen.routed_in.map(|term| Proof { term, by: None });
    let later = seen.members.iter().filter_map(obeyed).chain(routed).filter(|proof| proof.term > record.term);
    later.max_by_key(|proof| (proof.term, proof.by.is_some()))
}

/// What is said about it.
#[must_use]
pub fn words(policy: &Policy, record: &Record, proof: Proof) -> String {
    let Proof { term, by } = proof;
    let newer = match by {
        Some(member) => format!("{} has obeyed term {term}", policy.name(member)),
        None => format!("Service {}-primary was written in term {term}", policy.short_name()),
    };
    format!(
        "the status says term {}, and {newer}: it is older than the cluster, so nothing is changed by it",
        record.term
    )
}

/// Goes on from the volumes, or says what is missing.
pub(super) fn decide(case: &Case<'_>, proof: Proof) -> Decision {
    let told = words(case.policy, case.record, proof);
    match proved(case, proof.term) {
        Ok(record) => Decision::write(record, format!("{told}; it goes on from what the volumes prove")),
        Err(missing) => Decision::blocked(format!("{told}; {missing}")),
    }
}

/// The record that the volumes prove after `term`.
fn proved(case: &Case<'_>, term: Term) -> Result<Record, String> {
    if case.policy.paused {
        return Err("spec.paused is true: set it to false, and it goes on from what the volumes prove".to_owned());
    }
    let silent = silent(case);
    let given_up = case.policy.given_up.as_ref().filter(|wish| wish.term == term);
    let missing: Vec<String> = silent
        .iter()
        .filter(|ordinal| !given_up.is_some_and(|wish| wish.members.contains(ordinal)))
        .map(|ordinal| case.policy.name(*ordinal))
        .collect();
    if !missing.is_empty() {
        return Err(waits_for(case, &missing.join(","), term));
    }
    let primary = promoted_last(case)?;
    let reign = promoted_in(primary).unwrap_or_default();
    let semi_sync = case.policy.mode == Mode::SemiSync;
    let mut next = Record {
        data_uid: case.record.data_uid.clone(),
        term: term.next(),
        primary: Some(primary.ordinal),
        promoted_in: reign,
        // What it had then nobody knows.
        began: None,
        durability: if semi_sync { Durability::CatchingUp } else { Durability::Async },
        ackers: if semi_sync { possible_ackers(case, primary.ordinal, &silent) } else { vec![] },
        transition: None,
    };
    if case.rules.past_acknowledgements {
        (next.durability, next.ackers) = (case.record.durability, case.record.ackers.clone());
    }
    // The last promotion may not have come to its end: a primary that runs and takes no writes becomes primary once more, as after
    // a crash, with its logs read and compared first.
    if primary.view().is_some_and(|view| view.read_only) {
        next.transition = Some(Transition {
            kind: TransitionKind::Resume,
            step: Step::Decided,
            from: Some(primary.ordinal),
            to: None,
            target: None,
        });
    }
    Ok(next)
}

/// Members that do not tell what is on their volume, or whose volume has nothing of this cluster.
fn silent(case: &Case<'_>) -> Vec<Ordinal> {
    case.seen.members.iter().filter(|member| !case.is_ours(member)).map(|member| member.ordinal).collect()
}

fn waits_for(case: &Case<'_>, missing: &str, term: Term) -> String {
    let (namespace, cluster) = case.policy.cluster.split_once('/').unwrap_or(("", &case.policy.cluster));
    format!(
        "it goes on by itself once every member's agent tells what is on its volume (missing: {missing}); if one never comes \
         back and may be lost with all that only it has: `kubectl -n {namespace} annotate mrc/{cluster} \
         beachmaster.dev/given-up={missing}@{term}`; or put back a status of term {term} or later"
    )
}

/// The member that was promoted in the latest reign.
fn promoted_last<'a>(case: &Case<'a>) -> Result<&'a MemberView, String> {
    let last = case.seen.members.iter().filter(|member| case.is_ours(member));
    let last = last.max_by_key(|member| promoted_in(member)).filter(|member| promoted_in(member).is_some());
    let last = last.ok_or("no volume says that its member was ever promoted: put back the newest status")?;
    let positions = case.seen.members.iter().filter_map(MemberView::view).map(|view| view.received());
    let later = |position: &crate::gtid::GtidPosition| {
        position.iter().find(|gtid| reign_of(gtid.server) > promoted_in(last)).map(|gtid| gtid.to_string())
    };
    if let Some(gtid) = positions.filter_map(|position| later(&position)).next() {
        return Err(format!(
            "a primary that is not among those that tell wrote {gtid}: bring that member's volume back, or put back the newest \
             status"
        ));
    }
    let looked_at = last.state().is_some_and(|state| state.mariadbd.is_dead()) || last.view().is_some();
    if looked_at { Ok(last) } else { Err(format!("{} does not answer SQL yet", case.policy.name(last.ordinal))) }
}

/// The reign in which a member was promoted, while it is to be primary.
fn promoted_in(member: &MemberView) -> Option<Term> {
    let volume = member.state()?.record().filter(|volume| volume.role == MemberRole::Primary)?;
    let running = || member.view().filter(|view| !view.read_only).map(|view| view.server_id);
    // Agents of an earlier release do not keep it; then the running server tells.
    volume.promoted_as.or_else(running).and_then(reign_of)
}

/// Everything that may have acknowledged, or may still do so: the present run of every other member, what the record says and
/// is not proven over, and an unknown run of members that do not tell.
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
mod tests {
    use super::super::decide::{Act, decide};
    use super::super::member::samples::{acker, acking, cluster, dead, edit, policy, primary, record, replica};
    use super::super::observation::AgentSight;
    use super::super::policy::GivenUp;
    use super::*;
    use crate::orders::Volume;

    /// Sets what a member's volume says of its promotion.
    fn promoted(mut member: MemberView, server_id: Option<u32>) -> MemberView {
        if let AgentSight::Present(state) = &mut member.agent
            && let Volume::Recorded { record } = &mut state.volume
        {
            (record.role, record.promoted_as) = (MemberRole::Primary, server_id);
        }
        member
    }

    fn away(ordinal: u8) -> MemberView {
        MemberView { agent: AgentSight::default(), ..replica(ordinal, "p1") }
    }

    /// The record of term 2, in which member 0 was primary. The sample's volumes have obeyed term 3.
    fn old() -> Record {
        Record { term: Term(2), ackers: vec![acker(1, 1)], ..record() }
    }

    fn written(policy: &Policy, seen: &Observation) -> Result<Record, String> {
        let decision = decide(policy, &old(), seen);
        match decision.acts.as_slice() {
            [Act::Write { record, .. }] => Ok((**record).clone()),
            [] => Err(decision.blocked.unwrap_or_default()),
            acts => panic!("{acts:?}"),
        }
    }

    /// `server_id` of member 1 promoted in term 3.
    const OF_1_IN_3: u32 = 3 << 4 | 2;

    #[test]
    fn a_record_as_new_as_the_members_is_none_of_the_past() {
        let seen = cluster(vec![dead(0), replica(1, "p0"), replica(2, "p0")]);
        let now = Record { ackers: vec![acker(1, 1)], ..record() };
        assert_eq!(proof(&now, &seen), None);
        assert!(!decide(&policy(3), &now, &seen).acts.is_empty());
        assert_eq!(proof(&old(), &seen).map(|proof| proof.term), Some(Term(3)));
        let flipped = Observation { routed_in: Some(Term(5)), ..seen };
        assert_eq!(proof(&now, &flipped), Some(Proof { term: Term(5), by: None }));
        assert!(written(&policy(3), &flipped).unwrap_err().contains("Service c-primary was written in term 5"));
    }

    #[test]
    fn it_goes_on_from_the_one_that_was_promoted_last() {
        let mut heir = promoted(primary(), Some(OF_1_IN_3));
        heir.ordinal = Ordinal(1);
        if let (AgentSight::Present(state), AgentSight::Present(there)) = (&mut heir.agent, &acking(1).agent)
            && let (Volume::Recorded { record }, Volume::Recorded { record: own }) = (&mut state.volume, &there.volume)
        {
            record.identity = own.identity.clone();
        }
        for known in [Some(OF_1_IN_3), None] {
            let mut heir = promoted(heir.clone(), known);
            edit(&mut heir, |view| view.server_id = OF_1_IN_3);
            let seen = cluster(vec![promoted(dead(0), Some(17)), heir, acking(2)]);
            for my_term in [Some(Term(2)), None] {
                let next = written(&policy(3), &Observation { my_term, ..seen.clone() }).unwrap();
                assert_eq!((next.term, next.primary, next.promoted_in), (Term(4), Some(Ordinal(1)), Term(3)));
                assert_eq!(
                    (next.durability, next.began.clone(), next.transition.clone()),
                    (Durability::CatchingUp, None, None)
                );
                assert_eq!(next.ackers, vec![acker(2, 1)], "nobody who does not run");
            }
        }
    }

    #[test]
    fn nothing_is_changed_while_a_member_does_not_tell_unless_it_is_given_up_for_this_term() {
        let seen = cluster(vec![promoted(primary(), Some(17)), acking(1), away(2)]);
        let told = written(&policy(3), &seen).unwrap_err();
        assert!(
            told.contains("term 2") && told.contains("-n ns annotate mrc/c beachmaster.dev/given-up=c-2@3"),
            "{told}"
        );
        let wish =
            |term| Policy { given_up: Some(GivenUp { members: vec![Ordinal(2)], term: Term(term) }), ..policy(3) };
        assert!(written(&wish(2), &seen).is_err(), "an old wish");
        let next = written(&wish(3), &seen).unwrap();
        assert_eq!(next.primary, Some(Ordinal(0)));
        assert_eq!(next.ackers.iter().map(|acker| acker.member.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(next.ackers[1].pod_uid, UNKNOWN, "it may live on, and acknowledge");
    }

    #[test]
    fn who_wrote_later_than_all_that_tell_must_come_back() {
        let mut ahead = acking(1);
        edit(&mut ahead, |view| view.binlog_position = "0-50-11".parse().unwrap());
        let seen = cluster(vec![promoted(dead(0), Some(17)), ahead, replica(2, "p1")]);
        let told = written(&policy(3), &seen).unwrap_err();
        assert!(told.contains("0-50-11"), "{told}");
        let nobody = cluster(vec![dead(0), acking(1), acking(2)]);
        assert!(written(&policy(3), &nobody).unwrap_err().contains("no volume says"));
    }

    #[test]
    fn a_promotion_that_did_not_end_is_repeated_with_the_logs_read_first() {
        let mut half = promoted(primary(), Some(17));
        edit(&mut half, |view| view.read_only = true);
        let next = written(&policy(2), &cluster(vec![half, acking(1)])).unwrap();
        let transition = next.transition.unwrap();
        assert_eq!((transition.kind, transition.step), (TransitionKind::Resume, Step::Decided));
        assert_eq!((transition.from, transition.target), (Some(Ordinal(0)), None));
    }
}
