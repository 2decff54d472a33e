//! The same for orders to a replica: whom it follows, whether it acknowledges, what it waits for.

use beachmaster::gtid::GtidPosition;
use beachmaster::orders::{Answer, MemberRole, Reason, Source};

use crate::member::{From, HostId, Io, Kept, Run, Slave};
use crate::steps::{Next, resolve, resolve_address};
use crate::world::World;

/// Limit of orders that wait (`control::limits`).
const WAITING_ORDER_MS: u64 = 20_000;
/// A waiting order answers after this time.
const LONGEST_WAIT_MS: u64 = 2_900;
/// A member that applies nothing for this long of what it has received is held up.
const HELD_AFTER_MS: u64 = 2_000;

impl World {
    pub fn follow(
        &mut self,
        host: HostId,
        run: &Run,
        source: &Source,
        semi: bool,
        wait: Option<&GtidPosition>,
    ) -> Next {
        let from = match source {
            Source::Member { host, .. } => From::Member(resolve(host)),
            Source::BinlogServer { host, .. } => From::Donor(resolve_address(host)),
        };
        match run.step {
            0 if self.follows_well(host, from, semi) => self.after_start(host, run, wait),
            0 if wait.is_none() && self.is_frozen(host, from) => {
                if let Some(server) = self.hosts[host].server.as_mut() {
                    server.slave_enabled = semi;
                }
                self.start_io(host);
                Next::Step(4, 3)
            }
            0 => Next::Step(1, 2),
            // STOP SLAVE waits for the lock, too.
            1 if self.is_held(host) => Next::failed(Reason::Sql, "the SQL thread does not stop"),
            1 => {
                self.stop_replica(host);
                if self.hosts[host].volume.half_done && !self.mend(host, from) {
                    return Next::failed(Reason::Sql, "the source does not have it");
                }
                Next::Step(2, 2)
            }
            2 => {
                self.change_master(host, from, semi);
                Next::Step(3, 2)
            }
            3 => {
                self.start_replica(host);
                Next::Step(4, 3)
            }
            _ => self.after_start(host, run, wait),
        }
    }

    /// The source sends what is in the binary log and not in the tables once more; true when it could.
    fn mend(&mut self, host: HostId, from: From) -> bool {
        let last = self.hosts[host].volume.binlog.last().copied();
        let source = match self.source_of(host, from) {
            Ok(source) => source,
            Err(errno) => {
                // It tried to replicate, and everybody can see what came of it.
                self.change_master(host, from, false);
                self.set_io_errno(host, errno);
                return false;
            }
        };
        let has =
            last.is_none_or(|last| self.hosts[source].volume.has(self.hosts[host].volume.binlog.len() - 1, last.gtid));
        self.hosts[host].volume.half_done &= !has;
        self.stats.mended += u64::from(has);
        has
    }

    fn after_start(&mut self, host: HostId, run: &Run, wait: Option<&GtidPosition>) -> Next {
        match wait {
            Some(position) => self.wait_for(host, run, 4, position),
            None => Next::answered(Answer::Done),
        }
    }

    fn follows_well(&self, host: HostId, from: From, semi: bool) -> bool {
        self.hosts[host].server.as_ref().is_some_and(|server| {
            let connected = server.slave.as_ref().is_some_and(|slave| {
                let semi_now = match slave.io {
                    Io::Connected(id) => self.conns.get(&id).map(|conn| conn.semi),
                    _ => None,
                };
                slave.from == from && slave.sql && semi_now == Some(semi)
            });
            connected && server.slave_enabled == semi
        })
    }

    /// Only its IO thread was stopped.
    fn is_frozen(&self, host: HostId, from: From) -> bool {
        let there = &self.hosts[host];
        let slave = there.server.as_ref().and_then(|server| server.slave.as_ref());
        let frozen = |slave: &Slave| slave.from == from && slave.sql && slave.io == Io::Stopped && slave.io_errno == 0;
        !there.volume.half_done && slave.is_some_and(frozen)
    }

    /// Its SQL thread has something to apply, and somebody's lock keeps it from that.
    fn is_held(&self, host: HostId) -> bool {
        let there = &self.hosts[host];
        let has_more = there.server.as_ref().is_some_and(|server| !server.relay.is_empty());
        has_more && there.locked_until > self.now
    }

    /// Links the relay logs, then STOP SLAVE.
    pub fn stop_replica(&mut self, host: HostId) {
        self.stop_io(host);
        let source = self.source_member(self.hosts[host].server.as_ref().and_then(|server| server.slave.as_ref()));
        let there = &mut self.hosts[host];
        let Some(server) = there.server.as_mut() else { return };
        if let Some(slave) = server.slave.as_mut() {
            slave.sql = false;
        }
        if !server.relay.is_empty() {
            let (of, txs) = (server.incarnation, server.relay.iter().copied().collect());
            there.volume.kept.push(Kept { of, source, txs });
        }
    }

    /// CHANGE MASTER: what was received and not applied is thrown away.
    fn change_master(&mut self, host: HostId, from: From, semi: bool) {
        let there = &mut self.hosts[host];
        let Some(server) = there.server.as_mut() else { return };
        there.volume.history_lost = false;
        server.relay.clear();
        server.slave_enabled = semi;
        server.slave = Some(Slave { from, io: Io::Stopped, sql: false, io_errno: 0 });
        if let Some(record) = there.volume.record.as_mut() {
            record.role = MemberRole::Replica;
        }
    }

    fn start_replica(&mut self, host: HostId) {
        if let Some(slave) = self.hosts[host].server.as_mut().and_then(|server| server.slave.as_mut()) {
            slave.sql = true;
        }
        self.start_io(host);
    }

    pub fn wait_for(&mut self, host: HostId, run: &Run, step: u32, position: &GtidPosition) -> Next {
        let there = &self.hosts[host];
        let applied = there.volume.position();
        if applied.covers(position) && !there.volume.has_up_to(position) {
            return Next::failed(Reason::MissingTransactions, "it took writes of its own");
        }
        if applied.covers(position) && there.volume.half_done {
            return Next::failed(Reason::MissingTransactions, "not in its tables");
        }
        if applied.covers(position) {
            return Next::answered(Answer::Applied { position: applied, reached: true, held: None });
        }
        let slave = there.server.as_ref().and_then(|server| server.slave.as_ref());
        if there.volume.strayed && slave.is_some_and(|slave| !slave.sql) {
            return Next::failed(Reason::Sql, "the SQL thread stopped: error 1950");
        }
        let nothing_left = there.server.as_ref().is_none_or(|server| server.relay.is_empty());
        if nothing_left && slave.is_some_and(|slave| slave.io_errno == 1236) {
            return Next::failed(Reason::Sql, "Last_IO_Errno 1236");
        }
        let waited = (self.boot_ms(host).0 + WAITING_ORDER_MS).saturating_sub(run.order.deadline.0);
        let has_more = there.server.as_ref().is_some_and(|server| !server.relay.is_empty());
        if there.locked_until > self.now && has_more && waited >= HELD_AFTER_MS {
            let held = Some("Waiting for table metadata lock".to_owned());
            return Next::answered(Answer::Applied { position: applied, reached: false, held });
        }
        if self.boot_ms(host).0 + WAITING_ORDER_MS >= run.order.deadline.0 + LONGEST_WAIT_MS {
            let idle = there.server.as_ref().is_some_and(|server| {
                let connected = server.slave.as_ref().is_some_and(|slave| matches!(slave.io, Io::Connected(_)));
                server.relay.is_empty() && !connected
            });
            if idle {
                return Next::failed(Reason::Sql, "nothing comes");
            }
            return Next::answered(Answer::Applied { position: applied, reached: false, held: None });
        }
        Next::Step(step, 8)
    }

    pub fn set_acker(&mut self, host: HostId, run: &Run, on: bool) -> Next {
        let Some(server) = self.hosts[host].server.as_mut() else { return Next::failed(Reason::NotRunning, "") };
        if server.slave.is_none() {
            return Next::failed(Reason::Unsupported, "it replicates from nobody");
        }
        match run.step {
            0 => {
                server.slave_enabled = on;
                Next::Step(1, 2)
            }
            1 => {
                self.stop_io(host);
                Next::Step(2, self.dice.range(2, 30))
            }
            2 => {
                self.start_io(host);
                Next::Step(3, 3)
            }
            _ => Next::answered(Answer::Done),
        }
    }
}
