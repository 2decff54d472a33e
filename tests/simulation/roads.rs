//! The roads between an operator process and the members: held streams to agents, and what may happen to messages on the
//! way. Their schedule is that of `src/operator/cluster/link`. [`crate::probes`] has the readings over SQL.

use beachmaster::control::effect::{Command, Watching};
use beachmaster::control::input::{Input, LinkEvent};
use beachmaster::control::limits;
use beachmaster::orders::{BootMillis, Order, OrderEnvelope, Ordinal, PROTOCOL_VERSION, Term, Up};
use beachmaster::time::Millis;

use crate::member::{At, HostId, Reply};
use crate::operator::ToLeader;
use crate::world::{Event, World};

/// Three missed pings: a stream that says nothing is gone; the same of a member in doubt.
const SILENCE_MS: u64 = 6_000;
const DOUBT_SILENCE_MS: u64 = 1_500;
/// Time between two pings, and the same of a member in doubt.
const PING_MS: u64 = 2_000;
const DOUBT_PING_MS: u64 = 500;
/// How often streams are looked at: what a process would see at once is seen this late.
const LOOK_MS: u64 = 250;
const CLOSE_LOOK_MS: u64 = 50;
/// Time to open an exec stream.
const EXEC_MS: u64 = 30;
/// A reading that was asked for begins this much later: after the answer in the clock's unit.
pub const CLOCK_UNIT_MS: u64 = 2;

/// A held stream to an agent.
#[derive(Debug, Clone)]
pub struct Link {
    pub id: u64,
    pub host: HostId,
    /// The agent's clock, and when it was read.
    clock: (BootMillis, At),
    /// Messages arrive in the order in which they were sent.
    last_up: At,
    held_up_until: At,
    silent_since: Option<At>,
    pings_at: At,
    open: bool,
    /// Nothing comes through, and neither end knows.
    deaf: bool,
}

/// What lies between an operator process and one member.
#[derive(Debug, Clone, Default)]
pub struct Road {
    pub link: Option<Link>,
    /// The machine knows that there is no stream.
    told_away: bool,
    pub watching: Watching,
    /// The reading under way: one at a time on the held connection.
    pub probing: Option<u64>,
    /// Another one was asked for meanwhile.
    pub again: bool,
    /// Names the next reading that is due.
    pub due: u64,
    /// The run that the held SQL session is with.
    pub session: Option<(HostId, beachmaster::orders::Incarnation)>,
    /// An order that has no answer yet, its term, and when the machine gives it up.
    open_order: Option<(String, Term, At)>,
}

impl Road {
    /// Its stream to `host` carries nothing any more.
    pub fn goes_deaf(&mut self, host: HostId) -> Option<()> {
        let link = self.link.as_mut().filter(|link| link.host == host)?;
        link.deaf = true;
        Some(())
    }
}

impl World {
    /// A machine wants a member to be watched like this.
    pub fn watch(&mut self, id: usize, member: usize, how: Watching) {
        let road = &mut self.leaders[id].roads[member];
        let before = std::mem::replace(&mut road.watching, how);
        let now = &road.watching;
        let looks = (now.ip, now.eager, now.looks) != (before.ip, before.eager, before.looks);
        if looks {
            if road.probing.is_some() {
                road.again = true;
            } else {
                self.probe_after(id, member, CLOCK_UNIT_MS);
            }
        }
    }

    /// Opens, keeps and gives up streams.
    pub fn look_at_links(&mut self, id: usize) {
        let mut closely = false;
        for member in 0..self.leaders[id].roads.len() {
            let road = &self.leaders[id].roads[member];
            closely |= road.watching.doubt;
            match road.link.clone() {
                Some(link) => self.look_at_link(id, member, &link),
                None => self.open_link(id, member),
            }
        }
        let pause = if closely { CLOSE_LOOK_MS } else { LOOK_MS };
        self.after(pause, Event::Leader(id, ToLeader::Look));
    }

    /// The pod that a stream is to be held to.
    fn target(&self, id: usize, member: usize) -> Option<HostId> {
        let wanted = self.leaders[id].roads[member].watching.pod.as_ref()?;
        self.hosts.iter().position(|host| host.pod_uid == wanted.uid)
    }

    fn look_at_link(&mut self, id: usize, member: usize, link: &Link) {
        let there = &self.hosts[link.host];
        let reach = there.side == self.leaders[id].side && !link.deaf;
        let up = there.alive && there.agent.up;
        let doubt = self.leaders[id].roads[member].watching.doubt;
        let silence = if doubt { DOUBT_SILENCE_MS } else { SILENCE_MS };
        let since = link.silent_since.unwrap_or(self.now);
        let silent = !reach && self.now - since >= silence;
        if (reach && !up) || silent || self.target(id, member) != Some(link.host) {
            return self.close_link(id, member);
        }
        let (now, pause) = (self.now, if doubt { DOUBT_PING_MS } else { PING_MS });
        let Some(link) = &mut self.leaders[id].roads[member].link else { return };
        link.silent_since = (!reach).then_some(since);
        if reach && link.open && now >= link.pings_at.min(now + pause) {
            link.pings_at = now + pause;
            let (host, link) = (link.host, link.id);
            let state = self.agent_state(host);
            self.send_up(host, Reply { leader: id, link }, Up::Pong { n: 0, state });
        }
    }

    fn open_link(&mut self, id: usize, member: usize) {
        let target = self.target(id, member);
        let open = target.filter(|host| {
            let there = &self.hosts[*host];
            there.alive && there.agent.up && there.side == self.leaders[id].side
        });
        let Some(host) = open else {
            let road = &mut self.leaders[id].roads[member];
            let waits = road.open_order.take().is_some();
            if road.watching.known && (waits || !std::mem::replace(&mut road.told_away, true)) {
                self.link_tells(id, member, LinkEvent::Away { why: "no way there".to_owned() });
            }
            return;
        };
        let link = self.fresh_id();
        let clock = (self.boot_ms(host), self.now);
        self.leaders[id].roads[member].link = Some(Link {
            id: link,
            host,
            clock,
            last_up: 0,
            held_up_until: 0,
            silent_since: None,
            pings_at: self.now + PING_MS,
            open: false,
            deaf: false,
        });
        self.after(EXEC_MS, Event::Leader(id, ToLeader::Linked { member, link, host }));
    }

    /// The first line of a stream.
    pub fn linked(&mut self, id: usize, member: usize, link: u64, host: HostId) {
        let reach = self.hosts[host].side == self.leaders[id].side;
        let there = reach && self.hosts[host].alive && self.hosts[host].agent.up;
        let clock = (self.boot_ms(host), self.now);
        let road = &mut self.leaders[id].roads[member];
        let Some(mine) = road.link.as_mut().filter(|mine| mine.id == link) else { return };
        if !there {
            road.link = None;
            return;
        }
        (mine.open, mine.clock) = (true, clock);
        (road.told_away, road.open_order) = (false, None);
        let state = Box::new(self.agent_state(host));
        self.link_tells(id, member, LinkEvent::Greeted { state });
    }

    fn close_link(&mut self, id: usize, member: usize) {
        let road = &mut self.leaders[id].roads[member];
        (road.link, road.told_away, road.open_order) = (None, true, None);
        self.link_tells(id, member, LinkEvent::Away { why: "the stream ended".to_owned() });
    }

    fn link_tells(&mut self, id: usize, member: usize, event: LinkEvent) {
        self.hears(id, Input::Link { ordinal: ordinal(member), event });
    }

    /// All open streams to an agent.
    pub fn links_to(&self, host: HostId) -> Vec<Reply> {
        let of = |(leader, road): (usize, &Road)| {
            let link = road.link.as_ref().filter(|link| link.open && link.host == host)?;
            Some(Reply { leader, link: link.id })
        };
        let alive = self.leaders.iter().enumerate().filter(|(_, leader)| leader.alive);
        alive.flat_map(|(id, leader)| leader.roads.iter().map(move |road| (id, road))).filter_map(of).collect()
    }

    /// True while that stream is not given up.
    pub fn is_stream_held(&self, reply: Reply) -> bool {
        let leader = &self.leaders[reply.leader];
        leader.alive && leader.roads.iter().any(|road| road.link.as_ref().is_some_and(|link| link.id == reply.link))
    }

    /// A machine gives an order.
    pub fn give(&mut self, id: usize, member: usize, command: Command) {
        let Command { id: name, token, order, limit } = command;
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let open = &self.leaders[id].roads[member].open_order;
        let waits = open.as_ref().is_some_and(|(_, term, until)| *term == token.term && self.now < *until);
        if waits && order != Order::Fence {
            let name = order.name();
            return self.broken(format!("invariant 5: leader {id}: {name} given to busy member {member}"));
        }
        let until = limits::give_up(&order, Millis(self.now)).0;
        self.leaders[id].roads[member].open_order = Some((name.clone(), token.term, until));
        let link = self.leaders[id].roads[member].link.clone().filter(|link| link.open);
        // Orders are dropped while no stream is open.
        let Some(link) = link.filter(|link| !link.deaf) else { return };
        let deadline = BootMillis(link.clock.0.0 + (self.now - link.clock.1) + limit);
        let order = OrderEnvelope { v: PROTOCOL_VERSION, id: name, token, deadline, order };
        self.check_order_given(id, member, &order);
        self.stats.orders += 1;
        self.say(|| {
            format!("leader {id}: orders {member}: {:?} ({}/{})", order.order, order.token.term, order.token.seq)
        });
        self.send_order(&link, Reply { leader: id, link: link.id }, order);
    }

    /// Sends an order down a stream: it may come late, or twice.
    fn send_order(&mut self, link: &Link, reply: Reply, order: OrderEnvelope) {
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
        let late = self.calm.is_none() && self.dice.chance(2);
        let delay = if late { self.dice.range(20, 500) } else { self.dice.range(1, 3) };
        let now = self.now;
        let roads = self.leaders[reply.leader].roads.iter_mut().enumerate();
        let links = roads.filter_map(|(member, road)| Some((member, road.link.as_mut()?)));
        let link = links.into_iter().find(|(_, link)| link.id == reply.link && !link.deaf);
        let Some((member, link)) = link else { return };
        let arrives = (now + delay).max(link.last_up);
        link.last_up = arrives;
        self.after(arrives - now, Event::Up { host, reply, member, up: Box::new(up) });
    }

    /// A line from an agent arrives, unless a partition or a stopped machine holds it up.
    pub fn up_arrives(&mut self, host: HostId, reply: Reply, member: usize, up: Up) {
        let now = self.now;
        let leader = &mut self.leaders[reply.leader];
        let cut = leader.side != self.hosts[host].side;
        let stalled_until = leader.stalled_until;
        let Some(link) = leader.roads[member].link.as_mut().filter(|link| leader.alive && link.id == reply.link) else {
            return;
        };
        if link.deaf {
            return;
        }
        let until = link.held_up_until.max(stalled_until).max(if cut { now + 1 } else { now });
        if until > now {
            let until = if cut && link.held_up_until <= now { now + 300 } else { until };
            link.held_up_until = until;
            return self.after(until - now, Event::Up { host, reply, member, up: Box::new(up) });
        }
        let (Up::Hello { state, .. } | Up::Pong { state, .. } | Up::Answer { state, .. } | Up::Event { state, .. }) =
            &up;
        // The later estimate is the better one, as with `link/session.rs`.
        let estimated = link.clock.0.0 + (now - link.clock.1);
        if state.boot_ms.0 > estimated {
            link.clock = (state.boot_ms, now);
        }
        if let Up::Answer { re, .. } = &up {
            leader.roads[member].open_order.take_if(|(name, _, _)| name == re);
        }
        self.link_tells(reply.leader, member, LinkEvent::Told { up: Box::new(up) });
    }
}

pub fn ordinal(member: usize) -> Ordinal {
    Ordinal(u8::try_from(member).expect("at most 9 members"))
}
