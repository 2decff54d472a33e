//! What a cluster must come to when nothing goes wrong any more, and why it may rightly not.

use beachmaster::orders::Ordinal;
use beachmaster::topology::policy::Mode;
use beachmaster::topology::record::{Acker, Durability, written_outside_terms};

use crate::api_server::NAME;
use crate::member::{HostId, Io};
use crate::operator::short;
use crate::replication::POSITION_REFUSED;
use crate::world::{Event, World};

/// Virtual time in which a cluster must have healed after the last fault.
const CONVERGE_MS: u64 = 120_000;
const LOOK_MS: u64 = 250;
/// So long a healed cluster must stay so.
const STAYS_MS: u64 = 3_000;

impl World {
    /// Looks whether the cluster has healed.
    pub fn check_convergence(&mut self) {
        let Some(calm) = self.calm else { return };
        self.user_follows_advice();
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
                Some(last) if written_outside_terms(&[last.gtid].into_iter().collect()).is_some() => false,
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
        if self.lost.contains(&primary) && self.policy.given_up.is_none() {
            return Some(format!("nothing proves that {primary} is dead, which is lost for good"));
        }
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
