use super::super::decide::{Act, decide};
use super::super::member::samples::{acker, acking, cluster, dead, edit, policy, primary, record, replica, running};
use super::super::observation::{AgentSight, ServerSight};
use super::super::policy::GivenUp;
use super::*;
use crate::orders::Volume;
use crate::time::Millis;

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
        [] => Err(decision.blocked.map(|why| why.to_string()).unwrap_or_default()),
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
    let flipped = Observation { service_term: Some(Term(5)), my_term: None, ..seen };
    assert_eq!(proof(&now, &flipped), Some(Proof { term: Term(5), by: None, promoted: None }));
    let told = decide(&policy(3), &now, &flipped).blocked.unwrap().to_string();
    assert!(told.contains("Service c-primary was written in term 5"), "{told}");
    let edited = Observation { my_term: Some(now.term), ..flipped };
    assert_eq!(proof(&now, &edited), None, "this leader has written the record itself");
    let decision = decide(&policy(3), &now, &edited);
    let [Act::Write { record, .. }] = &decision.acts[..] else { panic!("{decision:?}") };
    assert_eq!(**record, Record { term: Term(6), ..now });
}

#[test]
fn a_server_that_takes_writes_of_a_later_term_is_proof_without_its_agent() {
    let mut new = MemberView { agent: AgentSight::default(), ..running(1) };
    edit(&mut new, |view| (view.server_id, view.read_only) = (5 << 4 | 2, false));
    let now = Record { ackers: vec![acker(1, 1)], ..record() };
    let seen = cluster(vec![dead(0), new.clone(), replica(2, "p0")]);
    assert_eq!(proof(&now, &seen), Some(Proof { term: Term(5), by: Some(Ordinal(1)), promoted: None }));
    edit(&mut new, |view| view.server_id = 5 << 4 | 3);
    assert_eq!(proof(&now, &cluster(vec![dead(0), new])), None, "an id that no operator gave this member");
}

#[test]
fn it_goes_on_from_the_one_that_was_promoted_last() {
    let mut new = promoted(primary(), Some(OF_1_IN_3));
    new.ordinal = Ordinal(1);
    if let (AgentSight::Present(state), AgentSight::Present(there)) = (&mut new.agent, &acking(1).agent)
        && let (Volume::Recorded { record }, Volume::Recorded { record: own }) = (&mut state.volume, &there.volume)
    {
        record.identity = own.identity.clone();
    }
    for known in [Some(OF_1_IN_3), None] {
        let mut new = promoted(new.clone(), known);
        edit(&mut new, |view| view.server_id = OF_1_IN_3);
        let seen = cluster(vec![promoted(dead(0), Some(17)), new, acking(2)]);
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
    let wish = |term| Policy { given_up: Some(GivenUp { members: vec![Ordinal(2)], term: Term(term) }), ..policy(3) };
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
    assert_eq!(next.transition, Some(Transition::Failover { from: Ordinal(2), logs_end: None }));
    assert_eq!(next.primary, Some(Ordinal(2)));
    assert_eq!((next.durability, next.ackers.clone()), (Durability::Enforced, vec![acker(1, 1)]));
    assert_eq!(proof(&next, &seen), None, "it goes on from there");
    let later = Record { durability: Durability::CatchingUp, ..next };
    assert_eq!(proof(&later, &seen), None);
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
    assert!(told.contains("c-1 does not run yet: the operator goes on once") && !told.contains("given-up"), "{told}");
    let told = written(&wish(&[0, 1]), &starting).unwrap_err();
    assert!(told.contains("what c-0,c-1 may have written: take c-1 out of the annotation"), "{told}");
    let nobody = cluster(vec![away(0), away(1)]);
    let seen = Observation { service_term: Some(Term(3)), my_term: None, ..nobody };
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
    assert_eq!(next.transition, Some(Transition::Resume { from: Ordinal(0), logs_end: None }));
}

#[test]
fn what_was_told_before_the_status_was_read_proves_nothing() {
    let told_at = |mut member: MemberView, at: u64| {
        member.heard_at = Some(Millis(at));
        edit(&mut member, |view| view.begun = Millis(at));
        MemberView { running_since: Some(Millis(1)), ..member }
    };
    let of = |times: [u64; 2]| {
        let members = vec![told_at(promoted(primary(), Some(17)), times[0]), told_at(acking(1), times[1])];
        written(&policy(2), &Observation { status_since: Some(Millis(50)), ..cluster(members) })
    };
    assert!(of([60, 50]).unwrap_err().contains("the operator goes on once c-1 has reported again"));
    assert!(of([40, 50]).unwrap_err().contains("c-0, c-1"));
    assert_eq!(of([60, 60]).unwrap().primary, Some(Ordinal(0)));
}

/// `promote` was on its way when the status was put back, and came after the record was put together from the volumes.
#[test]
fn a_promotion_that_the_record_does_not_know_is_proof() {
    let late = Record { term: Term(6), durability: Durability::CatchingUp, ackers: vec![acker(1, 1)], ..record() };
    let seen = cluster(vec![dead(0), promoted(replica(1, "p0"), Some(3 << 4 | 2)), acking(2)]);
    let found = proof(&late, &seen).unwrap();
    assert_eq!((found.term, found.by, found.promoted), (Term(6), Some(Ordinal(1)), Some(Term(3))));
    assert!(words(&policy(3), &late, found).contains("c-1 was promoted in term 3, which it does not record"));
    let decision = decide(&policy(3), &late, &Observation { my_term: Some(Term(6)), ..seen.clone() });
    let [Act::Write { record: next, .. }] = &decision.acts[..] else { panic!("{decision:?}") };
    assert_eq!((next.term, next.primary, next.promoted_in), (Term(7), Some(Ordinal(1)), Term(3)));
    let knows = Record { promoted_in: Term(3), ..late };
    assert_eq!(proof(&knows, &seen), None);
}

/// The status was put back to what a failover wrote first; its promotion came later in the same term.
#[test]
fn a_promotion_of_the_record_s_own_term_is_proof_whatever_it_says() {
    let transition = Transition::Failover { from: Ordinal(0), logs_end: None };
    let decided = Record { term: Term(6), transition: Some(transition), ..record() };
    assert_eq!(decided.durability, Durability::Enforced);
    let seen = cluster(vec![dead(0), promoted(replica(1, "p0"), Some(6 << 4 | 2)), acking(2)]);
    assert_eq!(proof(&decided, &seen).map(|proof| proof.promoted), Some(Some(Term(6))));
}

/// A volume with another history does not take the place of a primary that has acknowledged since.
#[test]
fn a_primary_at_work_is_not_replaced_by_a_volume_that_comes_back() {
    let record = Record { term: Term(12), durability: Durability::CatchingUp, ..record() };
    let back = promoted(dead(2), Some(9 << 4 | 3));
    let stopped = cluster(vec![dead(0), acking(1), back.clone()]);
    assert!(proof(&record, &stopped).is_some());
    let silent = MemberView { server: ServerSight::Silent { since: Millis(1) }, ..primary() };
    for working in [primary(), silent, away(0)] {
        assert_eq!(proof(&record, &cluster(vec![working, acking(1), back.clone()])), None, "it may be at work");
    }
    for durability in [Durability::Enforced, Durability::Degraded] {
        let record = Record { durability, ..record.clone() };
        assert_eq!(proof(&record, &stopped), None, "it was at work since");
    }
}

/// Its agent is cut off after it told of a later term: the leader does not take over by the older one all the same.
#[test]
fn what_a_member_has_told_is_known_while_it_is_away() {
    let told = replica(1, "p1").state().and_then(|state| state.record()?.token.clone()).into_iter().collect();
    let member = MemberView { obeyed: told, ..away(1) };
    let seen = cluster(vec![dead(0), away(1), away(2)]);
    let mut seen = Observation { my_term: None, members: vec![away(0), member, away(2)], ..seen };
    assert_eq!(proof(&old(), &seen), Some(Proof { term: Term(3), by: Some(Ordinal(1)), promoted: None }));
    let blocked = written(&policy(3), &seen).unwrap_err();
    assert!(blocked.contains("c-1 knows term 3"), "{blocked}");
    seen.members[1].obeyed.clear();
    assert_eq!(proof(&old(), &seen), None);
}
