//! The roads between an operator process and the members: held streams to agents, SQL probes, and what may happen to
//! messages on the way.

use beachmaster::gtid::GtidPosition;
use beachmaster::orders::{Event as AgentSays, SignedOrder, Up};
use beachmaster::topology::observation::{
    AgentSight, IoThread, Millis, PodView, SemiSyncSource, ServerSight, ServerView, SlaveStatus,
};

use crate::leader::{Link, Sight, ToLeader};
use crate::member::{At, From, HostId, Io, Reply};
use crate::steps::address;
use crate::world::{Event, World};

/// Two missed pings of 5 s: a stream that says nothing is gone.
const SILENT_STREAM_MS: u64 = 10_000;
/// Time to open an exec stream.
const EXEC_MS: u64 = 30;
/// Limit of a probe.
const PROBE_LIMIT_MS: u64 = 1_000;

impl World {
    /// Opens, keeps and gives up streams.
    pub fn look_at_links(&mut self, id: usize) {
        for member in 0..self.leaders[id].sights.len() {
            let host = self.current[member];
            self.leaders[id].sights[member].pod = host.map(|host| PodView {
                uid: self.hosts[host].pod_uid.clone(),
                ip: Some(address(host)),
                deleting: false,
                node: None,
            });
            match self.leaders[id].sights[member].link.clone() {
                Some(link) => self.look_at_link(id, member, &link),
                None => self.open_link(id, member, host),
            }
        }
    }

    fn look_at_link(&mut self, id: usize, member: usize, link: &Link) {
        let reach = self.hosts[link.host].side == self.leaders[id].side;
        let there = self.hosts[link.host].alive && self.hosts[link.host].agent.up;
        let since = link.cut_since.unwrap_or(self.now);
        let silent = self.now - since >= SILENT_STREAM_MS || self.current[member] != Some(link.host);
        if (reach && !there) || (!reach && silent) {
            return self.close_link(id, member);
        }
        if let Some(link) = &mut self.leaders[id].sights[member].link {
            link.cut_since = (!reach).then_some(since);
        }
        if reach && link.open && self.dice.chance(20) {
            let state = self.agent_state(link.host);
            self.send_up(link.host, Reply { leader: id, link: link.id }, Up::Pong { n: 0, state });
        }
    }

    fn open_link(&mut self, id: usize, member: usize, host: Option<HostId>) {
        let open = host.filter(|host| {
            let there = &self.hosts[*host];
            there.alive && there.agent.up && there.side == self.leaders[id].side
        });
        let since = Millis(self.now);
        let sight = &mut self.leaders[id].sights[member];
        if sight.agent == AgentSight::Unknown && open.is_none() {
            sight.agent = AgentSight::Away { since };
        }
        let Some(host) = open else { return };
        let link = self.fresh_id();
        let clock = (self.boot_ms(host), self.now);
        self.leaders[id].sights[member].link =
            Some(Link { id: link, host, clock, last_up: 0, cut_since: None, open: false });
        self.after(EXEC_MS, Event::Leader(id, ToLeader::Linked { member, link, host }));
    }

    /// The first line of a stream.
    pub fn linked(&mut self, id: usize, member: usize, link: u64, host: HostId) {
        let state = self.agent_state(host);
        let clock = (self.boot_ms(host), self.now);
        let sight = &mut self.leaders[id].sights[member];
        if let Some(mine) = sight.link.as_mut().filter(|mine| mine.id == link) {
            (mine.open, mine.clock) = (true, clock);
            self.sees_state(id, member, state);
        }
    }

    pub fn close_link(&mut self, id: usize, member: usize) {
        let since = Millis(self.now);
        let sight = &mut self.leaders[id].sights[member];
        sight.link = None;
        sight.agent = AgentSight::Away { since };
        if let Some(order) = &sight.flight {
            let id_of_order = order.id.clone();
            self.after(1, Event::Leader(id, ToLeader::Timeout { member, id: id_of_order }));
        }
    }

    /// All open streams to an agent.
    pub fn links_to(&self, host: HostId) -> Vec<Reply> {
        let of = |(leader, sight): (usize, &Sight)| {
            let link = sight.link.as_ref().filter(|link| link.open && link.host == host)?;
            Some(Reply { leader, link: link.id })
        };
        let alive = self.leaders.iter().enumerate().filter(|(_, leader)| leader.alive);
        alive.flat_map(|(id, leader)| leader.sights.iter().map(move |sight| (id, sight))).filter_map(of).collect()
    }

    /// Sends an order down a stream: it may come late, or twice.
    pub fn send_order(&mut self, link: &Link, reply: Reply, order: SignedOrder) {
        let host = link.host;
        let messy = self.calm.is_none();
        let late = messy && self.dice.chance(self.plan.late_percent);
        let delay = if late { self.dice.range(50, 4_000) } else { self.dice.range(1, 3) };
        if messy && self.dice.chance(self.plan.twice_percent) {
            let again = delay + self.dice.range(1, 6_000);
            self.after(again, Event::Order { host, reply, order: Box::new(order.clone()) });
        }
        self.after(delay, Event::Order { host, reply, order: Box::new(order) });
    }

    /// Sends a line up a stream.
    pub fn send_up(&mut self, host: HostId, reply: Reply, up: Up) {
        let delay = self.dice.range(1, 3);
        let now = self.now;
        let sights = self.leaders[reply.leader].sights.iter_mut().enumerate();
        let links = sights.filter_map(|(member, sight)| Some((member, sight.link.as_mut()?)));
        let Some((member, link)) = links.into_iter().find(|(_, link)| link.id == reply.link) else { return };
        let arrives = (now + delay).max(link.last_up);
        link.last_up = arrives;
        self.after(arrives - now, Event::Up { host, reply, member, up: Box::new(up) });
    }

    /// A line from an agent arrives.
    pub fn up_arrives(&mut self, host: HostId, reply: Reply, member: usize, up: Up) {
        let leader = &self.leaders[reply.leader];
        let mine = leader.sights[member].link.as_ref().is_some_and(|link| link.id == reply.link);
        if !leader.alive || !mine {
            return;
        }
        let stalled = leader.stalled_until.saturating_sub(self.now);
        if stalled > 0 || leader.side != self.hosts[host].side {
            return self.after(stalled.max(300), Event::Up { host, reply, member, up: Box::new(up) });
        }
        let (Up::Hello { state, .. } | Up::Pong { state, .. } | Up::Answer { state, .. } | Up::Event { state, .. }) =
            &up;
        let clock = (state.boot_ms, self.now);
        self.sees_state(reply.leader, member, state.clone());
        let sight = &mut self.leaders[reply.leader].sights[member];
        if let Some(link) = &mut sight.link {
            link.clock = clock;
        }
        match up {
            Up::Answer { re, outcome, .. } => self.answered(reply.leader, member, &re, outcome),
            Up::Event { event: AgentSays::Exited, .. } => {
                sight.server = ServerSight::Refused { since: Millis(self.now) };
                sight.probing = None;
            }
            Up::Event { event: AgentSays::Answers, .. } => {
                // What the agent says first comes one millisecond before the reading begins.
                self.after(1, Event::Leader(reply.leader, ToLeader::Reopen { member }));
            }
            _ => {}
        }
        self.ask(reply.leader);
    }

    /// Sends the query of a reading.
    pub fn begin_probe(&mut self, id: usize, member: usize) {
        let (probe, begun) = (self.fresh_id(), self.now);
        self.leaders[id].sights[member].probing = Some(probe);
        let delay = self.dice.range(0, 2);
        self.after(delay, Event::Leader(id, ToLeader::Probe { member, probe, begun }));
    }

    /// Reads a member over SQL. What is seen is not older than `begun`, but may come late.
    pub fn probe(&mut self, id: usize, member: usize, probe: u64, begun: At) {
        let host = self.current[member];
        let reach = host.filter(|host| self.hosts[*host].side == self.leaders[id].side && self.hosts[*host].alive);
        let late = self.calm.is_none() && self.dice.chance(3);
        let (sight, delay) = match reach {
            None => (ServerSight::Silent { since: Millis(begun) }, PROBE_LIMIT_MS),
            Some(host) if self.hosts[host].answering().is_none() => {
                (ServerSight::Refused { since: Millis(begun) }, self.dice.range(1, 3))
            }
            Some(host) => {
                let view = Box::new(self.server_view(host, begun));
                let delay = if late { self.dice.range(50, 900) } else { self.dice.range(1, 4) };
                (ServerSight::Answers { view, before: None }, delay)
            }
        };
        let probed = ToLeader::Probed { member, probe, sight: Box::new(sight) };
        self.after(delay, Event::Leader(id, probed));
    }

    /// A reading has come back, unless its connection was given up meanwhile.
    pub fn probed(&mut self, id: usize, member: usize, probe: u64, sight: ServerSight) {
        let sees = &mut self.leaders[id].sights[member];
        if sees.probing.take_if(|probing| *probing == probe).is_none() {
            return;
        }
        sees.server = match (std::mem::take(&mut sees.server), sight) {
            (ServerSight::Refused { since }, ServerSight::Refused { .. }) => ServerSight::Refused { since },
            (ServerSight::Silent { since }, ServerSight::Silent { .. }) => ServerSight::Silent { since },
            (ServerSight::Answers { view: old, .. }, ServerSight::Answers { view, .. }) => {
                ServerSight::Answers { view, before: Some(old) }
            }
            (_, sight) => sight,
        };
    }

    fn server_view(&self, host: HostId, begun: At) -> ServerView {
        let there = &self.hosts[host];
        let server = there.server.as_ref().expect("only an answering server is read");
        let semi_of = |io: Io| match io {
            Io::Connected(id) => self.conns.get(&id).is_some_and(|conn| conn.semi),
            _ => false,
        };
        let clients = self.conns.values().filter(|conn| conn.source == host && conn.semi).count() as u64;
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

    fn slave_status(&self, host: HostId, slave: &crate::member::Slave) -> SlaveStatus {
        let there = &self.hosts[host];
        let behind = there.server.as_ref().map_or(0, |server| server.relay.len() as u64);
        let (source, port) = match slave.from {
            From::Member(ordinal) => (format!("m{ordinal}"), 3306),
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
