//! The invariants of design.md section 2, asserted where they hold, and convergence.

use beachmaster::orders::{Order, OrderEnvelope, Ordinal, Term};
use beachmaster::topology::observation::{ServerSight, ServerView};
use beachmaster::topology::policy::Mode;
use beachmaster::topology::record::written_outside_reigns;
use beachmaster::topology::record::{Acker, Durability, Record, Step, TransitionKind};

use crate::api_server::NAME;
use crate::member::{At, From, HostId, Io, Run};
use crate::operator::short;
use crate::replication::POSITION_REFUSED;
use crate::world::{Event, World};

/// Virtual time in which a cluster must have healed after the last fault.
const CONVERGE_MS: u64 = 120_000;
const LOOK_MS: u64 = 250;
/// So long a healed cluster must stay so.
const STAYS_MS: u64 = 3_000;
/// How old a leader's view of a connection may be.
const LATELY_MS: u64 = 5_000;

impl World {
    fn can_acknowledge(&self, host: HostId) -> bool {
        let there = &self.hosts[host];
        let stray = there.server.as_ref().is_some_and(|server| server.stray);
        if !there.is_writable() || there.detached || stray {
            return false;
        }
        let waits = there.server.as_ref().is_some_and(|server| server.semi_master);
        !waits
            || self.conns.values().any(|conn| {
                conn.source == host && conn.semi && !conn.donor && self.hosts_reach(conn.replica, conn.source)
            })
    }

    /// Invariant 1: at most one member can acknowledge writes.
    pub fn check_one_writer(&mut self) {
        if self.hosts.iter().filter(|host| host.is_writable()).count() < 2 {
            return;
        }
        let writers: Vec<HostId> = (0..self.hosts.len()).filter(|host| self.can_acknowledge(*host)).collect();
        if writers.len() > 1 {
            self.broken(format!("invariant 1: hosts {writers:?} can acknowledge writes"));
        }
    }

    /// Invariant 1: clients are not led to a member that is seen to take writes before it is promoted.
    pub fn check_routed(&mut self, id: usize, to: Ordinal) {
        let seen = self.view(id, to);
        let takes_writes = matches!(&seen.server, ServerSight::Answers { view, .. } if !view.read_only);
        let promoted = self.leaders[id].machine.record().primary == Some(to);
        let shows = |view: &ServerView| seen.running_since.is_some_and(|since| view.begun > since);
        let current = matches!(&seen.server, ServerSight::Answers { view, .. } if shows(view));
        if takes_writes && current && !promoted {
            self.broken(format!("invariant 1: leader {id} leads clients to member {to}, which takes writes"));
        }
    }

    /// Invariant 1 in history: no write begun after an acknowledgement of a newer primary is acknowledged by an older.
    pub fn check_acknowledged(&mut self, reign: Term, begun: At) {
        let now = self.now;
        self.first_ack.entry(reign).or_insert(now);
        let newer = self.first_ack.iter().find(|(other, first)| **other > reign && **first < begun);
        if let Some((newer, first)) = newer.map(|(newer, first)| (*newer, *first)) {
            self.broken(format!(
                "invariant 1: reign {reign} acknowledged a write begun at {begun}, reign {newer} had at {first}"
            ));
        }
    }

    fn identity(&self, host: HostId) -> Option<Acker> {
        let there = &self.hosts[host];
        let server = there.server.as_ref()?;
        Some(Acker {
            member: there.ordinal,
            pod_uid: there.pod_uid.clone(),
            boot_id: there.boot_id.clone(),
            incarnation: server.incarnation,
        })
    }

    /// Invariant 6: who acknowledges stands in the record.
    pub fn check_acker(&mut self, replica: HostId, source: HostId) {
        let Some(acker) = self.identity(replica) else { return };
        if !self.current.contains(&Some(replica)) {
            // A pod that was deleted by force and goes on: it shares its account with its successor, so that nobody can
            // shut out the one without the other. What it acknowledges is still looked for by invariant 2.
            self.stats.by_deleted_pods += 1;
            return;
        }
        if !self.store.truth().ackers.contains(&acker) {
            let record = short(self.store.truth());
            self.broken(format!("invariant 6: host {replica} acknowledged to host {source}, record: {record}"));
        }
    }

    /// The last acker that works is not shut out: that would be an outage of the operator's own making.
    pub fn check_shut_out(&mut self, primary: HostId, ordinal: u8) {
        let working = self.working_ackers().into_iter();
        let connected: Vec<HostId> =
            working.filter(|(source, _)| *source == primary).map(|(_, replica)| replica).collect();
        let is_shut_out = |replica: &HostId| self.hosts[*replica].ordinal.0 == ordinal;
        // An operator's knowledge may be as old as this.
        let lately = |at: At| self.now - at < LATELY_MS;
        let another = connected.iter().any(|replica| !is_shut_out(replica))
            || self
                .acknowledged_by
                .iter()
                .chain(&self.parted)
                .any(|((source, replica), at)| *source == primary && !is_shut_out(replica) && lately(*at));
        let writes = self.hosts[primary].server.as_ref().is_some_and(|server| server.semi_master && !server.read_only);
        if writes && connected.iter().any(is_shut_out) && !another {
            self.broken(format!("host {primary} shuts out member {ordinal}, its last acker, which works"));
        }
    }

    /// Invariant 6: what was acknowledged under `Enforced` was received by one of those that remain.
    pub fn check_write(&mut self, next: &Record) {
        let before = self.store.truth().clone();
        // After a status was put back only the volumes tell what terms there were.
        let obeyed = self.current.iter().flatten().filter_map(|host| {
            let volume = &self.hosts[*host].volume;
            volume.highest.as_ref().filter(|_| volume.record.is_some()).map(|(token, _, _)| token.term)
        });
        let known = if self.store.record == before { before.term } else { obeyed.max().unwrap_or_default() };
        if next.term < known {
            self.broken(format!("invariant 4: the term fell from {known} to {}", next.term));
        }
        let same = next.primary == before.primary && next.promoted_in == before.promoted_in;
        if same {
            self.check_left(&before, next);
        }
        if !same || next.durability != Durability::Enforced || self.acked.is_empty() {
            return;
        }
        if next.ackers.is_empty() {
            return self.broken("invariant 6: Enforced without ackers".to_owned());
        }
        let last = self.acked[self.acked.len() - 1];
        let safe = next.ackers.iter().any(|acker| {
            let host = (0..self.hosts.len()).find(|host| self.identity(*host).as_ref() == Some(acker));
            // What it has written itself has taken the numbers of what it had received.
            host.is_none_or(|host| {
                let there = &self.hosts[host];
                there.volume.strayed
                    || there.has_received(last.index, last.gtid)
                    || there.volume.has_kept(acker.incarnation, last.gtid)
            })
        });
        if !safe {
            self.broken(format!("invariant 6: {} was received by none of {}", last.gtid, short(next)));
        }
    }

    /// Invariant 6: a run that leaves the list of the same reign acknowledges nothing any more, also after a reconnect.
    fn check_left(&mut self, before: &Record, next: &Record) {
        let Some(primary) = next.primary else { return };
        let shut_out = |acker: &Acker| {
            self.host_of(primary).is_some_and(|host| self.hosts[host].volume.locked.contains(&acker.member.0))
        };
        let acknowledges = |acker: &&Acker| {
            let lives = |host: &HostId| self.hosts[*host].alive && self.identity(*host).as_ref() == Some(acker);
            let server = (0..self.hosts.len()).find(lives).and_then(|host| self.hosts[host].server.as_ref());
            let follows = server.and_then(|server| server.slave.as_ref()).map(|slave| slave.from);
            server.is_some_and(|server| server.slave_enabled) && follows == Some(From::Member(primary.0))
        };
        let left = before.ackers.iter().filter(|acker| !next.ackers.contains(acker));
        if let Some(acker) = left.filter(acknowledges).find(|acker| !shut_out(acker)).cloned() {
            self.broken(format!("invariant 6: {}i{} has left and may acknowledge", acker.member, acker.incarnation));
        }
    }

    /// Invariant 4: the status announces before an order acts.
    pub fn check_order_given(&mut self, leader: usize, member: usize, order: &OrderEnvelope) {
        if order.token.term > self.store.truth().term {
            self.broken(format!(
                "invariant 4: leader {leader} orders in term {} ahead of the status",
                order.token.term
            ));
        }
        if matches!(order.order, Order::Promote { .. }) {
            let announced = self.store.past.iter().any(|record| {
                record.term == order.token.term
                    && record.primary.is_some_and(|primary| usize::from(primary.0) == member)
                    && record.transition.as_ref().is_some_and(|transition| transition.step() == Step::Promoting)
            });
            if !announced {
                self.broken(format!("invariant 4: promote of {member} in term {} was not announced", order.token.term));
            }
        }
    }

    /// Invariant 5: tokens only rise.
    pub fn check_token(&mut self, host: HostId, order: &OrderEnvelope) {
        let highest = self.hosts[host].volume.highest.as_ref().map(|(token, _, _)| token.clone());
        if self.mutant.is_none()
            && highest
                .is_some_and(|highest| highest.data_uid == order.token.data_uid && highest.rank() > order.token.rank())
        {
            self.broken(format!("invariant 5: host {host} obeys a lower token"));
        }
    }

    /// Invariant 9: a datadir is made only by the one recorded initialisation.
    pub fn check_init(&mut self, host: HostId, order: &OrderEnvelope) {
        let recorded = self.store.past.iter().any(|record| {
            record.term == order.token.term
                && record.data_uid.as_ref() == Some(&order.token.data_uid)
                && record.transition.as_ref().is_some_and(|transition| transition.kind() == TransitionKind::Initialise)
        });
        if !recorded || !self.acked.is_empty() {
            self.broken(format!("invariant 9: host {host} makes a datadir outside the initialisation"));
        }
    }

    /// Invariant 2: a promoted member has every acknowledged transaction.
    pub fn check_promotion(&mut self, host: HostId, run: &Run) {
        let volume = &self.hosts[host].volume;
        let missing = self.acked.iter().find(|acked| !volume.has(acked.index, acked.gtid)).copied();
        if let Some(missing) = missing {
            self.broken(format!(
                "invariant 2: host {host} promoted in {} lacks {}",
                run.order.token.term, missing.gtid
            ));
        }
        match self.store.record.transition.as_ref().map(|transition| transition.kind()) {
            Some(TransitionKind::Failover) => self.stats.failovers += 1,
            Some(TransitionKind::Resume) => self.stats.resumes += 1,
            _ => {}
        }
        self.say(|| format!("host {host}: is primary"));
    }

    /// Looks whether the cluster has healed.
    pub fn check_convergence(&mut self) {
        let Some(calm) = self.calm else { return };
        match self.missing() {
            None if self.whole_since.is_some_and(|since| self.now - since >= STAYS_MS) => {
                self.done = true;
                return;
            }
            None => {
                self.whole_since.get_or_insert(self.now);
                return self.after(LOOK_MS, Event::Converged);
            }
            Some(missing) if self.now > calm + CONVERGE_MS => {
                let blocked = self.leaders.last().and_then(|leader| leader.machine.decision().blocked.clone());
                if let (Some(reason), Some(_)) = (self.excuse(), &blocked) {
                    self.say(|| format!("rests blocked, rightly: {reason}"));
                    self.stats.blocked += 1;
                    self.done = true;
                } else {
                    let record = short(&self.store.record);
                    self.broken(format!("no convergence: {missing}; blocked {blocked:?}; record {record}"));
                }
                return;
            }
            Some(_) => self.whole_since = None,
        }
        if self.excuse().is_some() && self.now > calm + CONVERGE_MS / 6 {
            let blocked = self.leaders.last().is_some_and(|leader| leader.machine.decision().blocked.is_some());
            if blocked {
                self.stats.blocked += 1;
                self.done = true;
                return;
            }
        }
        self.after(LOOK_MS, Event::Converged);
    }

    /// What the status says that is not so.
    fn untrue(&self, alone: bool) -> Option<String> {
        let record = &self.store.record;
        let status = self.store.status.as_ref()?;
        let primary = record.primary.map(|primary| format!("{NAME}-{primary}"));
        if status.current_primary != primary {
            return Some(format!("the status shows {:?} as primary", status.current_primary));
        }
        if alone {
            // Writes wait for a replica, rightly.
            return None;
        }
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let message = ready.map(|ready| ready.message.clone()).unwrap_or_default();
        (ready.is_none_or(|ready| ready.status != "True")).then(|| format!("the status is not Ready: {message}"))
    }

    /// What a healed cluster still lacks.
    fn missing(&self) -> Option<String> {
        let record = &self.store.record;
        if let Some(transition) = &record.transition {
            return Some(format!("transition {:?} is not over", transition.kind()));
        }
        let Some(primary) = record.primary.and_then(|primary| self.host_of(primary)) else {
            return Some("no primary".to_owned());
        };
        if !self.hosts[primary].is_writable() {
            return Some(format!("host {primary} is recorded as primary, but takes no writes"));
        }
        if self.service.to != record.primary {
            return Some("the Service leads elsewhere".to_owned());
        }
        let lost = self.acked.iter().find(|acked| !self.hosts[primary].volume.has(acked.index, acked.gtid));
        if let Some(lost) = lost {
            return Some(format!("the primary lacks {}", lost.gtid));
        }
        if let Some(stray) =
            self.current.iter().flatten().find(|host| **host != primary && self.hosts[**host].is_writable())
        {
            return Some(format!("host {stray} takes writes"));
        }
        let followers: Vec<HostId> = self.intact().into_iter().filter(|host| *host != primary).collect();
        if let Some(idle) = followers.iter().find(|host| !self.follows(**host, primary)) {
            return Some(format!("host {idle} does not follow"));
        }
        let waits = self.hosts[primary].server.as_ref().is_some_and(|server| server.semi_master);
        if self.acked_since_calm < 3 && (!waits || !followers.is_empty()) {
            return Some("no write was acknowledged".to_owned());
        }
        let alone = followers.is_empty() && waits;
        self.unproven(&followers).or_else(|| self.untrue(alone))
    }

    /// What durability still lacks.
    fn unproven(&self, followers: &[HostId]) -> Option<String> {
        let record = &self.store.record;
        if self.policy.mode != Mode::SemiSync || followers.is_empty() {
            return None;
        }
        if record.durability != Durability::Enforced {
            return Some(format!("durability is {:?}", record.durability));
        }
        let present =
            |acker: &Acker| self.current.iter().flatten().any(|host| self.identity(*host).as_ref() == Some(acker));
        // Two pods of a name share an account: the old one can be shut out only while a third member acknowledges.
        let alone = |acker: &Acker| followers.iter().all(|host| self.hosts[*host].ordinal == acker.member);
        let elsewhere = |acker: &Acker| {
            let there = self.host_of(acker.member).map(|host| &self.hosts[host]);
            there.is_none_or(|there| {
                let record = there.volume.record.as_ref();
                let mut ended = record.iter().flat_map(|record| &record.ended);
                let told = ended.any(|ended| ended.pod_uid == acker.pod_uid && ended.incarnation >= acker.incarnation);
                let other = there.boot_id != acker.boot_id || record.is_none();
                there.pod_uid != acker.pod_uid && other && !told
            })
        };
        let stale = record.ackers.iter().find(|acker| !(present(acker) || alone(acker) && elsewhere(acker)))?;
        Some(format!("acker {} in incarnation {} is over", stale.member, stale.incarnation))
    }

    /// Members whose volume holds this data and nothing that the primary does not have.
    fn intact(&self) -> Vec<HostId> {
        let primary = self.store.record.primary.and_then(|primary| self.host_of(primary));
        let Some(primary) = primary else { return Vec::new() };
        let truth = &self.hosts[primary].volume;
        let fits = |host: &HostId| {
            let volume = &self.hosts[*host].volume;
            let part = match volume.binlog.last() {
                None => true,
                // What it has last was written by a candidate that somebody made writable: quarantined, though the primary has it.
                Some(last) if written_outside_reigns(&[last.gtid].into_iter().collect()).is_some() => false,
                Some(last) => truth.has(volume.binlog.len() - 1, last.gtid),
            };
            volume.record.is_some() && volume.readable && !volume.index_lost && !volume.strayed && part
        };
        self.current.iter().flatten().copied().filter(fits).collect()
    }

    fn follows(&self, host: HostId, primary: HostId) -> bool {
        self.hosts[host].answering().and_then(|server| server.slave.as_ref()).is_some_and(|slave| {
            matches!(slave.io, Io::Connected(id)
                if self.conns.get(&id).is_some_and(|conn| conn.source == primary && !conn.donor))
                && slave.sql
        })
    }

    /// Why a cluster may rightly stay blocked: the truth, not what the operator believes.
    fn excuse(&self) -> Option<String> {
        let record = &self.store.record;
        let lost = |ordinal: Ordinal| {
            let volume = self.host_of(ordinal).map(|host| &self.hosts[host].volume);
            volume.is_none_or(|volume| {
                !volume.readable || volume.index_lost || volume.history_lost || volume.record.is_none()
            })
        };
        // Nobody goes on from a status that was put back before every volume has told what is on it.
        if record.term < self.store.truth().term
            && self.current.iter().flatten().any(|host| lost(self.hosts[*host].ordinal))
        {
            return Some("the status was put back, and a volume is lost".to_owned());
        }
        if record.primary.is_none() {
            let unreadable = |host: &HostId| !self.hosts[*host].volume.readable;
            if self.current.iter().flatten().any(unreadable) {
                return Some("a volume that is to be initialised cannot be read".to_owned());
            }
            let used = self.current.iter().flatten().any(|host| self.hosts[*host].volume.record.is_some());
            let started = record.transition.is_some();
            return (used && !started).then(|| "volumes hold data, but no status does".to_owned());
        }
        let primary = record.primary?;
        let half_done = |host: &HostId| self.hosts[*host].volume.half_done;
        let intact = self.intact();
        // A member with a branch of its own can neither be primary nor mend one.
        let branched = |ordinal: Ordinal| self.host_of(ordinal).is_none_or(|host| !intact.contains(&host));
        // Nor can one that lacks something itself.
        let lacking = |ordinal: Ordinal| self.host_of(ordinal).as_ref().is_some_and(half_done);
        let unfit = |ordinal: Ordinal| {
            lost(ordinal) || self.policy.member(ordinal).never_primary || branched(ordinal) || lacking(ordinal)
        };
        if !lost(primary) {
            let others = self.current.iter().flatten().map(|host| self.hosts[*host].ordinal);
            let alone = others.filter(|ordinal| *ordinal != primary).all(unfit);
            let stuck = alone && self.host_of(primary).as_ref().is_some_and(half_done);
            return stuck.then(|| format!("primary {primary} has something half done, and nobody else may be primary"));
        }
        let fit = |host: &HostId| {
            let there = &self.hosts[*host];
            !lost(there.ordinal) && !self.policy.member(there.ordinal).never_primary
        };
        if !self.current.iter().flatten().any(fit) {
            return Some("every volume of a member that may be primary is lost".to_owned());
        }
        // The old primary had lost its history, and refused who had it: that looks as if they had a branch (docs/known-gaps.md).
        let refused = |host: &HostId| {
            let server = self.hosts[*host].server.as_ref();
            server.and_then(|server| server.slave.as_ref()).is_some_and(|slave| slave.io_errno == POSITION_REFUSED)
        };
        if self.current.iter().flatten().filter(|host| fit(host)).all(refused) {
            return Some("whoever may be primary was refused by the old one".to_owned());
        }
        if self.current.iter().flatten().any(half_done) {
            return Some(format!("the volume of primary {primary} is lost, and so is the source of what is half done"));
        }
        let present = |acker: &Acker| {
            (0..self.hosts.len()).any(|host| self.hosts[host].alive && self.identity(host).as_ref() == Some(acker))
        };
        let by_ackers =
            record.durability == Durability::Enforced && !record.ackers.is_empty() && record.ackers.iter().all(present);
        (!by_ackers).then(|| format!("the volume of primary {primary} is lost and its ackers do not prove everything"))
    }
}
