//! What agent and launch say to each other: JSON lines over launch's socket. A request is answered by one [`Reply`];
//! after [`Request::Subscribe`] further states follow unasked, one at each start and end of mariadbd.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where launch listens in a pod.
pub const SOCKET: &str = "/run/mysqld/launch.sock";
/// Lines of output launch remembers of each process: enough for mariadbd's last words.
pub const TAIL_LINES: usize = 20;

/// A line to launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Starts mariadbd. `run` is the asker's number for this run and comes back in every state.
    Spawn { run: u64, command: Command },
    /// Runs one of MariaDB's tools to its end; it is killed when the asker's connection ends before.
    Run { command: Command },
    /// Sends a signal to mariadbd.
    Signal { signal: i32 },
    /// Asks for the state; with `threads` also for what each of mariadbd's threads does.
    State { threads: bool },
    /// Asks for the state now and at each change.
    Subscribe,
}

/// A program to start. The environment is launch's own with `env` set on top.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Looked up in PATH when it has no slash.
    pub program: String,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// Variables to set.
    #[serde(default)]
    pub env: Vec<(String, String)>,
}

/// A line from launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// The state after what was asked, or after a change.
    State(State),
    /// The tool ended.
    Ended { exit: ExitStatus, output: Vec<String> },
    /// Not done, and why.
    Refused { message: String },
}

/// What launch knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// mariadbd.
    pub server: Server,
    /// True after launch itself was told to stop: it starts nothing more.
    pub stopping: bool,
    /// mariadbd's threads, when asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<Thread>,
}

/// mariadbd as its parent knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "server", rename_all = "kebab-case")]
pub enum Server {
    /// This launch has not started it yet.
    Idle,
    /// Started and not ended.
    Running { pid: i32, run: u64 },
    /// Ended and reaped: no thread of it is left. `output` has its last lines. `at_ms` is CLOCK_BOOTTIME in milliseconds
    /// when it was reaped; an older launch does not tell it.
    Exited {
        pid: i32,
        run: u64,
        exit: ExitStatus,
        output: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_ms: Option<u64>,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// ExitStatus code, when it exited by itself.
    pub code: Option<i32>,
    /// Signal, when a signal ended it.
    pub signal: Option<i32>,
}

impl ExitStatus {
    /// True for exit code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self.code == Some(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (_, Some(signal)) => write!(f, "signal {signal}"),
            (Some(code), None) => write!(f, "exit code {code}"),
            (None, None) => write!(f, "unknown exit"),
        }
    }
}

/// A thread of mariadbd, from `/proc/PID/task/TID/stat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Thread id.
    pub tid: i32,
    /// The kernel's name of the thread.
    pub name: String,
    /// The kernel's letter for its state: R, S, D, T, Z …
    pub state: char,
}

/// Reads `TID (NAME) STATE …` as in `/proc/PID/task/TID/stat`; the name may hold any character.
#[must_use]
pub fn parse_thread(stat: &str) -> Option<Thread> {
    let (tid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    Some(Thread { tid: tid.parse().ok()?, name: name.to_owned(), state: rest.chars().next()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_threads_whatever_their_name() {
        let thread = parse_thread("42 (a) b (c) D 1 2 3").unwrap();
        assert_eq!(thread, Thread { tid: 42, name: "a) b (c".to_owned(), state: 'D' });
        assert_eq!(parse_thread("42 mariadbd S"), None);
    }

    #[test]
    fn messages_survive_the_way_over_the_socket() {
        let command = Command { program: "mariadbd".to_owned(), args: vec!["--a=b".to_owned()], env: Vec::new() };
        for request in [
            Request::Spawn { run: 7, command: command.clone() },
            Request::Run { command },
            Request::Signal { signal: 9 },
            Request::State { threads: true },
            Request::Subscribe,
        ] {
            let line = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        }
        let exit = ExitStatus { code: None, signal: Some(9) };
        let server = Server::Exited { pid: 3, run: 7, exit, output: vec!["last words".to_owned()], at_ms: Some(9) };
        let reply = Reply::State(State { server, stopping: false, threads: Vec::new() });
        assert_eq!(serde_json::from_str::<Reply>(&serde_json::to_string(&reply).unwrap()).unwrap(), reply);
        let older = r#"{"server":"exited","pid":3,"run":7,"exit":{"code":null,"signal":9},"output":[]}"#;
        assert!(matches!(serde_json::from_str(older).unwrap(), Server::Exited { at_ms: None, .. }));
    }
}
