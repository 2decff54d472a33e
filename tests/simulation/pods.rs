//! Pods: how they come, are replaced, and end with their nodes.

use beachmaster::orders::Ordinal;

use crate::member::{Agent, At, Host, HostId, Volume};
use crate::plan::Heal;
use crate::world::World;

/// How the pod that takes a deleted one's place begins.
#[derive(Debug, Clone, Copy)]
pub enum Comes {
    /// On the same node, with its volume.
    Back,
    /// On another node, with its volume.
    Elsewhere,
    /// On another node, with an empty volume.
    Blank,
    /// On another node, with the copy of its volume that was made last.
    OlderCopy,
}

impl World {
    pub fn new_pod(&mut self, ordinal: Ordinal, volume: Volume, boot: Option<(String, At)>) {
        let id = self.hosts.len();
        let (boot_id, boot_at) = boot.unwrap_or_else(|| (format!("boot-{id}"), self.now));
        self.hosts.push(Host {
            ordinal,
            pod_uid: format!("pod-{id}"),
            boot_id,
            boot_at,
            alive: true,
            volume,
            server: None,
            exited: None,
            agent: Agent { up: true, run: None, serving: false, shut_out: false },
            apply_ms: 1,
            link_ms: 1,
            locked_until: 0,
            lock_told_from: At::MAX,
            hung_until: 0,
            wedged: None,
            side: 0,
            detached: false,
        });
        self.current[usize::from(ordinal.0)] = Some(id);
        self.say(|| format!("host {id}: new pod of member {ordinal}"));
        self.show_pods();
        if let Some(wait) = self.hosts[id].volume.disk.writes_after(self.now) {
            self.later(wait, Heal::Disk(id));
        }
        self.auto_start(id);
    }

    pub fn end_pod(&mut self, host: HostId) {
        self.kill(host, true);
        self.hosts[host].alive = false;
        self.hosts[host].agent = Agent { up: false, run: None, serving: false, shut_out: false };
    }

    /// The pod is deleted and comes again; a stop by SIGTERM commits what waits, for nobody.
    pub fn replace_pod(&mut self, host: HostId, comes: Comes) {
        if let Some(server) = self.hosts[host].server.as_mut() {
            server.semi_master = false;
            server.queue.clear();
        }
        self.end_pod(host);
        let there = &self.hosts[host];
        let (ordinal, boot) = (there.ordinal, (there.boot_id.clone(), there.boot_at));
        let boot = matches!(comes, Comes::Back).then_some(boot);
        let volume = match comes {
            Comes::Back | Comes::Elsewhere => there.volume.clone(),
            Comes::Blank => Volume::blank(),
            Comes::OlderCopy => self.copies.get(&ordinal).cloned().unwrap_or_else(|| there.volume.clone()),
        };
        self.current[usize::from(ordinal.0)] = None;
        self.show_pods();
        let delay = self.dice.range(200, 4_000);
        self.later(delay, Heal::Pod { ordinal, volume: Box::new(volume), boot });
    }

    /// The pod is cut off and goes on; the API server shows a new one on another node.
    pub fn second_pod(&mut self, host: HostId, primary: Option<HostId>, blank: bool, heals: u64) {
        self.partitioned(|world| {
            world.hosts[host].side = 1;
            if let Some(primary) = primary {
                world.hosts[primary].side = 1;
            }
        });
        for client in &mut self.clients {
            client.side = u8::from(client.host == Some(host) || (primary.is_some() && client.host == primary));
        }
        self.hosts[host].detached = !blank;
        let volume = if blank { Volume::blank() } else { self.hosts[host].volume.clone() };
        let ordinal = self.hosts[host].ordinal;
        self.current[usize::from(ordinal.0)] = None;
        self.show_pods();
        let delay = self.dice.range(100, 1_500);
        self.later(delay, Heal::Pod { ordinal, volume: Box::new(volume), boot: None });
        self.later(heals.max(delay + 10), Heal::Network);
    }

    /// The node loses power: relay logs in the page cache are lost, the synced binary log is not.
    pub fn power_cut(&mut self, host: HostId) {
        if !self.hosts[host].alive {
            return;
        }
        self.kill(host, false);
        let now = self.now;
        let there = &mut self.hosts[host];
        there.boot_id = format!("{}'", there.boot_id);
        there.boot_at = now;
        there.exited = None;
        let back = self.dice.range(300, 5_000);
        self.agent_away(host, back);
    }
}
