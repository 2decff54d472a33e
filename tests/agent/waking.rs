//! A primary that takes no new connections, and no acker left whose new connection could wake it.

use std::process::Command;

use beachmaster::orders::{Answer, Mariadbd, Order, Outcome};

use crate::cluster::{cluster, semi_sync_status, wait_until_equal, write};
use testkit::as_server;
use testkit::member::{LIMIT, Member, Setup, succeeds};

/// Its semi-sync is switched off and on behind a lock, and nothing of that is left.
pub fn semi_sync_is_switched_off_and_on_behind_a_lock(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    write(primary, 5);
    assert_eq!(primary.stream().obey(2, 1, Order::ResetSemiSync), Answer::Done);
    assert_eq!(semi_sync_status(primary, "master_status"), "ON");
    write(primary, 5);
    wait_until_equal(&[primary, acker]);
    // A lock that waits for a writer is given up, and nobody is killed for it.
    let run = primary.mariadbd_pid();
    let mut writer = primary.client("INSERT INTO d.t (a) SELECT SLEEP(600)");
    primary.sql(&until_somebody_is(WRITES));
    let refused = (2..6).map(|seq| primary.stream().refuse(2, seq, Order::ResetSemiSync).message);
    // A server that was slow just then is asked once more.
    assert!(refused.into_iter().any(|message| message.contains("1205")));
    primary.sql(&format!(
        "KILL {}",
        primary.sql(&format!("SELECT ID FROM information_schema.PROCESSLIST WHERE {WRITES}"))
    ));
    assert!(!succeeds("the writer ends", &mut writer));
    write(primary, 5);
    wait_until_equal(&[primary, acker]);
    assert_eq!(primary.mariadbd_pid(), run);
}

/// One that falls silent in the middle would keep its lock and stay without semi-sync: it is killed, also when that happened
/// under an older order.
pub fn a_primary_that_falls_silent_as_it_is_woken_is_killed(setup: Setup) {
    let members = cluster::<2>(setup);
    let primary = &members[0];
    let mut writer = primary.client("INSERT INTO d.t (a) SELECT SLEEP(600)");
    primary.sql(&until_somebody_is(WRITES));
    let killed = (1..20).find_map(|seq| {
        // The lock waits for the writer for a second, and the server stands still meanwhile: in most tries.
        let mut locks = primary.client(&until_somebody_is(LOCKS));
        primary.sql(&until_somebody_is("INFO LIKE '%SLEEP(0.01)%'"));
        let mut stream = primary.stream();
        let id = stream.send(2, seq, LIMIT, Order::ResetSemiSync);
        assert!(succeeds("the lock is asked for", &mut locks));
        stand_still(primary);
        told_of_a_kill(primary, &stream.outcome(&id))
    });
    assert_killed(primary, &killed.unwrap());
    let _ = writer.wait();

    assert_eq!(primary.stream().obey(3, 1, Order::Start), Answer::Done);
    let killed = (1..20).find_map(|seq| {
        primary.wait_until_it_answers();
        let mut stream = primary.stream();
        stand_still(primary);
        // It has a session before anybody has seen that the server is silent: in most tries.
        let outcome = stream.order(3, 2 * seq, Order::SemiSync { on: true });
        assert!(matches!(outcome, Outcome::Error(_)), "{outcome:?}");
        told_of_a_kill(primary, &stream.order(3, 2 * seq + 1, Order::ResetSemiSync))
    });
    assert_killed(primary, &killed.unwrap());
}

/// What a kill was told with; else the server goes on.
fn told_of_a_kill(member: &Member, outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Error(error) if error.message.contains("mariadbd was killed") => Some(error.message.clone()),
        _ => {
            signal(member, "-CONT");
            member.wait_until_it_answers();
            None
        }
    }
}

/// Without a thread that collects acknowledgements semi-sync stays off, and the server says that all went well.
pub fn a_primary_whose_semi_sync_stays_off_is_killed(setup: Setup) {
    let members = cluster::<2>(setup);
    let primary = &members[0];
    let limited = as_server("prlimit").args(["--nproc=1", "--pid", &primary.mariadbd_pid()]).status().unwrap();
    assert!(limited.success());
    let refused = primary.stream().refuse(2, 1, Order::ResetSemiSync);
    assert!(refused.message.contains("semi-sync stayed off"), "{refused:?}");
    assert_killed(primary, &refused.message);
}

fn assert_killed(member: &Member, told: &str) {
    assert!(told.contains("mariadbd was killed"), "{told}");
    let state = member.wait_for("it has ended", |state| matches!(state.mariadbd, Mariadbd::Exited { .. }));
    println!("{:?}", state.mariadbd);
}

/// A writer that holds up a lock, and who waits for it.
const WRITES: &str = "INFO LIKE 'INSERT%' AND STATE = 'User sleep'";
const LOCKS: &str = "INFO LIKE '%FLUSH TABLES WITH READ LOCK'";

/// A statement that returns once another session is found so.
fn until_somebody_is(so: &str) -> String {
    let others = format!("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND {so}");
    format!("DELIMITER //\nBEGIN NOT ATOMIC WHILE NOT EXISTS ({others}) DO DO SLEEP(0.01); END WHILE; END//")
}

fn stand_still(member: &Member) {
    signal(member, "-STOP");
}

fn signal(member: &Member, signal: &str) {
    let sent = Command::new("kill").args([signal, &member.mariadbd_pid()]).status().unwrap();
    assert!(sent.success());
}
