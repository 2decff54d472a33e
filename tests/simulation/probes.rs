//! Readings over SQL: when they are due, and what a server of the model shows. Their schedule is that of
//! `src/operator/cluster/probe.rs`.

use std::net::IpAddr;

use beachmaster::control::input::{Input, Reading};
use beachmaster::gtid::GtidPosition;
use beachmaster::time::Millis;
use beachmaster::topology::observation::{IoThread, SemiSyncSource, ServerView, SlaveStatus};

use crate::member::{At, From, HostId, Io, Slave};
use crate::operator::ToLeader;
use crate::roads::{CLOCK_UNIT_MS, ordinal};
use crate::steps::{address, resolve_address};
use crate::world::{Event, World};

/// Time between two readings at rest, and while something is going on.
const PROBE_MS: u64 = 500;
const EAGER_PROBE_MS: u64 = 50;
/// Limit of a probe.
const PROBE_LIMIT_MS: u64 = 1_000;

impl World {
    pub fn probe_after(&mut self, id: usize, member: usize, delay: u64) {
        let due = self.fresh_id();
        self.leaders[id].roads[member].due = due;
        self.after(delay, Event::Leader(id, ToLeader::ProbeDue { member, due }));
    }

    /// Sends the query of a reading; one at a time.
    pub fn begin_probe(&mut self, id: usize, member: usize) {
        let (probe, begun) = (self.fresh_id(), self.now);
        let road = &mut self.leaders[id].roads[member];
        if road.probing.is_some() {
            road.again = true;
            return;
        }
        road.probing = Some(probe);
        let delay = self.dice.range(0, 2);
        self.after(delay, Event::Leader(id, ToLeader::Probe { member, probe, begun }));
    }

    /// Reads a member over SQL. What is seen is not older than `begun`, but may come late.
    pub fn probe(&mut self, id: usize, member: usize, probe: u64, begun: At) {
        let road = &self.leaders[id].roads[member];
        let (ip, session) = (road.watching.ip, road.session);
        let host = ip.map(|ip: IpAddr| resolve_address(&ip.to_string()));
        let reach = host.filter(|host| self.hosts[*host].side == self.leaders[id].side && self.hosts[*host].alive);
        let late = self.calm.is_none() && self.dice.chance(self.plan.late_readings_percent);
        let (reading, delay, session) = match reach {
            None if ip.is_none() => (Reading::Silent, 0, None),
            None => (Reading::Silent, PROBE_LIMIT_MS, None),
            Some(host) if self.hosts[host].is_hung(begun) => (Reading::Silent, PROBE_LIMIT_MS, session),
            Some(host) if self.needs_a_way_in(host, session) => (Reading::Silent, PROBE_LIMIT_MS, None),
            Some(host) => match self.hosts[host].answering().map(|server| server.incarnation) {
                None => (Reading::Refused, self.dice.range(1, 3), None),
                Some(run) => {
                    let held = Some((host, run));
                    let view = Box::new(self.server_view(host, begun));
                    let delay = if late { self.dice.range(50, 900) } else { self.dice.range(1, 4) };
                    (Reading::Answers { view, first: session != held }, delay, held)
                }
            },
        };
        self.leaders[id].roads[member].session = session;
        let probed = ToLeader::Probed { member, probe, reading: Box::new(reading) };
        self.after(delay, Event::Leader(id, probed));
    }

    /// A reading has come back.
    pub fn probed(&mut self, id: usize, member: usize, probe: u64, reading: Reading) {
        let road = &mut self.leaders[id].roads[member];
        if road.probing.take_if(|probing| *probing == probe).is_none() {
            return;
        }
        let again = std::mem::take(&mut road.again);
        let pause = match road.watching.eager {
            _ if again => CLOCK_UNIT_MS,
            true => EAGER_PROBE_MS,
            false => PROBE_MS,
        };
        self.probe_after(id, member, pause);
        self.hears_a_reading(id, Input::Probe { ordinal: ordinal(member), reading });
    }

    fn server_view(&self, host: HostId, begun: At) -> ServerView {
        let there = &self.hosts[host];
        let server = there.server.as_ref().expect("only an answering server is read");
        let semi_of = |io: Io| match io {
            Io::Connected(id) => self.conns.get(&id).is_some_and(|conn| conn.semi),
            _ => false,
        };
        let known = self.conns.values().filter(|conn| conn.source == host && conn.semi).count() as u64;
        let clients = known + u64::from(self.has_stranger(host));
        ServerView {
            begun: Millis(begun),
            server_id: server.server_id,
            read_only: server.read_only,
            binlog_position: there.volume.position(),
            slave_position: there.volume.position(),
            semi_sync: SemiSyncSource {
                enabled: server.semi_master,
                wait_no_slave: true,
                clients,
                wait_sessions: u64::from(!server.waiting.is_empty()),
                no_tx: 0,
            },
            acker_wanted: server.slave_enabled,
            acker_active: server.slave.as_ref().is_some_and(|slave| semi_of(slave.io)),
            slave: server.slave.as_ref().map(|slave| self.slave_status(host, slave)),
            drift: Vec::new(),
            logged: there.volume.logged(),
        }
    }

    fn slave_status(&self, host: HostId, slave: &Slave) -> SlaveStatus {
        let there = &self.hosts[host];
        let behind = there.server.as_ref().map_or(0, |server| server.relay.len() as u64);
        let (source, port) = match slave.from {
            From::Member(ordinal) => (format!("m{ordinal}"), 3308),
            From::Donor(host) => (address(host), beachmaster::orders::BINLOG_SERVER_PORT),
        };
        let (io, position) = match slave.io {
            Io::Stopped => (IoThread::No, there.received()),
            Io::Connecting => (IoThread::Connecting, there.received()),
            Io::Connected(_) => (IoThread::Yes, there.received()),
        };
        let io_position = if slave.sql { position } else { GtidPosition::empty() };
        SlaveStatus {
            host: source,
            port,
            io,
            sql: slave.sql,
            io_position,
            io_errno: slave.io_errno,
            io_error: String::new(),
            // ER_GTID_STRICT_OUT_OF_ORDER.
            sql_errno: if there.volume.strayed && !slave.sql { 1950 } else { 0 },
            sql_error: String::new(),
            lag_s: (io == IoThread::Yes).then_some(behind * there.apply_ms / 1_000),
            by_gtid: true,
        }
    }
}
