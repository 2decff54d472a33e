//! The real program with real children: a shell stands for mariadbd.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command as StdCommand, Stdio};
use std::time::{Duration, Instant};

use launch::client::Client;
use launch::protocol::{Command, Reply, Request, Server, State};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(10);

struct Launch {
    home: TempDir,
    child: Child,
}

impl Launch {
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let child = StdCommand::new(env!("CARGO_BIN_EXE_launch"))
            .arg("--socket")
            .arg(home.path().join("launch.sock"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let launch = Self { home, child };
        until("launch listens", || Client::connect(&launch.socket()).is_ok());
        launch
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("launch.sock")
    }

    fn client(&self) -> Client {
        let mut client = Client::connect(&self.socket()).unwrap();
        client.wait_up_to(LIMIT).unwrap();
        client
    }

    fn spawn(&self, script: &str) -> State {
        state(self.client().ask(&Request::Spawn { run: 7, command: shell(script) }).unwrap())
    }

    fn state(&self) -> State {
        state(self.client().ask(&Request::State { threads: true }).unwrap())
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shell(script: &str) -> Command {
    Command { program: "sh".to_owned(), args: vec!["-c".to_owned(), script.to_owned()], env: Vec::new() }
}

fn state(reply: Reply) -> State {
    match reply {
        Reply::State(state) => state,
        other => panic!("{other:?}"),
    }
}

fn pid(state: &State) -> i32 {
    match state.server {
        Server::Running { pid, .. } | Server::Exited { pid, .. } => pid,
        Server::Idle => panic!("{state:?}"),
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn runs(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_killed_child_is_told_at_once_with_its_last_words_and_launch_lives_on() {
    let launch = Launch::start();
    let mut subscriber = launch.client();
    assert_eq!(state(subscriber.ask(&Request::Subscribe).unwrap()).server, Server::Idle);
    launch.spawn("for n in $(seq 30); do echo line $n; done; echo ready >&2; exec sleep 100");
    assert!(matches!(state(subscriber.next_reply().unwrap()).server, Server::Running { run: 7, .. }));
    let refused = launch.client().ask(&Request::Spawn { run: 8, command: shell("true") }).unwrap();
    assert!(matches!(refused, Reply::Refused { .. }), "one mariadbd at a time");
    // `sleep` replaced the shell: everything was printed.
    until("the child has printed", || launch.state().threads.iter().any(|thread| thread.name == "sleep"));

    let began = Instant::now();
    launch.client().ask(&Request::Signal { signal: 9 }).unwrap();
    let told = state(subscriber.next_reply().unwrap()).server;
    let Server::Exited { run, exit, output, at_ms, .. } = told else { panic!() };
    assert!(at_ms.is_some_and(|at| at > 0), "when it ended: {at_ms:?}");
    println!("kill -9 to notice: {:?}", began.elapsed());
    assert_eq!((run, exit.signal, exit.code), (7, Some(9), None));
    assert_eq!((output.len(), output.last().unwrap().as_str()), (20, "ready"));

    assert!(matches!(launch.spawn("exit 3").server, Server::Running { .. }));
    let running_then_exited =
        [subscriber.next_reply().unwrap(), subscriber.next_reply().unwrap()].map(|reply| state(reply).server);
    assert!(matches!(&running_then_exited[1], Server::Exited { exit, .. } if exit.code == Some(3)));
}

#[test]
fn sigterm_stops_the_child_first_and_tells_its_exit_before_launch_ends() {
    let mut launch = Launch::start();
    let mut subscriber = launch.client();
    subscriber.ask(&Request::Subscribe).unwrap();
    launch.spawn("trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done");
    subscriber.next_reply().unwrap();
    until("the trap is set", || launch.state().threads.len() == 1 && runs(pid(&launch.state())));
    StdCommand::new("kill").arg(launch.child.id().to_string()).status().unwrap();
    let State { server, stopping, .. } = state(subscriber.next_reply().unwrap());
    assert!(stopping);
    assert!(matches!(server, Server::Exited { .. }), "{server:?}");
    until("launch ends", || launch.child.try_wait().unwrap().is_some());
}

#[test]
fn the_child_dies_with_launch() {
    let mut launch = Launch::start();
    let child = pid(&launch.spawn("exec sleep 100"));
    until("the child runs", || runs(child));
    launch.child.kill().unwrap();
    launch.child.wait().unwrap();
    until("the child is gone", || {
        !runs(child) || std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    });
}

#[test]
fn tools_run_to_their_end_and_die_with_their_asker() {
    let launch = Launch::start();
    let ended = launch.client().ask(&Request::Run { command: shell("echo made; exit 4") }).unwrap();
    let Reply::Ended { exit, output } = ended else { panic!("{ended:?}") };
    assert_eq!((exit.code, output), (Some(4), vec!["made".to_owned()]));
    let missing = Command { program: "/nowhere".to_owned(), args: Vec::new(), env: Vec::new() };
    assert!(matches!(launch.client().ask(&Request::Run { command: missing }).unwrap(), Reply::Refused { .. }));

    let folder = launch.home.path().join("pid");
    let mut asker = launch.client();
    asker.wait_up_to(Duration::from_millis(1)).unwrap();
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 100", folder.display());
    assert!(asker.ask(&Request::Run { command: shell(&script) }).is_err(), "it still runs");
    until("the tool runs", || folder.exists());
    let tool: i32 = std::fs::read_to_string(&folder).unwrap().trim().parse().unwrap();
    drop(asker);
    until("the tool is killed", || !runs(tool));
}

#[test]
fn ping_tells_whether_launch_answers_and_install_copies_the_program() {
    let launch = Launch::start();
    let program = |arguments: &[&str]| StdCommand::new(env!("CARGO_BIN_EXE_launch")).args(arguments).output().unwrap();
    let socket = launch.socket();
    assert!(program(&["ping", "--socket", socket.to_str().unwrap()]).status.success());
    assert!(!program(&["ping", "--socket", "/nowhere/launch.sock"]).status.success());
    assert!(!program(&["--nonsense"]).status.success());

    let folder = TempDir::new().unwrap();
    for _ in 0..2 {
        assert!(program(&["install", folder.path().to_str().unwrap()]).status.success());
    }
    let copy = StdCommand::new(folder.path().join("launch"))
        .args(["ping", "--socket", socket.to_str().unwrap()])
        .status()
        .unwrap();
    assert!(copy.success());
}
