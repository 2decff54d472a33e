//! A foreign server with a replication account of its own that acknowledges what the primary writes, and keeps it from everybody.

use crate::member::{At, HostId};
use crate::world::{Event, World};

/// From the binary log to the stranger and back.
const WAY_MS: u64 = 2;

impl World {
    pub fn stranger_comes(&mut self, host: HostId, lasts: u64) {
        if self.hosts[host].is_writable() {
            self.stranger = Some((host, self.now + lasts));
            self.stranger_receives(host, self.hosts[host].volume.binlog.len());
        }
    }

    pub fn has_stranger(&self, host: HostId) -> bool {
        let there = |(primary, until): (HostId, At)| primary == host && until > self.now;
        self.stranger.is_some_and(there)
    }

    pub fn stranger_receives(&mut self, host: HostId, upto: usize) {
        if self.has_stranger(host) {
            self.after(WAY_MS, Event::StrangerAcks { host, upto });
        }
    }

    pub fn stranger_acknowledges(&mut self, host: HostId, upto: usize) {
        if self.has_stranger(host) && !self.hosts[host].is_hung(self.now) {
            let released = self.take_waiting(host, upto);
            self.stats.by_strangers += released.len() as u64;
            for (commit, index) in released {
                self.release(host, commit, index);
            }
            self.commit(host);
        }
    }
}
