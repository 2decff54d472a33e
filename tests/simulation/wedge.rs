//! A primary that takes no new connections while open ones go on, as `topology::wedged` says: how it comes about, what the operator
//! sees of it, and what ends it. The operator's tries are those of `src/operator/cluster/new_connection.rs`.

use beachmaster::control::input::{Input, Try};
use beachmaster::orders::{Answer, Incarnation, Reason};
use beachmaster::time::Millis;

use crate::dice::Dice;
use crate::member::{At, Conn, HostId, Run, Wedge};
use crate::number;
use crate::operator::ToLeader;
use crate::plan::{self, Fault, Plan, Who};
use crate::roads::ordinal;
use crate::special_plans::{of_a_plan, of_three};
use crate::stats::Stats;
use crate::steps::Next;
use crate::world::{Event, Mutant, World};

/// Between two tries, and when something is going on or the last one hung.
const KNOCK_MS: u64 = 2_000;
const EAGER_KNOCK_MS: u64 = 500;
/// A try that takes longer hangs.
const HANGS_MS: u64 = 1_000;
/// Silence after which the agent kills.
const SILENT_MS: u64 = 1_000;
/// Histories with a wedged primary.
const WEDGED: u64 = 1_000;
/// Those in which nothing else goes wrong.
const QUIET: u64 = 100;
/// When it wedges in them.
const WEDGED_AT_MS: u64 = 6_000;
/// Three seconds until it is found, one until its silence is, and a failover.
const BACK_WITHIN_MS: u64 = 5_000;
/// In one of a hundred freezes of a failover the IO thread does not stop, and is killed.
const FREEZE_MS: u64 = 4_000;

impl World {
    /// A replica's flow breaks while nobody commits, its next connection makes the primary wait, and clients come anew.
    pub fn wedge(&mut self, host: HostId, alone: bool, silent: bool) {
        let there = &self.hosts[host];
        let waits =
            there.server.as_ref().is_some_and(|server| server.semi_master && (alone || server.waiting.is_empty()));
        let semi = self.conns.iter().filter(|(_, conn)| conn.source == host && conn.semi && !conn.donor);
        let broken: Vec<u64> = semi.map(|(id, _)| *id).take(if alone { usize::MAX } else { 1 }).collect();
        if !there.is_writable() || !waits || broken.is_empty() {
            return;
        }
        self.stats.wedges += 1;
        self.hosts[host].wedged = Some(if silent { Wedge::FallsSilent } else { Wedge::Wakes });
        self.partitioned(|world| broken.into_iter().for_each(|id| world.drop_conn(id)));
        for client in self.clients_of(host) {
            if !self.clients[client].waiting {
                self.clients[client].host = None;
            }
        }
    }

    /// A connection says something, or ends: the thread that collects acknowledgements wakes.
    pub fn hears_of(&mut self, conn: &Conn) {
        let wakes = conn.semi && self.hosts_reach(conn.replica, conn.source);
        if wakes && self.hosts[conn.source].wedged.is_some_and(|wedge| wedge != Wedge::Silent) {
            self.stats.woken += 1;
            self.wakes_up(conn.source);
        }
    }

    /// Somebody switches semi-sync off.
    pub fn wakes_at_last(&mut self, host: HostId) {
        if self.hosts[host].wedged.is_some_and(|wedge| wedge != Wedge::Silent) {
            self.wakes_up(host);
        }
    }

    fn wakes_up(&mut self, host: HostId) {
        self.hosts[host].wedged = None;
        self.say(|| format!("host {host}: takes new connections again"));
    }

    /// Nothing goes wrong any more: the operator ends what is left of it, when it can (docs/known-gaps.md).
    pub fn wedge_ends(&mut self, host: HostId) {
        let run = self.hosts[host].answering().map(|server| (host, server.incarnation));
        let leader = self.leaders.iter().rfind(|leader| leader.alive && !leader.deposed);
        let session = leader.map(|leader| leader.roads[usize::from(self.hosts[host].ordinal.0)].session);
        if session.is_some_and(|session| session.is_some() && session == run) && self.is_waited_for(host) {
            return;
        }
        match self.hosts[host].wedged {
            None => {}
            Some(Wedge::Silent) => self.kill(host, true),
            Some(_) => self.wakes_up(host),
        }
    }

    /// Semi-sync is on, or was until the primary fell silent.
    fn is_waited_for(&self, host: HostId) -> bool {
        let on = self.hosts[host].server.as_ref().is_some_and(|server| server.semi_master);
        on || self.hosts[host].wedged == Some(Wedge::Silent)
    }

    /// True when a reading needs a new connection, and none is taken.
    pub fn needs_a_way_in(&self, host: HostId, held: Option<(HostId, Incarnation)>) -> bool {
        let run = self.hosts[host].answering().map(|server| (host, server.incarnation));
        self.hosts[host].wedged.is_some() && (held.is_none() || held != run)
    }

    /// Tries to connect to a member.
    pub fn knock(&mut self, id: usize, member: usize) {
        let (watching, side) = (&self.leaders[id].roads[member].watching, self.leaders[id].side);
        let eager = watching.eager;
        let Some(ip) = watching.ip else {
            return self.after(EAGER_KNOCK_MS, Event::Leader(id, ToLeader::Knock { member }));
        };
        let host = crate::steps::resolve_address(&ip.to_string());
        let there = &self.hosts[host];
        let reached = there.alive && there.side == side && !there.is_hung(self.now);
        let (outcome, took) = match there.answering() {
            _ if !reached => (Try::Hung, HANGS_MS),
            None => (Try::Unknown, 1),
            Some(_) if there.wedged.is_some() => (Try::Hung, HANGS_MS),
            Some(_) => (Try::Accepted, 2),
        };
        let pause = if eager || outcome == Try::Hung { EAGER_KNOCK_MS } else { KNOCK_MS };
        let tried = Input::NewConnection { ordinal: ordinal(member), begun: Millis(self.now), outcome };
        self.after(took, Event::Leader(id, ToLeader::Input(Box::new(tried))));
        self.after(took + pause, Event::Leader(id, ToLeader::Knock { member }));
    }

    /// The longest time between two acknowledgements from `begin` on.
    fn longest_silence(&self, begin: At) -> At {
        let acked: Vec<At> = self.acked.iter().map(|acked| acked.at).filter(|at| *at >= begin).collect();
        acked.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(At::MAX)
    }

    /// STOP SLAVE IO_THREAD and START SLAVE IO_THREAD.
    pub fn reconnect(&mut self, host: HostId) -> Next {
        if self.hosts[host].server.as_ref().is_none_or(|server| server.slave.is_none()) {
            return Next::failed(Reason::Unsupported, "it replicates from nobody");
        }
        self.stop_io(host);
        self.start_io(host);
        Next::answered(Answer::Done)
    }

    /// Semi-sync off and on behind a lock; a server that falls silent at that is killed.
    pub fn reset_semi_sync(&mut self, host: HostId, run: &Run) -> Next {
        // No session of the agent's is left, and no new one is taken.
        let shut_out = self.hosts[host].agent.shut_out && self.hosts[host].wedged.is_some();
        if run.step > 0 || shut_out || self.hosts[host].wedged == Some(Wedge::Silent) {
            self.stats.killed_silent += 1;
            self.kill(host, true);
            return Next::failed(Reason::NotRunning, "mariadbd did not answer, and was killed");
        }
        let there = &mut self.hosts[host];
        let Some(server) = there.server.as_mut().filter(|server| server.slave.is_none() && !server.read_only) else {
            return Next::failed(Reason::Unsupported, "the member is not the primary");
        };
        if !server.waiting.is_empty() {
            return Next::failed(Reason::Unsupported, "commits wait");
        }
        if there.wedged == Some(Wedge::FallsSilent) {
            (server.semi_master, there.wedged) = (false, Some(Wedge::Silent));
            return Next::Step(1, SILENT_MS);
        }
        server.semi_master = true;
        self.stats.reset += 1;
        self.wakes_up(host);
        Next::answered(Answer::Done)
    }
}

/// The faults of a history, and primaries that take no new connections.
fn with_wedges(dice: &mut Dice, members: usize) -> Plan {
    let mut plan = plan::plan(dice, members);
    plan.knocks = true;
    for _ in 0..dice.range(1, 3) {
        let fault = Fault::Wedged { who: Who::Primary, alone: dice.chance(50), silent: dice.chance(40) };
        plan.timed.push((dice.range(1_500, 16_000), fault));
    }
    plan
}

pub fn of_a_wedged_primary(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
    of_a_plan(seed, with_wedges, (mutant, trace))
}

/// Whatever else goes wrong beside it.
#[test]
fn a_wedged_primary_loses_nothing() {
    let mut sum = Stats::default();
    for seed in 0..number("HISTORIES").unwrap_or(WEDGED) {
        let mut world = of_a_wedged_primary(seed, None, false);
        world.run();
        assert_eq!(world.violation, None, "plan {seed}: SEED={seed} PLAN=wedge");
        let Stats { wedges, woken, reset, killed_silent, fenced_wedges, .. } = world.stats;
        sum.fenced_wedges += fenced_wedges;
        sum.wedges += wedges;
        sum.woken += woken;
        sum.reset += reset;
        sum.killed_silent += killed_silent;
    }
    let Stats { wedges, woken, reset, killed_silent, fenced_wedges, .. } = sum;
    println!(
        "{wedges} wedges: {woken} woken by an acker, {reset} reset, {killed_silent} killed by their agents, {fenced_wedges} fenced"
    );
    assert!(woken > 0 && reset > 0 && killed_silent > 0 && fenced_wedges > 0);
}

/// Where nothing else goes wrong, clients get in again within seconds.
#[test]
fn a_wedged_primary_is_woken_or_replaced_within_seconds() {
    for (alone, silent) in [(false, false), (true, false), (true, true)] {
        let (mut longest, mut wedges) = (0, 0);
        for seed in 0..QUIET {
            let mut world = wedged_alone(seed, alone, silent, false);
            world.run();
            assert_eq!(world.violation, None, "plan {seed}");
            if world.stats.wedges == 0 {
                // Somebody committed at that moment.
                continue;
            }
            wedges += 1;
            longest = longest.max(world.longest_silence(WEDGED_AT_MS));
            // Or commits waited, so that nobody could have woken it.
            assert!(!silent || world.stats.failovers > 0, "plan {seed}: a silent primary stays");
        }
        assert!(wedges > QUIET / 2, "only {wedges} of {QUIET} wedge");
        println!("alone: {alone}, silent: {silent}: nobody got in for {longest} ms at most");
        assert!(longest < BACK_WITHIN_MS + if alone { FREEZE_MS } else { 0 }, "{longest} ms");
    }
}

pub fn wedged_alone(seed: u64, alone: bool, silent: bool, trace: bool) -> World {
    let wedged = Fault::Wedged { who: Who::Primary, alone, silent };
    // The faults end long after that.
    let last = (3 * WEDGED_AT_MS, Fault::ObjectTouched);
    let plan = Plan { timed: vec![(WEDGED_AT_MS + seed, wedged), last], knocks: true, ..Plan::default() };
    of_three(seed, plan, (None, trace))
}
