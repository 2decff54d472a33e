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
use super::record::{Acker, Durability, Record, Transition, TransitionKind, member_of, reign_of};
use crate::gtid::Gtid;
use crate::orders::{Incarnation, MemberRole, Ordinal, Term};

/// What an acker's entry says of a run of which nothing is known: no pod and no boot is called so.
const UNKNOWN: &str = "unknown";

/// A term that the record should know and does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The latest such term.
    pub term: Term,
    /// The member that obeyed it, or was promoted in it; none when NAME-primary was written in it.
    pub by: Option<Ordinal>,
}

/// The latest term above the record's that a volume has obeyed, that a server takes writes of, or that NAME-primary was written
/// in.
#[must_use]
pub fn proof(record: &Record, seen: &Observation) -> Option<Proof> {
    // A record that this leader has written itself is newer than any Service.
    let certain = seen.my_term == Some(record.term);
    let obeyed = |member: &MemberView| {
        let token = member.state()?.record()?.token.as_ref()?;
        let ours = Some(&token.data_uid) == record.data_uid.as_ref();
        ours.then_some(Proof { term: token.term, by: Some(member.ordinal) })
    };
    let reigns = |member: &MemberView| Some(Proof { term: reign_of_running(member)?, by: Some(member.ordinal) });
    let routed = seen.routed_in.filter(|_| !certain).map(|term| Proof { term, by: None });
    let members = seen.members.iter().flat_map(|member| [obeyed(member), reigns(member)]).flatten();
    let later = members.chain(routed).filter(|proof| proof.term > record.term);
    later.max_by_key(|proof| (proof.term, proof.by.is_some()))
}

/// What is said about it.
#[must_use]
pub fn words(policy: &Policy, record: &Record, proof: Proof) -> String {
    let Proof { term, by } = proof;
    let newer = match by {
        Some(member) => format!("{} knows term {term}", policy.name(member)),
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
    let reign = promoted_in(primary).unwrap_or(if same(case.record) { case.record.promoted_in } else { term });
    let semi_sync = case.policy.mode == Mode::SemiSync;
    let mut next = Record {
        data_uid: case.record.data_uid.clone(),
        term: term.next(),
        primary: Some(primary.ordinal),
        promoted_in: reign,
        // What it had when a later reign began nobody knows.
        began: case.record.began.clone().filter(|_| same(case.record) && reign == case.record.promoted_in),
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
        next.transition = Some(Transition::decided(TransitionKind::Resume, primary.ordinal, None));
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
            "nobody else has anything of what {names} may have written: {remedy}; or put back a status of term {term} or later"
        ));
    }
    if let Some(idle) = others.iter().find(|member| !member.is_running()) {
        let name = case.policy.name(idle.ordinal);
        if !others.iter().any(|member| member.is_running()) {
            return Err(format!(
                "{name} does not run yet: it goes on by itself once it does; or put back a status of term {term} or later"
            ));
        }
        let too: Vec<Ordinal> = given_up.iter().copied().chain([idle.ordinal]).collect();
        return Err(format!("{name} does not run yet; {}", waits_for(case, &too, term)));
    }
    Ok(Record {
        data_uid: case.record.data_uid.clone(),
        term: term.next(),
        primary: Some(from),
        promoted_in: case.record.promoted_in,
        began: None,
        durability: Durability::Enforced,
        ackers: others.into_iter().filter_map(ackers::entry_of).collect(),
        transition: Some(Transition::decided(TransitionKind::Failover, from, None)),
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
        "it goes on by itself once every member's agent tells what is on its volume (missing: {names}); {give_up}or put back a \
         status of term {term} or later"
    )
}

/// The member that was promoted in the latest reign; none when that is one of `silent`.
fn promoted_last<'a>(case: &Case<'a>, silent: &[Ordinal]) -> Option<&'a MemberView> {
    let tell = || case.seen.members.iter().filter(|member| case.is_ours(member) && is_primary(member));
    let last = tell().filter(|member| promoted_in(member).is_some()).max_by_key(|member| promoted_in(member));
    // Volumes of an earlier release do not say when; of one alone that need not be known.
    let last = last.or_else(|| tell().next().filter(|_| tell().count() == 1))?;
    let by_silent = |gtid: &Gtid| member_of(gtid.server).is_some_and(|member| silent.contains(&member));
    // Only a volume that keeps its promotions is sure to know the last of those that tell.
    let is_told = last.state().and_then(|state| state.record()).is_some_and(|volume| volume.promoted_as.is_some());
    let is_read = !is_told && promoted_in(last).is_some();
    let later = |gtid: &Gtid| (by_silent(gtid) || is_read) && reign_of(gtid.server) > promoted_in(last);
    let received = case.seen.members.iter().filter_map(MemberView::view).map(|view| view.received());
    (!received.into_iter().any(|position| position.iter().any(|gtid| later(&gtid)))).then_some(last)
}

/// The role last ordered, as the volume says.
fn is_primary(member: &MemberView) -> bool {
    member.state().and_then(|state| state.record()).is_some_and(|volume| volume.role == MemberRole::Primary)
}

/// The reign in which a member was promoted, while it is to be primary. Agents of an earlier release do not keep it; then the
/// running server tells.
fn promoted_in(member: &MemberView) -> Option<Term> {
    let volume = member.state()?.record().filter(|_| is_primary(member))?;
    volume.promoted_as.and_then(reign_of).or_else(|| reign_of_running(member))
}

/// The reign of a server that takes writes under its own id of that reign.
fn reign_of_running(member: &MemberView) -> Option<Term> {
    let view = member.view().filter(|view| !view.read_only)?;
    reign_of(view.server_id).filter(|_| member_of(view.server_id) == Some(member.ordinal))
}

/// Everything that may have acknowledged, or may still do so: the present run of every other member that has followed anybody
/// since it was promoted, what the record says and is not proven over, and an unknown run of members that do not tell.
fn possible_ackers(case: &Case<'_>, primary: Ordinal, silent: &[Ordinal]) -> Vec<Acker> {
    let unknown = |member: &Ordinal| Acker {
        member: *member,
        pod_uid: UNKNOWN.to_owned(),
        boot_id: UNKNOWN.to_owned(),
        incarnation: Incarnation(0),
    };
    let followers = case.others(primary).filter(|member| !is_primary(member));
    let mut possible: Vec<Acker> = followers.filter_map(ackers::entry_of).collect();
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
    use super::super::member::samples::{
        acker, acking, cluster, dead, edit, policy, primary, record, replica, running,
    };
    use super::super::observation::AgentSight;
    use super::super::policy::GivenUp;
    use super::super::record::Step;
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
        let flipped = Observation { routed_in: Some(Term(5)), my_term: None, ..seen };
        assert_eq!(proof(&now, &flipped), Some(Proof { term: Term(5), by: None }));
        let told = decide(&policy(3), &now, &flipped).blocked.unwrap();
        assert!(told.contains("Service c-primary was written in term 5"), "{told}");
        let edited = Observation { my_term: Some(now.term), ..flipped };
        assert_eq!(proof(&now, &edited), None, "this leader has written the record itself");
        let decision = decide(&policy(3), &now, &edited);
        let [Act::Write { record, .. }] = &decision.acts[..] else { panic!("{decision:?}") };
        assert_eq!(**record, Record { term: Term(6), ..now });
    }

    #[test]
    fn a_server_that_takes_writes_of_a_later_reign_is_proof_without_its_agent() {
        let mut heir = MemberView { agent: AgentSight::default(), ..running(1) };
        edit(&mut heir, |view| (view.server_id, view.read_only) = (5 << 4 | 2, false));
        let now = Record { ackers: vec![acker(1, 1)], ..record() };
        let seen = cluster(vec![dead(0), heir.clone(), replica(2, "p0")]);
        assert_eq!(proof(&now, &seen), Some(Proof { term: Term(5), by: Some(Ordinal(1)) }));
        edit(&mut heir, |view| view.server_id = 5 << 4 | 3);
        assert_eq!(proof(&now, &cluster(vec![dead(0), heir])), None, "an id that no operator gave this member");
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
            told.contains("term 2") && told.contains("-n ns annotate --overwrite mrc/c beachmaster.dev/given-up=c-2@3"),
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
    fn a_primary_that_is_given_up_is_replaced_by_what_the_others_have() {
        let mut ahead = acking(1);
        edit(&mut ahead, |view| view.binlog_position = "0-51-11".parse().unwrap());
        let wish = Policy { given_up: Some(GivenUp { members: vec![Ordinal(2)], term: Term(3) }), ..policy(3) };
        // Member 2 was promoted after member 0, whose volume says Primary, too.
        let seen = cluster(vec![promoted(dead(0), Some(17)), ahead, away(2)]);
        assert!(written(&policy(3), &seen).unwrap_err().contains("missing: c-2"));
        let next = written(&wish, &seen).unwrap();
        let transition = next.transition.clone().unwrap();
        assert_eq!((transition.kind, transition.step), (TransitionKind::Failover, Step::Decided));
        assert_eq!((transition.from, next.primary), (Some(Ordinal(2)), Some(Ordinal(2))));
        assert_eq!((next.durability, next.ackers), (Durability::Enforced, vec![acker(1, 1)]));
        let down = cluster(vec![dead(0), acking(1), away(2)]);
        let told = written(&wish, &down).unwrap_err();
        assert!(told.contains("c-0 does not run yet") && told.contains("given-up=c-2,c-0@3"), "{told}");
    }

    #[test]
    fn the_last_member_that_has_anything_is_not_given_up() {
        let wish = |members: &[u8]| Policy {
            given_up: Some(GivenUp { members: members.iter().copied().map(Ordinal).collect(), term: Term(3) }),
            ..policy(2)
        };
        let starting = cluster(vec![away(0), dead(1)]);
        let told = written(&wish(&[0]), &starting).unwrap_err();
        assert!(told.contains("c-1 does not run yet: it goes on by itself") && !told.contains("given-up"), "{told}");
        let told = written(&wish(&[0, 1]), &starting).unwrap_err();
        assert!(told.contains("what c-0,c-1 may have written: take c-1 out of the annotation"), "{told}");
        let nobody = cluster(vec![away(0), away(1)]);
        let seen = Observation { routed_in: Some(Term(3)), my_term: None, ..nobody };
        let told = written(&policy(2), &seen).unwrap_err();
        assert!(told.contains("missing: c-0,c-1") && !told.contains("annotate"), "{told}");
        assert!(written(&wish(&[0, 1]), &seen).unwrap_err().contains("bring one of them back"));
        assert_eq!(written(&wish(&[0]), &cluster(vec![away(0), acking(1)])).unwrap().ackers, vec![acker(1, 1)]);
    }

    #[test]
    fn of_one_volume_that_says_primary_it_need_not_be_known_when() {
        let seen = cluster(vec![promoted(dead(0), None), acking(1), acking(2)]);
        let next = written(&policy(3), &seen).unwrap();
        assert_eq!((next.primary, next.promoted_in), (Some(Ordinal(0)), Term(1)));
        let two = cluster(vec![promoted(dead(0), None), promoted(dead(1), None), acking(2)]);
        assert!(written(&policy(3), &two).unwrap_err().contains("no volume says"));
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
