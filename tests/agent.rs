//! Agents with real launches and real servers, driven by orders as the operator gives them.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use beachmaster::orders::{
    Answer, Event, Frozen, Incarnation, LogEvidence, Mariadbd, MemberRole, Order, Ordinal, Outcome, Reason, Secret,
    Source, Volume,
};

#[path = "common/disk.rs"]
mod disk;
#[path = "common/member.rs"]
mod member;

use disk::Disk;
use member::{LIMIT, Member, Version, succeeds, until};

/// Transactions enough for the candidate to let go of syncs, and not to be done within a moment.
const LONG_TAIL: usize = 8_000;

/// The same with every version; each is a test, so that they run side by side.
macro_rules! with_every_version {
    ($($name:ident),* $(,)?) => {
        mod mariadb_10_11 {
            $(#[test] fn $name() { super::$name(super::Version::V10_11); })*
        }
        mod mariadb_11_8 {
            $(#[test] fn $name() { super::$name(super::Version::V11_8); })*
        }
    };
}

with_every_version!(
    a_dead_primary_s_tail_is_served_and_the_candidate_takes_over,
    ackers_are_added_freed_and_locked_out,
    processes_may_be_killed_and_tokens_are_remembered,
    an_acker_recovers_what_it_received_in_an_earlier_run,
    a_long_tail_is_applied_without_syncs_and_survives_a_crash,
    volumes_that_are_not_ours_are_left_alone,
);

fn follow(source: &Member, semi_sync: bool) -> Order {
    Order::Follow { source: source.source(), semi_sync, wait: None }
}

fn promote(min: &str, server_id: u32) -> Order {
    Order::Promote { min: min.parse().unwrap(), server_id, semi_sync: true }
}

fn init(member: &Member) -> Answer {
    member.stream().obey(1, 1, Order::Init { identity: member.identity() })
}

/// Lets a fenced primary serve its binary logs: its answer, and where to follow.
fn serve_tail(old: &Member, seq: u64) -> (Answer, Source) {
    let (user, password) = ("one-time".to_owned(), Secret("password".to_owned()));
    let serve = Order::ServeBinlog { user: user.clone(), password: password.clone() };
    let answer = old.stream().obey(2, seq, serve);
    (answer, Source::Donor { host: "127.0.0.1".to_owned(), port: old.binlog_port, user, password })
}

/// Members of which the first is the primary and the others acknowledge to it.
fn cluster<const N: u8>(version: Version) -> Vec<Member> {
    let members: Vec<Member> = (0..N).map(|ordinal| Member::start_version(version, ordinal, "")).collect();
    std::thread::scope(|scope| members.iter().for_each(|member| drop(scope.spawn(|| init(member)))));
    for replica in &members[1..] {
        replica.stream().obey(1, 2, follow(&members[0], true));
    }
    members[0].stream().obey(1, 2, promote("", 0x11));
    assert!(members[0].sql("SELECT VERSION()").starts_with(&format!("{version}.")));
    members[0].sql("CREATE DATABASE d; CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, a INT)");
    members
}

fn write(member: &Member, rows: usize) {
    member.sql(&"INSERT INTO d.t (a) VALUES (1);".repeat(rows));
}

fn semi_sync_status(member: &Member, name: &str) -> String {
    let query = format!("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_{name}'");
    member.sql(&query).split_whitespace().nth(1).unwrap_or_default().to_owned()
}

fn wait_until_equal(members: &[&Member]) {
    let content =
        |member: &Member| member.sql("SELECT @@gtid_binlog_pos; CHECKSUM TABLE d.t; SELECT COUNT(*) FROM d.t");
    until("the members are equal", || {
        let contents: Vec<String> = members.iter().map(|member| content(member)).collect();
        contents.windows(2).all(|pair| pair[0] == pair[1])
    });
}

/// What only an acker has, and has not applied, survives its crash and the loss of the primary.
fn an_acker_recovers_what_it_received_in_an_earlier_run(version: Version) {
    let members = cluster::<3>(version);
    let [primary, acker, replica] = &members[..] else { panic!() };
    write(primary, 5);
    wait_until_equal(&[primary, acker, replica]);
    replica.sql("STOP SLAVE IO_THREAD");
    acker.sql("STOP SLAVE SQL_THREAD");
    write(primary, 20);
    let end = primary.position();
    acker.kill_mariadbd();
    let Answer::Fenced { .. } = primary.stream().obey(2, 1, Order::Fence) else { panic!() };
    acker.wait_for("the acker runs again", |state| {
        matches!(state.mariadbd, Mariadbd::Running { incarnation: Incarnation(2), sql: true })
    });
    let Answer::Frozen(before) = acker.stream().obey(2, 1, Order::Freeze) else { panic!() };
    assert!(!before.received.covers(&end), "MariaDB itself knows nothing of what it had received");

    let of = Incarnation(1);
    for seq in [2, 3] {
        let recovered = acker.stream().obey(2, seq, Order::Recover { incarnation: of, server_id: 0x11 });
        let frozen = Frozen { incarnation: Incarnation(2), received: end.clone(), applied: end.clone(), killed: false };
        assert_eq!(recovered, Answer::Recovered { of, frozen }, "it may be repeated");
    }
    assert_eq!(acker.sql("SELECT COUNT(*) FROM d.t"), "25");
    assert!(acker.sql("SHOW SLAVE STATUS").contains("127.0.0.1"));
    let catch_up = Order::Follow { source: acker.source(), semi_sync: false, wait: Some(end.clone()) };
    replica.stream().obey(2, 1, Order::Freeze);
    assert_eq!(replica.stream().obey(2, 2, catch_up), Answer::Applied { position: end.clone(), reached: true });
    acker.stream().obey(2, 4, promote(&end.to_string(), 0x22));
    wait_until_equal(&[acker, replica]);
    let refused = acker.stream().refuse(2, 5, Order::Recover { incarnation: of, server_id: 0x11 });
    assert_eq!(refused.reason, Reason::StillRunning, "never on a primary");
}

fn a_dead_primary_s_tail_is_served_and_the_candidate_takes_over(version: Version) {
    let members = cluster::<3>(version);
    let [old, candidate, other] = &members[..] else { panic!() };
    assert_eq!(old.sql("SELECT @@server_id, @@read_only, @@event_scheduler"), "17\t0\tON");
    write(old, 20);
    assert_eq!(semi_sync_status(old, "master_clients"), "2");
    assert_eq!(semi_sync_status(old, "master_no_tx"), "0");
    assert!(old.position().to_string().starts_with("0-17-"), "the reign's own server_id");

    for (member, seq) in [(candidate, 1), (other, 1)] {
        let Answer::Frozen(frozen) = member.stream().obey(2, seq, Order::Freeze) else { panic!() };
        assert!(!frozen.killed && frozen.incarnation == Incarnation(1));
        assert!(frozen.received.covers(&old.position()));
    }
    // The tail: waits for an acknowledgement that cannot come, and is in the old primary's binary log only.
    let mut stuck = old.client("INSERT INTO d.t (a) VALUES (2)");
    until("the tail is written", || semi_sync_status(old, "master_wait_sessions") == "1");

    let began = Instant::now();
    let Answer::Fenced { logs: LogEvidence::Readable { end, .. } } = old.stream().obey(2, 1, Order::Fence) else {
        panic!()
    };
    assert!(!succeeds("the fenced primary drops its client", &mut stuck), "a fenced primary acknowledges nothing");
    let state = old.state();
    assert!(matches!(&state.mariadbd, Mariadbd::Exited { status, .. } if status.signal == Some(9)));
    assert!(state.record().unwrap().hold);
    let (serving, source) = serve_tail(old, 2);
    assert_eq!(serving, Answer::Serving { port: old.binlog_port, end: end.clone() });
    let catch_up = Order::Follow { source, semi_sync: false, wait: Some(end.clone()) };
    let applied = candidate.stream().obey(2, 2, catch_up);
    assert_eq!(applied, Answer::Applied { position: end.clone(), reached: true });
    assert_eq!(candidate.sql("SELECT COUNT(*) FROM d.t"), "21", "the tail was rescued");

    let too_much = Order::Promote { min: "0-17-99999".parse().unwrap(), server_id: 0x22, semi_sync: true };
    assert_eq!(candidate.stream().refuse(2, 3, too_much).reason, Reason::MissingTransactions);
    assert_eq!(candidate.state().record().unwrap().role, MemberRole::Replica, "a refused promotion changes nothing");
    other.stream().obey(2, 2, follow(candidate, true));
    let promotion = || promote(&end.to_string(), 0x22);
    assert_eq!(candidate.stream().obey(2, 4, promotion()), Answer::Promoted { position: end.clone() });
    println!("fence to promoted: {:?}", began.elapsed());
    write(candidate, 5);
    assert_eq!(semi_sync_status(candidate, "master_no_tx"), "0");
    assert!(matches!(candidate.stream().obey(2, 5, promotion()), Answer::Promoted { .. }), "it may be repeated");
    assert_eq!(candidate.sql("SHOW SLAVE STATUS"), "");

    assert_eq!(candidate.stream().refuse(2, 6, follow(other, true)).reason, Reason::StillRunning);
    old.stream().obey(2, 3, Order::Start);
    old.stream().obey(2, 4, follow(candidate, true));
    write(candidate, 5);
    wait_until_equal(&[candidate, other, old]);
    let role = |member: &Member| member.state().record().unwrap().role;
    assert_eq!(
        [role(old), role(candidate), role(other)],
        [MemberRole::Replica, MemberRole::Primary, MemberRole::Replica]
    );
    let before = other.sql("SHOW ALL SLAVES STATUS");
    other.stream().obey(2, 3, follow(candidate, true));
    let connection = |text: &str| text.split('\t').nth(7).map(ToOwned::to_owned);
    assert_eq!(connection(&other.sql("SHOW ALL SLAVES STATUS")), connection(&before), "following twice does nothing");
}

fn ackers_are_added_freed_and_locked_out(version: Version) {
    let members = cluster::<2>(version);
    let [primary, replica] = &members[..] else { panic!() };
    write(primary, 3);
    replica.stream().obey(2, 1, Order::SetAcker { on: false });
    assert_eq!(semi_sync_status(replica, "slave_status"), "OFF");
    until("the primary has no acker", || semi_sync_status(primary, "master_clients") == "0");

    // The trap: the replica has the waiting transaction already when it becomes an acker.
    let mut stuck = primary.client("INSERT INTO d.t (a) VALUES (9)");
    until("the replica has the waiting transaction", || replica.sql("SELECT COUNT(*) FROM d.t WHERE a = 9") == "1");
    replica.stream().obey(2, 2, Order::SetAcker { on: true });
    assert_eq!(semi_sync_status(replica, "slave_status"), "ON");
    assert_eq!(semi_sync_status(primary, "master_wait_sessions"), "1", "an acker is there, and nothing flows");
    replica.stream().obey(2, 3, Order::Unstick);
    assert!(succeeds("the waiting commit is acknowledged", &mut stuck));
    write(primary, 3);
    assert!(replica.sql("SHOW ALL SLAVES STATUS").contains("Slave_Pos"), "by GTID again");

    primary.stream().obey(2, 2, Order::EvictAcker { ordinal: Ordinal(1) });
    assert_eq!(semi_sync_status(primary, "master_clients"), "0");
    let mut stuck = primary.client("INSERT INTO d.t (a) VALUES (10)");
    until("the commit waits", || semi_sync_status(primary, "master_wait_sessions") == "1");
    until("the replica is locked out", || replica.sql("SHOW ALL SLAVES STATUS").contains("locked"));
    primary.stream().obey(2, 3, Order::ReadmitAcker { ordinal: Ordinal(1) });
    assert!(succeeds("the acker let in again acknowledges", &mut stuck));
    assert!(matches!(primary.stream().obey(2, 4, Order::SemiSync { on: true }), Answer::Done));
    assert_eq!(replica.stream().refuse(2, 4, Order::SemiSync { on: true }).reason, Reason::Unsupported);
}

fn processes_may_be_killed_and_tokens_are_remembered(version: Version) {
    let mut members = cluster::<2>(version);
    write(&members[0], 10);
    let run = |member: &Member| match member.state().mariadbd {
        Mariadbd::Running { incarnation, .. } => incarnation,
        other => panic!("{other:?}"),
    };

    // The agent of the replica.
    let pid = members[1].mariadbd_pid();
    members[1].kill_agent();
    let began = Instant::now();
    members[1].start_agent();
    members[1].wait_until_it_answers();
    let end = members[0].position();
    assert!(matches!(
        members[1].stream().obey(2, 1, Order::Await { position: end }),
        Answer::Applied { reached: true, .. }
    ));
    println!("agent killed, order carried out: {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!((members[1].mariadbd_pid(), run(&members[1])), (pid, Incarnation(1)));
    assert_eq!(members[1].stream().refuse(1, 99, Order::Freeze).reason, Reason::StaleToken);

    // mariadbd of the replica.
    let mut stream = members[1].stream();
    members[1].sql("STOP SLAVE SQL_THREAD");
    write(&members[0], 5);
    members[1].kill_mariadbd();
    let exited = stream.event(Event::Exited);
    assert!(matches!(exited.mariadbd, Mariadbd::Exited { incarnation: Incarnation(1), .. }));
    let restarted = stream.event(Event::Answers);
    assert!(matches!(restarted.mariadbd, Mariadbd::Running { incarnation: Incarnation(2), sql: true }));
    assert_eq!(members[1].sql("SELECT COUNT(*) FROM d.t"), "10", "received, not applied");
    let kept = members[1].path("volume/beachmaster/relay/1/relay.index");
    let names = fs::read_to_string(kept).unwrap();
    let newest = names.lines().last().unwrap().trim_start_matches("./");
    let size = |path: &str| fs::metadata(members[1].path(path)).unwrap().len();
    assert!(size(&format!("volume/beachmaster/relay/1/{newest}")) > 500, "the unapplied transactions are kept");
    members[1].stream().obey(2, 2, follow(&members[0], true));
    wait_until_equal(&[&members[0], &members[1]]);

    until("the kept relay logs are covered and removed", || !members[1].path("volume/beachmaster/relay/1").exists());

    // launch of the replica, and mariadbd with it.
    let mut stream = members[1].stream();
    members[1].kill_launch();
    let exited = stream.event(Event::Exited);
    assert!(matches!(exited.mariadbd, Mariadbd::Exited { incarnation: Incarnation(2), .. }), "{exited:?}");
    members[1].start_launch();
    assert!(matches!(stream.event(Event::Answers).mariadbd, Mariadbd::Running { incarnation: Incarnation(3), .. }));
    members[1].stream().obey(2, 3, follow(&members[0], true));

    // A newer order ends one that waits.
    let mut waiting = members[1].stream();
    let id = waiting.send(2, 4, LIMIT, Order::Await { position: "0-17-99999".parse().unwrap() });
    members[1].wait_for("the order runs", |state| state.running.as_deref() == Some("await"));
    let began = Instant::now();
    assert!(matches!(members[1].stream().obey(2, 5, Order::Freeze), Answer::Frozen(_)));
    let Outcome::Error(error) = waiting.outcome(&id) else { panic!() };
    assert_eq!(error.reason, Reason::Superseded);
    println!("superseded and frozen: {:?}", began.elapsed());
    let short =
        waiting.send(2, 6, Duration::from_millis(400), Order::Await { position: "0-17-99999".parse().unwrap() });
    assert!(matches!(waiting.outcome(&short), Outcome::Ok(Answer::Applied { reached: false, .. })));

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

/// A long tail is applied without syncs; before anybody hears that it is applied it is durable.
fn a_long_tail_is_applied_without_syncs_and_survives_a_crash(version: Version) {
    let members = cluster::<2>(version);
    let [old, candidate] = &members[..] else { panic!() };
    assert_eq!(old.stream().obey(2, 1, Order::SemiSync { on: false }), Answer::Done);
    candidate.stream().obey(2, 1, Order::Freeze);
    old.sql("SET GLOBAL sync_binlog=0, innodb_flush_log_at_trx_commit=0");
    (0..LONG_TAIL / 1_000).for_each(|_| write(old, 1_000));
    let Answer::Fenced { logs: LogEvidence::Readable { end, .. } } = old.stream().obey(2, 2, Order::Fence) else {
        panic!()
    };
    let (_, source) = serve_tail(old, 3);
    let catch_up = Order::Follow { source, semi_sync: false, wait: Some(end.clone()) };

    // Its time is too short: the next order finds it on the way.
    let mut stream = candidate.stream();
    let id = stream.send(2, 2, Duration::from_millis(300), catch_up.clone());
    let outcome = stream.outcome(&id);
    assert!(matches!(outcome, Outcome::Ok(Answer::Applied { reached: false, .. })), "{outcome:?}");
    let durability = "SELECT @@sync_binlog, @@innodb_flush_log_at_trx_commit";
    assert_eq!(candidate.sql(durability), "0\t2");
    candidate.kill_mariadbd();
    stream.event(Event::Exited);
    candidate.wait_until_it_answers();
    assert_eq!(candidate.sql(durability), "1\t1", "as its command line says");

    let applied = candidate.stream().obey(2, 3, catch_up);
    assert_eq!(applied, Answer::Applied { position: end.clone(), reached: true });
    assert_eq!(candidate.sql(durability), "1\t1");
    let promoted = candidate.stream().obey(2, 4, promote(&end.to_string(), 0x22));
    assert_eq!(promoted, Answer::Promoted { position: end }, "making it durable writes no transaction");
    assert_eq!(candidate.sql("SELECT COUNT(*) FROM d.t"), LONG_TAIL.to_string());
}

/// A pod deleted by force goes on without its volume, which has moved to its successor: it must not become primary.
#[test]
fn without_its_volume_a_member_obeys_nothing() {
    let disk = Disk::mount();
    let member = Member::start_on(&disk.path(), 0);
    init(&member);
    disk.take_away();
    let refused = member.stream().refuse(2, 1, promote("", 0x21));
    assert_eq!(refused.reason, Reason::Volume, "{refused:?}");
    assert_eq!(member.sql("SELECT @@read_only, @@server_id"), "1\t2147483649");
}

fn volumes_that_are_not_ours_are_left_alone(version: Version) {
    let mut member = Member::start_version(version, 4, "");
    let mut stream = member.stream();
    assert_eq!(stream.state.volume, Volume::Blank);
    assert_eq!(stream.refuse(1, 1, Order::Start).reason, Reason::Volume);
    let theirs = beachmaster::orders::Identity { ordinal: Ordinal(3), ..member.identity() };
    assert_eq!(stream.refuse(1, 2, Order::Init { identity: theirs }).reason, Reason::Unsupported);

    fs::write(member.path("bootstrap"), "app-password\n").unwrap();
    fs::write(member.path("root"), "root-password\n").unwrap();
    member.kill_agent();
    // A crash in the middle of an earlier try.
    fs::create_dir(member.path("volume/data.init")).unwrap();
    fs::write(member.path("volume/data.init/ibdata1"), "half").unwrap();
    member.hand_over();
    member.start_agent();
    let order = || Order::Init { identity: member.identity() };
    let mut stream = member.stream();
    stream.obey(1, 3, order());
    stream.obey(1, 4, order());
    assert_eq!(http(member.http_port, "/readyz").0, "200");
    let client = |user: &str, password: &str, statement: &str| {
        let mut client = std::process::Command::new(version.program("mariadb"));
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--host=127.0.0.1", "--execute", statement]);
        client.args([format!("--port={}", member.port), format!("--user={user}"), format!("--password={password}")]);
        let output = client.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    assert_eq!(client("app", "app-password", "SHOW DATABASES LIKE 'shop'"), (true, "shop".to_owned()));
    assert_eq!(
        client("root", "root-password", "SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'beachmaster%'"),
        (true, "10".to_owned())
    );
    assert!(client("beachmaster_probe", "secretprobe", "SHOW ALL SLAVES STATUS; SHOW GLOBAL STATUS LIKE 'Rpl%'").0);
    assert!(!client("beachmaster_probe", "wrong", "SELECT 1").0);
    assert_eq!(member.sql("SELECT @@gtid_binlog_pos, @@read_only, @@server_id"), "\t1\t2147483653".trim());

    let mut foreign = stream.ping();
    assert!(matches!(&mut foreign.volume, Volume::Recorded { record } if record.identity == member.identity()));
    member.stream().obey(1, 5, Order::Fence);
    assert_eq!(http(member.http_port, "/readyz").0, "503");
    assert_eq!(member.stream().refuse(1, 6, Order::Freeze).reason, Reason::NotRunning);

    // The same volume in another member's pod.
    member.kill_agent();
    member.ordinal = 5;
    member.start_agent();
    let refused = member.stream().refuse(1, 7, Order::Start);
    assert!(refused.reason == Reason::Volume && refused.message.contains("member 4"), "{refused:?}");

    // A record nobody can read.
    member.kill_agent();
    member.ordinal = 4;
    let record = member.path("volume/beachmaster/record");
    let damaged = vec![0x55; fs::read(&record).unwrap().len()];
    fs::write(&record, &damaged).unwrap();
    member.start_agent();
    let Volume::Unusable { message } = member.state().volume else { panic!() };
    assert!(message.contains("never overwritten"), "{message}");
    assert_eq!(member.stream().refuse(9, 9, Order::Init { identity: member.identity() }).reason, Reason::Volume);
    assert_eq!(fs::read(&record).unwrap(), damaged);
}

fn http(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let code = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    (code, answer)
}
