//! A real mariadbd in a temporary directory, killed when dropped.
//!
//! Each server has its own datadir, socket and free TCP port; root logs in over the socket without a password. As root the
//! server runs as the mysql user.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Version;
use crate::ports::free_port;
use crate::programs;
use crate::user::{give_to_server, is_root};

/// Slow machines start mariadbd in a few seconds; more than this is a failure to look into.
const START: Duration = Duration::from_secs(60);

/// A running (or killed) server and its files.
pub struct MariaDb {
    home: TempDir,
    version: Version,
    options: Vec<String>,
    child: Option<Child>,
    pub port: u16,
}

impl MariaDb {
    /// Starts a server of 10.11 with `log-bin=bin`, the given server id and further options (`--name=value`).
    pub fn start(server_id: u32, options: &[&str]) -> Self {
        Self::start_version(Version::V10_11, server_id, options)
    }

    /// As [`Self::start`], of a version.
    pub fn start_version(version: Version, server_id: u32, options: &[&str]) -> Self {
        let home = TempDir::with_prefix("beachmaster-mariadb-").unwrap();
        let datadir = home.path().join("data");
        copy(&template(version).join("data"), &datadir);
        // Not shared: a server that starts removes all temporary tables it finds.
        let temporary = home.path().join("tmp");
        fs::create_dir(&temporary).unwrap();
        give_to_server(&temporary);
        give_to_server(home.path());
        let mut all = vec![format!("--server-id={server_id}")];
        all.extend(options.iter().map(ToString::to_string));
        let mut server = Self { home, version, options: all, child: None, port: 0 };
        server.boot();
        server
    }

    /// Starts mariadbd again over the same datadir, after [`Self::kill`] or [`Self::shut_down`].
    pub fn boot(&mut self) {
        // A process that is no test of ours can take the port between our look and the server's bind: another one then.
        assert!((0..3).any(|_| self.try_boot()), "mariadbd did not start:\n{}", self.log());
    }

    /// As [`Self::boot`], once; false when mariadbd ended or does not answer.
    pub fn try_boot(&mut self) -> bool {
        self.port = free_port();
        self.spawn();
        self.wait_ready()
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.home.path().join("error.log")).unwrap();
        let mut command = Command::new(self.version.program("mariadbd"));
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", self.datadir().display()))
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!("--pid-file={}", self.home.path().join("pid").display()))
            .arg(format!("--tmpdir={}", self.home.path().join("tmp").display()))
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--log-bin=bin", "--relay-log=relay"])
            .args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=32M", "--max-allowed-packet=64M"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if is_root() {
            command.arg("--user=mysql");
        }
        self.child = Some(command.spawn().unwrap());
    }

    fn wait_ready(&mut self) -> bool {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if self.try_sql("SELECT 1").is_ok() {
                return true;
            }
            if self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// The datadir, which also holds the binary logs (`bin.index`, `bin.000001` …).
    pub fn datadir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Path of the Unix socket, for clients of other kinds.
    pub fn socket(&self) -> PathBuf {
        self.home.path().join("sock")
    }

    /// A client program of the server's version, such as `mariadb`.
    pub fn client_program(&self, name: &str) -> Command {
        let mut command = Command::new(self.version.program(name));
        command.arg("--no-defaults");
        command
    }

    /// Process id of the running server.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// What the server wrote to its error log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("error.log")).unwrap_or_default()
    }

    /// Runs statements as root and returns the rows, tab separated, without names. Panics on an error.
    pub fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    /// As [`Self::sql`], with the client's error text as the error.
    pub fn try_sql(&self, statements: &str) -> Result<String, String> {
        self.client("--skip-column-names", statements)
    }

    fn client(&self, format: &str, statements: &str) -> Result<String, String> {
        let mut client = self
            .client_program("mariadb")
            .args(["--user=root", "--batch", format, "--max-allowed-packet=64M"])
            .arg(format!("--socket={}", self.socket().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A client that could not connect closes its input: its error text says so.
        let _ = client.stdin.take().unwrap().write_all(statements.as_bytes());
        let output = client.wait_with_output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    /// One field of `SHOW SLAVE STATUS`, empty when the server is no replica.
    pub fn slave_status(&self, field: &str) -> String {
        let status = self.replication();
        let prefix = format!("{field}: ");
        let line = status.lines().map(str::trim_start).find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_default().to_owned()
    }

    /// The whole of `SHOW SLAVE STATUS`, one field a line.
    pub fn replication(&self) -> String {
        self.client("--vertical", "SHOW SLAVE STATUS").unwrap_or_else(|error| error)
    }

    /// Waits until `query` returns `expected`; panics with the last answer and the replication state otherwise.
    pub fn wait_for(&self, query: &str, expected: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let answer = self.sql(query);
            if answer == expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{query} is {answer:?}, expected {expected:?}\n{}\n{}",
                self.replication(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `FLUSH BINARY LOGS`, until the server has nothing of its own left to write into the new file.
    ///
    /// Some time after the rotation, once the engines have synced what the file before holds, it writes a
    /// `Binlog_checkpoint` event that names the new file. That can be after the next transactions: then the file does
    /// not end with the last of them.
    pub fn rotate(&self) {
        self.sql("FLUSH BINARY LOGS");
        let status = self.sql("SHOW MASTER STATUS");
        let name = status.split('\t').next().unwrap();
        let checkpoints = format!("SHOW BINLOG EVENTS IN '{name}'");
        let written = |events: String| {
            events.lines().any(|line| line.contains("\tBinlog_checkpoint\t") && line.ends_with(&format!("\t{name}")))
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !written(self.sql(&checkpoints)) {
            assert!(Instant::now() < deadline, "no checkpoint in {name}:\n{}", self.sql(&checkpoints));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A clean SHUTDOWN.
    pub fn shut_down(&mut self) {
        self.sql("SHUTDOWN");
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A datadir made once for each build directory and server version; installing takes seconds, copying does not.
fn template(version: Version) -> &'static Path {
    static TEMPLATES: [OnceLock<PathBuf>; Version::ALL.len()] = [const { OnceLock::new() }; Version::ALL.len()];
    TEMPLATES[version as usize].get_or_init(|| {
        let ready = programs::kept().join(format!("template-{}", version.exact()));
        if !ready.exists() {
            let made = install(version);
            let own = ready.with_extension(std::process::id().to_string());
            copy(&made.path().join("data"), &own.join("data"));
            // Another test process may have been faster: its template is as good.
            if fs::rename(&own, &ready).is_err() {
                fs::remove_dir_all(&own).unwrap();
            }
        }
        ready
    })
}

fn install(version: Version) -> TempDir {
    let home = TempDir::with_prefix("beachmaster-template-").unwrap();
    give_to_server(home.path());
    let mut command = Command::new(version.program("mariadb-install-db"));
    command
        .args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"])
        .arg("--innodb-log-file-size=32M")
        .arg(format!("--datadir={}", home.path().join("data").display()));
    if is_root() {
        command.arg("--user=mysql");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    home
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} -> {}", from.display(), to.display());
}
