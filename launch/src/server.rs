//! The loop: connections, children and signals, one after the other.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

use crate::connection::Connection;
use crate::process::{Process, reap};
use crate::protocol::{Command, ExitStatus, Reply, Request, Server, State};
use crate::signals::Signals;

/// Listens on `socket` until SIGTERM arrived and mariadbd has ended.
///
/// # Errors
/// When the socket or the signals cannot be set up, or polling fails.
pub fn serve(socket: &Path) -> io::Result<()> {
    let signals = Signals::watch()?;
    let mut launch = Launch {
        listener: listen(socket)?,
        signals,
        connections: Vec::new(),
        mariadbd: None,
        last: Server::Idle,
        tool: None,
        stopping: false,
    };
    while !(launch.stopping && launch.mariadbd.is_none()) {
        launch.turn()?;
    }
    Ok(())
}

/// CLOCK_BOOTTIME: the agent's clock in the same pod.
fn boot_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    // Neither part is negative: the kernel counts from 0 at boot.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// The socket is for the user launch runs as, nobody else.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(socket);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let listener = listener?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

struct Launch {
    listener: UnixListener,
    signals: Signals,
    connections: Vec<Connection>,
    mariadbd: Option<Process>,
    /// The state told to others; agrees with `mariadbd`.
    last: Server,
    tool: Option<Process>,
    stopping: bool,
}

impl Launch {
    fn turn(&mut self) -> io::Result<()> {
        self.wait()?;
        // Ends first: whoever asks in the same turn learns of them.
        self.take_signals();
        for process in [&mut self.mariadbd, &mut self.tool].into_iter().flatten() {
            process.output.drain();
        }
        self.accept();
        self.serve_connections();
        self.drop_closed();
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
        ];
        for process in [&self.mariadbd, &self.tool].into_iter().flatten() {
            fds.push(PollFd::from_borrowed_fd(process.output.as_fd(), PollFlags::IN));
        }
        for connection in &self.connections {
            let out = if connection.has_unsent() { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::IN | out));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn take_signals(&mut self) {
        for signal in self.signals.take() {
            if signal == libc::SIGCHLD {
                reap().into_iter().for_each(|(pid, exit)| self.ended(pid, exit));
            } else {
                self.stop();
            }
        }
    }

    /// SIGTERM to launch: mariadbd shuts down, launch follows it.
    fn stop(&mut self) {
        self.stopping = true;
        if let Some(tool) = &self.tool {
            tool.kill_group();
        }
        if let Some(mariadbd) = &self.mariadbd {
            // It may have ended in this moment; SIGCHLD tells.
            let _ = mariadbd.signal(libc::SIGTERM);
        }
    }

    fn ended(&mut self, pid: Pid, exit: ExitStatus) {
        if let Some(mut mariadbd) = self.mariadbd.take_if(|process| process.pid == pid) {
            mariadbd.output.drain();
            let run = if let Server::Running { run, .. } = self.last { run } else { 0 };
            let output = mariadbd.output.tail();
            let at_ms = Some(boot_ms());
            self.last = Server::Exited { pid: pid.as_raw_nonzero().get(), run, exit, output, at_ms };
            self.tell_subscribers();
        }
        if let Some(mut tool) = self.tool.take_if(|process| process.pid == pid) {
            tool.output.drain();
            let reply = Reply::Ended { exit, output: tool.output.tail() };
            for connection in self.connections.iter_mut().filter(|connection| connection.owns_tool) {
                connection.owns_tool = false;
                connection.send(&reply);
            }
        }
    }

    fn tell_subscribers(&mut self) {
        let reply = Reply::State(self.state(false));
        for connection in self.connections.iter_mut().filter(|connection| connection.subscribed) {
            connection.send(&reply);
        }
    }

    fn state(&self, threads: bool) -> State {
        let threads = self.mariadbd.as_ref().filter(|_| threads).map(Process::threads).unwrap_or_default();
        State { server: self.last.clone(), stopping: self.stopping, threads }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            // A connection that cannot be made non-blocking is dropped: its peer sees it end.
            self.connections.extend(Connection::new(stream));
        }
    }

    fn serve_connections(&mut self) {
        for index in 0..self.connections.len() {
            self.connections[index].flush();
            for request in self.connections[index].receive() {
                self.answer(index, request);
            }
        }
    }

    fn answer(&mut self, index: usize, request: Request) {
        let reply = match request {
            Request::Spawn { run, command } => self.spawn(run, &command),
            Request::Signal { signal } => self.signal(signal),
            Request::State { threads } => Reply::State(self.state(threads)),
            Request::Subscribe => {
                self.connections[index].subscribed = true;
                Reply::State(self.state(false))
            }
            Request::Run { command } => match self.run(&command) {
                Ok(()) => {
                    self.connections[index].owns_tool = true;
                    return;
                }
                Err(message) => Reply::Refused { message },
            },
        };
        self.connections[index].send(&reply);
    }

    fn spawn(&mut self, run: u64, command: &Command) -> Reply {
        if self.stopping {
            return Reply::Refused { message: "launch is stopping: the pod ends".to_owned() };
        }
        if let Some(mariadbd) = &self.mariadbd {
            let pid = mariadbd.pid.as_raw_nonzero();
            return Reply::Refused { message: format!("mariadbd already runs as process {pid}") };
        }
        match Process::spawn(command) {
            Ok(process) => {
                self.last = Server::Running { pid: process.pid.as_raw_nonzero().get(), run };
                self.mariadbd = Some(process);
                self.tell_subscribers();
                Reply::State(self.state(false))
            }
            Err(error) => Reply::Refused { message: format!("cannot start {}: {error}", command.program) },
        }
    }

    fn signal(&self, signal: i32) -> Reply {
        let sent = self.mariadbd.as_ref().map(|process| process.signal(signal));
        match sent {
            None => Reply::Refused { message: "mariadbd does not run".to_owned() },
            Some(Err(error)) => Reply::Refused { message: format!("signal {signal} to mariadbd: {error}") },
            Some(Ok(())) => Reply::State(self.state(false)),
        }
    }

    fn run(&mut self, command: &Command) -> Result<(), String> {
        if self.stopping {
            return Err("launch is stopping: the pod ends".to_owned());
        }
        if self.tool.is_some() {
            return Err("another tool runs: try again when it has ended".to_owned());
        }
        let process = Process::spawn(command).map_err(|error| format!("cannot start {}: {error}", command.program))?;
        self.tool = Some(process);
        Ok(())
    }

    fn drop_closed(&mut self) {
        let abandoned = self.connections.iter().any(|connection| connection.closed && connection.owns_tool);
        if let Some(tool) = self.tool.as_ref().filter(|_| abandoned) {
            tool.kill_group();
        }
        self.connections.retain(|connection| !connection.closed);
    }
}
