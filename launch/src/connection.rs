//! One connection of the agent: requests in, replies out, never blocking.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::protocol::{Reply, Request};

/// Longest request: a command line of mariadbd has a few kilobytes.
const LONGEST: usize = 256 * 1024;

/// An accepted connection.
pub struct Connection {
    stream: UnixStream,
    received: Vec<u8>,
    unsent: Vec<u8>,
    /// True once it asked for every change.
    pub subscribed: bool,
    /// True while it waits for the tool it started.
    pub owns_tool: bool,
    /// True when it is to be dropped.
    pub closed: bool,
}

impl Connection {
    /// Takes over an accepted stream.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
            unsent: Vec::new(),
            subscribed: false,
            owns_tool: false,
            closed: false,
        })
    }

    /// Reads what is there and returns the complete requests; a line that is none is refused.
    pub fn receive(&mut self) -> Vec<Request> {
        let mut buffer = [0_u8; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.closed = true;
                    break;
                }
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.closed |= error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.take_lines()
    }

    /// Sends a reply, or keeps it until the peer reads.
    pub fn send(&mut self, reply: &Reply) {
        match serde_json::to_vec(reply) {
            Ok(line) => {
                self.unsent.extend_from_slice(&line);
                self.unsent.push(b'\n');
                self.flush();
            }
            Err(_) => self.closed = true,
        }
    }

    /// Sends what is left.
    pub fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.closed |= error.kind() != io::ErrorKind::WouldBlock || self.unsent.len() > LONGEST;
                    return;
                }
            }
        }
    }

    /// True when something waits to be sent.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn take_lines(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(request) => requests.push(request),
                Err(error) => self.send(&Reply::Refused { message: format!("not a request: {error}") }),
            }
        }
        self.closed |= self.received.len() > LONGEST;
        requests
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
