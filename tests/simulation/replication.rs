//! Replication, semi-sync and commits as MariaDB does them (facts/semi-sync.md, facts/mariadb-replication.md).

use beachmaster::gtid::Gtid;
use beachmaster::orders::{Ended, ExitStatus, Incarnation, MemberRole};

use crate::member::{Commit, Conn, From, HostId, Io, Kept, Slave, Tx, Wedge};
use crate::world::{Acked, Event, World};

/// MASTER_CONNECT_RETRY.
const CONNECT_RETRY_MS: u64 = 1_000;
/// slave_net_timeout: a silent connection is given up after it.
const NET_TIMEOUT_MS: u64 = 2_000;
/// Commit groups that may be in the binary log while the first waits for its acknowledgement.
const WAITING_GROUPS: usize = 2;
/// CR_CONNECTION_ERROR, ER_ACCOUNT_HAS_BEEN_LOCKED, ER_MASTER_FATAL_ERROR_READING_BINLOG.
const CONNECT_FAILED: u32 = 2003;
const ACCOUNT_LOCKED: u32 = 4151;
pub const POSITION_REFUSED: u32 = 1236;
/// Transactions moved by one step of the model.
const BATCH: usize = 16;
/// Crashes of replicas around XA or DDL.
const HALF_DONE_PERCENT: u64 = 10;

impl World {
    /// A connection that is gone: the replica tries again, the source forgets it.
    pub fn drop_conn(&mut self, id: u64) {
        let Some(conn) = self.conns.remove(&id) else { return };
        let Some(server) = self.hosts[conn.replica].server.as_mut() else { return };
        let Some(slave) = server.slave.as_mut() else { return };
        if slave.io == Io::Connected(id) {
            slave.io = Io::Connecting;
            let incarnation = server.incarnation;
            self.after(CONNECT_RETRY_MS / 20, Event::IoRetry(conn.replica, incarnation));
        }
    }

    /// STOP SLAVE IO_THREAD.
    pub fn stop_io(&mut self, host: HostId) {
        let Some(slave) = self.hosts[host].server.as_mut().and_then(|server| server.slave.as_mut()) else { return };
        let io = std::mem::replace(&mut slave.io, Io::Stopped);
        if let Io::Connected(id) = io
            && let Some(conn) = self.conns.remove(&id)
        {
            self.hears_of(&conn);
        }
    }

    /// START SLAVE IO_THREAD.
    pub fn start_io(&mut self, host: HostId) {
        let Some(server) = self.hosts[host].server.as_mut() else { return };
        let incarnation = server.incarnation;
        if let Some(slave) = server.slave.as_mut() {
            slave.io = Io::Connecting;
            slave.io_errno = 0;
            self.io_retry(host, incarnation);
        }
    }

    /// An IO thread tries to connect.
    pub fn io_retry(&mut self, host: HostId, incarnation: Incarnation) {
        if let Some(wait) = self.hung_for(host) {
            return self.after(wait, Event::IoRetry(host, incarnation));
        }
        let Some(from) = self.wants_to_connect(host, incarnation) else { return };
        let source = match self.source_of(host, from) {
            Ok(source) => source,
            Err(errno) => {
                self.set_io_errno(host, errno);
                self.after(CONNECT_RETRY_MS, Event::IoRetry(host, incarnation));
                return;
            }
        };
        let start = self.hosts[host].received_len();
        let known = match self.hosts[host].received_last() {
            None => true,
            Some(last) => self.hosts[source].volume.has(start - 1, last.gtid),
        };
        if !known {
            self.say(|| format!("host {host}: 1236 from host {source}"));
            self.stop_io(host);
            self.set_io_errno(host, POSITION_REFUSED);
            return;
        }
        self.connect(host, source, matches!(from, From::Donor(_)), start);
    }

    /// How long mariadbd still stands still.
    fn hung_for(&self, host: HostId) -> Option<u64> {
        Some(self.hosts[host].hung_until.saturating_sub(self.now)).filter(|wait| *wait > 0)
    }

    fn wants_to_connect(&self, host: HostId, incarnation: Incarnation) -> Option<From> {
        let server = self.hosts[host].answering().filter(|server| server.incarnation == incarnation)?;
        let slave = server.slave.as_ref().filter(|slave| slave.io == Io::Connecting)?;
        Some(slave.from)
    }

    pub fn set_io_errno(&mut self, host: HostId, errno: u32) {
        if let Some(slave) = self.hosts[host].server.as_mut().and_then(|server| server.slave.as_mut()) {
            slave.io_errno = errno;
        }
    }

    /// The pod that answers under the source's name, when it lets this replica in; else the error.
    pub fn source_of(&self, host: HostId, from: From) -> Result<HostId, u32> {
        let source = match from {
            From::Member(ordinal) => self.current.get(usize::from(ordinal)).copied().flatten(),
            From::Donor(host) => Some(host),
        };
        let source =
            source.filter(|source| *source != host && self.hosts_reach(host, *source)).ok_or(CONNECT_FAILED)?;
        let there = &self.hosts[source];
        let open = match from {
            From::Member(_) => there.answering().is_some() && !there.is_hung(self.now) && there.wedged.is_none(),
            From::Donor(_) => there.alive && there.agent.up && there.agent.serving,
        };
        let deleted = !self.current.contains(&Some(host)) && !self.with_known_gaps;
        let ordinal = self.hosts[host].ordinal.0;
        let account = there.volume.locked.contains(&ordinal) || there.volume.unadmitted.contains(&ordinal);
        let locked = matches!(from, From::Member(_)) && (account || deleted && self.shut_out.contains(&host));
        match (open, locked) {
            (false, _) => Err(CONNECT_FAILED),
            (true, true) => Err(ACCOUNT_LOCKED),
            (true, false) => Ok(source),
        }
    }

    fn connect(&mut self, replica: HostId, source: HostId, donor: bool, next: usize) {
        let id = self.fresh_id();
        let Some(server) = self.hosts[replica].server.as_mut() else { return };
        let semi = server.slave_enabled && !donor;
        if let Some(slave) = server.slave.as_mut() {
            (slave.io, slave.io_errno) = (Io::Connected(id), 0);
        }
        self.conns.insert(id, Conn { replica, source, donor, semi, next, pumping: true, cut_since: None });
        self.say(|| format!("host {replica}: connected to host {source}, semi={semi}, from {next}"));
        self.after(1, Event::Pump(id));
    }

    /// Sends what the source has.
    pub fn pump(&mut self, id: u64) {
        let Some(conn) = self.conns.get(&id).cloned() else { return };
        let disk = self.hosts[conn.replica].volume.disk.writes_after(self.now);
        if let Some(wait) = self.hung_for(conn.replica).max(disk) {
            // What is on its way stays there.
            return self.after(wait, Event::Pump(id));
        }
        if self.is_cut(conn.replica, conn.source) {
            self.pump_into_the_void(id, &conn);
            return;
        }
        let binlog = &self.hosts[conn.source].volume.binlog;
        let upto = binlog.len().min(conn.next + BATCH);
        let txs: Vec<Tx> = binlog[conn.next.min(upto)..upto].to_vec();
        let more = upto < binlog.len();
        let Some(server) = self.hosts[conn.replica].server.as_mut() else { return };
        let received = !txs.is_empty();
        server.relay.extend(txs);
        let incarnation = server.incarnation;
        let apply = received && !server.applying && server.slave.as_ref().is_some_and(|slave| slave.sql);
        server.applying |= apply;
        if let Some(conn) = self.conns.get_mut(&id) {
            (conn.next, conn.pumping, conn.cut_since) = (upto, more, None);
        }
        let (apply_ms, link_ms) = (self.hosts[conn.replica].apply_ms, self.hosts[conn.replica].link_ms);
        if more {
            self.after(link_ms, Event::Pump(id));
        }
        if apply {
            self.after(apply_ms, Event::Apply(conn.replica, incarnation));
        }
        if received && conn.semi {
            self.after(1, Event::Ack { conn: id, upto });
        }
    }

    fn pump_into_the_void(&mut self, id: u64, conn: &Conn) {
        let since = conn.cut_since.unwrap_or(self.now);
        if self.now - since >= NET_TIMEOUT_MS {
            self.drop_conn(id);
            return;
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            (conn.cut_since, conn.pumping) = (Some(since), true);
        }
        self.after(NET_TIMEOUT_MS / 4, Event::Pump(id));
    }

    /// New transactions in a binary log wake its dump threads.
    pub fn wake_dumps(&mut self, source: HostId) {
        let idle: Vec<(u64, HostId)> = self
            .conns
            .iter_mut()
            .filter(|(_, conn)| conn.source == source && !conn.pumping)
            .map(|(id, conn)| {
                conn.pumping = true;
                (*id, conn.replica)
            })
            .collect();
        for (id, replica) in idle {
            self.after(self.hosts[replica].link_ms, Event::Pump(id));
        }
    }

    /// The SQL thread applies a batch.
    pub fn apply(&mut self, host: HostId, incarnation: Incarnation) {
        if self.hosts[host].detached {
            return;
        }
        let there = &self.hosts[host];
        let disk = there.volume.disk.writes_after(self.now).unwrap_or(0);
        let locked = there.locked_until.max(there.hung_until).saturating_sub(self.now).max(disk);
        if locked > 0 {
            return self.after(locked, Event::Apply(host, incarnation));
        }
        let strayed = self.hosts[host].volume.strayed;
        let Some(server) = self.hosts[host].server.as_mut().filter(|server| server.incarnation == incarnation) else {
            return;
        };
        server.applying = false;
        if !server.slave.as_ref().is_some_and(|slave| slave.sql) || server.relay.is_empty() {
            return;
        }
        // gtid_strict_mode: its own transactions have the numbers of what it has received.
        if strayed && let Some(slave) = server.slave.as_mut() {
            slave.sql = false;
            return;
        }
        let batch = BATCH.min(server.relay.len());
        let txs: Vec<Tx> = server.relay.drain(..batch).collect();
        let more = !server.relay.is_empty();
        server.applying = more;
        for tx in txs {
            if tx.gtid.sequence != self.hosts[host].volume.binlog.len() as u64 + 1 {
                self.broken(format!("model: host {host} applied {} out of order", tx.gtid));
            }
            self.hosts[host].volume.binlog.push(tx);
        }
        if more {
            self.after(self.hosts[host].apply_ms, Event::Apply(host, incarnation));
        }
        self.wake_dumps(host);
    }

    /// Moves commits into the binary log as far as waiting ones let them.
    pub fn commit(&mut self, host: HostId) {
        let there = &self.hosts[host];
        let waits = there.is_hung(self.now) || there.volume.disk.writes_after(self.now).is_some();
        if there.detached || waits || there.wedged == Some(Wedge::Silent) {
            return;
        }
        loop {
            let Some(server) = self.hosts[host].server.as_mut() else { return };
            if server.semi_master && server.waiting.len() >= WAITING_GROUPS {
                return;
            }
            let Some(commit) = server.queue.pop_front() else { return };
            let index = self.hosts[host].volume.binlog.len();
            let Some(server) = self.hosts[host].server.as_mut() else { return };
            let gtid = Gtid { domain: 0, server: server.server_id, sequence: index as u64 + 1 };
            let waits = server.semi_master;
            if waits {
                server.waiting.push_back((commit, index));
                self.stranger_receives(host, index + 1);
            }
            self.hosts[host].volume.binlog.push(Tx { gtid });
            if !waits {
                self.release(host, commit, index);
            }
            self.wake_dumps(host);
        }
    }

    /// An acknowledgement arrives at the source.
    pub fn ack(&mut self, id: u64, upto: usize) {
        let Some(conn) = self.conns.get(&id).cloned() else { return };
        let hung = self.hung_for(conn.replica).max(self.hung_for(conn.source));
        if let Some(wait) = hung {
            return self.after(wait, Event::Ack { conn: id, upto });
        }
        if self.hosts_reach(conn.replica, conn.source) {
            self.hears_of(&conn);
            self.acknowledge(conn.replica, conn.source, upto);
        }
    }

    /// Releases what waited for an acknowledgement up to `upto`.
    pub fn acknowledge(&mut self, replica: HostId, source: HostId, upto: usize) {
        let released = self.take_waiting(source, upto);
        if released.is_empty() {
            return;
        }
        self.acknowledged_by.insert((source, replica), self.now);
        self.check_acker(replica, source);
        for (commit, index) in released {
            self.release(source, commit, index);
        }
        self.commit(source);
    }

    /// What waits for an acknowledgement up to `upto` waits no more.
    pub fn take_waiting(&mut self, source: HostId, upto: usize) -> Vec<(Commit, usize)> {
        let server = self.hosts[source].server.as_mut().filter(|server| server.semi_master);
        let Some(server) = server else { return Vec::new() };
        let count = server.waiting.iter().take_while(|(_, index)| *index < upto).count();
        server.waiting.drain(..count).collect()
    }

    /// A commit is over on the server: its client hears of it.
    pub fn release(&mut self, host: HostId, commit: Commit, index: usize) {
        if self.hosts[host].server.as_ref().is_some_and(|server| server.stray) {
            // Until an operator sees it nothing keeps it from that (docs/known-gaps.md).
            self.hosts[host].volume.strayed = true;
            self.stats.by_strays += 1;
            return self.disconnect(commit.client);
        }
        let gtid = self.hosts[host].volume.binlog[index].gtid;
        self.acked.push(Acked { index, gtid, at: self.now });
        self.stats.acked += 1;
        let term = self.hosts[host].server.as_ref().map(|server| server.term).unwrap_or_default();
        let Commit { client, attempt, begun } = commit;
        self.after(1, Event::Acknowledged { client, attempt, term, begun });
    }

    /// The member whose events a replica gets.
    pub fn source_member(&self, slave: Option<&Slave>) -> Option<u8> {
        Some(match slave?.from {
            From::Member(ordinal) => ordinal,
            From::Donor(host) => self.hosts[host].ordinal.0,
        })
    }

    /// SIGKILL, crash or exit of a member's mariadbd. `kept` is what is left of its relay logs.
    pub fn kill(&mut self, host: HostId, keeps_relay_logs: bool) {
        let Some(server) = self.hosts[host].server.take() else { return };
        let replicated = server.slave.is_some();
        self.say(|| format!("host {host}: mariadbd ended, incarnation {}", server.incarnation));
        (self.hosts[host].locked_until, self.hosts[host].hung_until, self.hosts[host].wedged) = (0, 0, None);
        if keeps_relay_logs && !server.relay.is_empty() {
            let source = self.source_member(server.slave.as_ref());
            let (of, txs) = (server.incarnation, server.relay.into_iter().collect());
            self.hosts[host].volume.kept.push(Kept { of, source, txs });
        }
        if replicated && self.calm.is_none() && self.dice.chance(HALF_DONE_PERCENT) {
            self.hosts[host].volume.half_done = true;
            self.say(|| format!("host {host}: something is left half done"));
        }
        self.hosts[host].exited = Some((server.incarnation, ExitStatus { code: None, signal: Some(9) }));
        if self.hosts[host].agent.up && keeps_relay_logs {
            self.note_end(host);
        }
        let ends: Vec<u64> =
            self.conns.iter().filter(|(_, conn)| !conn.donor && conn.source == host).map(|(id, _)| *id).collect();
        for id in ends {
            self.drop_conn(id);
        }
        // No operator knows yet that it acknowledges nothing any more.
        let acked = self.conns.values().filter(|conn| conn.replica == host && conn.semi && !conn.donor);
        let parted: Vec<HostId> = acked.map(|conn| conn.source).collect();
        self.parted.extend(parted.into_iter().map(|source| ((source, host), self.now)));
        let own: Vec<Conn> = self.conns.values().filter(|conn| conn.replica == host).cloned().collect();
        self.conns.retain(|_, conn| conn.replica != host);
        if keeps_relay_logs {
            // Its node is there, and closes them.
            own.iter().for_each(|conn| self.hears_of(conn));
        }
        for client in self.clients_of(host) {
            self.disconnect(client);
        }
        self.agent_event(host, beachmaster::orders::Event::Exited);
        self.after(50, Event::AutoStart(host));
    }

    /// The agent leaves on the volume which run is over.
    pub fn note_end(&mut self, host: HostId) {
        let there = &mut self.hosts[host];
        let (Some((incarnation, _)), false) = (&there.exited, there.detached) else { return };
        let ended = Ended { pod_uid: there.pod_uid.clone(), incarnation: *incarnation };
        if let Some(record) = &mut there.volume.record {
            record.note_end(ended);
        }
    }

    /// The agent's rule at every end of mariadbd: a replica starts by itself.
    pub fn auto_start(&mut self, host: HostId) {
        let there = &self.hosts[host];
        let wants = there.volume.record.as_ref().is_some_and(|record| {
            record.role == MemberRole::Replica && !record.hold && record.incarnation > Incarnation(0)
        });
        if wants && there.alive && there.agent.up && there.server.is_none() && !there.agent.serving {
            self.boot(host);
        }
    }
}
