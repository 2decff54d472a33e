//! A primary and its replica, whose mariadbd dies as the test wants.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use beachmaster::binlog::{FileScanner, Keys};
use beachmaster::orders::{Answer, Mariadbd, Order, OrderError};

use crate::copy;
use testkit::Version;
use testkit::member::{Member, Setup, until};

pub struct Pair {
    pub source: Member,
    pub replica: Member,
    seq: u64,
}

impl Pair {
    pub fn start(version: Version) -> Self {
        let [source, replica] = [0, 1].map(|ordinal| {
            Member::start_like(Setup { options: "binlog_format=ROW\n", ..Setup::plain(version) }, ordinal)
        });
        std::thread::scope(|scope| {
            for member in [&source, &replica] {
                scope.spawn(move || member.init());
            }
        });
        source.stream().obey(
            1,
            2,
            Order::Promote { required: String::new().parse().unwrap(), server_id: 0x11, semi_sync: false },
        );
        source.sql(
            "CREATE DATABASE d; CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, a INT); CREATE TABLE d.u (a INT)",
        );
        let mut pair = Self { source, replica, seq: 1 };
        pair.follow();
        pair.assert_equal();
        pair
    }

    /// Sessions are separated by `|`: one that has prepared an XA transaction can do nothing else.
    pub fn write(&self, statements: &str) {
        for session in statements.split('|') {
            self.source.sql(&format!("USE d; {session}"));
        }
    }

    pub fn order(&self) -> Order {
        Order::Follow { source: self.source.source(), acker: None, wait: None }
    }

    pub fn follow(&mut self) {
        let order = self.order();
        self.obey(order);
    }

    pub fn obey(&mut self, order: Order) -> Answer {
        self.seq += 1;
        self.replica.stream().obey(1, self.seq, order)
    }

    /// The replica must not follow.
    pub fn refuse(&mut self) -> OrderError {
        let order = self.order();
        self.refuse_order(order)
    }

    pub fn refuse_order(&mut self, order: Order) -> OrderError {
        self.seq += 1;
        self.replica.stream().refuse(1, self.seq, order)
    }

    pub fn catch_up(&self) {
        let end = self.source.position().to_string();
        until("the replica has everything", || self.replica.sql("SELECT @@gtid_slave_pos") == end);
    }

    /// The replica's agent first: it would start mariadbd again.
    pub fn kill_both(&mut self) {
        self.replica.kill_agent();
        let pid = self.replica.mariadbd_pid();
        self.replica.kill_mariadbd();
        until("mariadbd is reaped", || !Path::new(&format!("/proc/{pid}")).exists());
    }

    /// The agent starts mariadbd by itself.
    pub fn boot(&mut self) {
        self.replica.start_agent();
        self.replica
            .wait_for("a new run answers", |state| matches!(state.mariadbd, Mariadbd::Running { sql: true, .. }));
    }

    /// The replica's datadir as a crash leaves it now, with every commit done in the engine; then it goes on.
    pub fn snapshot(&mut self) -> PathBuf {
        self.catch_up();
        // Else it takes the binary log to commit the last one.
        self.replica.sql("FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS");
        self.kill_both();
        let engine = self.replica.path("engine");
        copy(&self.data(), &engine);
        self.boot();
        self.follow();
        engine
    }

    /// Everything but the binary log becomes what it was.
    pub fn take_back(&self, engine: &Path) {
        let newer = self.replica.path("newer");
        copy(&self.data(), &newer);
        copy(engine, &self.data());
        for name in logs(engine) {
            fs::remove_file(self.data().join(name)).unwrap();
        }
        for name in logs(&newer) {
            copy(&newer.join(&name), &self.data().join(&name));
        }
    }

    pub fn assert_equal(&self) {
        self.catch_up();
        let [source, replica] = [&self.source, &self.replica].map(content);
        assert_eq!(source, replica);
        assert_eq!(self.replica.sql("SELECT @@gtid_binlog_pos = @@gtid_slave_pos"), "1");
    }

    /// The mended binary log holds every transaction once: our reader takes it, and a primary serves it from its start.
    pub fn assert_log_can_be_served(&self) {
        for name in binlogs(&self.data()) {
            let mut bytes = Vec::new();
            File::open(self.data().join(name)).unwrap().read_to_end(&mut bytes).unwrap();
            let mut scanner = FileScanner::new(bytes.len() as u64, &Keys::missing("none"));
            scanner.feed(&[]).unwrap();
            scanner.feed(&bytes).unwrap();
        }
        let third = Member::start_like(self.replica.setup, 2);
        third.init();
        third.stream().obey(1, 2, Order::Follow { source: self.replica.source(), acker: None, wait: None });
        let end = self.source.position().to_string();
        until("the third has everything", || third.sql("SELECT @@gtid_slave_pos") == end);
        assert_eq!(content(&self.source), content(&third));
    }

    /// The replica's newest binary log and its length.
    pub fn last_log(&self) -> (PathBuf, usize) {
        let log = self.data().join(binlogs(&self.data()).max().unwrap());
        let length = fs::metadata(&log).unwrap().len();
        (log, usize::try_from(length).unwrap())
    }

    fn data(&self) -> PathBuf {
        self.replica.path("volume/data")
    }
}

/// XA transactions that are prepared, in one order.
pub fn xa(member: &Member) -> Vec<String> {
    let mut names: Vec<String> = member.sql("XA RECOVER").lines().map(ToOwned::to_owned).collect();
    names.sort();
    names
}

/// Everything in the user's database.
pub fn content(member: &Member) -> Vec<String> {
    let tables = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema='d' ORDER BY 1";
    let listed = member.sql(tables);
    let names: Vec<String> =
        listed.lines().filter_map(|line| line.strip_suffix("\tBASE TABLE")).map(|name| format!("d.`{name}`")).collect();
    let sums = member.sql(&format!("CHECKSUM TABLE {}", names.join(", ")));
    let columns = "SELECT table_name, column_name, column_type FROM information_schema.columns
                   WHERE table_schema='d' ORDER BY 1, ordinal_position";
    [vec![listed, sums, member.sql(columns)], xa(member)].concat()
}

fn binlogs(directory: &Path) -> impl Iterator<Item = String> {
    logs(directory).into_iter().filter(|name| name.rsplit('.').next().unwrap().parse::<u32>().is_ok())
}

/// Also their indexes.
fn logs(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("bin.")).collect()
}
