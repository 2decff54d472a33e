//! Makes the corpus: real servers of each version write the statements in every variant, and their logs are kept.
//!
//! It lies below the build directory and is made again when these sources or the server's version change.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use beachmaster::gtid::GtidPosition;
use rustix::fs::FlockOperation;
use tempfile::TempDir;

use crate::case::{Case, Kind, names};
use crate::state;
use crate::variants::{VARIANTS, Variant};
use testkit::Version;
use testkit::give_to_server;
use testkit::mariadb::MariaDb;

/// How long one step may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// Servers wait for the disk a part of their time.
const SIDE_BY_SIDE: usize = 4;
const STATEMENTS: &str = include_str!("statements.sql");
/// All that the corpus depends on, but for the servers.
const SOURCES: [&str; 5] = [
    STATEMENTS,
    include_str!("maker.rs"),
    include_str!("variants.rs"),
    include_str!("state.rs"),
    include_str!("case.rs"),
];

/// The cases of a version; makes them when they are missing or old.
pub fn cases(version: Version) -> Vec<Case> {
    let corpus = corpus(version);
    VARIANTS.iter().map(|variant| Case::new(&corpus, version, variant)).collect()
}

fn corpus(version: Version) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus");
    fs::create_dir_all(&folder).unwrap();
    // Other test processes may want it at the same moment.
    let lock = File::create(folder.join(format!("{version}.lock"))).unwrap();
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    let ready = folder.join(version.to_string());
    let key = format!("{} {:08x}", version.exact(), crc32fast::hash(SOURCES.concat().as_bytes()));
    if fs::read_to_string(ready.join("key")).is_ok_and(|found| found == key) {
        return ready;
    }
    let begun = Instant::now();
    let fresh = folder.join(format!("{version}.new"));
    for old in [&fresh, &ready] {
        let _ = fs::remove_dir_all(old);
    }
    make_all(&fresh, version);
    fs::write(fresh.join("key"), key).unwrap();
    fs::rename(&fresh, &ready).unwrap();
    println!("made the corpus of {version} in {:.1?}: {}", begun.elapsed(), ready.display());
    ready
}

fn make_all(corpus: &Path, version: Version) {
    let waiting = Mutex::new(VARIANTS.iter());
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some(variant) = next else { return };
                    make(&Case::new(corpus, version, variant));
                }
            });
        }
    });
}

fn make(case: &Case) {
    let shared = TempDir::with_prefix("beachmaster-corpus-").unwrap();
    give_to_server(shared.path());
    let options = options(case, shared.path());
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut origin = MariaDb::start_version(case.version, 1, &options);
    let mut replica = MariaDb::start_version(case.version, 2, &options);
    receive(&replica, &origin);
    write(&origin, case.variant, shared.path());

    let position = origin.sql("SELECT @@gtid_binlog_pos");
    wait_received(&replica, &position);
    for kind in Kind::ALL {
        for folder in [case.logs(kind), case.shown(kind, ""), case.text(kind, "")] {
            fs::create_dir_all(folder).unwrap();
        }
    }
    fs::write(case.position_file(), position).unwrap();
    fs::write(case.state_file(), state::of(&origin)).unwrap();
    keep(case, Kind::Relay, &mut replica);
    keep(case, Kind::Binlog, &mut origin);
}

fn options(case: &Case, shared: &Path) -> Vec<String> {
    let mut options: Vec<String> = case.variant.of_version(case.version).iter().map(ToString::to_string).collect();
    // Nothing here loses its power: kill -9 leaves what was written.
    options.extend(["--debug-no-sync", "--innodb-flush-log-at-trx-commit=0"].map(str::to_owned));
    if let Some(encryption) = case.variant.encryption {
        let digits: String = (0..encryption.key).map(|byte| format!("{byte:02x}")).collect();
        let own = shared.join("keys");
        fs::write(&own, format!("1;{digits}\n")).unwrap();
        fs::create_dir_all(case.key_file().parent().unwrap()).unwrap();
        fs::copy(&own, case.key_file()).unwrap();
        options.extend(encryption.options(&own));
    }
    options
}

/// The replica only receives.
fn receive(replica: &MariaDb, origin: &MariaDb) {
    replica.sql(&format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='root', MASTER_USE_GTID=slave_pos, MASTER_SSL=0;
         START SLAVE IO_THREAD",
        origin.port
    ));
}

fn wait_received(replica: &MariaDb, position: &str) {
    let expected: GtidPosition = position.parse().unwrap();
    let deadline = Instant::now() + LIMIT;
    while replica.slave_status("Gtid_IO_Pos").parse() != Ok(expected.clone()) {
        assert!(Instant::now() < deadline, "the replica never received {expected}: {}", replica.replication());
        thread::sleep(Duration::from_millis(20));
    }
}

fn write(origin: &MariaDb, variant: &Variant, shared: &Path) {
    let load = shared.join("load");
    // Longer than the server's read buffer of 128 kB, so that it comes in several blocks.
    let lines: String = (0..4000).map(|line| format!("{line}\t{}\n", "load".repeat(20))).collect();
    fs::write(&load, lines).unwrap();
    let statements = STATEMENTS.replace("{LOAD}", load.to_str().unwrap()).replace("{BLOB}", &variant.blob.to_string());
    let sessions: Vec<&str> = statements.split("-- session").skip(1).collect();
    for (number, session) in sessions.iter().enumerate() {
        if variant.changes_checksum && number == sessions.len() / 3 {
            origin.sql("SET GLOBAL binlog_checksum=NONE");
        }
        if variant.changes_checksum && number == sessions.len() * 2 / 3 {
            origin.sql("SET GLOBAL binlog_checksum=CRC32");
        }
        origin.sql(&format!("-- {session}"));
        if number == sessions.len() / 2 {
            commit_together(origin);
        }
    }
}

/// Transactions with a commit id, which only those have that were committed as a group.
fn commit_together(origin: &MariaDb) {
    origin.sql("SET GLOBAL binlog_commit_wait_count=4, GLOBAL binlog_commit_wait_usec=20000");
    thread::scope(|scope| {
        for writer in 0..4 {
            let rows = (0..10)
                .map(|row| format!("INSERT INTO d.wide (a, b) VALUES ({}, 'together');", 10_000 + writer * 10 + row));
            let rows: String = rows.collect();
            scope.spawn(move || origin.sql(&rows));
        }
    });
    origin.sql("SET GLOBAL binlog_commit_wait_count=0");
}

/// Keeps what the live server says of its logs, ends it, and keeps the logs.
fn keep(case: &Case, kind: Kind, server: &mut MariaDb) {
    let statement = if kind == Kind::Binlog { "SHOW BINLOG EVENTS" } else { "SHOW RELAYLOG EVENTS" };
    let names = names(&server.datadir(), kind.basename());
    let shown = server.sql(&names.iter().map(|name| format!("{statement} IN '{name}';")).collect::<String>());
    for name in names {
        let own: String =
            shown.lines().filter(|line| line.starts_with(&name)).map(|line| format!("{line}\n")).collect();
        fs::write(case.shown(kind, &name), own).unwrap();
    }
    if case.variant.stopped {
        server.shut_down();
    } else {
        server.kill();
    }
    let prefix = format!("{}.", kind.basename());
    for entry in fs::read_dir(server.datadir()).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::copy(entry.path(), case.logs(kind).join(entry.file_name())).unwrap();
        }
    }
    if case.variant.encryption.is_none() {
        case.names(kind).iter().for_each(|name| list(case, kind, name));
    }
}

fn list(case: &Case, kind: Kind, name: &str) {
    let mut command = Command::new(case.version.program("mariadb-binlog"));
    // It leaves the content of each LOAD DATA behind as a file.
    let loaded = TempDir::new().unwrap();
    command.args(["--no-defaults", "--base64-output=DECODE-ROWS", "--local-load"]).arg(loaded.path());
    command.arg(case.logs(kind).join(name));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    File::create(case.text(kind, name)).unwrap().write_all(&output.stdout).unwrap();
}
