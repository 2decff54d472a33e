//! What each order does to a member, statement by statement, so that faults hit between any two of them.

use std::collections::VecDeque;

use beachmaster::gtid::GtidPosition;
use beachmaster::layout::MAX_MEMBERS;
use beachmaster::orders::{
    Answer, BINLOG_SERVER_PORT, Frozen, Identity, Incarnation, LogEvidence, MemberRole, Order, OrderError, Ordinal,
    Outcome, Reason, Term, VolumeRecord,
};
use beachmaster::topology::record::member_of;

use crate::member::{HostId, Kept, Run, position_of};
use crate::world::{Mutant, World};

/// After this time STOP SLAVE IO_THREAD is given up and the replica killed (contract.md, Times).
const STOP_LIMIT_MS: u64 = 4_000;
/// STOP SLAVE IO_THREAD of a semi-sync replica whose source does not answer (facts/semi-sync.md section 4).
const STOP_HANGING_MS: u64 = 1_030;
/// Step of `freeze` in which the replica is killed.
const KILL_STEP: u32 = 9;

/// How an order goes on.
pub enum Next {
    /// Do this step, after so many milliseconds.
    Step(u32, u64),
    Over(Outcome),
}

impl Next {
    pub fn failed(reason: Reason, message: &str) -> Self {
        Self::Over(Outcome::Error(OrderError { reason, message: message.to_owned() }))
    }

    pub fn answered(answer: Answer) -> Self {
        Self::Over(Outcome::Ok(answer))
    }
}

/// The member behind an absolute host name of the policy, `mN`.
pub fn resolve(host: &str) -> u8 {
    host.trim_start_matches('m').parse().expect("hosts of the policy are named mN")
}

/// Address of a pod.
pub fn address(host: HostId) -> String {
    format!("10.0.0.{host}")
}

pub fn resolve_address(address: &str) -> HostId {
    address.trim_start_matches("10.0.0.").parse().expect("addresses are those of `address`")
}

impl World {
    pub fn step(&mut self, host: HostId, run: &Run) -> Next {
        if self.hosts[host].detached && run.step == 0 {
            return self.without_volume(host, &run.order.order);
        }
        // A process that waits for a disk does not die of SIGKILL either.
        if self.hosts[host].volume.disk.hangs(self.now) {
            return self.hangs(host, run);
        }
        match &run.order.order {
            Order::Init { identity } => self.init(host, run, identity),
            Order::Start => self.start(host, run),
            Order::Fence => self.fence(host, run),
            Order::ServeBinlog { .. } => self.serve(host, run),
            // A freeze that does not come through ends in a kill, whatever else waits for its deadline.
            Order::Freeze if self.hosts[host].is_hung(self.now) && run.step < KILL_STEP => {
                Next::Step(KILL_STEP, STOP_LIMIT_MS)
            }
            order if self.hosts[host].is_hung(self.now) && *order != Order::Freeze => self.hangs(host, run),
            _ if self.hosts[host].answering().is_none() => Next::failed(Reason::NotRunning, "mariadbd does not answer"),
            _ if self.hosts[host].lacks_space(run, self.now) => self.without_space(),
            Order::Freeze => self.freeze(host, run),
            Order::Recover { incarnation, server_id } => self.recover(host, run, *incarnation, *server_id),
            Order::Follow { acker: Some(acker), .. } | Order::SetAcker { acker: Some(acker) }
                if !self.is_run(host, *acker) =>
            {
                Next::failed(Reason::NotRunning, "another run")
            }
            Order::Follow { source, acker, wait } => self.follow(host, run, source, acker.is_some(), wait.as_ref()),
            Order::Await { position } => self.wait_for(host, run, 0, position),
            Order::Promote { required: min, server_id, semi_sync } => {
                self.promote(host, run, min, (*server_id, *semi_sync))
            }
            Order::SetAcker { acker } => self.set_acker(host, run, acker.is_some()),
            Order::Unstick => self.unstick(host),
            Order::EvictAcker { ordinal } => self.evict(host, ordinal.0),
            Order::ReadmitAcker { ordinal } => {
                self.hosts[host].volume.locked.remove(&ordinal.0);
                self.hosts[host].volume.unadmitted.remove(&ordinal.0);
                if let Some(present) = self.host_of(*ordinal) {
                    self.shut_out.remove(&present);
                }
                Next::answered(Answer::Done)
            }
            Order::SemiSync { on } => self.semi_sync(host, *on),
            Order::Reconnect => self.reconnect(host),
            Order::ResetSemiSync => self.reset_semi_sync(host, run),
            Order::Maintain(_) => Next::answered(Answer::Done),
        }
    }

    fn without_space(&mut self) -> Next {
        self.stats.without_space += 1;
        Next::failed(Reason::Sql, "no space left on device")
    }

    fn hangs(&self, host: HostId, run: &Run) -> Next {
        if self.boot_ms(host) > run.order.deadline {
            return Next::failed(Reason::Expired, "the deadline passed");
        }
        Next::Step(run.step, 100)
    }

    fn is_run(&self, host: HostId, run: Incarnation) -> bool {
        self.hosts[host].server.as_ref().is_some_and(|server| server.incarnation == run)
    }

    /// Every order stores its token on the volume, synced, before it does anything else; only `fence` kills first.
    fn without_volume(&mut self, host: HostId, order: &Order) -> Next {
        if matches!(order, Order::Fence) {
            self.kill(host, true);
        }
        self.stats.without_volume += 1;
        Next::failed(Reason::Volume, "input/output error")
    }

    fn init(&mut self, host: HostId, run: &Run, identity: &Identity) -> Next {
        match run.step {
            0 => Next::Step(1, self.dice.range(100, 400)),
            1 => {
                let volume = &mut self.hosts[host].volume;
                match &volume.record {
                    Some(record) if record.identity == *identity => {}
                    Some(_) => return Next::failed(Reason::ForeignCluster, "another identity"),
                    None => {
                        volume.record = Some(VolumeRecord {
                            identity: identity.clone(),
                            token: Some(run.order.token.clone()),
                            // Starts nothing by itself until its first `follow`.
                            role: MemberRole::Primary,
                            promoted_as: None,
                            hold: false,
                            clean_stop: false,
                            incarnation: Incarnation(0),
                            ended: Vec::new(),
                        });
                        volume.unadmitted = (0..MAX_MEMBERS).filter(|member| *member != identity.ordinal.0).collect();
                        self.check_init(host, &run.order);
                    }
                }
                self.start_then_wait(host)
            }
            _ => self.started(host),
        }
    }

    fn start(&mut self, host: HostId, run: &Run) -> Next {
        if run.step > 0 {
            return self.started(host);
        }
        match &mut self.hosts[host].volume.record {
            None => return Next::failed(Reason::Volume, "the volume is blank"),
            Some(record) => record.hold = false,
        }
        self.start_then_wait(host)
    }

    fn start_then_wait(&mut self, host: HostId) -> Next {
        if self.hosts[host].server.is_none() && !self.boot(host) {
            return Next::failed(Reason::Launch, "mariadbd does not start: the datadir cannot be read");
        }
        Next::Step(2, 10)
    }

    fn started(&self, host: HostId) -> Next {
        match &self.hosts[host].server {
            Some(server) if server.sql => Next::answered(Answer::Done),
            Some(_) => Next::Step(2, 10),
            None => Next::failed(Reason::NotRunning, "mariadbd ended while it started"),
        }
    }

    fn fence(&mut self, host: HostId, run: &Run) -> Next {
        match run.step {
            0 => {
                self.stats.fenced_wedges += u64::from(self.hosts[host].wedged.is_some());
                self.kill(host, true);
                if let Some(record) = &mut self.hosts[host].volume.record {
                    record.hold = true;
                }
                Next::Step(1, self.dice.range(3, 40))
            }
            _ => {
                let volume = &self.hosts[host].volume;
                let logs = if volume.readable && !volume.index_lost {
                    LogEvidence::Readable { end: volume.position(), torn: None }
                } else {
                    LogEvidence::Unreadable { message: "input/output error".to_owned() }
                };
                Next::answered(Answer::Fenced { logs })
            }
        }
    }

    fn serve(&mut self, host: HostId, run: &Run) -> Next {
        let there = &mut self.hosts[host];
        if there.server.is_some() {
            return Next::failed(Reason::StillRunning, "mariadbd runs");
        }
        if !there.volume.readable || there.volume.index_lost || there.volume.record.is_none() {
            return Next::failed(Reason::Volume, "the binary logs cannot be read");
        }
        if run.step == 0 {
            return Next::Step(1, 5);
        }
        there.agent.serving = true;
        Next::answered(Answer::Serving { port: BINLOG_SERVER_PORT, end: there.volume.position(), bytes: None })
    }

    fn freeze(&mut self, host: HostId, run: &Run) -> Next {
        let refuses = self.mutant != Some(Mutant::StraysIgnored);
        let record = self.hosts[host].volume.record.as_ref();
        let is_replica = record.is_some_and(|record| record.role == MemberRole::Replica);
        match run.step {
            0 if refuses && self.hosts[host].is_writable() && is_replica => {
                Next::failed(Reason::StillRunning, "the member takes writes")
            }
            // Its IO thread waits for space.
            0 if self.hosts[host].volume.disk.is_full(self.now) => Next::Step(KILL_STEP, STOP_LIMIT_MS),
            0 if self.dice.chance(1) => Next::Step(KILL_STEP, STOP_LIMIT_MS),
            0 => Next::Step(1, self.stop_time(host)),
            step => {
                let killed = step == KILL_STEP;
                let before = self.frozen(host, killed);
                if killed {
                    self.kill(host, true);
                    return Next::answered(Answer::Frozen(before));
                }
                self.stop_io(host);
                Next::answered(Answer::Frozen(self.frozen(host, killed)))
            }
        }
    }

    /// What was received and not applied comes out of the kept relay logs, first what this run still applies by itself.
    fn recover(&mut self, host: HostId, run: &Run, of: Incarnation, server_id: u32) -> Next {
        let Some(server) = self.hosts[host].server.as_ref().filter(|server| server.sql && server.read_only) else {
            return Next::failed(Reason::NotRunning, "mariadbd does not answer, or is a primary");
        };
        let applies = server.slave.as_ref().is_some_and(|slave| slave.sql) && !server.relay.is_empty();
        match run.step {
            0 if applies => Next::Step(0, 5),
            0 => {
                self.stop_replica(host);
                Next::Step(1, self.dice.range(5, 200))
            }
            _ => {
                let there = &mut self.hosts[host];
                let Some(server) = there.server.as_mut() else { return Next::failed(Reason::NotRunning, "") };
                (server.relay, server.slave) = (VecDeque::new(), None);
                let is_wanted = |kept: &&Kept| {
                    let own = kept.txs.last().is_some_and(|last| last.gtid.server == server_id);
                    kept.of >= of && (own || kept.source.is_some() && kept.source.map(Ordinal) == member_of(server_id))
                };
                let wanted: Vec<Kept> = there.volume.kept.iter().filter(is_wanted).cloned().collect();
                for kept in wanted {
                    if !there.volume.extend(&kept.txs) {
                        return Next::failed(Reason::Sql, "Last_IO_Errno 1236");
                    }
                }
                self.stats.recovered += 1;
                Next::answered(Answer::Recovered { of, frozen: self.frozen(host, false) })
            }
        }
    }

    fn frozen(&self, host: HostId, killed: bool) -> Frozen {
        let there = &self.hosts[host];
        let incarnation = there.server.as_ref().map(|server| server.incarnation).unwrap_or_default();
        let (received, applied) = (there.received(), there.volume.position());
        let more = |kept: &Kept| kept.of >= incarnation && !received.covers(&position_of(kept.txs.last()));
        let dropped = there.volume.kept.iter().any(more);
        Frozen { incarnation, received, applied, killed, dropped, settled: !there.volume.half_done }
    }

    fn stop_time(&mut self, host: HostId) -> u64 {
        let hangs = self
            .conns
            .values()
            .any(|conn| conn.replica == host && conn.semi && !self.hosts_reach(conn.replica, conn.source));
        if hangs { STOP_HANGING_MS } else { self.dice.range(3, 60) }
    }

    fn promote(&mut self, host: HostId, run: &Run, min: &GtidPosition, (server_id, semi): (u32, bool)) -> Next {
        let there = &mut self.hosts[host];
        if !there.volume.position().covers(min) || !there.volume.has_up_to(min) {
            return Next::failed(Reason::MissingTransactions, "the binary log does not cover the minimum");
        }
        let was_primary = there.volume.record.as_ref().is_some_and(|record| record.role == MemberRole::Primary);
        if run.step == 0 && there.volume.half_done && !was_primary {
            return Next::failed(Reason::MissingTransactions, "not in its tables");
        }
        let Some(server) = there.server.as_mut() else { return Next::failed(Reason::NotRunning, "") };
        match run.step {
            0 if server.server_id == server_id && !server.read_only => {}
            0 => {
                if let Some(record) = there.volume.record.as_mut() {
                    (record.role, record.promoted_as) = (MemberRole::Primary, Some(server_id));
                }
                return Next::Step(1, 1);
            }
            1 => {
                self.stop_replica(host);
                return Next::Step(2, 2);
            }
            2 => {
                (server.server_id, server.semi_master, server.slave_enabled) = (server_id, semi, false);
                server.term = Term(u64::from(server_id >> 4));
                return Next::Step(3, 1);
            }
            _ => {
                (server.read_only, server.stray) = (false, false);
                server.slave = None;
                server.relay.clear();
                there.volume.strayed = false;
                self.check_promotion(host, run);
            }
        }
        Next::answered(Answer::Promoted { position: self.hosts[host].volume.position() })
    }

    /// The acker reconnects once without GTID: the source takes its start position as an acknowledgement.
    fn unstick(&mut self, host: HostId) -> Next {
        let semi = self.conns.values().find(|conn| conn.replica == host && conn.semi);
        if let Some(source) = semi.map(|conn| conn.source).filter(|source| self.hosts_reach(host, *source)) {
            self.acknowledge(host, source, self.hosts[host].received_len());
        }
        Next::answered(Answer::Done)
    }

    fn evict(&mut self, host: HostId, ordinal: u8) -> Next {
        self.check_shut_out(host, ordinal);
        self.hosts[host].volume.locked.insert(ordinal);
        self.shut_out.extend((0..self.hosts.len()).filter(|host| self.hosts[*host].ordinal.0 == ordinal));
        let theirs: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.source == host && !conn.donor && self.hosts[conn.replica].ordinal.0 == ordinal)
            .map(|(id, _)| *id)
            .collect();
        theirs.into_iter().for_each(|id| self.drop_conn(id));
        Next::answered(Answer::Done)
    }

    fn semi_sync(&mut self, host: HostId, on: bool) -> Next {
        if self.hosts[host].server.is_none() {
            return Next::failed(Reason::NotRunning, "");
        }
        self.switch_semi_sync(host, on);
        Next::answered(Answer::Done)
    }

    /// rpl_semi_sync_master_enabled. Switched off, it lets go whatever waits.
    pub fn switch_semi_sync(&mut self, host: HostId, on: bool) {
        let Some(server) = self.hosts[host].server.as_mut() else { return };
        server.semi_master = on;
        if !on {
            // The thread that collects acknowledgements ends.
            self.wakes_at_last(host);
            let Some(server) = self.hosts[host].server.as_mut() else { return };
            let released = std::mem::take(&mut server.waiting);
            for (commit, index) in released {
                self.release(host, commit, index);
            }
        }
        self.commit(host);
    }
}
