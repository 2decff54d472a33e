//! Faults as they strike and end. Which ones and when stands in [`crate::plan`].

use beachmaster::orders::Ordinal;

use crate::member::{At, HostId, Volume};
use crate::plan::{Edit, Fault, Heal, Who};
use crate::pods::Comes;
use crate::world::{Event, World};

/// An agent has looked twice, and its state has come in, after this time.
const LOCK_TOLD_MS: u64 = 3_500;

impl World {
    /// The pods of a cluster that has just been applied, its clients, its first leader, and what will go wrong.
    pub fn populate(&mut self) {
        for member in 0..self.policy.members.len() {
            let ordinal = Ordinal(u8::try_from(member).expect("at most 9 members"));
            self.current.push(None);
            self.new_pod(ordinal, Volume::blank(), None);
        }
        let clients = self.dice.range(2, 4);
        self.start_clients(usize::try_from(clients).unwrap_or(2));
        self.after(0, Event::Elect);
        let mut end = 0;
        for index in 0..self.plan.timed.len() {
            let (at, _) = self.plan.timed[index];
            end = end.max(at);
            self.after(at, Event::Fault(index));
        }
        let last = end + self.dice.range(100, 4_000);
        self.after(last, Event::Calm);
    }

    fn who(&self, who: Who) -> Option<HostId> {
        let record = &self.store.record;
        let ordinal = match who {
            Who::Primary => record.transition.as_ref().and_then(|it| it.from()).or(record.primary)?,
            Who::Candidate => record.transition.as_ref().and_then(|it| it.to()).or(record.primary)?,
            Who::Any(ordinal) => Ordinal(ordinal),
        };
        self.host_of(ordinal)
    }

    pub fn planned_fault(&mut self, index: usize) {
        let (_, fault) = self.plan.timed[index];
        if self.calm.is_none() {
            self.strike(fault);
        }
    }

    /// Faults tied to acts: true when the leader is gone before the act.
    pub fn fault_at_act(&mut self, id: usize, begins_failover: bool) -> bool {
        if self.calm.is_some() || !(begins_failover || self.is_in_failover(id)) {
            return false;
        }
        self.plan.acts += 1;
        let acts = self.plan.acts;
        let due: Vec<Fault> = self.plan.at_act.iter().filter(|(n, _)| *n == acts).map(|(_, fault)| *fault).collect();
        for fault in due {
            if matches!(fault, Fault::CrashLeader) {
                self.stats.crashes_in_failover += 1;
            }
            self.strike(fault);
        }
        !self.leaders[id].alive || self.leaders[id].stalled_until > self.now
    }

    fn strike(&mut self, fault: Fault) {
        self.say(|| format!("FAULT {fault:?}"));
        match fault {
            Fault::Kill(who) => self.on(who, |world, host| world.kill(host, true)),
            Fault::KillAll => (0..self.hosts.len()).for_each(|host| self.kill(host, true)),
            Fault::AgentAway(who, back) => self.on(who, |world, host| world.agent_away(host, back)),
            Fault::Unreadable(who, back) => self.on(who, |world, host| {
                world.hosts[host].volume.readable = false;
                world.kill(host, true);
                world.later(back, Heal::Readable(host));
            }),
            Fault::IndexLost(who, back) => self.on(who, |world, host| {
                world.hosts[host].volume.index_lost = true;
                world.kill(host, true);
                world.later(back, Heal::Index(host));
            }),
            Fault::Locked(who, lasts) => self.on(who, |world, host| {
                let told_from = if lasts % 2 == 0 { world.now + LOCK_TOLD_MS } else { At::MAX };
                let there = &mut world.hosts[host];
                (there.locked_until, there.lock_told_from) = (world.now + lasts, told_from);
            }),
            Fault::PodReplaced(who) => self.on(who, |world, host| world.replace_pod(host, Comes::Back)),
            Fault::PodBlank(who) => self.on(who, |world, host| world.replace_pod(host, Comes::Blank)),
            Fault::Drained(who) => self.on(who, |world, host| world.replace_pod(host, Comes::Elsewhere)),
            Fault::OlderCopy(who) => self.on(who, |world, host| {
                world.stats.older_copies += 1;
                world.replace_pod(host, Comes::OlderCopy);
            }),
            Fault::VolumeCopied(who) => self.on(who, |world, host| {
                let there = &world.hosts[host];
                world.copies.insert(there.ordinal, there.volume.clone());
            }),
            Fault::LostForGood(who) => self.on(who, |world, host| world.lost_for_good(host)),
            Fault::DiskFull(who, lasts) => self.on(who, |world, host| world.disk_full(host, lasts)),
            Fault::DiskHangs(who, lasts) => self.on(who, |world, host| world.disk_hangs(host, lasts)),
            Fault::EndpointsLate(lasts) => self.endpoints_late(lasts),
            Fault::Stranger(lasts) => self.on(Who::Primary, |world, host| world.stranger_comes(host, lasts)),
            Fault::SecondPod { who, with_primary, blank, heals } => {
                let primary = self.who(Who::Primary).filter(|_| with_primary);
                self.on(who, |world, host| world.second_pod(host, primary, blank, heals));
            }
            Fault::PowerCut(who) => self.on(who, |world, host| world.power_cut(host)),
            Fault::PowerCutAll => (0..self.hosts.len()).for_each(|host| self.power_cut(host)),
            Fault::Partition { mask, clients, leader, heals } => self.partition(mask, clients, leader, heals),
            Fault::CrashLeader => self.crash_leader(),
            Fault::StallLeader { wakes, elects } => self.stall_leader(wakes, elects),
            Fault::SlowMember(who, pace) => self.on(who, |world, host| {
                (world.hosts[host].apply_ms, world.hosts[host].link_ms) = (pace, pace / 2 + 1);
                world.later(pace * 20, Heal::Pace(host));
            }),
            Fault::Hang(who, lasts) => self.on(who, |world, host| world.hang(host, lasts)),
            Fault::Wedged { who, alone, silent } => self.on(who, |world, host| world.wedge(host, alone, silent)),
            Fault::SemiSyncOff(who, lasts) => self.on(who, |world, host| {
                world.switch_semi_sync(host, false);
                world.later(lasts, Heal::SemiSync(host));
            }),
            Fault::HalfOpen(who) => self.on(who, |world, host| world.half_open(host)),
            Fault::ApiAway(lasts) => {
                self.stats.api_away += 1;
                self.api_away_until = self.now + lasts;
            }
            Fault::SpecEdited(edit) => {
                self.stats.edits += 1;
                self.spec_edited(edit);
            }
            Fault::StatusRolledBack { writes, crash, within } => {
                if crash {
                    self.crash_leader();
                }
                self.status_rolled_back(writes, within);
            }
            Fault::MadeWritable(who) => self.on(who, |world, host| {
                let server = world.hosts[host].server.as_mut().filter(|server| server.sql && server.read_only);
                if let Some(server) = server {
                    (server.read_only, server.stray) = (false, true);
                }
            }),
            Fault::ServiceEdited(to) => self.service_edited(to.map(Ordinal)),
            Fault::ServiceDeleted => self.service_deleted(),
            Fault::ObjectTouched => self.object_touched(),
        }
    }

    fn on(&mut self, who: Who, strike: impl FnOnce(&mut Self, HostId)) {
        if let Some(host) = self.who(who).filter(|host| self.hosts[*host].alive) {
            strike(self, host);
        }
    }

    pub fn later(&mut self, delay: u64, heal: Heal) {
        self.plan.heals.push(heal);
        self.after(delay, Event::Heal(self.plan.heals.len() as u64 - 1));
    }

    pub fn heal(&mut self, what: u64) {
        let heal = self.plan.heals[usize::try_from(what).unwrap_or(0)].clone();
        match heal {
            Heal::Agent(host) => self.agent_back(host),
            Heal::Readable(host) => {
                self.hosts[host].volume.readable = self.plan.volumes_heal || self.hosts[host].volume.readable;
            }
            Heal::Index(host) => {
                let mended = self.plan.volumes_heal || !self.hosts[host].volume.index_lost;
                self.hosts[host].volume.index_lost &= !mended;
            }
            Heal::Network => self.mend_network(),
            Heal::Pod { ordinal, volume, boot } => {
                if self.host_of(ordinal).is_none() && !self.lost.contains(&ordinal) {
                    self.new_pod(ordinal, *volume, boot);
                }
            }
            Heal::Pace(host) => (self.hosts[host].apply_ms, self.hosts[host].link_ms) = (1, 1),
            Heal::SemiSync(host) => {
                if self.hosts[host].is_writable() {
                    self.switch_semi_sync(host, true);
                }
            }
            Heal::Hung(host) => self.goes_on(host),
            Heal::Disk(host) => self.disk_goes_on(host),
            Heal::Reap(host) => self.end_pod(host),
            Heal::Service => self.service_made(),
        }
    }

    pub fn agent_away(&mut self, host: HostId, back: u64) {
        self.hosts[host].agent.up = false;
        self.hosts[host].agent.run = None;
        self.hosts[host].agent.serving = false;
        self.later(back, Heal::Agent(host));
    }

    fn agent_back(&mut self, host: HostId) {
        if self.hosts[host].alive && !std::mem::replace(&mut self.hosts[host].agent.up, true) {
            self.hosts[host].agent.shut_out = self.hosts[host].wedged.is_some();
            self.note_end(host);
            self.auto_start(host);
        }
    }

    fn hang(&mut self, host: HostId, lasts: u64) {
        if self.hosts[host].server.is_some() {
            self.stats.hangs += 1;
            let until = self.now + lasts;
            self.partitioned(|world| world.hosts[host].hung_until = until);
            self.later(lasts, Heal::Hung(host));
        }
    }

    /// mariadbd goes on where it was, unless it was killed or hangs once more.
    pub fn goes_on(&mut self, host: HostId) {
        if self.hosts[host].server.is_some() && !self.hosts[host].is_hung(self.now) {
            self.commit(host);
            self.wake_dumps(host);
        }
    }

    fn half_open(&mut self, host: HostId) {
        for leader in &mut self.leaders {
            self.stats.half_open += leader.roads.iter_mut().filter_map(|road| road.goes_deaf(host)).count() as u64;
        }
    }

    fn spec_edited(&mut self, edit: Edit) {
        match edit {
            Edit::Paused(paused) => self.policy.paused = paused,
            Edit::FailoverEnabled(enabled) => self.policy.failover_enabled = enabled,
            Edit::Mode(mode) => self.policy.mode = mode,
            Edit::WhenNoAcker(wish) => self.policy.when_no_acker = wish,
            Edit::Priority { member, priority } => self.policy.members[usize::from(member)].priority = priority,
        }
        self.object_touched();
    }

    fn partition(&mut self, mask: u8, clients: u8, leader: bool, heals: u64) {
        self.partitioned(|world| {
            for member in 0..world.current.len() {
                if let Some(host) = world.current[member] {
                    world.hosts[host].side = mask >> member & 1;
                }
            }
        });
        for (index, client) in self.clients.iter_mut().enumerate() {
            client.side = clients >> index & 1;
        }
        if leader && let Some(old) = self.leaders.iter().rposition(|leader| leader.alive && !leader.deposed) {
            self.leaders[old].side = 1;
            let elects = self.dice.range(500, 3_000);
            self.after(elects, Event::Elect);
        }
        self.later(heals, Heal::Network);
    }

    fn mend_network(&mut self) {
        for host in 0..self.hosts.len() {
            let zombie = !self.current.contains(&Some(host));
            if zombie && self.hosts[host].alive && self.hosts[host].side == 1 {
                let delay = self.dice.range(1, 1_500);
                self.later(delay, Heal::Reap(host));
            }
            self.hosts[host].side = 0;
        }
        self.clients.iter_mut().for_each(|client| client.side = 0);
        self.leaders.iter_mut().for_each(|leader| leader.side = 0);
    }

    fn crash_leader(&mut self) {
        if let Some(leader) = self.leaders.iter().rposition(|leader| leader.alive && !leader.deposed) {
            self.leaders[leader].alive = false;
            let delay = self.dice.range(50, 3_000);
            self.after(delay, Event::Elect);
        }
    }

    /// The leader's machine stops; another takes the Lease; the first wakes and does not know.
    fn stall_leader(&mut self, wakes: u64, elects: u64) {
        if let Some(leader) = self.leaders.iter().rposition(|leader| leader.alive && !leader.deposed) {
            self.leaders[leader].stalled_until = self.now + wakes;
            self.after(elects, Event::Elect);
        }
    }

    /// From here on nothing goes wrong any more.
    pub fn calm_down(&mut self) {
        self.say(|| "CALM".to_owned());
        self.calm = Some(self.now);
        self.mend_network();
        (self.api_away_until, self.endpoints.until, self.stranger) = (self.now, self.now, None);
        self.spec_edited(Edit::Paused(false));
        self.spec_edited(Edit::FailoverEnabled(true));
        for host in 0..self.hosts.len() {
            self.hosts[host].hung_until = self.now;
            self.goes_on(host);
            self.disk_heals(host);
            self.wedge_ends(host);
            (self.hosts[host].apply_ms, self.hosts[host].link_ms) = (1, 1);
            self.agent_back(host);
            if self.plan.volumes_heal {
                self.hosts[host].volume.readable = true;
                self.hosts[host].volume.index_lost = false;
            }
            if !self.lost.is_empty() {
                // Its agent tries again and again; where the operator is at work, it does not wait for that.
                self.auto_start(host);
            }
        }
        if !self.leaders.iter().any(|leader| leader.alive && !leader.deposed) {
            self.after(100, Event::Elect);
        }
        self.after(500, Event::Converged);
    }
}
