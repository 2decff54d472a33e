//! The dead primary whose binary logs hold the tail.

use std::fs;
use std::path::PathBuf;

use beachmaster::api::owned::DEFAULTS;

use testkit::mariadb::MariaDb;
use testkit::tail::{Served, position};

/// Beside the operator's defaults. As in a server that writes a lot, several files; and no syncs, because nobody measures
/// this server.
const OPTIONS: [&str; 5] = [
    "--max-binlog-size=100M",
    "--sync-binlog=0",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=512M",
    "--innodb-log-file-size=512M",
];

/// What the tail consists of.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub transactions: u32,
    /// Rows of each transaction.
    pub rows: u32,
    /// Bytes of each row, a multiple of 32.
    pub row_size: u32,
}

/// A killed server, its files, and the binlog server over a copy of them.
pub struct Origin {
    pub kind: Kind,
    pub served: Served,
    /// The last transaction.
    pub end: String,
    /// What a complete candidate answers to [`CHECKSUM`].
    pub checksum: String,
    /// The binary logs in their order.
    pub files: Vec<PathBuf>,
    bytes: u64,
    _server: MariaDb,
}

/// Tells whether a candidate has every row.
pub const CHECKSUM: &str = "CHECKSUM TABLE d.t";

/// A server with what the operator writes to every member's my.cnf; `options` overrule it.
pub fn start_member(server_id: u32, options: &[&str]) -> MariaDb {
    let defaults: Vec<String> = DEFAULTS.iter().map(|(name, value)| format!("--{name}={value}")).collect();
    let all: Vec<&str> = defaults.iter().map(String::as_str).chain(options.iter().copied()).collect();
    MariaDb::start(server_id, &all)
}

impl Origin {
    /// Writes the tail; a candidate that has nothing needs all of it.
    pub fn make(kind: Kind) -> Self {
        let mut server = start_member(1, &OPTIONS);
        server.sql(&format!(
            "CREATE DATABASE d;
             CREATE TABLE d.t (a INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR({})) CHARSET=latin1;",
            kind.row_size
        ));
        server.sql(&format!("USE d; {}", statements(kind)));
        let (end, checksum) = (position(&server), server.sql(CHECKSUM));
        server.kill();
        let files = files(&server);
        let bytes = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        Self { kind, served: Served::copy_of(&server), end, checksum, files, bytes, _server: server }
    }

    /// Of all binary logs together, in millions of bytes.
    pub fn megabytes(&self) -> f64 {
        self.bytes as f64 / 1e6
    }
}

fn statements(kind: Kind) -> String {
    let repeat = kind.row_size / 32;
    let insert = |number: u32| match kind.rows {
        1 => format!("INSERT INTO t (v) VALUES (REPEAT(MD5({number}), {repeat}));"),
        rows => format!("INSERT INTO t (v) SELECT REPEAT(MD5(seq + {number}), {repeat}) FROM seq_1_to_{rows};"),
    };
    (0..kind.transactions).map(insert).collect()
}

fn files(server: &MariaDb) -> Vec<PathBuf> {
    let index = fs::read_to_string(server.datadir().join("bin.index")).unwrap();
    index.lines().map(|name| server.datadir().join(name)).collect()
}
