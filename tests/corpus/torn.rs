//! Logs cut off at every byte of their last 4 KB, as a crash leaves them: read, and served to a real replica.

use std::fs;
use std::time::{Duration, Instant};

use beachmaster::binlog::{End, FileScanner, Group, Inspector};
use beachmaster::gtid::GtidPosition;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::case::{Case, Kind};
use crate::listing;
use crate::maker;
use testkit::Version;
use testkit::mariadb::MariaDb;
use testkit::tail::{self, Served};

/// How many bytes are cut off at most.
pub const CUTS: usize = 4096;
/// Bytes at the beginning of a file that are never cut into: its head is shorter.
const HEAD: usize = 1024;
/// The first cut brings the replica everything before it.
const LIMIT: Duration = Duration::from_secs(120);

/// The last file of a case that can be cut, and what is complete in it by the live server's listing.
struct Last<'a> {
    case: &'a Case,
    kind: Kind,
    name: String,
    bytes: Vec<u8>,
    groups: Vec<Group>,
}

impl<'a> Last<'a> {
    fn of(case: &'a Case, kind: Kind) -> Self {
        let read = |name: String| (fs::read(case.logs(kind).join(&name)).unwrap(), name);
        // Where files are small, the last one that is long enough.
        let long = case.names(kind).into_iter().rev().map(read).find(|(bytes, _)| bytes.len() > HEAD + CUTS);
        let (bytes, name) = long.unwrap_or_else(|| panic!("{}: no file is long enough to be cut", case.variant.name));
        let listed = listing::shown(case, kind, &name);
        // Behind the last event there may be a STOP that the live server could not list.
        let last = usize::try_from(listed.last().unwrap().offset).unwrap();
        let length = u32::from_le_bytes(bytes[last + 9..last + 13].try_into().unwrap());
        let groups = listing::groups(&listed, last as u64 + u64::from(length));
        Self { case, kind, name, bytes, groups }
    }

    /// The sizes it is cut to, from the shortest on.
    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.bytes.len() - CUTS..self.bytes.len()
    }

    /// The groups that are complete in the first `size` bytes.
    fn complete(&self, size: usize) -> &[Group] {
        let count = self.groups.iter().filter(|group| group.end <= size as u64).count();
        &self.groups[..count]
    }

    fn told(&self, size: usize) -> String {
        format!("{} {} {} cut to {size}", self.case.version, self.case.variant.name, self.name)
    }
}

/// Reads all cuts of both kinds of logs and returns how many there were.
pub fn every_cut_is_read(case: &Case) -> usize {
    let (binlog, relay) = (Last::of(case, Kind::Binlog), Last::of(case, Kind::Relay));
    binlog.sizes().for_each(|size| scan(&binlog, size));
    relay.sizes().for_each(|size| inspect(&relay, size));
    2 * CUTS
}

fn scan(last: &Last<'_>, size: usize) {
    let mut scanner = FileScanner::new(size as u64, &last.case.keys());
    let fed = scanner.feed(&[]).and_then(|()| scanner.feed(&last.bytes[..size]));
    fed.unwrap_or_else(|error| panic!("{}: {error}", last.told(size)));
    let (head, found) = scanner.finish().unwrap();
    let mut position = head.start();
    last.complete(size).iter().for_each(|group| position.set(group.gtid));
    let end = last.complete(size).last().map_or(head.end, |group| group.end);
    assert_eq!((found.position, found.end), (position, end), "{}", last.told(size));
}

fn inspect(last: &Last<'_>, size: usize) {
    let mut inspector = Inspector::new(size as u64, &last.case.keys());
    let mut groups = Vec::new();
    for bytes in [&[][..], &last.bytes[..size]] {
        inspector.feed(bytes, |_, group| groups.extend(group));
    }
    let (found, _) = inspector.finish();
    assert_eq!(groups, last.complete(size), "{}", last.told(size));
    assert!(matches!(found.end, End::Torn { .. } | End::Open), "{}: {:?}", last.told(size), found.end);
}

/// One replica of a version goes forward over every `step`th cut; each time it must receive and apply exactly what is
/// complete, and nothing may follow.
pub fn replica_follows_cuts(version: Version, step: usize) {
    let cases = maker::cases(version);
    let case = cases.iter().find(|case| case.variant.name == "minimal").unwrap();
    let last = Last::of(case, Kind::Binlog);
    let before = position_before(&last);
    let mut replica = Replica::start(version);
    let (mut cuts, mut ends) = (0, 0);
    let begun = Instant::now();
    for size in last.sizes().step_by(step) {
        let mut expected = before.clone();
        last.complete(size).iter().for_each(|group| expected.set(group.gtid));
        let served = Served::of(cut(&last, size), case.keys());
        assert_eq!(served.server.end().position, expected, "{}", last.told(size));
        ends += usize::from(replica.ends_at(&served, &expected, &last.told(size)));
        cuts += 1;
    }
    println!("{version}: {cuts} of {cuts} cuts in {:.0?}, the replica advanced {ends} times", begun.elapsed());
    assert!(ends > 5, "the cuts met only {ends} transactions");
}

/// Where the origin was when the last file began.
fn position_before(last: &Last<'_>) -> GtidPosition {
    let listed = listing::shown(last.case, last.kind, &last.name);
    listed.iter().find_map(|listed| listed.list.clone()).unwrap().into_iter().collect()
}

/// The case's files up to the one that is cut to `size` bytes: a server that crashed has none behind it.
fn cut(last: &Last<'_>, size: usize) -> TempDir {
    // Beside the corpus, because links cannot leave its file system.
    let files = TempDir::with_prefix_in("cut-", env!("CARGO_TARGET_TMPDIR")).unwrap();
    let logs = last.case.logs(last.kind);
    let names = last.case.names(last.kind);
    let before: Vec<&String> = names.iter().take_while(|name| **name != last.name).collect();
    before.iter().for_each(|name| fs::hard_link(logs.join(name), files.path().join(name)).unwrap());
    let index: String = before.into_iter().chain([&last.name]).map(|name| format!("./{name}\n")).collect();
    fs::write(files.path().join("bin.index"), index).unwrap();
    fs::write(files.path().join(&last.name), &last.bytes[..size]).unwrap();
    files
}

/// A real replica with a connection that stays open: it is asked some ten thousand times.
struct Replica {
    connection: Conn,
    runtime: Runtime,
    server: MariaDb,
    at: GtidPosition,
}

impl Replica {
    fn start(version: Version) -> Self {
        let server = MariaDb::start_version(version, 2, &["--gtid-strict-mode=1", "--debug-no-sync"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = OptsBuilder::default().socket(server.socket().to_str()).user(Some("root"));
        let connection = runtime.block_on(Conn::new(options)).unwrap();
        Self { connection, runtime, server, at: GtidPosition::empty() }
    }

    /// Follows `served` until a heartbeat says that there is no more; true when it advanced.
    fn ends_at(&mut self, served: &Served, expected: &GtidPosition, told: &str) -> bool {
        tail::change_master(&self.server, served);
        self.run("CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=0.05");
        // CHANGE MASTER counts anew.
        let heartbeats = self.heartbeats();
        self.run("START SLAVE");
        let deadline = Instant::now() + LIMIT;
        // The server sends one only after everything it has.
        while self.heartbeats() == heartbeats || self.position() != *expected {
            assert!(Instant::now() < deadline, "{told}: {}", self.server.replication());
            assert!(self.status("Last_IO_Errno") == "0" && self.status("Last_SQL_Errno") == "0", "{told}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let received: GtidPosition = self.status("Gtid_IO_Pos").parse().unwrap();
        assert_eq!(received, *expected, "{told}: received");
        assert_eq!(self.status("Slave_IO_Running"), "Yes", "{told}");
        self.run("STOP SLAVE");
        let advanced = self.at != *expected;
        self.at = expected.clone();
        advanced
    }

    fn position(&mut self) -> GtidPosition {
        self.row("SELECT @@gtid_slave_pos").get::<String, _>(0).unwrap().parse().unwrap()
    }

    fn heartbeats(&mut self) -> u64 {
        self.row("SHOW STATUS LIKE 'Slave_received_heartbeats'").get::<String, _>(1).unwrap().parse().unwrap()
    }

    fn status(&mut self, field: &str) -> String {
        let row = self.row("SHOW SLAVE STATUS");
        let index = row.columns_ref().iter().position(|column| column.name_str() == field).unwrap();
        mysql_async::from_value(row[index].clone())
    }

    fn row(&mut self, query: &str) -> Row {
        self.runtime.block_on(self.connection.query_first(query)).unwrap().unwrap()
    }

    fn run(&mut self, statement: &str) {
        self.runtime.block_on(self.connection.query_drop(statement)).unwrap();
    }
}
