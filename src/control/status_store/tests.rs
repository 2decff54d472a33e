use jiff::Timestamp;

use super::*;
use crate::control::desired::tests::example;
use crate::orders::Ordinal;

fn at(term: u64) -> Record {
    Record { term: Term(term), primary: Some(Ordinal(0)), ..Record::default() }
}

#[test]
fn a_status_that_no_leader_wrote_is_not_believed() {
    let ours = Record { term: Term(7), primary: Some(Ordinal(1)), ..Record::default() };
    assert!(!is_overwritten(&ours, None, &ours));
    assert!(is_overwritten(&ours, None, &at(4)), "a status from a backup");
    assert!(is_overwritten(&ours, None, &at(7)), "an edit by hand");
    assert!(is_overwritten(&ours, None, &Record::default()), "no status at all");
    assert!(!is_overwritten(&ours, Some(&at(7)), &at(7)), "our own write, whose answer was lost");
    assert!(!is_overwritten(&ours, None, &at(8)), "another leader's");
}

fn status(record: &Record) -> ClusterStatus {
    let mut status = ClusterStatus::default();
    record_codec::write("shop", record, &mut status, Timestamp::UNIX_EPOCH);
    status
}

fn object(record: &Record, version: &str) -> ReplicationCluster {
    let mut object = example();
    object.metadata.resource_version = Some(version.to_owned());
    object.status = Some(status(record));
    object
}

/// A store that has written the record of term 7.
fn leading() -> StatusStore {
    let mut store = StatusStore::open(object(&at(6), "10")).unwrap();
    let Effect::WriteStatus(written) = store.write(at(7), status(&at(7))) else { panic!() };
    assert_eq!(written.metadata.resource_version.as_deref(), Some("10"));
    store.written(Ok(Box::new(object(&at(7), "11"))), Millis(1)).unwrap();
    assert_eq!((store.my_term(), store.is_certain()), (Some(Term(7)), true));
    store
}

#[test]
fn nothing_is_certain_until_a_write_has_ended() {
    let mut store = leading();
    let _ = store.write(at(8), status(&at(8)));
    assert!(!store.is_certain() && store.poll(Millis(2)).is_none(), "one call at a time");
    let lost = CallFailed { conflict: false, message: "no answer".to_owned() };
    store.written(Err(lost), Millis(3)).unwrap_err();
    assert!(!store.is_certain() && store.poll(Millis(100)).is_none(), "a pause");
    assert_eq!(store.wakes_at(Millis(100)), Some(Millis(203)));
    assert!(matches!(store.poll(Millis(203)), Some(Effect::ReadStatus)));
    assert_eq!(store.read(Ok(Some(Box::new(object(&at(8), "12")))), Millis(204)), Ok(Found::Record));
    assert_eq!((store.record().term, store.my_term()), (Term(8), None), "only a new term is surely ours");
}

#[test]
fn after_a_conflict_the_object_is_read_at_once() {
    let mut store = leading();
    let _ = store.write(at(8), status(&at(8)));
    let conflict = CallFailed { conflict: true, message: "changed".to_owned() };
    store.written(Err(conflict), Millis(3)).unwrap_err();
    assert!(matches!(store.poll(Millis(3)), Some(Effect::ReadStatus)));
    let read = store.read(Ok(Some(Box::new(object(&at(4), "12")))), Millis(4));
    assert_eq!(read, Ok(Found::Overwritten));
    assert_eq!((store.record().term, store.my_term(), store.is_certain()), (Term(7), None, true));
}

#[test]
fn what_a_watch_shows_during_a_write_is_compared_afterwards() {
    for (shown, certain) in [(object(&at(8), "12"), true), (object(&at(4), "13"), false)] {
        let mut store = leading();
        let _ = store.write(at(8), status(&at(8)));
        store.shown(&shown);
        store.written(Ok(Box::new(object(&at(8), "12"))), Millis(3)).unwrap();
        assert_eq!(store.is_certain(), certain, "{:?}", shown.metadata.resource_version);
    }
}

#[test]
fn its_own_versions_are_no_news() {
    let mut store = leading();
    store.shown(&object(&at(6), "10"));
    assert!(store.is_certain());
    store.shown(&object(&at(5), "9"));
    assert!(!store.is_certain());
}

#[test]
fn another_object_of_that_name_is_none() {
    let mut store = leading();
    store.doubt();
    store.poll(Millis(5)).unwrap();
    let mut other = object(&at(9), "20");
    other.metadata.uid = Some("u-2".to_owned());
    assert!(matches!(store.read(Ok(Some(Box::new(other))), Millis(6)), Err(StoreError::Gone { .. })));
}

/// Transitions that no operator of this release writes.
fn unreadable() -> Vec<serde_json::Value> {
    let started = "2026-11-22T11:00:00.100000Z";
    let transition =
        |kind: &str, step: &str| serde_json::json!({"kind": kind, "step": step, "term": 7, "startedAt": started});
    let mut without_position = transition("Failover", "Promoting");
    (without_position["from"], without_position["to"]) = ("shop-1".into(), "shop-0".into());
    vec![
        transition("Switchover", "Decided"),
        transition("Failover", "Draining"),
        transition("Failover", "Decided"),
        transition("Resume", "Decided"),
        transition("Failover", "Promoting"),
        without_position,
    ]
}

fn edited(term: u64, transition: &serde_json::Value) -> ReplicationCluster {
    let mut edited = object(&at(term), "12");
    edited.status.as_mut().unwrap().transition = Some(serde_json::from_value(transition.clone()).unwrap());
    edited
}

#[test]
fn a_transition_that_cannot_be_read_is_overwritten_by_the_leader_that_wrote_the_record() {
    for transition in unreadable() {
        for term in [4, 7] {
            let mut store = leading();
            store.shown(&edited(term, &transition));
            assert!(!store.is_certain());
            store.poll(Millis(5)).unwrap();
            let read = store.read(Ok(Some(Box::new(edited(term, &transition)))), Millis(6));
            assert_eq!(read, Ok(Found::Overwritten), "{transition}");
            assert_eq!((store.record(), store.my_term()), (&at(7), None), "to be written under a new term");
        }
    }
}

#[test]
fn a_transition_that_cannot_be_read_is_nothing_to_go_on_from() {
    for transition in unreadable() {
        assert!(StatusStore::open(edited(7, &transition)).is_err(), "{transition}");
        let mut another_leaders = leading();
        another_leaders.doubt();
        another_leaders.poll(Millis(5)).unwrap();
        let mut not_begun = StatusStore::open(object(&at(7), "11")).unwrap();
        not_begun.doubt();
        not_begun.poll(Millis(5)).unwrap();
        for (mut store, term) in [(another_leaders, 8), (not_begun, 7)] {
            let read = store.read(Ok(Some(Box::new(edited(term, &transition)))), Millis(6));
            assert!(matches!(read, Err(StoreError::Record(_))), "{read:?}");
            assert_eq!((store.record(), store.is_certain()), (&at(7), false), "nothing is decided");
        }
    }
}

#[test]
fn since_when_the_status_is_known_is_when_it_was_read_after_somebody_else_may_have_written_it() {
    let mut store = leading();
    assert_eq!(store.since(), None, "nobody else has written it");
    store.doubt();
    store.poll(Millis(5)).unwrap();
    store.read(Ok(Some(Box::new(object(&at(7), "11")))), Millis(6)).unwrap();
    assert_eq!(store.since(), None);
    // The same words in a version that is not ours: what was in between nobody knows.
    store.shown(&object(&at(7), "13"));
    assert_eq!(store.since(), None, "a watch shows what is old");
    store.doubt();
    store.poll(Millis(7)).unwrap();
    store.read(Ok(Some(Box::new(object(&at(7), "13")))), Millis(8)).unwrap();
    assert_eq!(store.since(), Some(Millis(8)));
    store.shown(&object(&at(7), "15"));
    let _ = store.write(at(8), status(&at(8)));
    store.written(Ok(Box::new(object(&at(8), "16"))), Millis(9)).unwrap();
    assert_eq!(store.since(), Some(Millis(9)));
    let _ = store.write(at(9), status(&at(9)));
    store.written(Ok(Box::new(object(&at(9), "17"))), Millis(10)).unwrap();
    assert_eq!(store.since(), Some(Millis(9)), "its own writes follow each other");
}

#[test]
fn conflicts_without_end_are_no_reason_to_hurry() {
    let mut store = leading();
    for now in 0..4 {
        let _ = store.write(at(8), status(&at(8)));
        let conflict = CallFailed { conflict: true, message: "changed".to_owned() };
        store.written(Err(conflict), Millis(now)).unwrap_err();
        assert_eq!(store.poll(Millis(now)).is_none(), now == 3);
        if now < 3 {
            store.read(Ok(Some(Box::new(object(&at(7), "12")))), Millis(now)).unwrap();
        }
    }
    assert!(matches!(store.poll(Millis(203)), Some(Effect::ReadStatus)));
}
