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
        transition: Some(Transition::Promoting {
            what: Promotion::Failover { from: Ordinal(2) },
            to: Ordinal(1),
            required: "0-17-4711,1-2-3".parse().unwrap(),
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
    for durability in Durability::ALL {
        let record = Record { durability, transition: None, ..full() };
        assert_eq!(there_and_back(&record), record);
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
    let error = read("shop", Some(&status)).unwrap_err();
    assert_eq!(error, unknown("durability", "Quorum"));
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
    let end = |gtid: &str| Some(gtid.parse().unwrap());
    let promoting =
        |what, to, required: &str| Transition::Promoting { what, to: Ordinal(to), required: required.parse().unwrap() };
    let from = Ordinal(0);
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
            record(None, Transition::Initialise { first: Ordinal(1) }),
            status(None, json!({"kind": "Initialise", "step": "Decided", "to": "shop-1"})),
        ),
        (
            record(Some(1), promoting(Promotion::Initialise, 1, "")),
            status(
                Some("shop-1"),
                json!({"kind": "Initialise", "step": "Promoting", "to": "shop-1", "targetGtid": ""}),
            ),
        ),
        (
            record(Some(0), Transition::Failover { from, logs_end: None }),
            status(Some("shop-0"), json!({"kind": "Failover", "name": "shop-9", "step": "Decided", "from": "shop-0"})),
        ),
        (
            record(Some(0), Transition::Failover { from, logs_end: end("0-17-12") }),
            status(
                Some("shop-0"),
                json!({"kind": "Failover", "name": "shop-9", "step": "Decided", "from": "shop-0", "targetGtid": "0-17-12"}),
            ),
        ),
        (
            record(Some(2), promoting(Promotion::Failover { from }, 2, "0-17-12,1-2-3")),
            status(
                Some("shop-2"),
                json!({"kind": "Failover", "name": "shop-7", "step": "Promoting", "from": "shop-0", "to": "shop-2",
                       "targetGtid": "0-17-12,1-2-3"}),
            ),
        ),
        (
            record(Some(0), Transition::Resume { from, logs_end: None }),
            status(Some("shop-0"), json!({"kind": "Resume", "step": "Decided", "from": "shop-0"})),
        ),
        (
            record(Some(0), Transition::Resume { from, logs_end: end("") }),
            status(Some("shop-0"), json!({"kind": "Resume", "step": "Decided", "from": "shop-0", "targetGtid": ""})),
        ),
        (
            record(Some(0), promoting(Promotion::Resume, 0, "0-17-12")),
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

/// The golden status of `kind` and `step`, changed by `edit`, is refused because of `field`, and the remedy is told.
#[track_caller]
fn is_refused((kind, step): (&str, &str), edit: impl Fn(&mut serde_json::Value), field: &str, remedy: &str) {
    let mut edited = 0;
    for (_, mut words) in golden() {
        if words["transition"]["kind"] == kind && words["transition"]["step"] == step {
            edit(&mut words);
            let error = read("shop", Some(&serde_json::from_value(words).unwrap())).unwrap_err().to_string();
            assert!(error.contains(&format!("status.{field} is ")) && error.contains(remedy), "{error}");
            edited += 1;
        }
    }
    assert!(edited > 0, "no golden status is {kind} {step}");
}

const PUT_BACK: &str = "put back the status as the operator wrote it";

fn without(field: &str) -> impl Fn(&mut serde_json::Value) {
    let pointer = field.rsplit_once('.').map_or(String::new(), |(parent, _)| format!("/{parent}"));
    let name = field.rsplit('.').next().unwrap().to_owned();
    move |words| assert!(words.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().remove(&name).is_some())
}

#[test]
fn words_of_a_transition_that_this_version_does_not_know_are_refused() {
    for state in [("Failover", "Decided"), ("Failover", "Promoting"), ("Resume", "Decided"), ("Initialise", "Decided")]
    {
        let kind = |words: &mut serde_json::Value| words["transition"]["kind"] = json!("Switchover");
        is_refused(state, kind, "transition.kind", "\"Switchover\", which this version does not know");
        let step = |words: &mut serde_json::Value| words["transition"]["step"] = json!("Draining");
        is_refused(state, step, "transition.step", "run that version");
        let gtid = |words: &mut serde_json::Value| words["transition"]["targetGtid"] = json!("all");
        is_refused(state, gtid, "transition.targetGtid", "run that version");
    }
}

#[test]
fn a_transition_without_what_its_step_needs_is_refused() {
    for kind in ["Initialise", "Failover", "Resume"] {
        for field in ["transition.targetGtid", "transition.to", "currentPrimary"] {
            is_refused((kind, "Promoting"), without(field), field, PUT_BACK);
        }
    }
    for state in [("Failover", "Decided"), ("Failover", "Promoting"), ("Resume", "Decided"), ("Resume", "Promoting")] {
        is_refused(state, without("transition.from"), "transition.from", PUT_BACK);
    }
    is_refused(("Initialise", "Decided"), without("transition.to"), "transition.to", PUT_BACK);
}

#[test]
fn a_transition_that_contradicts_the_primary_is_refused() {
    for kind in ["Initialise", "Failover", "Resume"] {
        let to = |words: &mut serde_json::Value| words["transition"]["to"] = json!("shop-3");
        is_refused((kind, "Promoting"), to, "transition.to", "status.currentPrimary is shop-");
    }
    let from = |words: &mut serde_json::Value| words["transition"]["from"] = json!("shop-3");
    is_refused(("Resume", "Promoting"), from, "transition.from", PUT_BACK);
}

/// A status as a newer release may write it: with a key of its own in every place.
fn newer() -> ClusterStatus {
    let mut status = ClusterStatus::default();
    write("shop", &full(), &mut status, Timestamp::UNIX_EPOCH);
    let mut words = serde_json::to_value(&status).unwrap();
    words["quorum"] = json!({"wanted": 2});
    words["transition"]["deadline"] = json!("12s");
    words["ackers"][0]["slot"] = json!("a");
    words["ackers"][1]["slot"] = json!("b");
    serde_json::from_value(words).unwrap()
}

fn rewritten(record: &Record) -> serde_json::Value {
    let mut status = newer();
    write("shop", record, &mut status, Timestamp::UNIX_EPOCH);
    serde_json::to_value(&status).unwrap()
}

#[test]
fn keys_of_a_newer_release_are_written_back() {
    assert_eq!(read("shop", Some(&newer())).unwrap(), full());
    let mut next = Record { term: Term(10), durability: Durability::Degraded, ..full() };
    next.ackers.insert(0, Acker { incarnation: Incarnation(6), ..next.ackers[0].clone() });
    let words = rewritten(&next);
    assert_eq!((&words["term"], &words["quorum"]), (&json!(10), &json!({"wanted": 2})));
    assert_eq!(words["transition"]["deadline"], "12s");
    let slots: Vec<_> = words["ackers"].as_array().unwrap().iter().map(|acker| acker.get("slot")).collect();
    assert_eq!(slots, [None, Some(&json!("a")), Some(&json!("b"))], "a new run has none");
}

#[test]
fn keys_of_a_newer_release_go_with_what_they_belong_to() {
    let mut next = Record { transition: None, ..full() };
    next.ackers.remove(0);
    let words = rewritten(&next);
    assert_eq!(words.get("transition"), None);
    assert_eq!(
        words["ackers"],
        json!([{"member": "shop-0", "podUID": "p", "bootID": "b", "incarnation": 5, "slot": "b"}])
    );
    assert_eq!(words["quorum"], json!({"wanted": 2}));
    let from = |ordinal| Transition::Failover { from: Ordinal(ordinal), logs_end: None };
    let resume = Transition::Resume { from: Ordinal(2), logs_end: None };
    for another in [from(1), from(2), resume] {
        let words = rewritten(&Record { transition: Some(another.clone()), ..full() });
        assert_eq!(words["transition"].get("deadline"), None, "{another:?} is another transition");
    }
}
