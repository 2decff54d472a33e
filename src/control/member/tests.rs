use super::*;
use crate::control::input::Reading;
use crate::gtid::GtidPosition;
use crate::orders::{BootMillis, DataUid, Frozen, LogEvidence, Secret, Source, Volume};
use crate::topology::observation::{SemiSyncSource, ServerView};

/// An older copy of a volume, or another cluster's, makes nobody forget.
#[test]
fn the_highest_token_is_remembered() {
    let token = |data: &str, term| Token { data_uid: DataUid(data.to_owned()), term: Term(term), seq: 1 };
    let mut told = Vec::new();
    for (data, term) in [("a", 3), ("x", 9), ("a", 4), ("a", 2)] {
        token(data, term).remember(&mut told);
    }
    assert_eq!(told, [token("a", 4), token("x", 9)]);
    (0..9).for_each(|number| token(&format!("of a stranger {number}"), 1).remember(&mut told));
    assert_eq!(told.len(), 4);
}

fn state(mariadbd: Mariadbd) -> AgentState {
    AgentState {
        version: "0.1.0".to_owned(),
        pod_uid: "p".to_owned(),
        boot_id: "b".to_owned(),
        boot_ms: BootMillis(1),
        volume: Volume::Blank,
        mariadbd,
        serving: None,
        running: None,
        takes_connections: None,
        extra_port: None,
        sql_notes: crate::orders::SqlNotes::default(),
        upkeep: crate::orders::Upkeep::default(),
    }
}

fn running(incarnation: u64) -> AgentState {
    state(Mariadbd::Running { incarnation: Incarnation(incarnation), sql: true })
}

fn exited(incarnation: u64) -> AgentState {
    let status = ExitStatus { code: None, signal: Some(9) };
    let incarnation = Incarnation(incarnation);
    state(Mariadbd::Exited { incarnation, status, message: "last words".to_owned(), at: None })
}

fn greeted(now: u64) -> Member {
    let mut member = Member::new(Ordinal(1));
    member.heard(LinkEvent::Greeted { state: Box::new(running(4)) }, Millis(now));
    member
}

fn answer(re: &str, outcome: Outcome, state: AgentState) -> LinkEvent {
    LinkEvent::Told { up: Box::new(Up::Answer { re: re.to_owned(), outcome, state }) }
}

fn ok(answer: Answer) -> Outcome {
    Outcome::Ok(answer)
}

fn refused() -> Outcome {
    Outcome::Error(OrderError::new(Reason::Sql, "no"))
}

fn away() -> LinkEvent {
    LinkEvent::Away { why: "cut".to_owned() }
}

fn view_begun(at: u64) -> Box<ServerView> {
    Box::new(ServerView {
        begun: Millis(at),
        server_id: 1,
        read_only: true,
        binlog_position: GtidPosition::empty(),
        slave_position: GtidPosition::empty(),
        semi_sync: SemiSyncSource::default(),
        acker_wanted: false,
        acker_active: false,
        slave: None,
        drift: Vec::new(),
        logged: Vec::new(),
    })
}

#[test]
fn an_answer_is_progress_and_frees_the_member() {
    let mut member = greeted(10);
    member.ordered("a".to_owned(), Order::Freeze, Millis(20));
    assert_eq!(member.view(Millis(21)).busy, Some("freeze"));
    let frozen = Frozen {
        incarnation: Incarnation(4),
        received: GtidPosition::empty(),
        applied: GtidPosition::empty(),
        killed: false,
        dropped: false,
        settled: true,
    };
    let news = member.heard(answer("a", ok(Answer::Frozen(frozen.clone())), running(4)), Millis(50));
    assert!(matches!(&news[..], [News::Done { order: Order::Freeze, ms: 30, .. }]), "{news:?}");
    let view = member.view(Millis(51));
    assert_eq!((view.busy, view.progress.frozen, view.answered_at), (None, Some(frozen), Some(Millis(50))));
}

#[test]
fn every_answer_finds_its_place() {
    let mut member = greeted(1);
    let at: GtidPosition = "0-1-5".parse().unwrap();
    let source = Source::Member { host: "shop-2.".to_owned(), port: 3306 };
    let login = Order::ServeBinlog { user: "u".to_owned(), password: Secret("p".to_owned()), after: at.clone() };
    let serving = AgentState { serving: Some(3307), ..exited(4) };
    let logs = LogEvidence::Readable { end: at.clone(), torn: None };
    let cases = [
        (Order::Fence, Answer::Fenced { logs: logs.clone() }, exited(4)),
        (login, Answer::Serving { port: 3307, end: at.clone(), bytes: Some(7) }, serving.clone()),
        (Order::EvictAcker { ordinal: Ordinal(2) }, Answer::Done, serving.clone()),
        (
            Order::Follow { source, acker: Some(Incarnation(1)), wait: Some(at.clone()) },
            Answer::Applied { position: at.clone(), reached: true, held: None },
            serving.clone(),
        ),
    ];
    for (order, reply, state) in cases {
        member.ordered("x".to_owned(), order, Millis(7));
        member.heard(answer("x", ok(reply), state), Millis(8));
    }
    let progress = member.view(Millis(9)).progress;
    assert_eq!(progress.fenced, Some(logs));
    assert_eq!(
        progress.serving,
        Some(crate::topology::member_progress::Serving { port: 3307, end: at.clone(), bytes: Some(7) })
    );
    assert_eq!((progress.applied, progress.following), (Some(at), Some("shop-2.".to_owned())));
    assert_eq!(progress.evicted.get(&Ordinal(2)), Some(&Millis(8)));
    member.heard(LinkEvent::Told { up: Box::new(Up::Pong { n: 1, state: exited(4) }) }, Millis(10));
    assert_eq!(member.view(Millis(11)).progress.serving, None, "the agent no longer serves");
}

#[test]
fn failures_are_counted_and_pause_the_member_for_longer_each_time() {
    let mut member = greeted(1);
    for (count, pause) in [(1, 100), (2, 200), (3, 400)] {
        member.ordered("x".to_owned(), Order::Start, Millis(1_000));
        member.heard(answer("x", refused(), running(4)), Millis(1_000));
        let progress = member.view(Millis(1_000)).progress;
        assert_eq!(progress.failure().map(|failure| (failure.order, failure.count)), Some(("start", count)));
        assert_eq!(member.view(Millis(1_000 + pause - 1)).busy, Some("start"));
        assert_eq!(member.wakes_at(Millis(1_000)), Some(Millis(1_000 + pause)));
        assert_eq!(member.view(Millis(1_000 + pause)).busy, None);
    }
    member.ordered("y".to_owned(), Order::Start, Millis(5_000));
    member.heard(answer("y", ok(Answer::Done), running(4)), Millis(5_000));
    assert_eq!(member.view(Millis(5_000)).progress.failure(), None);
}

#[test]
fn a_missing_answer_is_unknown_never_done() {
    for lose in [0, 1, 2] {
        let mut member = greeted(1);
        member.ordered("x".to_owned(), Order::Fence, Millis(10));
        let news = match lose {
            0 => member.heard(away(), Millis(20)),
            1 => member.heard(LinkEvent::Greeted { state: Box::new(running(4)) }, Millis(20)),
            _ => member.tick(Millis(6_010)).into_iter().collect(),
        };
        let told = |news: &News| matches!(news, News::Failed { order: "fence", error, .. } if error.message.contains("unknown"));
        assert!(news.iter().any(told), "{news:?}");
        assert_eq!(member.view(Millis(6_011)).progress.fenced, None);
        let late = member.heard(answer("x", ok(Answer::Done), running(4)), Millis(6_020));
        assert_eq!(late, [], "an answer nobody waits for any more");
    }
}

#[test]
fn a_new_term_forgets_progress_and_ignores_answers_of_the_old_one() {
    let mut member = greeted(1);
    member.ordered("old".to_owned(), Order::Init { identity: identity() }, Millis(2));
    member.enter_term();
    assert_eq!(member.view(Millis(3)).busy, None);
    member.heard(answer("old", ok(Answer::Done), running(4)), Millis(4));
    assert!(!member.view(Millis(5)).progress.initialised);
}

#[test]
fn who_was_held_up_comes_last_until_it_follows_again() {
    let at: GtidPosition = "0-1-5".parse().unwrap();
    let held = Answer::Applied { position: at.clone(), reached: false, held: Some("a lock".to_owned()) };
    let source = Source::Member { host: "shop-2.".to_owned(), port: 3306 };
    let follow = Order::Follow { source, acker: Some(Incarnation(1)), wait: None };
    for (orders, stumbled) in [
        (vec![(Order::Await { position: at.clone() }, held.clone())], true),
        (vec![(Order::Await { position: at }, held), (follow, Answer::Done)], false),
    ] {
        let mut member = greeted(1);
        for (order, reply) in orders {
            member.ordered("x".to_owned(), order, Millis(2));
            member.heard(answer("x", ok(reply), running(4)), Millis(3));
        }
        member.enter_term();
        assert_eq!(member.view(Millis(4)).stumbled, stumbled);
    }
}

fn identity() -> crate::orders::Identity {
    let data_uid = crate::orders::DataUid("d".to_owned());
    crate::orders::Identity { cluster: "prod/shop".to_owned(), data_uid, ordinal: Ordinal(1) }
}

#[test]
fn an_exit_is_news_once() {
    let mut member = greeted(1);
    let event = |state| LinkEvent::Told { up: Box::new(Up::Event { event: Event::Exited, state }) };
    let news = member.heard(event(exited(4)), Millis(2));
    assert!(matches!(&news[..], [News::Exited { .. }, News::Look]), "{news:?}");
    assert_eq!(member.heard(LinkEvent::Told { up: Box::new(Up::Pong { n: 1, state: exited(4) }) }, Millis(3)), []);
}

#[test]
fn the_time_of_a_run_is_that_of_its_first_sight() {
    let mut member = greeted(10);
    member.heard(LinkEvent::Told { up: Box::new(Up::Pong { n: 1, state: running(4) }) }, Millis(20));
    assert_eq!(member.view(Millis(21)).running_since, Some(Millis(10)));
    member.heard(LinkEvent::Told { up: Box::new(Up::Pong { n: 2, state: running(5) }) }, Millis(30));
    assert_eq!(member.view(Millis(31)).running_since, Some(Millis(30)));
    member.heard(LinkEvent::Told { up: Box::new(Up::Pong { n: 3, state: exited(5) }) }, Millis(40));
    assert_eq!(member.view(Millis(41)).running_since, None);
}

#[test]
fn a_stream_that_is_gone_is_gone_since_it_went() {
    let mut member = greeted(1);
    member.heard(away(), Millis(5));
    member.heard(away(), Millis(9));
    assert_eq!(member.view(Millis(10)).agent, AgentSight::Away { since: Millis(5) });
}

#[test]
fn readings_keep_the_one_before_of_the_same_connection() {
    let mut member = Member::new(Ordinal(0));
    let answers = |at, first| Reading::Answers { view: view_begun(at), first };
    member.probed(answers(1, true), Millis(1));
    member.probed(answers(2, false), Millis(2));
    let before = |member: &Member| member.view(Millis(9)).before().map(|view| view.begun);
    assert_eq!(before(&member), Some(Millis(1)));
    member.probed(answers(3, true), Millis(3));
    assert_eq!(before(&member), None, "another connection, perhaps another server");
    member.probed(Reading::Refused, Millis(4));
    member.probed(Reading::Refused, Millis(5));
    assert_eq!(member.view(Millis(9)).server, ServerSight::Refused { since: Millis(4) });
    member.probed(Reading::Silent, Millis(6));
    assert_eq!(member.view(Millis(9)).server, ServerSight::Silent { since: Millis(6) });
}

#[test]
fn a_reading_of_the_dead_does_not_bring_it_back() {
    let mut member = greeted(1);
    let answers = |at| Reading::Answers { view: view_begun(at), first: false };
    member.probed(answers(2), Millis(3));
    let state = Box::new(exited(4));
    let event = LinkEvent::Told { up: Box::new(Up::Event { event: Event::Exited, state: *state }) };
    member.heard(event, Millis(5));
    assert_eq!(member.view(Millis(5)).server, ServerSight::Refused { since: Millis(5) });
    member.probed(answers(4), Millis(6));
    assert!(member.view(Millis(6)).is_proven_dead(), "begun before its death");
    member.probed(answers(7), Millis(8));
    assert!(!member.view(Millis(8)).is_proven_dead(), "something answers in its name");
}

#[test]
fn trouble_of_a_pod_counts_when_it_lasts() {
    let pod = |troubled: bool| PodFacts {
        ordinal: Ordinal(0),
        name: "shop-0".to_owned(),
        uid: "u".to_owned(),
        version: "1".to_owned(),
        ip: None,
        deleting: false,
        node: None,
        trouble: troubled.then(|| Trouble { reason: "Unschedulable".to_owned(), message: "0/3 nodes".to_owned() }),
        labels: std::collections::BTreeMap::new(),
    };
    let mut member = Member::new(Ordinal(0));
    member.pod_seen(Some(pod(true)), Millis(100));
    member.pod_seen(Some(pod(true)), Millis(2_000));
    assert_eq!(member.trouble(Millis(3_000)), None);
    assert!(member.trouble(Millis(3_100)).is_some());
    member.pod_seen(Some(pod(false)), Millis(3_200));
    assert_eq!(member.trouble(Millis(9_000)), None);
}

#[test]
fn the_time_of_death_is_that_of_its_parent_process() {
    let mut member = greeted(10);
    let Mariadbd::Exited { incarnation, status, message, .. } = exited(4).mariadbd else { panic!() };
    let at = Some(BootMillis(9_960));
    let mariadbd = Mariadbd::Exited { incarnation, status, message, at };
    let state = AgentState { boot_ms: BootMillis(10_000), mariadbd, ..exited(4) };
    member
        .heard(LinkEvent::Told { up: Box::new(Up::Event { event: Event::Exited, state: state.clone() }) }, Millis(500));
    assert_eq!(member.health().died, Some(Millis(460)));
    let later = AgentState { boot_ms: BootMillis(12_000), ..state };
    member.heard(LinkEvent::Greeted { state: Box::new(later) }, Millis(2_530));
    assert_eq!(member.health().died, Some(Millis(460)), "the shortest way is the best guess");
}

fn answers(begun: u64, no_tx: u64) -> Reading {
    let semi_sync = SemiSyncSource { enabled: true, wait_no_slave: true, no_tx, ..SemiSyncSource::default() };
    let view = ServerView { semi_sync, read_only: false, ..*view_begun(begun) };
    Reading::Answers { view: Box::new(view), first: begun == 0 }
}

/// Readings that come in while a write of the status is under way replace each other.
#[test]
fn a_commit_that_went_through_unacknowledged_is_known_until_it_is_recorded() {
    let mut member = greeted(0);
    for (begun, no_tx) in [(0, 0), (50, 1), (100, 1)] {
        member.probed(answers(begun, no_tx), Millis(begun + 1));
    }
    let weakened = member.view(Millis(101)).weakened;
    assert!(weakened.is_some_and(|why| why.contains("unacknowledged")));
    member.forget_weakness();
    member.probed(answers(150, 1), Millis(151));
    assert_eq!(member.view(Millis(152)).weakened, None);
}

#[test]
fn when_its_agent_told_something_last_is_known() {
    let mut member = greeted(10);
    assert!(member.view(Millis(11)).is_newer_than(Millis(9)) && !member.view(Millis(11)).is_newer_than(Millis(10)));
    member.heard(LinkEvent::Told { up: Box::new(Up::Pong { n: 1, state: running(4) }) }, Millis(20));
    assert!(member.view(Millis(21)).is_newer_than(Millis(10)));
    member.probed(answers(0, 0), Millis(22));
    assert!(!member.view(Millis(23)).is_newer_than(Millis(10)), "a reading from before");
    member.heard(away(), Millis(30));
    member.probed(Reading::Silent, Millis(30));
    assert!(member.view(Millis(31)).is_newer_than(Millis(30)), "nothing is known of it");
}
