//! The agent: which orders it obeys, and how answers and events get to the operator. What each order does is in
//! [`crate::steps`].

use beachmaster::orders::{
    self, Admission, AgentState, BootMillis, Incarnation, Mariadbd, OrderEnvelope, OrderError, Outcome, Reason, Up,
    Volume,
};
use beachmaster::topology::record::boot_server_id;

use crate::member::{HostId, Reply, Run, Server};
use crate::steps::Next;
use crate::world::{Event, Mutant, World};

impl World {
    /// Everything an agent tells about its member.
    pub fn agent_state(&self, host: HostId) -> AgentState {
        let there = &self.hosts[host];
        let volume = match &there.volume.record {
            Some(record) => Volume::Recorded { record: record.clone() },
            None => Volume::Blank,
        };
        let mariadbd = match (&there.server, &there.exited) {
            (Some(server), _) => Mariadbd::Running {
                incarnation: server.incarnation,
                sql: server.sql && !(there.agent.shut_out && there.wedged.is_some()),
            },
            (None, Some((incarnation, status))) => {
                Mariadbd::Exited { incarnation: *incarnation, status: *status, message: String::new(), at: None }
            }
            (None, None) => Mariadbd::NotStarted,
        };
        AgentState {
            version: "model".to_owned(),
            pod_uid: there.pod_uid.clone(),
            boot_id: there.boot_id.clone(),
            boot_ms: self.boot_ms(host),
            volume,
            mariadbd,
            serving: there.agent.serving.then_some(orders::BINLOG_SERVER_PORT),
            running: there.agent.run.as_ref().map(|run| run.order.order.name().to_owned()),
            extra_port: Some(3308),
            takes_connections: there.answering().map(|_| there.wedged.is_none() && !there.is_hung(self.now)),
            sql_notes: orders::SqlNotes {
                writes_locked: self.lock_told(host),
                unadmitted: self.unadmitted_at(host),
                ..orders::SqlNotes::default()
            },
            upkeep: beachmaster::orders::Upkeep::default(),
        }
    }

    /// Read over SQL, with the accounts.
    fn unadmitted_at(&self, host: HostId) -> Vec<orders::Ordinal> {
        let there = &self.hosts[host];
        let read = there.answering().is_some();
        there.volume.unadmitted.iter().filter(|_| read).copied().map(orders::Ordinal).collect()
    }

    fn lock_told(&self, host: HostId) -> Option<String> {
        let there = &self.hosts[host];
        let told = there.server.is_some() && (there.lock_told_from..there.locked_until).contains(&self.now);
        told.then(|| "a lock keeps writes waiting".to_owned())
    }

    /// CLOCK_BOOTTIME of the host's node.
    pub fn boot_ms(&self, host: HostId) -> BootMillis {
        BootMillis(1_000 + self.now - self.hosts[host].boot_at)
    }

    /// Tells every leader that has a stream to this agent.
    pub fn agent_event(&mut self, host: HostId, event: orders::Event) {
        if !self.hosts[host].alive || !self.hosts[host].agent.up {
            return;
        }
        for reply in self.links_to(host) {
            let state = self.agent_state(host);
            self.send_up(host, reply, Up::Event { event, state });
        }
    }

    /// An order reaches the pod.
    pub fn order_arrives(&mut self, host: HostId, reply: Reply, order: OrderEnvelope) {
        let there = &self.hosts[host];
        if !there.alive || !there.agent.up {
            return;
        }
        if there.side != self.leaders[reply.leader].side {
            // A stream that outlives the partition loses nothing.
            if self.is_stream_held(reply) || self.dice.chance(50) {
                self.after(400, Event::Order { host, reply, order: Box::new(order) });
            }
            return;
        }
        match self.admit(host, &order) {
            Err(error) => {
                self.say(|| format!("host {host}: refuses {} {:?}", order.order.name(), error.reason));
                self.answer(host, reply, &order.id, Outcome::Error(error));
            }
            Ok(Admission::Repeat) => self.repeat(host, reply, order),
            Ok(Admission::Obey) => self.obey(host, reply, order),
        }
    }

    fn admit(&self, host: HostId, order: &OrderEnvelope) -> Result<Admission, OrderError> {
        let volume = &self.hosts[host].volume;
        let identity = volume.record.as_ref().map(|record| &record.identity);
        let highest = volume.highest.as_ref().map(|(token, id, _)| (token, id.as_str()));
        let admission = orders::admit(order, identity, highest, self.boot_ms(host));
        match admission {
            Err(error) if error.reason == Reason::StaleToken && self.mutant == Some(Mutant::AgentTakesLowerTokens) => {
                Ok(Admission::Obey)
            }
            admission => admission,
        }
    }

    fn repeat(&mut self, host: HostId, reply: Reply, order: OrderEnvelope) {
        if let Some((_, _, Some(outcome))) = &self.hosts[host].volume.highest {
            let outcome = outcome.clone();
            self.answer(host, reply, &order.id, outcome);
        } else if let Some(run) = &mut self.hosts[host].agent.run {
            run.reply = reply;
        } else {
            self.begin(host, reply, order);
        }
    }

    fn obey(&mut self, host: HostId, reply: Reply, order: OrderEnvelope) {
        if let Some(run) = self.hosts[host].agent.run.take() {
            let message = format!("{} ended by a higher token", run.order.order.name());
            self.answer(
                host,
                run.reply,
                &run.order.id,
                Outcome::Error(OrderError { reason: Reason::Superseded, message }),
            );
        }
        self.check_token(host, &order);
        let volume = &mut self.hosts[host].volume;
        volume.highest = Some((order.token.clone(), order.id.clone(), None));
        if let Some(record) = &mut volume.record {
            record.token = Some(order.token.clone());
        }
        self.begin(host, reply, order);
    }

    fn begin(&mut self, host: HostId, reply: Reply, order: OrderEnvelope) {
        self.say(|| format!("host {host}: begins {:?} ({}/{})", order.order, order.token.term, order.token.seq));
        if !matches!(order.order, orders::Order::ServeBinlog { .. }) {
            self.stop_serving(host);
        }
        let id = self.fresh_id();
        self.hosts[host].agent.run = Some(Run { id, order, step: 0, reply });
        self.agent_step(host, id);
    }

    fn stop_serving(&mut self, host: HostId) {
        self.hosts[host].agent.serving = false;
        let served: Vec<u64> =
            self.conns.iter().filter(|(_, conn)| conn.donor && conn.source == host).map(|(id, _)| *id).collect();
        served.into_iter().for_each(|id| self.drop_conn(id));
    }

    /// The next statement of the order that is carried out.
    pub fn agent_step(&mut self, host: HostId, id: u64) {
        let Some(run) = self.hosts[host].agent.run.clone().filter(|run| run.id == id) else { return };
        let next = if self.boot_ms(host) > run.order.deadline && run.step > 0 {
            Next::failed(Reason::Expired, "the deadline passed")
        } else {
            self.step(host, &run)
        };
        match next {
            Next::Step(step, delay) => {
                if let Some(run) = &mut self.hosts[host].agent.run {
                    run.step = step;
                }
                self.after(delay, Event::AgentStep { host, run: id });
            }
            Next::Over(outcome) => {
                self.hosts[host].agent.run = None;
                if let Some(highest) = &mut self.hosts[host].volume.highest
                    && highest.1 == run.order.id
                {
                    highest.2 = Some(outcome.clone());
                }
                self.say(|| format!("host {host}: {} ended {outcome:?}", run.order.order.name()));
                self.answer(host, run.reply, &run.order.id, outcome);
            }
        }
    }

    fn answer(&mut self, host: HostId, reply: Reply, re: &str, outcome: Outcome) {
        let state = self.agent_state(host);
        self.send_up(host, reply, Up::Answer { re: re.to_owned(), outcome, state });
    }

    /// Starts mariadbd: read-only, replica threads stopped, semi-sync off.
    pub fn boot(&mut self, host: HostId) -> bool {
        let there = &mut self.hosts[host];
        let Some(record) = there.volume.record.as_mut() else { return false };
        if there.volume.disk.is_full(self.now) {
            self.stats.without_space += 1;
            return false;
        }
        if !there.volume.readable {
            return false;
        }
        record.incarnation = Incarnation(record.incarnation.0 + 1);
        if std::mem::take(&mut there.volume.index_lost) {
            there.volume.binlog.clear();
            there.volume.history_lost = true;
        }
        let incarnation = record.incarnation;
        there.server = Some(Server::boot(incarnation, boot_server_id(there.ordinal)));
        there.exited = None;
        self.say(|| format!("host {host}: mariadbd starts, incarnation {incarnation}"));
        self.agent_event(host, orders::Event::Started);
        let waits = self.hosts[host].volume.disk.writes_after(self.now).unwrap_or(0);
        let recovery = self.dice.range(50, 600) + waits;
        self.after(recovery, Event::Booted(host, incarnation));
        true
    }

    pub fn booted(&mut self, host: HostId, incarnation: Incarnation) {
        let Some(server) = self.hosts[host].server.as_mut().filter(|server| server.incarnation == incarnation) else {
            return;
        };
        server.sql = true;
        self.agent_event(host, orders::Event::Answers);
    }
}
