//! A member without a pod: a real launch, a real agent and the mariadbd they start, in a temporary directory.
//!
//! As root the processes run as the mysql user, because the agent logs in by its user's name.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beachmaster::gtid::GtidPosition;
use beachmaster::orders::{AgentState, Answer, Identity, Mariadbd, Order, Ordinal, Source};
use tempfile::TempDir;

pub use crate::stream::{LIMIT, Stream, data_uid};

use crate::Version;
use crate::ports::free_port;
use crate::programs;
use crate::user::{as_server, give_all_to_server};

pub const CLUSTER: &str = "prod/shop";

/// What members of a cluster have in common.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub version: Version,
    /// Further options, one a line.
    pub options: &'static str,
    /// Cipher of encryption at rest, and the key file.
    pub keys: Option<(&'static str, &'static str)>,
}

impl Setup {
    /// A version as it comes.
    pub const fn plain(version: Version) -> Self {
        Self { version, options: "", keys: None }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::plain(Version::V10_11)
    }
}

/// One member.
pub struct Member {
    pub home: TempDir,
    pub setup: Setup,
    pub ordinal: u8,
    pub port: u16,
    /// Of mariadbd for members.
    pub extra_port: u16,
    pub http_port: u16,
    pub binlog_port: u16,
    launch: Option<Child>,
    agent: Option<Child>,
}

impl Member {
    /// Of the default version, with a blank volume.
    pub fn start(ordinal: u8) -> Self {
        Self::start_like(Setup::default(), ordinal)
    }

    /// With a blank volume.
    pub fn start_like(setup: Setup, ordinal: u8) -> Self {
        let home = TempDir::with_prefix("beachmaster-member-").unwrap();
        fs::create_dir(home.path().join("volume")).unwrap();
        Self::start_in(home, setup, ordinal)
    }

    /// With a file system of its own as its blank volume.
    pub fn start_on(volume: &Path, ordinal: u8) -> Self {
        let home = TempDir::with_prefix("beachmaster-member-").unwrap();
        symlink(volume, home.path().join("volume")).unwrap();
        Self::start_in(home, Setup::default(), ordinal)
    }

    fn start_in(home: TempDir, setup: Setup, ordinal: u8) -> Self {
        for folder in ["run", "tmp", "accounts"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        let keys = (0..9).map(|ordinal| format!("repl-{ordinal}")).chain(["probe".to_owned()]);
        keys.for_each(|key| fs::write(home.path().join("accounts").join(&key), format!("secret{key}\n")).unwrap());
        // Small and quick; what is owned stands on the command line.
        let small = "[mariadbd]\ninnodb_buffer_pool_size=32M\ninnodb_log_file_size=32M\nslave_parallel_threads=4\n";
        fs::write(home.path().join("my.cnf"), format!("{small}{}", setup.options)).unwrap();
        fs::write(home.path().join("keys"), setup.keys.map_or("", |(_, keys)| keys)).unwrap();
        give_all_to_server(home.path());
        let [port, extra_port, http_port, binlog_port] = std::array::from_fn(|_| free_port());
        let mut member =
            Self { home, setup, ordinal, port, extra_port, http_port, binlog_port, launch: None, agent: None };
        member.start_launch();
        member.start_agent();
        member
    }

    pub fn start_launch(&mut self) {
        let mut command = as_server(programs::launch());
        command.arg("--socket").arg(self.path("run/launch.sock"));
        self.launch = Some(self.spawn(command, "launch.log"));
    }

    pub fn start_agent(&mut self) {
        let mut command = as_server(programs::program("beachmaster"));
        command.args(["agent", "run", "--pod-namespace=prod", "--cluster=shop", "--pod-uid=pod"]);
        command.arg(format!("--pod-name=shop-{}", self.ordinal));
        for (flag, place) in [
            ("volume", "volume"),
            ("run-dir", "run"),
            ("tmp-dir", "tmp"),
            ("accounts", "accounts"),
            ("my-cnf", "my.cnf"),
            ("bootstrap-password", "bootstrap"),
            ("root-password", "root"),
        ] {
            command.arg(format!("--{flag}={}", self.path(place).display()));
        }
        for (flag, program) in [("mariadbd", "mariadbd"), ("install-db", "mariadb-install-db")] {
            command.arg(format!("--{flag}={}", self.setup.version.program(program).display()));
        }
        command.arg(format!("--mariadb-port={}", self.port));
        command.arg(format!("--extra-port={}", self.extra_port));
        command.arg(format!("--http-port={}", self.http_port));
        command.arg(format!("--binlog-port={}", self.binlog_port));
        if let Some((cipher, _)) = self.setup.keys {
            command.arg(format!("--encryption-algorithm={cipher}"));
            command.arg(format!("--encryption-keys={}", self.path("keys").display()));
        }
        if self.path("bootstrap").exists() {
            command.args(["--bootstrap-database=shop", "--bootstrap-username=app"]);
        }
        command.env("RUST_LOG", "info,beachmaster=debug");
        self.agent = Some(self.spawn(command, "agent.log"));
        let socket = self.path("run/agent.sock");
        until("the agent listens", || UnixStream::connect(&socket).is_ok());
    }

    fn spawn(&self, mut command: Command, log: &str) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.path(log)).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// Gives what the test wrote into the member's folders to the member's user.
    pub fn hand_over(&self) {
        give_all_to_server(self.home.path());
    }

    pub fn path(&self, place: &str) -> PathBuf {
        self.home.path().join(place)
    }

    pub fn kill_agent(&mut self) {
        kill(self.agent.take());
    }

    /// Starts a second agent on the same volume, as a pod of the same name on the same node would; returns the first one.
    pub fn start_another_agent(&mut self) -> Child {
        let first = self.agent.take().unwrap();
        self.http_port = free_port();
        self.start_agent();
        first
    }

    pub fn kill_launch(&mut self) {
        kill(self.launch.take());
    }

    /// kill -9 of mariadbd, past its agent.
    pub fn kill_mariadbd(&self) {
        assert!(Command::new("kill").args(["-9", &self.mariadbd_pid()]).status().unwrap().success());
    }

    pub fn mariadbd_pid(&self) -> String {
        fs::read_to_string(self.path("run/mysqld.pid")).unwrap().trim().to_owned()
    }

    pub fn stream(&self) -> Stream {
        Stream::open(&self.path("run/agent.sock"))
    }

    pub fn state(&self) -> AgentState {
        self.stream().state
    }

    /// Waits until the agent says that this is so.
    pub fn wait_for(&self, what: &str, mut so: impl FnMut(&AgentState) -> bool) -> AgentState {
        let deadline = Instant::now() + LIMIT;
        loop {
            let state = self.state();
            if so(&state) {
                return state;
            }
            assert!(Instant::now() < deadline, "{what}: {state:?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn wait_until_it_answers(&self) -> AgentState {
        self.wait_for("mariadbd answers", |state| matches!(state.mariadbd, Mariadbd::Running { sql: true, .. }))
    }

    /// Runs statements over the socket; rows tab separated, without names.
    pub fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    pub fn try_sql(&self, statements: &str) -> Result<String, String> {
        let output = self.client(statements).wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A client that runs statements.
    pub fn client(&self, statements: &str) -> Child {
        let mut client = as_server(self.setup.version.program("mariadb"));
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--execute", statements]);
        client.arg(format!("--socket={}", self.path("run/mysqld.sock").display()));
        client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Makes its datadir and starts it, open to all other members.
    pub fn init(&self) -> Answer {
        let answer = self.stream().obey(1, 1, Order::Init { identity: self.identity() });
        self.admit_all();
        answer
    }

    pub fn admit_all(&self) {
        let unadmitted = self.wait_for("the accounts are there", |state| !state.sql_notes.unadmitted.is_empty());
        // As `readmit-acker` does, for which each test would have to keep numbers free.
        let open = |ordinal: &Ordinal| {
            let account = format!("beachmaster_repl_{ordinal}@'%'");
            format!(
                "ALTER USER {account} ACCOUNT UNLOCK; GRANT REPLICATION SLAVE, CONNECTION ADMIN ON *.* TO {account};"
            )
        };
        let open: String = unadmitted.sql_notes.unadmitted.iter().map(open).collect();
        self.sql(&format!("SET sql_log_bin=0; {open}"));
    }

    pub fn position(&self) -> GtidPosition {
        self.sql("SELECT @@gtid_binlog_pos").parse().unwrap()
    }

    pub fn source(&self) -> Source {
        Source::Member { host: "127.0.0.1".to_owned(), port: self.extra_port }
    }

    pub fn identity(&self) -> Identity {
        Identity { cluster: CLUSTER.to_owned(), data_uid: data_uid(), ordinal: Ordinal(self.ordinal) }
    }

    pub fn logs(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        let tail = |text: String| {
            text.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        format!("--- agent {}\n{}\n--- launch\n{}", self.ordinal, tail(read("agent.log")), tail(read("launch.log")))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        kill(self.agent.take());
        kill(self.launch.take());
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a client's statement is done, and says whether it succeeded.
pub fn succeeds(what: &str, client: &mut Child) -> bool {
    let mut status = None;
    until(what, || {
        status = client.try_wait().unwrap();
        status.is_some()
    });
    status.is_some_and(|status| status.success())
}

fn kill(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}
