//! The server_id experiment: may a member's `server_id` change while a semi-sync replica is attached to it?
//!
//! Three real servers; in every round the primary is killed (-9), a replica gets a new `server_id` and is promoted, the
//! other one follows it, the old primary comes back. "before": the id is set before the replica attaches. "after": the
//! replica is attached as a semi-sync replica first. Prints one line a mode; the results are in docs/server-id.md.
//!
//! `cargo test --test server_id -- --ignored --nocapture` (ROUNDS=10)

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::mariadb::MariaDb;

const LIMIT: Duration = Duration::from_secs(10);
const WRITERS: usize = 8;
const ROWS: usize = 50;
/// Columns of SHOW SLAVE STATUS, counted from 0.
const IO_RUNNING: usize = 10;
const LAST_IO_ERRNO: usize = 34;
const OPTIONS: [&str; 9] = [
    "--log-slave-updates",
    "--gtid-strict-mode=1",
    "--skip-slave-start",
    "--rpl-semi-sync-master-timeout=18446744073709551615",
    "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
    "--rpl-semi-sync-slave-kill-conn-timeout=1",
    "--slave-net-timeout=2",
    "--sync-binlog=1",
    "--slave-parallel-threads=4",
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    Before,
    After,
}

#[derive(Default, Debug)]
struct Tally {
    rounds: usize,
    acknowledged: usize,
    confirmed_by_replica: u64,
    unconfirmed: u64,
    stuck: usize,
    old_id_in_new_sessions: usize,
    held_session_kept_old_id: usize,
    replica_reconnected_by_itself: usize,
    reconnects_failed: usize,
    members_unequal: usize,
    old_primary_failed: usize,
    milliseconds: Vec<f64>,
}

#[test]
#[ignore = "an experiment of some minutes"]
fn server_id_changes_while_semi_sync_replicas_are_attached() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    for mode in [Mode::Before, Mode::After] {
        let mut set = Set::start();
        let mut tally = Tally::default();
        for _ in 0..rounds {
            set.round(mode, &mut tally);
        }
        tally.milliseconds.sort_by(f64::total_cmp);
        println!("{mode:?}: {tally:?}");
        assert_eq!(tally.unconfirmed + tally.stuck as u64 + tally.members_unequal as u64, 0);
        assert_eq!(tally.confirmed_by_replica, tally.acknowledged as u64);
    }
}

/// Three members; `primary` indexes the one that takes writes.
struct Set {
    members: Vec<MariaDb>,
    primary: usize,
    term: u32,
}

impl Set {
    fn start() -> Self {
        let members: Vec<_> = (1..=3_u32).map(|n| MariaDb::start(0x8000_0000 | n, &OPTIONS)).collect();
        for member in &members {
            member.sql(
                "SET sql_log_bin=0; CREATE USER repl@'%' IDENTIFIED BY 'secret'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'",
            );
        }
        let set = Self { members, primary: 0, term: 1 };
        for replica in [1, 2] {
            set.follow(replica, 0);
            set.wait_semi_sync(replica);
        }
        set.members[0].sql(&promotion(set.server_id(0)));
        set.members[0].sql("CREATE DATABASE d; CREATE TABLE d.t (id CHAR(36) PRIMARY KEY DEFAULT UUID(), a INT)");
        set
    }

    fn server_id(&self, member: usize) -> u32 {
        self.term << 4 | (u32::try_from(member).unwrap() + 1)
    }

    fn round(&mut self, mode: Mode, tally: &mut Tally) {
        let old = self.primary;
        assert!(insert(&self.members[old], 20).0, "the old primary acknowledges");
        let (candidate, other) = ((old + 1) % 3, (old + 2) % 3);
        let end = self.members[old].sql("SELECT @@gtid_binlog_pos");
        for replica in [candidate, other] {
            self.members[replica].wait_for("SELECT @@gtid_slave_pos", &end, LIMIT);
        }
        self.members[old].kill();
        self.term += 1;
        self.primary = candidate;

        let mut held = HeldSession::open(&self.members[candidate]);
        let id = self.server_id(candidate);
        let new = &self.members[candidate];
        let began;
        match mode {
            Mode::Before => {
                new.sql(&format!("STOP SLAVE; SET GLOBAL server_id={id}"));
                self.follow(other, candidate);
                self.wait_semi_sync(other);
                began = Instant::now();
                new.sql(&promotion(id));
            }
            Mode::After => {
                self.follow(other, candidate);
                self.wait_semi_sync(other);
                began = Instant::now();
                new.sql(&format!("STOP SLAVE; {}", promotion(id)));
            }
        }
        tally.milliseconds.push(began.elapsed().as_secs_f64() * 1000.0);
        let connection = self.dump_thread(candidate);
        self.write_and_count(candidate, tally);

        let written = new.sql("SELECT @@gtid_binlog_pos");
        tally.old_id_in_new_sessions += usize::from(!written.contains(&format!("0-{id}-")));
        held.say("INSERT INTO d.t (a) VALUES (-1); SELECT @@server_id, @@last_gtid;");
        let answer = held.close();
        tally.held_session_kept_old_id += usize::from(!answer.contains(&format!("0-{id}-")));
        tally.replica_reconnected_by_itself += usize::from(self.dump_thread(candidate) != connection);

        tally.reconnects_failed += usize::from(!self.survives_reconnects(candidate, other));
        self.write_and_count(candidate, tally);

        self.members[old].boot();
        self.members[old].sql("SET GLOBAL gtid_slave_pos=@@gtid_binlog_pos");
        self.follow(old, candidate);
        self.wait_semi_sync(old);
        let rejoined = self.equal(old, candidate);
        tally.old_primary_failed += usize::from(!rejoined);
        tally.members_unequal += usize::from(!self.equal(other, candidate)) + usize::from(!rejoined);
        tally.rounds += 1;
    }

    fn write_and_count(&self, primary: usize, tally: &mut Tally) {
        let primary = &self.members[primary];
        let before = (status(primary, "yes_tx"), status(primary, "no_tx"));
        let (mut ok, mut rows) = (true, 0);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(|| insert(primary, ROWS))).collect();
            for writer in writers {
                let (finished, written) = writer.join().unwrap();
                ok &= finished;
                rows += written;
            }
        });
        tally.stuck += usize::from(!ok);
        tally.acknowledged += rows;
        tally.confirmed_by_replica += status(primary, "yes_tx") - before.0;
        tally.unconfirmed += status(primary, "no_tx") - before.1;
    }

    /// The replica's connection is cut on both sides, one after the other, while nothing waits.
    fn survives_reconnects(&self, primary: usize, replica: usize) -> bool {
        let connection = self.dump_thread(primary);
        self.members[primary].sql(&format!("KILL {connection}"));
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline && ["", connection.as_str()].contains(&self.dump_thread(primary).as_str()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.wait_semi_sync(replica);
        self.members[replica].sql("STOP SLAVE IO_THREAD; START SLAVE IO_THREAD");
        self.wait_semi_sync(replica);
        slave_column(&self.members[replica], LAST_IO_ERRNO) == "0"
    }

    fn dump_thread(&self, primary: usize) -> String {
        self.members[primary]
            .sql("SELECT MAX(id) FROM information_schema.processlist WHERE command='Binlog Dump'")
            .replace("NULL", "")
    }

    fn follow(&self, replica: usize, source: usize) {
        self.members[replica].sql(&format!(
            "STOP SLAVE; SET GLOBAL rpl_semi_sync_master_enabled=0, rpl_semi_sync_slave_enabled=1, read_only=1;
             CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='repl', MASTER_PASSWORD='secret',
             MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.5; START SLAVE",
            self.members[source].port
        ));
    }

    fn wait_semi_sync(&self, replica: usize) {
        let member = &self.members[replica];
        let deadline = Instant::now() + LIMIT;
        while slave_column(member, IO_RUNNING) != "Yes" {
            assert!(Instant::now() < deadline, "member {replica}:\n{}", member.sql("SHOW SLAVE STATUS\\G"));
            std::thread::sleep(Duration::from_millis(10));
        }
        member.wait_for("SELECT @@global.rpl_semi_sync_slave_enabled", "1", LIMIT);
        member.wait_for(
            "SELECT variable_value FROM information_schema.global_status WHERE variable_name='Rpl_semi_sync_slave_status'",
            "ON",
            LIMIT,
        );
    }

    fn equal(&self, one: usize, primary: usize) -> bool {
        let end = self.members[primary].sql("SELECT @@gtid_binlog_pos");
        self.members[one].wait_for("SELECT @@gtid_slave_pos", &end, LIMIT);
        let content =
            |member: &MariaDb| member.sql("SELECT COUNT(*) FROM d.t; CHECKSUM TABLE d.t; SELECT @@gtid_binlog_pos");
        content(&self.members[one]) == content(&self.members[primary])
    }
}

fn promotion(server_id: u32) -> String {
    format!(
        "SET GLOBAL server_id={server_id}; SET GLOBAL rpl_semi_sync_slave_enabled=0;
         SET GLOBAL rpl_semi_sync_master_enabled=1; SET GLOBAL read_only=0; RESET SLAVE ALL"
    )
}

fn slave_column(server: &MariaDb, column: usize) -> String {
    server.sql("SHOW SLAVE STATUS").split('\t').nth(column).unwrap_or_default().to_owned()
}

fn status(server: &MariaDb, name: &str) -> u64 {
    let query = format!(
        "SELECT variable_value FROM information_schema.global_status WHERE variable_name='Rpl_semi_sync_master_{name}'"
    );
    server.sql(&query).parse().unwrap()
}

/// One session, `rows` commits; false when they were not all acknowledged within the limit.
fn insert(server: &MariaDb, rows: usize) -> (bool, usize) {
    let mut client = client(server);
    let statements: String = (0..rows).map(|n| format!("INSERT INTO d.t (a) VALUES ({n}); SELECT {n};\n")).collect();
    client.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).lines().count())
}

/// A client that gives up after the limit.
fn client(server: &MariaDb) -> std::process::Child {
    Command::new("timeout")
        .arg(LIMIT.as_secs().to_string())
        .arg(server.client_program("mariadb").get_program())
        .args(["--no-defaults", "--user=root", "--batch", "--skip-column-names", "--unbuffered"])
        .arg(format!("--socket={}", server.socket().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A client session opened before the promotion and used after it.
struct HeldSession(std::process::Child);

impl HeldSession {
    fn open(server: &MariaDb) -> Self {
        let mut child = server
            .client_program("mariadb")
            .args(["--user=root", "--batch", "--skip-column-names", "--unbuffered"])
            .arg(format!("--socket={}", server.socket().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(b"DO SLEEP(0);\n").unwrap();
        server.wait_for("SELECT COUNT(*) > 1 FROM information_schema.processlist WHERE user='root'", "1", LIMIT);
        Self(child)
    }

    fn say(&mut self, statements: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{statements}").unwrap();
    }

    fn close(mut self) -> String {
        drop(self.0.stdin.take());
        String::from_utf8_lossy(&self.0.wait_with_output().unwrap().stdout).into_owned()
    }
}
