//! Candidates, and the two ways a tail reaches them.

use std::fmt;
use std::process::Stdio;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use beachmaster::agent::unsynced::{RELAXED, Writeback, sync_binlogs};
use beachmaster::mariadb::{Address, Login, Session, read};
use tokio::time::sleep;

use crate::cpu;
use crate::origin::{CHECKSUM, Origin, start_member};
use testkit::mariadb::MariaDb;
use testkit::tail::change_master;

/// As the operator starts members, beside its defaults; memory for both ways alike.
const OPTIONS: [&str; 8] = [
    "--log-slave-updates",
    "--sync-binlog=1",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-use-native-aio=OFF",
    "--gtid-strict-mode=1",
    "--skip-slave-start",
    "--innodb-buffer-pool-size=512M",
    "--innodb-log-file-size=512M",
];
/// No way takes longer; what does hangs.
const LIMIT: Duration = Duration::from_secs(900);
/// Between two looks at an IO thread.
const PAUSE: Duration = Duration::from_millis(5);

/// How the tail is brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// MHA's: as text, to a server that syncs each transaction.
    Pipe,
    /// The agent's on a long tail (`agent::orders::durable`).
    Stream {
        /// `slave_parallel_threads`.
        threads: u8,
    },
}

impl Way {
    pub fn threads(self) -> u8 {
        if let Self::Stream { threads } = self { threads } else { 0 }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipe => f.write_str("mariadb-binlog, mariadb"),
            Self::Stream { .. } => f.write_str("binlog server"),
        }
    }
}

/// Servers without data.
pub struct Candidates(Vec<MariaDb>);

impl Candidates {
    pub fn start(count: u32, threads: u8) -> Self {
        let threads = format!("--slave-parallel-threads={threads}");
        let options: Vec<&str> = OPTIONS.into_iter().chain([threads.as_str()]).collect();
        Self((0..count).map(|number| start_member(10 + number, &options)).collect())
    }

    /// Brings the tail to all of them at once; the time until the last one is durable, and the processor time of all.
    pub fn catch_up(&self, origin: &Origin, way: Way) -> (Duration, Duration) {
        if way != Way::Pipe {
            self.0.iter().for_each(|candidate| change_master(candidate, &origin.served));
        }
        let servers: Vec<u32> = self.0.iter().map(MariaDb::pid).collect();
        let before = cpu::used(&servers);
        let time = at_once(&self.0, |candidate| match way {
            Way::Pipe => pipe(candidate, origin),
            Way::Stream { .. } => stream(candidate, origin),
        });
        let used = cpu::used(&servers).saturating_sub(before);
        for candidate in &self.0 {
            assert_eq!(candidate.sql("SELECT @@gtid_binlog_pos"), origin.end);
            assert_eq!(candidate.sql(CHECKSUM), origin.checksum, "{way}");
        }
        (time, used)
    }

    /// Lets the IO threads of the first `count` receive everything; the time until the last one has.
    pub fn receive(&self, origin: &Origin, count: usize) -> Duration {
        let candidates = &self.0[..count];
        candidates.iter().for_each(|candidate| change_master(candidate, &origin.served));
        let time = at_once(candidates, |candidate| receive(candidate, &origin.end));
        candidates.iter().for_each(|candidate| drop(candidate.sql("STOP SLAVE; RESET SLAVE ALL")));
        time
    }
}

/// Does `work` with all candidates at once, behind nobody else's unwritten data.
fn at_once(candidates: &[MariaDb], work: impl Fn(&MariaDb) + Sync) -> Duration {
    rustix::fs::sync();
    let start = Barrier::new(candidates.len());
    std::thread::scope(|scope| {
        let each = candidates.iter().map(|candidate| {
            scope.spawn(|| {
                start.wait();
                let began = Instant::now();
                work(candidate);
                began.elapsed()
            })
        });
        let each: Vec<_> = each.collect();
        each.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    })
}

fn pipe(candidate: &MariaDb, origin: &Origin) {
    let mut text =
        candidate.client_program("mariadb-binlog").args(&origin.files).stdout(Stdio::piped()).spawn().unwrap();
    let applied = candidate
        .client_program("mariadb")
        .args(["--user=root", "--max-allowed-packet=64M"])
        .arg(format!("--socket={}", candidate.socket().display()))
        .stdin(text.stdout.take().unwrap())
        .status()
        .unwrap();
    assert!(applied.success() && text.wait().unwrap().success());
}

/// As the agent's order `follow` does it (`agent::orders::durable`).
fn stream(candidate: &MariaDb, origin: &Origin) {
    let set: String = RELAXED.iter().map(|(name, value)| format!("SET GLOBAL {name}={value};")).collect();
    let writeback = Writeback::start(candidate.datadir(), "bin");
    let (end, limit) = (&origin.end, LIMIT.as_secs());
    let done = candidate.sql(&format!("{set} START SLAVE; SELECT MASTER_GTID_WAIT('{end}', {limit})"));
    assert_eq!(done, "0", "{}", candidate.replication());
    drop(writeback);
    candidate.sql(
        "SET GLOBAL sync_binlog=1; SET GLOBAL innodb_flush_log_at_trx_commit=1;
         FLUSH LOCAL ENGINE LOGS;",
    );
    sync_binlogs(&candidate.datadir(), "bin").unwrap();
}

fn receive(candidate: &MariaDb, end: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let login = Login {
            address: Address::Socket(candidate.socket()),
            user: "root".to_owned(),
            password: None,
            setup: None,
        };
        let mut session = Session::connect(&login, LIMIT).await.unwrap();
        session.execute("START SLAVE IO_THREAD").await.unwrap();
        let began = Instant::now();
        while read::slave(&mut session).await.unwrap().unwrap().status.io_position.to_string() != end {
            assert!(began.elapsed() < LIMIT, "{}", candidate.replication());
            sleep(PAUSE).await;
        }
    });
}
