//! Locks that hold up writes: who holds them is told, and what was received is acknowledged all the same.

use std::time::Instant;

use beachmaster::orders::{Answer, Order};

use crate::cluster::{cluster, follow, promote, semi_sync_status, wait_until_equal, write};
use testkit::member::{Member, Setup, succeeds, until};

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
pub fn a_lock_that_keeps_writes_waiting_is_told(setup: Setup) {
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
pub fn who_holds_a_lock_is_named(setup: Setup) {
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
pub fn a_read_lock_over_stopped_threads_is_named(setup: Setup) {
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
    let holder = format!("may hold what it waits for: {} (mysql@localhost, SELECT)", backup.session());
    let mut seq = 1;
    // One look may also catch a client of this test or the agent's own tries to connect as they come or go.
    until("it alone is named", || {
        seq += 1;
        let Answer::Applied { reached: false, held: Some(held), .. } = stream.obey(2, seq, wait()) else { panic!() };
        println!("named after {:?}: {held}", began.elapsed());
        assert!(held.starts_with("its SQL thread: Waiting for backup lock"), "{held}");
        held.ends_with(&holder)
    });
    seq += 1;
    assert!(matches!(stream.obey(2, seq, wait()), Answer::Applied { reached: false, held: Some(_), .. }), "still");
    backup.end();
    until("it is applied", || {
        seq += 1;
        matches!(stream.obey(2, seq, wait()), Answer::Applied { reached: true, .. })
    });
    assert_eq!(acker.sql("SELECT COUNT(*) FROM d.t"), primary.sql("SELECT COUNT(*) FROM d.t"));
}

/// The old primary was started again because a lock held up all candidates: its commits must not wait for that lock.
pub fn a_replica_that_a_lock_holds_up_acknowledges_again(setup: Setup) {
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
pub fn a_replica_that_a_lock_holds_up_acknowledges_its_restarted_source(setup: Setup) {
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
