//! A dead primary's logs, copied and served to real replicas.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use beachmaster::agent::binlog_server::BinlogServer;
use beachmaster::agent::relay_as_binlog::RELAY_LOGS;
use beachmaster::binlog::Keys;
use beachmaster::protocol::Login;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::mariadb::MariaDb;

/// How long a replica may take for anything.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A copy of binary logs being served.
pub struct Served {
    pub server: std::sync::Arc<BinlogServer>,
    pub port: u16,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    runtime: Runtime,
    /// Removed when it is dropped.
    _files: TempDir,
}

impl Served {
    pub fn copy_of(primary: &MariaDb) -> Self {
        Self::serve(copy(&primary.datadir()))
    }

    /// As a crash leaves them: the last file ends after `size` bytes.
    pub fn copy_cut_to(primary: &MariaDb, size: u64) -> Self {
        let files = copy(&primary.datadir());
        let index = fs::read_to_string(files.path().join("bin.index")).unwrap();
        let last = index.lines().last().unwrap();
        File::options().write(true).open(files.path().join(last)).unwrap().set_len(size).unwrap();
        Self::serve(files)
    }

    /// As [`Self::copy_of`], with the key of encrypted logs.
    pub fn copy_with_keys(primary: &MariaDb, keys: Keys) -> Self {
        Self::copy_of_files(&primary.datadir(), keys)
    }

    /// As [`Self::copy_with_keys`], of a directory with an index.
    pub fn copy_of_files(directory: &Path, keys: Keys) -> Self {
        Self::of(copy(directory), keys)
    }

    /// The binary logs in a folder, by its index.
    pub fn of(folder: TempDir, keys: Keys) -> Self {
        Self::serve_with(folder, "bin", keys)
    }

    /// The relay logs in a folder, by its index.
    pub fn relay_logs(folder: TempDir, keys: Keys) -> Self {
        Self::serve_with(folder, RELAY_LOGS, keys)
    }

    fn serve(files: TempDir) -> Self {
        Self::serve_with(files, "bin", Keys::missing("none is needed"))
    }

    fn serve_with(files: TempDir, basename: &str, keys: Keys) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = match basename {
            RELAY_LOGS => runtime.block_on(BinlogServer::open_relay_logs(files.path(), RELAY_LOGS, keys)).unwrap(),
            basename => runtime.block_on(BinlogServer::open(files.path(), basename, keys)).unwrap(),
        };
        let server = std::sync::Arc::new(server);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let login = Login::new("tail", "secret").unwrap();
        let serving = std::sync::Arc::clone(&server);
        let (stop, stopped) = oneshot::channel();
        let serving = runtime.spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            serving.serve(listener, login, stopped).await;
        });
        Self { server, port, stop: Some(stop), serving: Some(serving), runtime, _files: files }
    }

    /// Tells the server to stop and waits until it has.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        let serving = self.serving.take().unwrap();
        self.runtime.block_on(async { tokio::time::timeout(LIMIT, serving).await.unwrap().unwrap() });
    }
}

/// The binary logs in a datadir, in a directory of their own.
pub fn copy(datadir: &Path) -> TempDir {
    copy_logs(datadir, "bin")
}

/// The logs named `basename` in a directory, in one of their own.
pub fn copy_logs(directory: &Path, basename: &str) -> TempDir {
    let files = TempDir::with_prefix("beachmaster-tail-").unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with(&format!("{basename}.")) {
            fs::copy(entry.path(), files.path().join(entry.file_name())).unwrap();
        }
    }
    files
}

/// Makes `replica` follow the served logs, in plain text: from 11.4 on a replica asks for TLS unless told not to.
pub fn follow(replica: &MariaDb, served: &Served) {
    follow_as(replica, served, "tail", "secret");
}

pub fn follow_as(replica: &MariaDb, served: &Served, user: &str, password: &str) {
    change_master_to(replica, served, user, password, "MASTER_USE_GTID=slave_pos");
    replica.sql("START SLAVE");
}

/// Makes `replica` follow the served logs in position mode.
pub fn follow_from(replica: &MariaDb, served: &Served, file: &str, offset: u64) {
    let place = format!("MASTER_USE_GTID=no, MASTER_LOG_FILE='{file}', MASTER_LOG_POS={offset}");
    change_master_to(replica, served, "tail", "secret", &place);
    replica.sql("START SLAVE");
}

/// All but START SLAVE.
pub fn change_master(replica: &MariaDb, served: &Served) {
    change_master_to(replica, served, "tail", "secret", "MASTER_USE_GTID=slave_pos");
}

fn change_master_to(replica: &MariaDb, served: &Served, user: &str, password: &str, place: &str) {
    replica.sql(&format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='{user}', MASTER_PASSWORD='{password}',
         MASTER_HEARTBEAT_PERIOD=0.5, MASTER_CONNECT_RETRY=1, MASTER_SSL=0, {place}",
        served.port
    ));
}

/// Waits for one field of SHOW SLAVE STATUS.
pub fn wait_status(replica: &MariaDb, field: &str, expected: &str) {
    let deadline = Instant::now() + LIMIT;
    while replica.slave_status(field) != expected {
        assert!(Instant::now() < deadline, "expected {field} {expected}: {}", replica.replication());
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn io_error(replica: &MariaDb) -> (String, String) {
    (replica.slave_status("Last_IO_Errno"), replica.slave_status("Last_IO_Error"))
}

pub fn wait_io_errno(replica: &MariaDb, expected: &str) {
    wait_status(replica, "Last_IO_Errno", expected);
}

pub fn position(server: &MariaDb) -> String {
    server.sql("SELECT @@gtid_binlog_pos")
}

/// One transaction for each row.
pub fn load(server: &MariaDb, rows: Range<u32>) {
    server.sql(&rows.map(|row| format!("INSERT INTO d.t VALUES ({row});")).collect::<String>());
}

/// Every kind of group, over four files.
pub fn writes(server: &MariaDb) {
    server.sql(
        "SET GLOBAL gtid_strict_mode=1;
         CREATE DATABASE d; USE d;
         CREATE TABLE t (a INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB) ENGINE=InnoDB;
         CREATE TABLE m (a INT PRIMARY KEY, b VARCHAR(50)) ENGINE=MyISAM;
         BEGIN; INSERT INTO t (b) VALUES ('one'), ('two'); UPDATE t SET b='three' WHERE a=1; COMMIT;
         INSERT INTO m VALUES (1, 'not transactional');
         FLUSH BINARY LOGS;
         BEGIN; INSERT INTO t (b) VALUES ('with'); INSERT INTO m VALUES (2, 'mixed'); ROLLBACK;
         SET SESSION binlog_format=STATEMENT;
         SET @v='user variable';
         INSERT INTO t (b) VALUES (@v);
         INSERT INTO m VALUES (3, RAND(7));
         BEGIN; INSERT INTO t (b) VALUES ('COMMIT'); SAVEPOINT s; INSERT INTO t (b) VALUES ('x');
         ROLLBACK TO s; INSERT INTO t (b) VALUES ('after'); COMMIT;
         SET SESSION binlog_format=ROW;
         CREATE TABLE c AS SELECT a FROM t;
         ALTER TABLE c ADD COLUMN z INT DEFAULT 5;
         CREATE SEQUENCE q; SELECT NEXTVAL(q);
         FLUSH BINARY LOGS;
         INSERT INTO t (b) VALUES (REPEAT('blob', 5500000));
         DELETE FROM m WHERE a=2; TRUNCATE TABLE c;",
    );
    for (name, end) in [("'committed'", "XA COMMIT"), ("'rolled'", "XA ROLLBACK")] {
        server.sql(&format!(
            "USE d; XA START {name}; INSERT INTO t (b) VALUES ('xa'); XA END {name}; XA PREPARE {name}; {end} {name}"
        ));
    }
    server.sql("USE d; XA START 'one'; INSERT INTO t (b) VALUES ('xa 1'); XA END 'one'; XA COMMIT 'one' ONE PHASE");
    server.sql("FLUSH BINARY LOGS");
    server.sql("USE d; XA START 'prepared'; INSERT INTO t (a, b) VALUES (5000, 'left'); XA END 'prepared'; XA PREPARE 'prepared'");
    server.sql("USE d; INSERT INTO t (b) VALUES ('last'); CREATE USER u@localhost; GRANT SELECT ON d.* TO u@localhost");
}

/// Every table of the user is the same on both.
pub fn assert_same_tables(left: &MariaDb, right: &MariaDb) {
    let names = "SELECT GROUP_CONCAT(table_schema, '.', table_name ORDER BY 1 SEPARATOR ', ')
                 FROM information_schema.tables WHERE table_schema='d'";
    assert_eq!(left.sql(names), right.sql(names));
    let checksums = format!("CHECKSUM TABLE {}", left.sql(names));
    assert_eq!(left.sql(&checksums), right.sql(&checksums));
}
