use super::*;
use crate::gtid::GtidPosition;
use crate::orders::{Incarnation, Secret};
use crate::topology::transition::{Promotion, Transition};

fn at(text: &str) -> GtidPosition {
    text.parse().unwrap()
}

fn record(step: Option<Step>) -> Record {
    let transition = step.map(|step| match step {
        Step::Decided => Transition::Failover { from: Ordinal(0), logs_end: None },
        Step::Promoting => Transition::Promoting {
            what: Promotion::Failover { from: Ordinal(0) },
            to: Ordinal(1),
            required: at("0-10-5007"),
        },
    });
    let primary = if step == Some(Step::Decided) { 0 } else { 1 };
    Record { term: Term(8), promoted_in: Term(8), primary: Some(Ordinal(primary)), transition, ..Record::default() }
}

fn frozen(received: &str) -> Answer {
    Answer::Frozen(Frozen {
        incarnation: Incarnation(1),
        received: at(received),
        applied: at(received),
        killed: false,
        dropped: false,
        settled: true,
    })
}

fn freeze(timeline: &mut Timeline, member: u8, received: &str, now: u64) {
    timeline.carried_out(Ordinal(member), &Order::Freeze, &frozen(received), Millis(now)).unwrap();
}

fn bad(died: Option<u64>, answered: Option<u64>) -> Health {
    Health { good: false, died: died.map(Millis), answered: answered.map(Millis) }
}

/// A failover as it usually goes: dead at 1000 ms, seen 5 ms later.
pub(crate) fn told_story() -> Story {
    let mut timeline = Timeline::default();
    let wall = Timestamp::UNIX_EPOCH;
    timeline.primary_looks(bad(Some(1_000), Some(700)), Millis(1_005), wall);
    timeline.recorded(&record(Some(Step::Decided)), false, Millis(1_012), wall);
    timeline.because("signal 9".to_owned());
    let logs = LogEvidence::Readable { end: at("0-10-5007"), torn: None };
    timeline.carried_out(Ordinal(0), &Order::Fence, &Answer::Fenced { logs }, Millis(1_040)).unwrap();
    freeze(&mut timeline, 1, "0-10-5000", 1_050);
    freeze(&mut timeline, 2, "0-10-4990", 1_066);
    let serve = Order::ServeBinlog { user: "u".to_owned(), password: Secret("p".to_owned()), after: at("0-10-5000") };
    let serving = Answer::Serving { port: 3307, end: at("0-10-5007"), bytes: None };
    timeline.carried_out(Ordinal(0), &serve, &serving, Millis(1_080)).unwrap();
    timeline.passed_over(&["member 2: it is held up".to_owned()]);
    timeline.recorded(&record(Some(Step::Promoting)), false, Millis(1_200), wall);
    let promote = Order::Promote { required: at("0-10-5007"), server_id: 1, semi_sync: true };
    let promoted = Answer::Promoted { position: at("0-10-5007") };
    timeline.carried_out(Ordinal(1), &promote, &promoted, Millis(1_371)).unwrap();
    timeline.service_switched(Millis(1_398)).unwrap();
    match timeline.recorded(&record(None), false, Millis(1_410), wall).pop() {
        Some(Milestone::Ended(story)) => *story,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failover_is_told_from_the_death_of_the_primary() {
    let story = told_story();
    let points: Vec<(&str, u64)> = story.points.iter().map(|(point, ms)| (point.as_str(), *ms)).collect();
    let expected = [
        ("decided", 12),
        ("fenced", 40),
        ("frozen", 66),
        ("served", 80),
        ("committed", 200),
        ("promoted", 371),
        ("routed", 398),
        ("done", 410),
    ];
    assert_eq!(points, expected);
    assert_eq!(story.outage_ms(), Some(398));
    assert_eq!(join_ranges(&story.salvaged()), "0-10-5001..5007");
    assert_eq!(story.equalised(), vec![(Ordinal(2), "0-10-4991..5000".to_owned())]);
    assert_eq!(story.evidence, ["signal 9", "member 2: it is held up"]);
}

#[test]
fn what_is_repeated_after_the_point_of_no_return_does_not_move_its_time() {
    let mut timeline = Timeline::default();
    let wall = Timestamp::UNIX_EPOCH;
    timeline.recorded(&record(Some(Step::Decided)), false, Millis(10), wall);
    freeze(&mut timeline, 1, "0-10-1", 20);
    timeline.recorded(&record(Some(Step::Promoting)), false, Millis(30), wall);
    assert_eq!(timeline.carried_out(Ordinal(2), &Order::Freeze, &frozen("0-10-1"), Millis(40)), None);
    assert_eq!(timeline.story().unwrap().points[&Point::Frozen], 10);
}

#[test]
fn a_transition_taken_over_is_told_from_the_take_over_and_says_so() {
    let mut timeline = Timeline::default();
    let wall = Timestamp::UNIX_EPOCH;
    let began = timeline.recorded(&record(Some(Step::Promoting)), true, Millis(500), wall);
    assert_eq!(began, [Milestone::Began, Milestone::Passed(Point::Committed, 0)]);
    let Some(Milestone::Ended(story)) = timeline.recorded(&record(None), false, Millis(600), wall).pop() else {
        panic!()
    };
    assert!(story.is_resumed());
    assert_eq!(story.points[&Point::Done], 100);
}

#[test]
fn nothing_is_told_at_rest_and_a_healthy_primary_forgets_trouble() {
    let mut timeline = Timeline::default();
    timeline.primary_looks(bad(None, None), Millis(1), Timestamp::UNIX_EPOCH);
    timeline.primary_looks(bad(None, None), Millis(2), Timestamp::UNIX_EPOCH);
    assert_eq!(timeline.trouble_since(), Some(Millis(1)));
    timeline.primary_looks(Health { good: true, ..bad(None, None) }, Millis(3), Timestamp::UNIX_EPOCH);
    assert_eq!(timeline.trouble_since(), None);
    assert_eq!(timeline.recorded(&record(None), false, Millis(4), Timestamp::UNIX_EPOCH), []);
    assert_eq!(timeline.service_switched(Millis(4)), None);
}

#[test]
fn an_outage_begins_with_the_death_else_with_the_last_good_reading() {
    // Died and answered last, each with the outage that is told: seen at 1000 ms, decided at 1100 ms.
    for (died, answered, decided) in [
        (Some(990), Some(600), 110),
        (None, Some(600), 500),
        (None, None, 100),
        // It hung first and was killed later: clients were out all the while.
        (Some(1_050), Some(600), 100),
    ] {
        let mut timeline = Timeline::default();
        let wall = Timestamp::from_second(100).unwrap();
        timeline.primary_looks(bad(None, answered), Millis(1_000), wall);
        timeline.primary_looks(bad(died, answered), Millis(1_060), wall);
        timeline.recorded(&record(Some(Step::Decided)), false, Millis(1_100), wall);
        let story = timeline.story().unwrap();
        assert_eq!(story.points[&Point::Decided], decided, "{died:?} {answered:?}");
        assert!(story.started_at <= wall);
    }
}
