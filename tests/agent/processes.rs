//! Agent, mariadbd and launch are killed, and those that come after them go on.

use std::fs;
use std::time::{Duration, Instant};

use beachmaster::orders::{
    AgentState, Answer, Ended, Event, Incarnation, LogEvidence, Mariadbd, Order, Outcome, Reason,
};

use crate::cluster::{cluster, follow, wait_until_equal, write};
use testkit::member::{LIMIT, Member, Setup, until};

pub fn processes_may_be_killed_and_tokens_are_remembered(setup: Setup) {
    let mut members = cluster::<2>(setup);
    write(&members[0], 10);
    let run = |member: &Member| match member.state().mariadbd {
        Mariadbd::Running { incarnation, .. } => incarnation,
        other => panic!("{other:?}"),
    };

    // The agent of the replica.
    let pid = members[1].mariadbd_pid();
    let end = members[0].position();
    // A sync that takes seconds is no fault of the agent's.
    let soon = (1..=3).any(|seq| {
        members[1].kill_agent();
        let began = Instant::now();
        members[1].start_agent();
        members[1].wait_until_it_answers();
        let applied = members[1].stream().obey(2, seq, Order::Await { position: end.clone() });
        println!("agent killed, order carried out: {:?}: {applied:?}", began.elapsed());
        matches!(applied, Answer::Applied { reached: true, .. }) && began.elapsed() < Duration::from_secs(3)
    });
    assert!(soon);
    assert_eq!((members[1].mariadbd_pid(), run(&members[1])), (pid, Incarnation(1)));
    assert_eq!(members[1].stream().refuse(1, 99, Order::Freeze).reason, Reason::StaleToken);

    // mariadbd of the replica.
    let mut stream = members[1].stream();
    members[1].sql("STOP SLAVE SQL_THREAD");
    write(&members[0], 5);
    members[1].kill_mariadbd();
    let exited = stream.event(Event::Exited);
    assert!(matches!(exited.mariadbd, Mariadbd::Exited { incarnation: Incarnation(1), at: Some(_), .. }), "{exited:?}");
    let restarted = stream.event(Event::Answers);
    assert!(matches!(restarted.mariadbd, Mariadbd::Running { incarnation: Incarnation(2), sql: true }));
    assert_eq!(members[1].sql("SELECT COUNT(*) FROM d.t"), "10", "received, not applied");
    let kept = members[1].path("volume/beachmaster/relay/1/relay.index");
    let names = fs::read_to_string(kept).unwrap();
    let newest = names.lines().last().unwrap().trim_start_matches("./");
    let size = |path: &str| fs::metadata(members[1].path(path)).unwrap().len();
    assert!(size(&format!("volume/beachmaster/relay/1/{newest}")) > 500, "the unapplied transactions are kept");
    members[1].stream().obey(2, 5, follow(&members[1], &members[0]));
    wait_until_equal(&[&members[0], &members[1]]);

    until("the kept relay logs are covered and removed", || !members[1].path("volume/beachmaster/relay/1").exists());

    // launch of the replica, and mariadbd with it.
    let mut stream = members[1].stream();
    members[1].kill_launch();
    let exited = stream.event(Event::Exited);
    assert!(matches!(exited.mariadbd, Mariadbd::Exited { incarnation: Incarnation(2), .. }), "{exited:?}");
    let over = |state: &AgentState| {
        let ended = Ended { pod_uid: state.pod_uid.clone(), incarnation: Incarnation(2) };
        state.record().is_some_and(|record| record.ended == [ended])
    };
    members[1].wait_for("the volume tells which run is over", over);
    members[1].start_launch();
    assert!(matches!(stream.event(Event::Answers).mariadbd, Mariadbd::Running { incarnation: Incarnation(3), .. }));
    members[1].stream().obey(2, 6, follow(&members[1], &members[0]));

    // A newer order ends one that waits.
    let mut waiting = members[1].stream();
    let id = waiting.send(2, 7, LIMIT, Order::Await { position: "0-17-99999".parse().unwrap() });
    members[1].wait_for("the order runs", |state| state.running.as_deref() == Some("await"));
    let began = Instant::now();
    assert!(matches!(members[1].stream().obey(2, 8, Order::Freeze), Answer::Frozen(_)));
    let Outcome::Error(error) = waiting.outcome(&id) else { panic!() };
    assert_eq!(error.reason, Reason::Superseded);
    println!("superseded and frozen: {:?}", began.elapsed());
    // How it stands is told in time, unless the disk is slow just then.
    let told = (0..4).find_map(|n| {
        let limit = Duration::from_millis(400 << n);
        let id = waiting.send(2, 9 + n, limit, Order::Await { position: "0-17-99999".parse().unwrap() });
        match waiting.outcome(&id) {
            Outcome::Error(error) if error.reason != Reason::Expired => Some(error.message),
            outcome => {
                println!("within {limit:?}: {outcome:?}");
                None
            }
        }
    });
    assert!(told.as_ref().is_some_and(|told| told.contains("its IO thread is stopped")), "{told:?}");

    // mariadbd of the primary: its files may hold the tail.
    let mut stream = members[0].stream();
    members[0].kill_mariadbd();
    stream.event(Event::Exited);
    std::thread::sleep(Duration::from_millis(500));
    assert!(matches!(members[0].state().mariadbd, Mariadbd::Exited { .. }), "a primary does not start by itself");
    members[0].kill_agent();
    members[0].start_agent();
    // The file locks prove the death at once; launch, which knows how it ended, answers a moment later.
    members[0].wait_for("the agent knows", |state| matches!(state.mariadbd, Mariadbd::Exited { .. }));
    assert!(matches!(
        members[0].stream().obey(2, 1, Order::Fence),
        Answer::Fenced { logs: LogEvidence::Readable { .. } }
    ));
}
