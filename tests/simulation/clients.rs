//! Clients: they write through the routed Service, one transaction at a time, and believe what they are told.

use beachmaster::orders::{Ordinal, Term};

use crate::member::{At, Commit, HostId};
use crate::world::{Event, World};

/// kube-proxy's delay after the Service was changed (facts/rig.md: 35 to 51 ms).
const FLIP_MS: u64 = 45;
/// Pause after a refused connection or error 1290.
const RETRY_MS: u64 = 40;

/// One writer.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Where its connection ends.
    pub host: Option<HostId>,
    /// It waits for the answer to this attempt.
    pub waiting: bool,
    pub attempt: u64,
    /// It keeps a connection although writes are refused on it (a pool).
    pub sticky: bool,
    pub side: u8,
    /// Longest pause between two writes.
    pub think_ms: u64,
    /// How long it waits for a commit.
    pub patience_ms: u64,
    /// An [`Event::Client`] is in the queue.
    awake: bool,
}

/// What nodes that learn nothing believe NAME-primary to select.
#[derive(Debug, Clone, Copy, Default)]
pub struct Endpoints {
    pub until: At,
    to: Option<Ordinal>,
}

impl World {
    fn wake(&mut self, client: usize, delay: u64) {
        if !std::mem::replace(&mut self.clients[client].awake, true) {
            self.after(delay, Event::Client(client));
        }
    }

    pub fn start_clients(&mut self, number: usize) {
        for client in 0..number {
            let sticky = self.dice.chance(30);
            let think_ms = self.dice.range(60, 500);
            let patience_ms = self.dice.range(800, 20_000);
            self.clients.push(Client { sticky, think_ms, patience_ms, ..Client::default() });
            self.wake(client, 1);
        }
    }

    pub fn clients_of(&self, host: HostId) -> Vec<usize> {
        (0..self.clients.len()).filter(|client| self.clients[*client].host == Some(host)).collect()
    }

    /// The connection of a client ends without an answer.
    pub fn disconnect(&mut self, client: usize) {
        let it = &mut self.clients[client];
        (it.host, it.waiting) = (None, false);
        it.attempt += 1;
        let pause = self.dice.range(1, RETRY_MS);
        self.wake(client, pause);
    }

    /// Where the Service leads this client now.
    fn routed_to(&self, client: usize) -> Option<HostId> {
        if self.endpoints.until > self.now {
            return self.host_of(self.endpoints.to?);
        }
        self.host_of(self.shown_to(self.clients[client].side)?)
    }

    fn shown_to(&self, side: u8) -> Option<Ordinal> {
        let fresh = side == 0 && self.now >= self.service.changed + FLIP_MS;
        if fresh { self.service.to } else { self.service.before }
    }

    /// Every node keeps what it knows.
    pub fn endpoints_late(&mut self, lasts: u64) {
        self.stats.endpoints_late += 1;
        self.endpoints = Endpoints { until: self.now + lasts, to: self.shown_to(0) };
    }

    pub fn client_acts(&mut self, client: usize) {
        self.clients[client].awake = false;
        if self.clients[client].waiting {
            return;
        }
        let Some(host) = self.clients[client].host.or_else(|| self.routed_to(client)) else {
            return self.wake(client, RETRY_MS * 4);
        };
        if self.hosts[host].side != self.clients[client].side {
            self.clients[client].host = None;
            return self.wake(client, RETRY_MS * 4);
        }
        let waits_to_get_in = self.clients[client].host.is_none() && self.hosts[host].wedged.is_some();
        if self.hosts[host].is_hung(self.now) || waits_to_get_in {
            return self.wake(client, RETRY_MS * 4);
        }
        if !self.hosts[host].is_writable() {
            let answers = self.hosts[host].answering().is_some();
            let keeps = answers && self.clients[client].sticky && !self.dice.chance(10);
            self.clients[client].host = keeps.then_some(host);
            return self.wake(client, RETRY_MS);
        }
        self.write(client, host);
    }

    fn write(&mut self, client: usize, host: HostId) {
        let it = &mut self.clients[client];
        (it.host, it.waiting) = (Some(host), true);
        it.attempt += 1;
        let (attempt, patience) = (it.attempt, it.patience_ms);
        let commit = Commit { client, attempt, begun: self.now };
        if let Some(server) = self.hosts[host].server.as_mut() {
            server.queue.push_back(commit);
        }
        self.after(patience, Event::Patience { client, attempt });
        self.commit(host);
    }

    /// KILL CONNECTION: a commit that waits in the binary log stays there, one that is not in it never happens.
    pub fn client_gives_up(&mut self, client: usize, attempt: u64) {
        if !self.clients[client].waiting || self.clients[client].attempt != attempt {
            return;
        }
        if let Some(server) = self.clients[client].host.and_then(|host| self.hosts[host].server.as_mut()) {
            server.queue.retain(|commit| commit.client != client);
        }
        self.disconnect(client);
    }

    /// A client is told that its commit is done.
    pub fn client_hears(&mut self, client: usize, attempt: u64, term: Term, begun: At) {
        let it = &self.clients[client];
        if !it.waiting || it.attempt != attempt {
            return;
        }
        if it.host.is_some_and(|host| self.hosts[host].side != it.side) {
            return self.after(100, Event::Acknowledged { client, attempt, term, begun });
        }
        self.clients[client].waiting = false;
        self.check_acknowledged(term, begun);
        if self.calm.is_some_and(|calm| begun > calm) {
            self.acked_since_calm += 1;
        }
        let pause = self.dice.range(10, self.clients[client].think_ms);
        self.wake(client, pause);
    }
}
