//! A child's output: passed through to launch's own standard error line by line, the last lines remembered.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::protocol::TAIL_LINES;

/// Longest piece passed on or remembered as one line: a pipe that polls writable takes this much without blocking
/// (PIPE_BUF, pipe(7)).
const LONGEST: usize = 4096;

/// The reading end of a child's output.
pub struct Output {
    pipe: OwnedFd,
    partial: Vec<u8>,
    tail: VecDeque<String>,
    /// The last line that says what is wrong: programs print more lines of advice after it than are remembered.
    error: Option<String>,
}

impl Output {
    /// The output and the end a child writes to.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&read, true)?;
        Ok((Self { pipe: read, partial: Vec::new(), tail: VecDeque::new(), error: None }, write))
    }

    /// Takes what is there; false when the child's side is closed.
    pub fn drain(&mut self) -> bool {
        let mut buffer = [0_u8; LONGEST];
        loop {
            match rustix::io::read(&self.pipe, &mut buffer[..]) {
                Ok(0) => return false,
                Ok(length) => self.take(&buffer[..length]),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return error == rustix::io::Errno::AGAIN,
            }
        }
    }

    /// The last lines, the unfinished one included; before them the last error, when it is not among them.
    pub fn tail(&self) -> Vec<String> {
        let unfinished = (!self.partial.is_empty()).then(|| text(&self.partial));
        let mut lines: Vec<_> = self.tail.iter().cloned().chain(unfinished).collect();
        lines.drain(..lines.len().saturating_sub(TAIL_LINES));
        if let Some(error) = self.error.as_ref().filter(|error| !lines.contains(error)) {
            lines.insert(0, error.clone());
        }
        lines
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.partial.push(*byte);
            }
            if *byte == b'\n' || self.partial.len() == LONGEST - 1 {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        let mut line = std::mem::take(&mut self.partial);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        let words = text(&line);
        if words.contains("[ERROR]") && !words.ends_with("Aborting") {
            self.error = Some(words.clone());
        }
        self.tail.push_back(words);
        line.push(b'\n');
        pass_on(&line);
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().to_owned()
}

/// Writes to standard error unless that would block: a reader of logs that stalls must not stall a fence.
fn pass_on(line: &[u8]) {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut fds, Some(&at_once)) == Ok(1) && fds[0].revents().contains(PollFlags::OUT) {
        // A closed log is no reason to stop a database.
        let _ = rustix::io::write(&stderr, line);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_last_lines_only() {
        let (mut output, write) = Output::new().unwrap();
        for n in 0..TAIL_LINES + 5 {
            rustix::io::write(&write, format!("line {n}\n").as_bytes()).unwrap();
        }
        rustix::io::write(&write, b"unfinished").unwrap();
        assert!(output.drain(), "the writer is still there");
        let tail = output.tail();
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail.last().unwrap(), "unfinished");
        assert_eq!(tail[TAIL_LINES - 2], format!("line {}", TAIL_LINES + 4));
        drop(write);
        assert!(!output.drain());
    }

    #[test]
    fn the_last_error_is_remembered_behind_any_advice() {
        let (mut output, _write) = Output::new().unwrap();
        output.take(b"0 [ERROR] unknown variable\n0 [ERROR] Aborting\n");
        (0..TAIL_LINES).for_each(|_| output.take(b"Please check\n"));
        let tail = output.tail();
        assert_eq!((tail.len(), tail[0].as_str()), (TAIL_LINES + 1, "0 [ERROR] unknown variable"));
    }

    #[test]
    fn a_line_without_end_does_not_grow_for_ever() {
        let (mut output, _write) = Output::new().unwrap();
        output.take(&vec![b' '; LONGEST * 3]);
        assert!(output.partial.len() < LONGEST);
        assert_eq!(output.tail().len(), 4, "three full pieces and the rest");
    }
}
