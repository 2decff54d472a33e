//! Relay logs as a source: what an acker received and did not apply is served from its files, to itself and to others.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use beachmaster::agent::relay_logs::RelayLogs;
use beachmaster::binlog::{Algorithm, EventBody, EventHeader, Keys, Progress, Scanner};
use beachmaster::orders::Incarnation;
use tempfile::TempDir;
use testkit::mariadb::MariaDb;
use testkit::tail::{self, LIMIT, Served, follow, io_error, wait_io_errno};
use testkit::{Version, give_to_server};

/// Rows a client tries to write: far more than it can before the end.
const ROWS: u32 = 200_000;
const NO_KEYS: &str = "none is needed";

/// A client that writes one row after the other, and how many of them were acknowledged.
struct Writer {
    client: Child,
    acknowledged: Arc<AtomicU32>,
    reader: JoinHandle<()>,
}

impl Writer {
    fn start(primary: &MariaDb, version: Version) -> Self {
        let mut client = Command::new(version.program("mariadb"))
            .args(["--no-defaults", "--user=root", "--batch", "--skip-column-names", "--unbuffered"])
            .arg(format!("--socket={}", primary.socket().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        // Ends with an error: the primary dies before all of it is read.
        std::thread::spawn(move || {
            (1..=ROWS)
                .try_for_each(|row| writeln!(input, "INSERT INTO d.t VALUES ({row}, REPEAT('x', 100)); SELECT {row};"))
        });
        let acknowledged = Arc::new(AtomicU32::new(0));
        let output = BufReader::new(client.stdout.take().unwrap());
        let last = Arc::clone(&acknowledged);
        let reader = std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| last.store(line.parse().unwrap(), Ordering::SeqCst));
        });
        Self { client, acknowledged, reader }
    }

    fn wait_for(&self, rows: u32) {
        let deadline = Instant::now() + LIMIT;
        while self.acknowledged.load(Ordering::SeqCst) < rows {
            assert!(Instant::now() < deadline, "only {} rows", self.acknowledged.load(Ordering::SeqCst));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// After the primary's death: the last row that was acknowledged.
    fn end(mut self) -> u32 {
        self.client.wait().unwrap();
        self.reader.join().unwrap();
        self.acknowledged.load(Ordering::SeqCst)
    }
}

fn replicate(replica: &MariaDb, primary: &MariaDb) {
    replica.sql(&format!(
        "SET GLOBAL gtid_strict_mode=1;
         CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='root', MASTER_USE_GTID=slave_pos,
         MASTER_SSL=0; START SLAVE",
        primary.port
    ));
}

/// A semi-sync primary, its acker and an asynchronous replica. The acker applies nothing, the replica receives nothing;
/// rows are written; then the acker dies, and the primary with its disk.
struct Case {
    acker: MariaDb,
    replica: MariaDb,
    /// The acker's relay logs, kept as the agent keeps them.
    kept: TempDir,
    /// Rows 1 to this one were acknowledged.
    acknowledged: u32,
}

impl Case {
    fn play(version: Version, rows: u32, options: &[&str]) -> Self {
        let start = |id, more: &[&str]| MariaDb::start_version(version, id, &[options, more].concat());
        let mut primary = start(1, &["--rpl-semi-sync-master-timeout=18446744073709551615", "--sync-binlog=1"]);
        let quiet = ["--log-slave-updates=1", "--skip-slave-start", "--max-relay-log-size=64K"];
        let mut acker = start(2, &[&quiet[..], &["--rpl-semi-sync-slave-enabled=1"]].concat());
        let replica = start(3, &quiet);
        primary.sql(
            "SET GLOBAL gtid_strict_mode=1, rpl_semi_sync_master_wait_point=AFTER_SYNC;
             CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b VARCHAR(200)) ENGINE=InnoDB",
        );
        let created = primary.sql("SELECT @@gtid_binlog_pos");
        for each in [&acker, &replica] {
            replicate(each, &primary);
            each.wait_for("SELECT @@gtid_slave_pos", &created, LIMIT);
        }
        // Begins its relay logs anew, behind what it has applied.
        acker.sql("STOP SLAVE; START SLAVE IO_THREAD");
        replica.sql("STOP SLAVE");
        primary.sql("SET GLOBAL rpl_semi_sync_master_enabled=1");
        let writer = Writer::start(&primary, version);
        writer.wait_for(rows);
        acker.kill();
        primary.kill();
        let acknowledged = writer.end();
        let kept = keep(&acker);
        acker.boot();
        Self { acker, replica, kept, acknowledged }
    }

    /// Serves the relay logs to both, and looks for every row there; returns how many relay log files there were.
    fn recover(self, keys: Keys) -> usize {
        let files = fs::read_dir(self.kept.path()).unwrap().count() - 1;
        assert_eq!(self.acker.sql("SELECT COUNT(*) FROM d.t"), "0", "the acker had applied nothing");
        let served = Served::relay_logs(self.kept, keys);
        let end = served.server.end().position.to_string();
        for each in [&self.acker, &self.replica] {
            follow(each, &served);
            each.wait_for("SELECT @@gtid_slave_pos", &end, LIMIT);
            let found = each.sql(&format!("SELECT COUNT(*) FROM d.t WHERE a <= {}", self.acknowledged));
            assert_eq!(found, self.acknowledged.to_string(), "rows acknowledged and found");
        }
        let all = "SELECT @@gtid_binlog_pos, COUNT(*), SUM(CRC32(CONCAT(a, b))) FROM d.t";
        assert_eq!(self.acker.sql(all), self.replica.sql(all));
        // Heartbeats come, and they are no error.
        let heartbeats = "SELECT VARIABLE_VALUE > 0 FROM information_schema.global_status
                          WHERE VARIABLE_NAME='Slave_received_heartbeats'";
        self.replica.wait_for(heartbeats, "1", LIMIT);
        assert_eq!(io_error(&self.replica), ("0".to_owned(), String::new()));
        files
    }
}

/// A dead replica's relay logs, in a folder of their own.
fn keep(acker: &MariaDb) -> TempDir {
    let home = TempDir::with_prefix("beachmaster-relay-").unwrap();
    let logs = RelayLogs::new(acker.datadir(), home.path().to_owned(), Keys::missing(NO_KEYS));
    logs.keep(Incarnation(1), None).unwrap();
    let kept = TempDir::with_prefix("beachmaster-relay-").unwrap();
    for file in fs::read_dir(home.path().join("1")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), kept.path().join(file.file_name())).unwrap();
    }
    kept
}

fn every_acknowledged_row_is_on_both(version: Version, rows: u32) {
    let case = Case::play(version, rows, &[]);
    let acknowledged = case.acknowledged;
    let files = case.recover(Keys::missing(NO_KEYS));
    println!("MariaDB {version}: {acknowledged} rows acknowledged, none applied, found on both; {files} relay logs");
}

#[test]
fn what_an_acker_received_and_did_not_apply_is_not_lost() {
    every_acknowledged_row_is_on_both(Version::V10_11, 700);
}

#[test]
fn what_an_acker_of_11_8_received_and_did_not_apply_is_not_lost() {
    every_acknowledged_row_is_on_both(Version::V11_8, 700);
}

/// The applied files before were purged, and the first one left was begun when the one before it had reached its size: nothing
/// there names the source's file.
#[test]
fn relay_logs_whose_beginning_was_purged_are_served() {
    for version in Version::ALL {
        let start = |id| MariaDb::start_version(version, id, &["--max-relay-log-size=4096", "--skip-slave-start"]);
        let (primary, mut received, replica) = (start(1), start(2), start(3));
        primary.sql("SET GLOBAL gtid_strict_mode=1; CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b TEXT)");
        let insert = |rows: std::ops::Range<u32>| {
            primary
                .sql(&rows.map(|row| format!("INSERT INTO d.t VALUES ({row}, REPEAT('x', 300));")).collect::<String>());
            tail::position(&primary)
        };
        let applied = insert(0..40);
        for each in [&received, &replica] {
            replicate(each, &primary);
            each.wait_for("SELECT @@gtid_slave_pos", &applied, LIMIT);
        }
        replica.sql("STOP SLAVE");
        received.sql("STOP SLAVE SQL_THREAD");
        let end = insert(40..80);
        tail::wait_status(&received, "Gtid_IO_Pos", &end);
        received.kill();
        let kept = keep(&received);
        assert!(!names_the_source(kept.path()), "MariaDB {version}: the first relay log has the source's ROTATE");
        let served = Served::relay_logs(kept, Keys::missing(NO_KEYS));
        assert_eq!(served.server.end().position.to_string(), end);
        follow(&replica, &served);
        replica.wait_for("SELECT @@gtid_slave_pos", &end, LIMIT);
        tail::assert_same_tables(&primary, &replica);
    }
}

/// Before the first transaction of the first relay log.
fn names_the_source(kept: &Path) -> bool {
    let index = fs::read_to_string(kept.join("relay.index")).unwrap();
    let bytes = fs::read(kept.join(index.lines().next().unwrap())).unwrap();
    let mut scanner = Scanner::new(bytes.len() as u64, &Keys::missing(NO_KEYS));
    let mut input = bytes.as_slice();
    while let Progress::Event(event) = scanner.advance(&mut input).unwrap() {
        match event.body {
            EventBody::Rotate(_) if event.header.flags & EventHeader::RELAY_LOG == 0 => return true,
            EventBody::Gtid(_) => return false,
            _ => {}
        }
    }
    false
}

/// The figure: `cargo test --test relay_logs -- --ignored --nocapture`.
#[test]
#[ignore = "a series of ten kills for each version"]
fn ten_of_ten() {
    for version in Version::ALL {
        for round in 1..=10 {
            every_acknowledged_row_is_on_both(version, round * 150);
        }
    }
}

#[test]
fn encrypted_relay_logs_are_read_with_the_key() {
    let key = TempDir::with_prefix("beachmaster-key-").unwrap();
    let file = key.path().join("keys");
    let text = "1;770A8A65DA156D24EE2A093277530142";
    fs::write(&file, text).unwrap();
    give_to_server(key.path());
    give_to_server(&file);
    let name = format!("--file-key-management-filename={}", file.display());
    let options = ["--plugin-load-add=file_key_management", &name, "--encrypt-binlog=1"];
    let case = Case::play(Version::V10_11, 300, &options);
    case.recover(Keys::parse(text, Algorithm::AesCbc).unwrap());
}

#[test]
fn a_replica_that_lacks_more_or_has_more_than_the_relay_logs_is_refused() {
    let case = Case::play(Version::V10_11, 50, &[]);
    let served = Served::relay_logs(case.kept, Keys::missing(NO_KEYS));
    let end = served.server.end().position.iter().next().unwrap();
    let replica = MariaDb::start(4, &[]);
    for (position, text) in [
        (String::new(), "have been purged"),
        ("0-1-1".to_owned(), "have been purged"),
        (format!("0-1-{}", end.sequence + 1), "is not in the master's binlog"),
        (format!("0-7-{}", end.sequence), "probably means that the slave has diverged"),
        (format!("0-7-{}", end.sequence - 3), "probably means that the slave has diverged"),
    ] {
        replica.sql(&format!("STOP SLAVE; SET GLOBAL gtid_slave_pos='{position}'"));
        follow(&replica, &served);
        wait_io_errno(&replica, "1236");
        assert!(io_error(&replica).1.contains(text), "{position}: {}", io_error(&replica).1);
    }
    replica.sql("STOP SLAVE");
    tail::follow_from(&replica, &served, "bin.000001", 4);
    wait_io_errno(&replica, "1236");
    assert!(io_error(&replica).1.contains("by GTID only"), "{}", io_error(&replica).1);
}
