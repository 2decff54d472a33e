//! Agents with real launches and real servers, driven by orders as the operator gives them.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::time::{Duration, Instant};

use beachmaster::gtid::GtidPosition;
use beachmaster::orders::{
    AgentState, Answer, Ended, Event, Frozen, Incarnation, LogEvidence, Mariadbd, MemberRole, Order, Ordinal, Outcome,
    Reason, Secret, Source,
};

#[path = "common/member.rs"]
mod member;

use member::{LIMIT, Member, Setup, Version, succeeds, until};

/// Transactions enough for the candidate to let go of syncs, and not to be done within a moment.
const LONG_TAIL: usize = 8_000;

/// Binary and relay logs, tables and temporary files.
const ENCRYPT: &str = "encrypt_binlog=ON\nencrypt_tmp_files=ON\ninnodb_encrypt_tables=FORCE\ninnodb_encrypt_log=ON\n";
const KEYS: &str = "# made for a test\n1;5f0a7b3e91c2d4486a7f1b2c3d4e5f60718293a4b5c6d7e8f9011223344556ab\n2;00112233445566778899aabbccddeeff\n";
const COMPRESS: &str = "log_bin_compress=ON\nlog_bin_compress_min_len=10\n";

const fn encrypted(version: Version, cipher: &'static str) -> Setup {
    Setup { version, options: ENCRYPT, keys: Some((cipher, KEYS)) }
}

const fn compressed(version: Version) -> Setup {
    Setup { version, options: COMPRESS, keys: None }
}

/// The same with members of several kinds; each is a test, so that they run side by side.
macro_rules! with_members {
    ($($kind:ident: $setup:expr => $($name:ident),*;)*) => {
        $(mod $kind {
            use super::*;
            $(#[test] fn $name() { super::$name($setup); })*
        })*
    };
}

with_members! {
    mariadb_10_11: Setup::plain(Version::V10_11) =>
        a_dead_primary_s_tail_is_served_and_the_candidate_takes_over,
        ackers_are_added_freed_and_locked_out,
        processes_may_be_killed_and_tokens_are_remembered,
        an_acker_recovers_what_it_received_in_an_earlier_run,
        a_sql_thread_that_was_stopped_by_hand_is_started,
        a_read_lock_over_stopped_threads_is_named,
        a_lock_that_keeps_writes_waiting_is_told,
        who_holds_a_lock_is_named,
        a_replica_that_a_lock_holds_up_acknowledges_again,
        a_replica_that_a_lock_holds_up_acknowledges_its_restarted_source,
        an_acker_recovers_what_it_threw_away_in_its_run,
        a_long_tail_is_applied_without_syncs_and_survives_a_crash;
    mariadb_11_8: Setup::plain(Version::V11_8) =>
        a_dead_primary_s_tail_is_served_and_the_candidate_takes_over,
        ackers_are_added_freed_and_locked_out,
        processes_may_be_killed_and_tokens_are_remembered,
        an_acker_recovers_what_it_received_in_an_earlier_run,
        orders_that_reconnect_start_a_stopped_sql_thread,
        a_read_lock_over_stopped_threads_is_named,
        a_lock_that_keeps_writes_waiting_is_told,
        who_holds_a_lock_is_named,
        a_replica_that_a_lock_holds_up_acknowledges_again,
        a_replica_that_a_lock_holds_up_acknowledges_its_restarted_source,
        a_sql_thread_that_was_stopped_by_hand_is_started,
        an_acker_recovers_what_it_threw_away_in_its_run,
        a_long_tail_is_applied_without_syncs_and_survives_a_crash;
    encrypted_10_11: encrypted(Version::V10_11, "AES_CBC") =>
        processes_may_be_killed_and_tokens_are_remembered,
        an_acker_recovers_what_it_received_in_an_earlier_run,
        a_long_tail_is_applied_without_syncs_and_survives_a_crash,
        encrypted_logs_are_read_with_their_key_only;
    encrypted_11_8: encrypted(Version::V11_8, "AES_CTR") => a_long_tail_is_applied_without_syncs_and_survives_a_crash;
    compressed_11_8: compressed(Version::V11_8) => a_long_tail_is_applied_without_syncs_and_survives_a_crash;
}

/// `replica` follows as an acker in its present run.
fn follow(replica: &Member, source: &Member) -> Order {
    let Mariadbd::Running { incarnation, .. } = replica.state().mariadbd else { panic!() };
    Order::Follow { source: source.source(), acker: Some(incarnation), wait: None }
}

fn promote(required: &str, server_id: u32) -> Order {
    Order::Promote { required: required.parse().unwrap(), server_id, semi_sync: true }
}

/// Lets a fenced primary serve its binary logs to who has everything up to `after`: its answer, and where to follow.
fn serve_tail(old: &Member, seq: u64, after: GtidPosition) -> (Answer, Source) {
    let (user, password) = ("one-time".to_owned(), Secret("password".to_owned()));
    let serve = Order::ServeBinlog { user: user.clone(), password: password.clone(), after };
    let answer = old.stream().obey(2, seq, serve);
    (answer, Source::Donor { host: "127.0.0.1".to_owned(), port: old.binlog_port, user, password })
}

/// Members of which the first is the primary and the others acknowledge to it.
fn cluster<const N: u8>(setup: Setup) -> Vec<Member> {
    let members: Vec<Member> = (0..N).map(|ordinal| Member::start_like(setup, ordinal)).collect();
    std::thread::scope(|scope| members.iter().for_each(|member| drop(scope.spawn(|| member.init()))));
    for replica in &members[1..] {
        replica.stream().obey(1, 2, follow(replica, &members[0]));
    }
    members[0].stream().obey(1, 2, promote("", 0x11));
    assert!(members[0].sql("SELECT VERSION()").starts_with(&format!("{}.", setup.version)));
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
fn an_acker_recovers_what_it_received_in_an_earlier_run(setup: Setup) {
    let members = cluster::<3>(setup);
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
        let frozen = Frozen {
            incarnation: Incarnation(2),
            received: end.clone(),
            applied: end.clone(),
            killed: false,
            dropped: false,
            settled: true,
        };
        assert_eq!(recovered, Answer::Recovered { of, frozen }, "it may be repeated");
    }
    assert_eq!(acker.sql("SELECT COUNT(*) FROM d.t"), "25");
    assert!(acker.sql("SHOW SLAVE STATUS").contains("127.0.0.1"));
    let catch_up = Order::Follow { source: acker.source(), acker: None, wait: Some(end.clone()) };
    replica.stream().obey(2, 1, Order::Freeze);
    assert_eq!(
        replica.stream().obey(2, 2, catch_up),
        Answer::Applied { position: end.clone(), reached: true, held: None }
    );
    acker.stream().obey(2, 4, promote(&end.to_string(), 0x22));
    wait_until_equal(&[acker, replica]);
    let refused = acker.stream().refuse(2, 5, Order::Recover { incarnation: of, server_id: 0x11 });
    assert_eq!(refused.reason, Reason::StillRunning, "never on a primary");
}

/// What an acker has received and not applied is thrown away when it is told to follow somebody who is gone. That is told,
/// and brought back.
fn an_acker_recovers_what_it_threw_away_in_its_run(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    write(primary, 5);
    wait_until_equal(&[primary, acker]);
    acker.sql("STOP SLAVE SQL_THREAD");
    write(primary, 20);
    let end = primary.position();
    // Else the freeze starts the SQL thread, which applies all of it.
    acker.sql("STOP SLAVE IO_THREAD");
    let Answer::Frozen(before) = acker.stream().obey(2, 1, Order::Freeze) else { panic!() };
    assert!(before.received.covers(&end) && !before.dropped && before.settled, "{before:?}");

    // As an order leaves it that is cut off in the middle: the server may still say what it had from the source before.
    acker.sql("STOP SLAVE; CHANGE MASTER TO MASTER_PORT=1");
    println!("Gtid_IO_Pos after CHANGE MASTER: {}", acker.sql("SHOW ALL SLAVES STATUS").contains(&end.to_string()));
    let Answer::Frozen(cut) = acker.stream().obey(2, 2, Order::Freeze) else { panic!() };
    assert!(cut.dropped && !cut.received.covers(&end), "{cut:?}");

    let nobody = Source::Donor {
        host: "127.0.0.1".to_owned(),
        port: primary.binlog_port,
        user: "u".to_owned(),
        password: Secret("p".to_owned()),
    };
    let gone = acker.stream().refuse(2, 3, Order::Follow { source: nobody, acker: None, wait: Some(end.clone()) });
    assert!(gone.message.contains("nothing comes from 127.0.0.1"), "{}", gone.message);
    let Answer::Frozen(after) = acker.stream().obey(2, 4, Order::Freeze) else { panic!() };
    assert!(after.dropped && !after.received.covers(&end), "{after:?}");

    let of = Incarnation(1);
    let Answer::Recovered { frozen, .. } =
        acker.stream().obey(2, 5, Order::Recover { incarnation: of, server_id: 0x11 })
    else {
        panic!()
    };
    assert!(frozen.applied.covers(&end) && !frozen.dropped, "{frozen:?}");
    assert_eq!(acker.sql("SELECT COUNT(*) FROM d.t"), "25");
    let Answer::Frozen(again) = acker.stream().obey(2, 6, Order::Freeze) else { panic!() };
    assert_eq!(again, frozen, "what was recovered is not missed once more");
}

/// Nothing that a member has received waits for somebody to type START SLAVE; and that alone, with both threads stopped,
/// would throw it away.
fn a_sql_thread_that_was_stopped_by_hand_is_started(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    let mut seq = 0;
    let mut stopped_by = |statements: &[&str]| {
        acker.sql("STOP SLAVE SQL_THREAD");
        write(primary, 20);
        let end = primary.position();
        statements.iter().for_each(|statement| drop(acker.sql(statement)));
        let Answer::Frozen(frozen) = acker.stream().obey(2, seq + 1, Order::Freeze) else { panic!() };
        assert!(frozen.received.covers(&end) && !frozen.dropped, "{frozen:?}");
        let wait = Order::Await { position: end.clone() };
        let applied = acker.stream().obey(2, seq + 2, wait);
        assert_eq!(applied, Answer::Applied { position: end, reached: true, held: None }, "{statements:?}");
        seq += 3;
        acker.stream().obey(2, seq, follow(acker, primary));
    };
    stopped_by(&[]);
    stopped_by(&["STOP SLAVE IO_THREAD"]);
    wait_until_equal(&[primary, acker]);

    acker.sql("SET sql_log_bin = 0; INSERT INTO d.t VALUES (1000, 1)");
    primary.sql("INSERT INTO d.t VALUES (1000, 2)");
    acker.stream().obey(3, 1, Order::Freeze);
    let failed = acker.stream().refuse(3, 2, Order::Await { position: primary.position() });
    assert!(failed.message.contains("the SQL thread stopped: error 1062"), "{}", failed.message);
}

/// Holds a read lock, as a backup does.
struct Backup<'a> {
    of: &'a Member,
    client: std::process::Child,
}

impl<'a> Backup<'a> {
    fn begin(of: &'a Member) -> Self {
        let client = of.client("FLUSH TABLES WITH READ LOCK; SELECT 'locked', SLEEP(600)");
        let sleeps = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
        until("it is locked", || of.sql(sleeps) == "1");
        Self { of, client }
    }

    fn session(&self) -> String {
        self.of.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'")
    }

    fn end(mut self) {
        self.of.sql(&format!("KILL {}", self.session()));
        self.client.wait().unwrap();
    }
}

/// Clients wait on a primary, the SQL thread on a replica; and nothing that is read of either shows it.
fn a_lock_that_keeps_writes_waiting_is_told(setup: Setup) {
    let members = cluster::<2>(setup);
    let note = |member: &Member| member.state().sql_notes.writes_locked;
    for member in &members {
        assert_eq!(note(member), None);
        let end = member.position();
        let backup = Backup::begin(member);
        let began = Instant::now();
        until("it is told", || note(member).is_some());
        println!("told after {:?}: {:?}", began.elapsed(), note(member));
        let holder = format!("that may hold it: {} (mysql@localhost, SELECT)", backup.session());
        // One look may also catch a client of this test as it comes or goes.
        until("it alone is named", || note(member).is_some_and(|told| told.ends_with(&holder)));
        backup.end();
        until("it is over", || note(member).is_none());
        assert_eq!(member.position(), end, "looking writes nothing");
    }
    let primary = &members[0];
    let mut stage = primary.client("BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT; SELECT SLEEP(600)");
    until("commits are blocked", || primary.sql("SHOW PROCESSLIST").contains("User sleep"));
    let mut writer = primary.client("INSERT INTO d.t (a) VALUES (1)");
    until("it is told", || note(primary).is_some_and(|held| held.contains("(mysql@localhost, SELECT)")));
    stage.kill().unwrap();
    stage.wait().unwrap();
    let session = primary.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'");
    primary.try_sql(&format!("KILL {session}")).ok();
    assert!(succeeds("the writer goes on", &mut writer));
    until("it is over", || note(primary).is_none());
}

/// Among many sessions, after it has changed hands, and while it only waits itself.
fn who_holds_a_lock_is_named(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    let note = |member: &Member| member.state().sql_notes.writes_locked;
    let id = |of: &Member, what: &str| {
        let query =
            format!("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '{what}%' ORDER BY ID LIMIT 1");
        let mut found = String::new();
        until("the session is there", || {
            found = of.sql(&query);
            !found.is_empty()
        });
        found
    };
    let mut pool: Vec<_> = (0..7).map(|_| primary.client("SELECT 'pool', SLEEP(600)")).collect();
    let old = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT ''pool%' AND TIME_MS > 5000";
    until("they are there for a while", || primary.sql(old) == "7");

    let mut first = primary.client("FLUSH TABLES WITH READ LOCK; SELECT 'first', SLEEP(600)");
    let holder = id(primary, "SELECT ''first");
    let named = |id: &str, first_word: &str| format!("that may hold it: {id} (mysql@localhost, {first_word})");
    until("it alone is named", || note(primary).is_some_and(|told| told.ends_with(&named(&holder, "SELECT"))));
    let mut second = primary.client("FLUSH TABLES WITH READ LOCK; SELECT 'second', SLEEP(600)");
    let next = id(primary, "SELECT ''second");
    until("both hold it", || note(primary).is_some_and(|told| told.contains(&holder) && told.contains(&next)));
    primary.sql(&format!("KILL {holder}"));
    first.wait().unwrap();
    until("the other one is named", || note(primary).is_some_and(|told| told.ends_with(&named(&next, "SELECT"))));
    primary.sql(&format!("KILL {next}"));
    second.wait().unwrap();
    until("it is over", || note(primary).is_none());

    write(primary, 1);
    let mut long = primary.client("UPDATE d.t SET a = a + SLEEP(300) LIMIT 1");
    let update = id(primary, "UPDATE");
    let mut waits = primary.client("FLUSH TABLES WITH READ LOCK");
    let flush = id(primary, "FLUSH");
    until("what waits itself is named first", || {
        note(primary).is_some_and(|told| told.contains(&named(&flush, "FLUSH")))
    });
    for session in [&flush, &update] {
        primary.sql(&format!("KILL {session}"));
    }
    for client in [&mut long, &mut waits] {
        client.wait().unwrap();
    }
    until("it is over", || note(primary).is_none());
    pool.iter_mut().for_each(|client| client.kill().unwrap());
    for client in &mut pool {
        client.wait().unwrap();
    }

    let mut table = acker.client("LOCK TABLES d.t WRITE; SELECT 'table', SLEEP(600)");
    let holder = id(acker, "SELECT ''table");
    write(primary, 1);
    until("the SQL thread waits", || note(acker).is_some_and(|told| told.starts_with("its SQL thread waits")));
    until("its holder is named first", || note(acker).is_some_and(|told| told.contains(&named(&holder, "SELECT"))));
    assert_eq!(note(primary), None);
    acker.sql(&format!("KILL {holder}"));
    table.wait().unwrap();
    until("it is over", || note(acker).is_none());
    wait_until_equal(&[primary, acker]);

    acker.sql("SET GLOBAL read_only = 0");
    let refused = acker.stream().refuse(2, 1, Order::Freeze);
    assert_eq!(refused.reason, beachmaster::orders::Reason::StillRunning, "what it takes now would be lost");
}

/// A backup that stops both threads and takes a read lock: another candidate must not wait for it.
fn a_read_lock_over_stopped_threads_is_named(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    acker.sql("STOP SLAVE SQL_THREAD");
    write(primary, 20);
    let end = primary.position();
    acker.sql("STOP SLAVE IO_THREAD");
    let backup = Backup::begin(acker);
    let mut stream = acker.stream();
    let Answer::Frozen(frozen) = stream.obey(2, 1, Order::Freeze) else { panic!() };
    assert!(frozen.received.covers(&end) && !frozen.dropped, "{frozen:?}");
    let began = Instant::now();
    let wait = || Order::Await { position: end.clone() };
    let Answer::Applied { reached: false, held: Some(held), .. } = stream.obey(2, 2, wait()) else { panic!() };
    println!("named after {:?}: {held}", began.elapsed());
    assert!(held.starts_with("its SQL thread: Waiting for backup lock"), "{held}");
    let holder = format!("may hold what it waits for: {} (mysql@localhost, SELECT)", backup.session());
    assert!(held.ends_with(&holder), "{held}");
    assert!(matches!(stream.obey(2, 3, wait()), Answer::Applied { reached: false, held: Some(_), .. }), "still");
    backup.end();
    let mut seq = 3;
    until("it is applied", || {
        seq += 1;
        matches!(stream.obey(2, seq, wait()), Answer::Applied { reached: true, .. })
    });
    assert_eq!(acker.sql("SELECT COUNT(*) FROM d.t"), primary.sql("SELECT COUNT(*) FROM d.t"));
}

/// The old primary was started again because a lock held up all candidates: its commits must not wait for that lock.
fn a_replica_that_a_lock_holds_up_acknowledges_again(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    let backup = Backup::begin(acker);
    write(primary, 20);
    let Answer::Frozen(frozen) = acker.stream().obey(2, 1, Order::Freeze) else { panic!() };
    assert!(frozen.received.covers(&primary.position()) && !frozen.killed, "{frozen:?}");
    let began = Instant::now();
    assert_eq!(acker.stream().obey(2, 2, follow(acker, primary)), Answer::Done);
    println!("follows again after {:?}", began.elapsed());
    write(primary, 20);
    assert_eq!(semi_sync_status(primary, "master_no_tx"), "0", "all of it was acknowledged");
    backup.end();
    wait_until_equal(&[primary, acker]);
}

/// So it is when the replica had lost the old primary before it was frozen.
fn a_replica_that_a_lock_holds_up_acknowledges_its_restarted_source(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    let backup = Backup::begin(acker);
    write(primary, 20);
    let end = primary.position();
    primary.kill_mariadbd();
    until("it has lost its source", || acker.sql("SHOW SLAVE STATUS").contains("\t2003\t"));
    let Answer::Frozen(frozen) = acker.stream().obey(2, 1, Order::Freeze) else { panic!() };
    assert!(frozen.received.covers(&end) && !frozen.killed, "{frozen:?}");
    let mut stream = primary.stream();
    stream.obey(2, 1, Order::Fence);
    stream.obey(2, 2, Order::Start);
    let began = Instant::now();
    assert_eq!(acker.stream().obey(2, 2, follow(acker, primary)), Answer::Done);
    println!("follows again after {:?}", began.elapsed());
    stream.obey(2, 3, promote(&end.to_string(), 0x21));
    write(primary, 20);
    assert_eq!(semi_sync_status(primary, "master_no_tx"), "0", "all of it was acknowledged");
    backup.end();
    wait_until_equal(&[primary, acker]);
}

/// Orders that restart the IO thread alone drop nothing either.
fn orders_that_reconnect_start_a_stopped_sql_thread(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, acker] = &members[..] else { panic!() };
    let orders = [Order::Reconnect, follow(acker, primary), Order::SetAcker { acker: None }];
    for (seq, order) in (1..).zip(orders) {
        acker.sql("STOP SLAVE SQL_THREAD");
        write(primary, 5);
        acker.stream().obey(2, seq, order);
        wait_until_equal(&[primary, acker]);
    }
    let log = fs::read_to_string(acker.path("launch.log")).unwrap();
    // Relay logs that were dropped begin with number 1 again.
    assert_eq!(log.matches("relay log './relay.000001' position: 4;").count(), 1, "no relay log was dropped");
}

fn a_dead_primary_s_tail_is_served_and_the_candidate_takes_over(setup: Setup) {
    let members = cluster::<3>(setup);
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
    let (serving, source) = serve_tail(old, 2, candidate.position());
    assert_eq!(serving, Answer::Serving { port: old.binlog_port, end: end.clone(), bytes: None });
    let catch_up = Order::Follow { source, acker: None, wait: Some(end.clone()) };
    let applied = candidate.stream().obey(2, 2, catch_up);
    assert_eq!(applied, Answer::Applied { position: end.clone(), reached: true, held: None });
    assert_eq!(candidate.sql("SELECT COUNT(*) FROM d.t"), "21", "the tail was rescued");

    let too_much = Order::Promote { required: "0-17-99999".parse().unwrap(), server_id: 0x22, semi_sync: true };
    assert_eq!(candidate.stream().refuse(2, 3, too_much).reason, Reason::MissingTransactions);
    assert_eq!(candidate.state().record().unwrap().role, MemberRole::Replica, "a refused promotion changes nothing");
    other.stream().obey(2, 2, follow(other, candidate));
    let promotion = || promote(&end.to_string(), 0x22);
    assert_eq!(candidate.stream().obey(2, 4, promotion()), Answer::Promoted { position: end.clone() });
    println!("fence to promoted: {:?}", began.elapsed());
    write(candidate, 5);
    assert_eq!(semi_sync_status(candidate, "master_no_tx"), "0");
    assert!(matches!(candidate.stream().obey(2, 5, promotion()), Answer::Promoted { .. }), "it may be repeated");
    assert_eq!(candidate.sql("SHOW SLAVE STATUS"), "");

    assert_eq!(candidate.stream().refuse(2, 6, follow(candidate, other)).reason, Reason::StillRunning);
    old.stream().obey(2, 3, Order::Start);
    old.stream().obey(2, 4, follow(old, candidate));
    write(candidate, 5);
    wait_until_equal(&[candidate, other, old]);
    let role = |member: &Member| member.state().record().unwrap().role;
    assert_eq!(
        [role(old), role(candidate), role(other)],
        [MemberRole::Replica, MemberRole::Primary, MemberRole::Replica]
    );
    let before = other.sql("SHOW ALL SLAVES STATUS");
    other.stream().obey(2, 3, follow(other, candidate));
    let connection = |text: &str| text.split('\t').nth(7).map(ToOwned::to_owned);
    assert_eq!(connection(&other.sql("SHOW ALL SLAVES STATUS")), connection(&before), "following twice does nothing");
}

fn ackers_are_added_freed_and_locked_out(setup: Setup) {
    let members = cluster::<2>(setup);
    let [primary, replica] = &members[..] else { panic!() };
    write(primary, 3);
    replica.stream().obey(2, 1, Order::SetAcker { acker: None });
    assert_eq!(semi_sync_status(replica, "slave_status"), "OFF");
    until("the primary has no acker", || semi_sync_status(primary, "master_clients") == "0");

    // The trap: the replica has the waiting transaction already when it becomes an acker.
    let mut stuck = primary.client("INSERT INTO d.t (a) VALUES (9)");
    until("the replica has the waiting transaction", || replica.sql("SELECT COUNT(*) FROM d.t WHERE a = 9") == "1");
    replica.stream().obey(2, 2, Order::SetAcker { acker: Some(Incarnation(1)) });
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

fn processes_may_be_killed_and_tokens_are_remembered(setup: Setup) {
    let mut members = cluster::<2>(setup);
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
    assert!(matches!(exited.mariadbd, Mariadbd::Exited { incarnation: Incarnation(1), at: Some(_), .. }), "{exited:?}");
    let restarted = stream.event(Event::Answers);
    assert!(matches!(restarted.mariadbd, Mariadbd::Running { incarnation: Incarnation(2), sql: true }));
    assert_eq!(members[1].sql("SELECT COUNT(*) FROM d.t"), "10", "received, not applied");
    let kept = members[1].path("volume/beachmaster/relay/1/relay.index");
    let names = fs::read_to_string(kept).unwrap();
    let newest = names.lines().last().unwrap().trim_start_matches("./");
    let size = |path: &str| fs::metadata(members[1].path(path)).unwrap().len();
    assert!(size(&format!("volume/beachmaster/relay/1/{newest}")) > 500, "the unapplied transactions are kept");
    members[1].stream().obey(2, 2, follow(&members[1], &members[0]));
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
    members[1].stream().obey(2, 3, follow(&members[1], &members[0]));

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
    let Outcome::Error(error) = waiting.outcome(&short) else { panic!() };
    assert!(error.message.contains("its IO thread is stopped"), "{}", error.message);

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

/// A wrong key is no damage, and no reason to take the tail for lost.
fn encrypted_logs_are_read_with_their_key_only(setup: Setup) {
    let member = Member::start_like(setup, 0);
    member.init();
    assert!(member.sql("SHOW BINLOG EVENTS LIMIT 5").contains("Start_encryption"));
    let logs = |seq: u64| match member.stream().obey(2, seq, Order::Fence) {
        Answer::Fenced { logs } => logs,
        other => panic!("{other:?}"),
    };
    assert!(matches!(logs(1), LogEvidence::Readable { .. }));
    for (seq, keys, told) in [(2, KEYS.replace("1;5f", "1;6f"), "key"), (3, "2;00".to_owned(), "line 1")] {
        fs::write(member.path("keys"), keys).unwrap();
        let LogEvidence::Unreadable { message } = logs(seq) else { panic!("{told}") };
        println!("{message}");
        assert!(message.contains(told), "{message}");
    }
    fs::write(member.path("keys"), KEYS).unwrap();
    assert!(matches!(logs(4), LogEvidence::Readable { .. }));
}

fn binlog_bytes(member: &Member) -> u64 {
    let files = fs::read_dir(member.path("volume/data")).unwrap().map(Result::unwrap);
    let logs = files.filter(|file| file.file_name().to_string_lossy().starts_with("bin.0"));
    logs.map(|file| file.metadata().unwrap().len()).sum()
}

/// Gives the order as the operator does: an answer that it is on the way comes after some seconds, with news.
fn until_reached(member: &Member, seq: &mut u64, order: &Order, end: &GtidPosition) {
    let mut before = GtidPosition::empty();
    until("all is applied", || {
        *seq += 1;
        match member.stream().obey(2, *seq, order.clone()) {
            Answer::Applied { position, reached: true, held: None } => position == *end,
            Answer::Applied { position, reached: false, held: None } => {
                assert!(position.covers(&before) && position != before, "it stands still at {position}");
                before = position;
                false
            }
            answer => panic!("{answer:?}"),
        }
    });
}

/// A long tail is applied without syncs; before anybody hears that it is applied it is durable.
fn a_long_tail_is_applied_without_syncs_and_survives_a_crash(setup: Setup) {
    let members = cluster::<2>(setup);
    let [old, candidate] = &members[..] else { panic!() };
    let durability = "SELECT @@sync_binlog, @@innodb_flush_log_at_trx_commit, @@binlog_cache_size";
    assert_eq!(old.stream().obey(2, 1, Order::SemiSync { on: false }), Answer::Done);
    candidate.stream().obey(2, 1, Order::Freeze);
    old.sql("SET GLOBAL sync_binlog=0, innodb_flush_log_at_trx_commit=0");
    (0..LONG_TAIL / 1_000).for_each(|_| {
        write(old, 1_000);
        // The tail lies in several files.
        old.sql("FLUSH BINARY LOGS");
    });
    let Answer::Fenced { logs: LogEvidence::Readable { end, .. } } = old.stream().obey(2, 2, Order::Fence) else {
        panic!()
    };
    let (serving, source) = serve_tail(old, 3, candidate.position());
    let Answer::Serving { bytes: Some(bytes), .. } = serving else { panic!("{serving:?}") };
    let size = binlog_bytes(old);
    assert!(bytes > size * 3 / 4 && bytes <= size, "all but what {bytes} of {size} bytes began with are the tail");
    let catch_up = Order::Follow { source, acker: None, wait: Some(end.clone()) };

    // Its time is too short: the next order finds it on the way.
    let mut stream = candidate.stream();
    let mut seq = 1;
    let mut limit = Duration::from_millis(300);
    loop {
        seq += 1;
        let id = stream.send(2, seq, limit, catch_up.clone());
        match stream.outcome(&id) {
            Outcome::Ok(Answer::Applied { reached: false, .. }) => break,
            // On a busy machine it has not begun by then.
            Outcome::Error(error) if error.reason == Reason::Expired && limit < LIMIT => limit *= 2,
            outcome => panic!("{outcome:?}"),
        }
    }
    assert_eq!(candidate.sql(durability), "0\t2\t1048576");
    assert_eq!(candidate.sql("SELECT @@innodb_log_file_buffering"), "1");
    candidate.kill_mariadbd();
    stream.event(Event::Exited);
    candidate.wait_until_it_answers();
    assert_eq!(candidate.sql(durability), "1\t1\t32768", "as its command line says");

    until_reached(candidate, &mut seq, &catch_up, &end);
    assert_eq!(candidate.sql(durability), "1\t1\t32768");
    let promoted = candidate.stream().obey(2, seq + 1, promote(&end.to_string(), 0x22));
    assert_eq!(promoted, Answer::Promoted { position: end }, "making it durable writes no transaction");
    assert_eq!(candidate.sql("SELECT COUNT(*) FROM d.t"), LONG_TAIL.to_string());
}
