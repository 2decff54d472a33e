//! The corpus' logs, served by the binlog server to empty replicas: they become equal to the origin.

use std::thread;
use std::time::{Duration, Instant};

use beachmaster::gtid::GtidPosition;

use crate::case::{Case, Kind};
use crate::maker;
use crate::state;
use testkit::Version;
use testkit::mariadb::MariaDb;
use testkit::tail::{self, Served};

const LIMIT: Duration = Duration::from_secs(120);

/// How a replica follows.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// The binary logs, by GTID.
    Gtid,
    /// The binary logs, from the first file's beginning on.
    Position,
    /// What the corpus' replica had received and not applied.
    RelayLogs,
}

/// Both versions of a variant.
pub fn variant(name: &str) {
    for version in Version::ALL {
        let cases = maker::cases(version);
        let case = cases.iter().find(|case| case.variant.name == name);
        apply(case.unwrap_or_else(|| panic!("no variant is called {name}")));
    }
}

/// Three replicas at once, two of one server.
fn apply(case: &Case) {
    let binlogs = Served::copy_of_files(&case.logs(Kind::Binlog), case.keys());
    let relay_logs = Served::relay_logs(tail::copy_logs(&case.logs(Kind::Relay), "relay"), case.keys());
    for served in [&binlogs, &relay_logs] {
        assert_eq!(served.server.end().position, case.position());
    }
    thread::scope(|scope| {
        scope.spawn(|| becomes_equal(case, &binlogs, Mode::Gtid));
        scope.spawn(|| becomes_equal(case, &binlogs, Mode::Position));
        scope.spawn(|| becomes_equal(case, &relay_logs, Mode::RelayLogs));
    });
}

fn becomes_equal(case: &Case, served: &Served, mode: Mode) {
    let options = ["--log-slave-updates", "--gtid-strict-mode=1", "--debug-no-sync"];
    let threads = match mode {
        Mode::Gtid => "--slave-parallel-threads=0",
        Mode::Position | Mode::RelayLogs => "--slave-parallel-threads=4",
    };
    let replica = MariaDb::start_version(case.version, 2, &[&options[..], &[threads]].concat());
    match mode {
        Mode::Gtid | Mode::RelayLogs => tail::follow(&replica, served),
        Mode::Position => tail::follow_from(&replica, served, &case.names(Kind::Binlog)[0], 4),
    }
    let told = format!("{} {} {mode:?}", case.version, case.variant.name);
    wait_applied(&replica, &case.position(), &told);
    replica.sql("STOP SLAVE");
    for variable in ["gtid_slave_pos", "gtid_binlog_pos", "gtid_current_pos"] {
        assert_eq!(position(&replica, variable), case.position(), "{told}: {variable}");
    }
    assert_eq!(replica.slave_status("Last_Errno"), "0", "{told}");
    let (found, expected) = (state::of(&replica), case.state());
    let different = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert_eq!(different, None, "{told}: what the replica has, what the origin had");
    assert_eq!(found.lines().count(), expected.lines().count(), "{told}");
    println!("{told}: equal to the origin at {}", case.position());
}

fn wait_applied(replica: &MariaDb, expected: &GtidPosition, told: &str) {
    let deadline = Instant::now() + LIMIT;
    while position(replica, "gtid_slave_pos") != *expected {
        let stopped = replica.slave_status("Last_SQL_Errno") != "0" || replica.slave_status("Last_IO_Errno") == "1236";
        assert!(!stopped && Instant::now() < deadline, "{told}: {}\n{}", replica.replication(), replica.log());
        thread::sleep(Duration::from_millis(50));
    }
}

fn position(server: &MariaDb, variable: &str) -> GtidPosition {
    server.sql(&format!("SELECT @@{variable}")).parse().unwrap()
}
