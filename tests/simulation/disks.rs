//! Disks without space, and disks that answer nothing.

use beachmaster::orders::Order;

use crate::member::{At, Host, HostId, Run};
use crate::plan::Heal;
use crate::world::World;

/// What is wrong with a volume, and until when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk {
    full_until: At,
    hangs_until: At,
}

impl Disk {
    /// No space is left. What was preallocated is written all the same (`src/agent/record_file.rs`).
    pub fn is_full(self, now: At) -> bool {
        self.full_until > now
    }

    /// Every read and write waits.
    pub fn hangs(self, now: At) -> bool {
        self.hangs_until > now
    }

    /// How long a write waits; None when it does not.
    pub fn writes_after(self, now: At) -> Option<u64> {
        Some(self.full_until.max(self.hangs_until).saturating_sub(now)).filter(|wait| *wait > 0)
    }
}

impl Host {
    /// True when what an order does next cannot be done without space.
    pub fn lacks_space(&self, run: &Run, now: At) -> bool {
        let writes = match &run.order.order {
            Order::Follow { .. } | Order::Recover { .. } | Order::SetAcker { .. } => (1..4).contains(&run.step),
            // Accounts are rows of tables.
            Order::EvictAcker { .. } | Order::ReadmitAcker { .. } => true,
            _ => false,
        };
        writes && self.volume.disk.is_full(now)
    }
}

impl World {
    /// It goes on in the next pod of the member that has the volume.
    pub fn disk_full(&mut self, host: HostId, lasts: u64) {
        self.stats.disks_full += 1;
        let until = self.now + lasts;
        self.partitioned(|world| world.hosts[host].volume.disk.full_until = until);
        self.later(lasts, Heal::Disk(host));
    }

    pub fn disk_hangs(&mut self, host: HostId, lasts: u64) {
        self.stats.disks_hanging += 1;
        let until = self.now + lasts;
        self.partitioned(|world| world.hosts[host].volume.disk.hangs_until = until);
        self.later(lasts, Heal::Disk(host));
    }

    pub fn disk_heals(&mut self, host: HostId) {
        let was = std::mem::take(&mut self.hosts[host].volume.disk);
        if was.writes_after(self.now).is_some() {
            self.disk_goes_on(host);
        }
    }

    /// What waited for the disk goes on, unless it waits for something else by now.
    pub fn disk_goes_on(&mut self, host: HostId) {
        if self.hosts[host].volume.disk.writes_after(self.now).is_none() {
            self.goes_on(host);
            self.auto_start(host);
        }
    }
}
