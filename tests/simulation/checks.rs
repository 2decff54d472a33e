//! The invariants of design.md section 2, asserted where they hold.

use beachmaster::orders::{Order, OrderEnvelope, Ordinal, Term};
use beachmaster::topology::observation::{ServerSight, ServerView};
use beachmaster::topology::record::{Acker, Durability, Record};
use beachmaster::topology::transition::{Step, TransitionKind};

use crate::member::{At, From, HostId, Run};
use crate::operator::short;
use crate::world::World;

/// How old a leader's view of a connection may be.
const LATELY_MS: u64 = 5_000;

impl World {
    fn can_acknowledge(&self, host: HostId) -> bool {
        let there = &self.hosts[host];
        let stray = there.server.as_ref().is_some_and(|server| server.stray);
        if !there.is_writable() || there.detached || stray || there.is_hung(self.now) {
            return false;
        }
        let waits = there.server.as_ref().is_some_and(|server| server.semi_master);
        !waits
            || self.has_stranger(host)
            || self
                .conns
                .values()
                .any(|conn| conn.source == host && conn.semi && !conn.donor && !self.is_cut(conn.replica, conn.source))
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
    pub fn check_acknowledged(&mut self, term: Term, begun: At) {
        let now = self.now;
        self.first_ack.entry(term).or_insert(now);
        let newer = self.first_ack.iter().find(|(other, first)| **other > term && **first < begun);
        if let Some((newer, first)) = newer.map(|(newer, first)| (*newer, *first)) {
            self.broken(format!(
                "invariant 1: term {term} acknowledged a write begun at {begun}, term {newer} had at {first}"
            ));
        }
    }

    pub fn identity(&self, host: HostId) -> Option<Acker> {
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

    /// Invariant 6: a run that leaves the list of the same term acknowledges nothing any more, also after a reconnect.
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
}
