use super::*;
use crate::api::ReplicationCluster;
use crate::api::validate::Cluster as Spec;
use crate::control::desired::tests::example;
use crate::control::input::CallFailed;

fn machine() -> Cluster {
    let spec = Spec::parse(&example()).unwrap();
    let desired = Arc::new(Desired::new(example(), spec, "cluster.local"));
    let leader = Leader { identity: "operator-1".to_owned(), manager: "system/beachmaster".to_owned() };
    Cluster::new(desired, leader).unwrap()
}

fn at(now: u64) -> Moment {
    Moment { now: Millis(now), wall: Timestamp::UNIX_EPOCH }
}

fn turn(machine: &mut Cluster, now: u64) -> Vec<Effect> {
    let fresh = Fresh { uid: DataUid("d".to_owned()), login: ("u".to_owned(), Secret("p".to_owned())) };
    machine.turn(at(now), fresh)
}

fn lost() -> CallFailed {
    CallFailed { conflict: false, message: "no answer".to_owned() }
}

/// One that knows where clients are led and writes a status for people.
fn writing() -> (Cluster, Box<ReplicationCluster>) {
    let mut machine = machine();
    assert!(matches!(turn(&mut machine, 1)[..], [Effect::ReadService]));
    machine.handle(Input::ServiceRead(Ok(None)), at(2));
    let effects = turn(&mut machine, 2);
    let write = effects.into_iter().find_map(|effect| match effect {
        Effect::WriteStatus(object) => Some(object),
        _ => None,
    });
    (machine, write.unwrap())
}

#[test]
fn nothing_is_decided_before_it_is_known_where_clients_are_led() {
    let mut machine = machine();
    turn(&mut machine, 1);
    machine.handle(Input::ServiceRead(Err(lost())), at(2));
    assert!(turn(&mut machine, 3).is_empty());
    assert_eq!(machine.wakes_at(Millis(3)), Millis(202));
    assert!(matches!(turn(&mut machine, 202)[..], [Effect::ReadService]));
}

#[test]
fn a_status_write_is_waited_for_and_one_without_an_answer_is_read_again() {
    let (mut machine, _) = writing();
    assert!(turn(&mut machine, 2_000).is_empty(), "one call at a time");
    machine.handle(Input::StatusWritten(Err(lost())), at(3_002));
    assert!(turn(&mut machine, 3_003).is_empty(), "a pause");
    assert_eq!(machine.wakes_at(Millis(3_003)), Millis(3_202));
    assert!(matches!(turn(&mut machine, 3_202)[..], [Effect::ReadStatus]));
}

#[test]
fn what_is_told_to_people_is_written_once() {
    let (mut machine, object) = writing();
    machine.handle(Input::StatusWritten(Ok(object)), at(10));
    for now in [11, 1_500, 3_000] {
        let effects = turn(&mut machine, now);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::WriteStatus(_))), "{effects:?}");
    }
}

#[test]
fn it_ends_when_it_cannot_continue_from_what_another_leader_wrote() {
    let (mut machine, object) = writing();
    machine.handle(Input::StatusWritten(Err(lost())), at(10));
    turn(&mut machine, 300);
    let mut newer = object.clone();
    let transition = serde_json::json!({
        "kind": "Switchover", "step": "Draining", "term": 9, "startedAt": "2026-11-22T11:00:00.100000Z",
    });
    let status = newer.status.as_mut().unwrap();
    (status.term, status.transition) =
        (Some(crate::orders::Term(9)), Some(serde_json::from_value(transition).unwrap()));
    machine.handle(Input::StatusRead(Ok(Some(newer))), at(310));
    let effects = turn(&mut machine, 311);
    assert!(matches!(effects[..], [Effect::End]), "no order and no write: {effects:?}");
    assert!(turn(&mut machine, 900).is_empty());
}

#[test]
fn it_ends_with_its_object() {
    let (mut machine, _) = writing();
    machine.handle(Input::StatusWritten(Err(lost())), at(10));
    turn(&mut machine, 300);
    machine.handle(Input::StatusRead(Ok(None)), at(310));
    assert!(turn(&mut machine, 311).iter().any(|effect| matches!(effect, Effect::End)));
    assert!(turn(&mut machine, 900).is_empty());
}
