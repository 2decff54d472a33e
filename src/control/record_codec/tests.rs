use serde_json::json;

use super::*;
use crate::orders::{DataUid, Incarnation};

fn full() -> Record {
    Record {
        data_uid: Some(DataUid("0b6f".to_owned())),
        term: Term(9),
        primary: Some(Ordinal(1)),
        promoted_in: Term(7),
        began: Some("0-17-4700".parse().unwrap()),
        durability: Durability::Enforced,
        ackers: vec![
            Acker { member: Ordinal(0), pod_uid: "p".to_owned(), boot_id: "b".to_owned(), incarnation: Incarnation(4) },
            Acker { member: Ordinal(0), pod_uid: "p".to_owned(), boot_id: "b".to_owned(), incarnation: Incarnation(5) },
        ],
        transition: Some(Transition {
            kind: TransitionKind::Failover,
            step: Step::Promoting,
            from: Some(Ordinal(1)),
            to: Some(Ordinal(2)),
            target: Some("0-17-4711,1-2-3".parse().unwrap()),
        }),
    }
}

fn there_and_back(record: &Record) -> Record {
    let mut status = ClusterStatus::default();
    write("shop", record, &mut status, Timestamp::UNIX_EPOCH);
    let json = serde_json::to_string(&status).unwrap();
    read("shop", Some(&serde_json::from_str(&json).unwrap())).unwrap()
}

#[test]
fn nothing_is_lost_between_record_and_status() {
    assert_eq!(there_and_back(&full()), full());
    assert_eq!(there_and_back(&Record::default()), Record::default());
    for durability in [Durability::Enforced, Durability::CatchingUp, Durability::Degraded, Durability::Async] {
        for kind in [TransitionKind::Initialise, TransitionKind::Failover, TransitionKind::Resume] {
            for step in [Step::Decided, Step::Promoting] {
                let transition = Transition { kind, step, from: None, to: None, target: None };
                let record = Record { durability, transition: Some(transition), ..full() };
                assert_eq!(there_and_back(&record), record);
            }
        }
    }
    assert_eq!(read("shop", None).unwrap(), Record::default());
}

#[test]
fn the_beginning_of_another_term_says_nothing() {
    let mut status = ClusterStatus::default();
    write("shop", &full(), &mut status, Timestamp::UNIX_EPOCH);
    status.promoted_in = Some(Term(8));
    assert_eq!(read("shop", Some(&status)).unwrap().began, None);
}

#[test]
fn what_a_newer_operator_wrote_is_not_guessed_at() {
    let mut status = ClusterStatus::default();
    write("shop", &full(), &mut status, Timestamp::UNIX_EPOCH);
    status.durability = Some(status::Durability::Unknown("Quorum".to_owned()));
    assert_eq!(read("shop", Some(&status)).unwrap_err().field, "durability");
    status.durability = None;
    status.current_primary = Some("other-1".to_owned());
    assert!(read("shop", Some(&status)).unwrap_err().to_string().contains("other-1"));
}

#[test]
fn times_tell_since_when() {
    let mut status = ClusterStatus::default();
    let at = |second| Timestamp::from_second(second).unwrap();
    write("shop", &full(), &mut status, at(10));
    write("shop", &Record { term: Term(10), ..full() }, &mut status, at(20));
    assert_eq!(status.current_primary_since, Some(Time(at(10))));
    assert_eq!(status.transition.as_ref().unwrap().started_at, MicroTime(at(10)));
    write("shop", &Record { promoted_in: Term(10), transition: None, ..full() }, &mut status, at(30));
    assert_eq!(status.current_primary_since, Some(Time(at(30))));
    assert_eq!(status.transition, None);
}

/// What is announced or under way, and the status that tells it, word for word as the release before wrote it.
fn golden() -> Vec<(Record, serde_json::Value)> {
    let transition = |kind, step, from: Option<u8>, to: Option<u8>, target: Option<&str>| Transition {
        kind,
        step,
        from: from.map(Ordinal),
        to: to.map(Ordinal),
        target: target.map(|target| target.parse().unwrap()),
    };
    let (initialise, failover, resume) = (TransitionKind::Initialise, TransitionKind::Failover, TransitionKind::Resume);
    let (decided, promoting) = (Step::Decided, Step::Promoting);
    let record = |primary: Option<u8>, transition| Record {
        data_uid: Some(DataUid("0b6f".to_owned())),
        term: Term(9),
        primary: primary.map(Ordinal),
        promoted_in: primary.map_or(Term(0), |_| Term(7)),
        durability: Durability::CatchingUp,
        transition: Some(transition),
        ..Record::default()
    };
    let status = |primary: Option<&str>, transition: serde_json::Value| {
        let mut status = json!({"term": 9, "dataUID": "0b6f", "durability": "CatchingUp"});
        if let Some(primary) = primary {
            status["currentPrimary"] = json!(primary);
            status["currentPrimarySince"] = json!("1970-01-01T00:00:00Z");
            status["promotedIn"] = json!(7);
        }
        status["transition"] = transition;
        status["transition"]["term"] = json!(9);
        status["transition"]["startedAt"] = json!("1970-01-01T00:00:00.000000Z");
        status
    };
    vec![
        (
            record(None, transition(initialise, decided, None, Some(1), None)),
            status(None, json!({"kind": "Initialise", "step": "Decided", "to": "shop-1"})),
        ),
        (
            record(Some(1), transition(initialise, promoting, None, Some(1), Some(""))),
            status(
                Some("shop-1"),
                json!({"kind": "Initialise", "step": "Promoting", "to": "shop-1", "targetGtid": ""}),
            ),
        ),
        (
            record(Some(0), transition(failover, decided, Some(0), None, None)),
            status(Some("shop-0"), json!({"kind": "Failover", "name": "shop-9", "step": "Decided", "from": "shop-0"})),
        ),
        (
            record(Some(0), transition(failover, decided, Some(0), None, Some("0-17-12"))),
            status(
                Some("shop-0"),
                json!({"kind": "Failover", "name": "shop-9", "step": "Decided", "from": "shop-0", "targetGtid": "0-17-12"}),
            ),
        ),
        (
            record(Some(2), transition(failover, promoting, Some(0), Some(2), Some("0-17-12,1-2-3"))),
            status(
                Some("shop-2"),
                json!({"kind": "Failover", "name": "shop-7", "step": "Promoting", "from": "shop-0", "to": "shop-2",
                       "targetGtid": "0-17-12,1-2-3"}),
            ),
        ),
        (
            record(Some(0), transition(resume, decided, Some(0), None, None)),
            status(Some("shop-0"), json!({"kind": "Resume", "step": "Decided", "from": "shop-0"})),
        ),
        (
            record(Some(0), transition(resume, decided, Some(0), None, Some(""))),
            status(Some("shop-0"), json!({"kind": "Resume", "step": "Decided", "from": "shop-0", "targetGtid": ""})),
        ),
        (
            record(Some(0), transition(resume, promoting, Some(0), Some(0), Some("0-17-12"))),
            status(
                Some("shop-0"),
                json!({"kind": "Resume", "step": "Promoting", "from": "shop-0", "to": "shop-0", "targetGtid": "0-17-12"}),
            ),
        ),
    ]
}

#[test]
fn every_state_of_a_transition_has_the_words_of_the_release_before() {
    for (record, words) in golden() {
        let mut status = ClusterStatus::default();
        write("shop", &record, &mut status, Timestamp::UNIX_EPOCH);
        assert_eq!(serde_json::to_value(&status).unwrap(), words);
        let told: ClusterStatus = serde_json::from_value(words).unwrap();
        assert_eq!(read("shop", Some(&told)).unwrap(), record);
    }
}
