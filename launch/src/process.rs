//! The two processes launch may have at a time: mariadbd and one tool.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command as StdCommand, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait};

use crate::output::Output;
use crate::protocol::{Command, ExitStatus, Thread, parse_thread};
use crate::signals::prepare_child;

/// A child that was not reaped yet.
pub struct Process {
    /// Its process id.
    pub pid: Pid,
    /// What it prints.
    pub output: Output,
}

impl Process {
    /// Starts `command` in a process group of its own, its output to a new pipe.
    pub fn spawn(command: &Command) -> io::Result<Self> {
        let (output, writer) = Output::new()?;
        let mut child = StdCommand::new(&command.program);
        child
            .args(&command.args)
            .envs(command.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::from(writer.try_clone()?))
            .stderr(Stdio::from(writer))
            .process_group(0);
        prepare_child(&mut child);
        // Reaped by `reap`, which as process 1 has to reap whatever ends.
        let started = child.spawn()?;
        let pid = i32::try_from(started.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the kernel gave no process id"))?;
        Ok(Self { pid, output })
    }

    /// Sends a signal.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        let signal =
            Signal::from_named_raw(number).ok_or_else(|| io::Error::other(format!("there is no signal {number}")))?;
        Ok(kill_process(self.pid, signal)?)
    }

    /// SIGKILLs it and what it started.
    pub fn kill_group(&self) {
        // It may have ended in this moment; then there is nothing to kill.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// What its threads do.
    pub fn threads(&self) -> Vec<Thread> {
        let folder = format!("/proc/{}/task", self.pid.as_raw_nonzero());
        let Ok(tasks) = std::fs::read_dir(folder) else { return Vec::new() };
        let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        stats.filter_map(|stat| parse_thread(&stat)).collect()
    }
}

/// Reaps every ended child, also those others left to us as process 1.
pub fn reap() -> Vec<(Pid, ExitStatus)> {
    let mut ended = Vec::new();
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        ended.push((pid, exit_of(status)));
    }
    ended
}

fn exit_of(status: WaitStatus) -> ExitStatus {
    ExitStatus { code: status.exit_status(), signal: status.terminating_signal() }
}
