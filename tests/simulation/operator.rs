//! An operator process: the real `decide` in a loop over what it has seen, and the acts it then does.
//!
//! This is the model's counterpart of `src/operator/cluster`; links and probes are in [`crate::links`].

use beachmaster::orders::{BootMillis, DataUid, Incarnation, Ordinal, Secret, SignedOrder, Term};
use beachmaster::topology::decide::{Act, Decision, decide_with};
use beachmaster::topology::observation::{
    AgentSight, Maintained, MemberView, Millis, NewConnection, Observation, PodView, ServerSight,
};
use beachmaster::topology::reached::Progress;
use beachmaster::topology::record::{Record, TransitionKind};
use beachmaster::topology::safety::Rules;
use beachmaster::topology::{ackers, outdated};

use crate::member::{At, HostId};
use crate::world::{Event, Mutant, World};

/// Pause between looks at rest, and while a transition is under way or was a moment ago.
const REST_MS: u64 = 500;
const HOT_MS: u64 = 50;
const HOT_FOR_MS: u64 = 3_000;
/// Time in which most readings of one look come in.
const LOOK_TAKES_MS: u64 = 4;
/// Pause before a read of the Service that failed is tried again.
const READ_AGAIN_MS: u64 = 200;

/// What reaches a leader.
#[derive(Debug)]
pub enum ToLeader {
    Tick,
    Decide,
    Linked { member: usize, link: u64, host: HostId },
    Probe { member: usize, probe: u64, begun: At },
    Probed { member: usize, probe: u64, sight: Box<ServerSight> },
    Wrote { record: Option<Box<Record>>, version: u64 },
    Reopen { member: usize },
    Timeout { member: usize, id: String },
    Rested { member: usize },
    ServiceSeen,
    StatusSeen,
}

/// A held stream to an agent.
#[derive(Debug, Clone)]
pub struct Link {
    pub id: u64,
    pub host: HostId,
    /// The agent's clock, and when it was read.
    pub clock: (BootMillis, At),
    /// Messages arrive in the order in which they were sent.
    pub last_up: At,
    pub cut_since: Option<At>,
    pub open: bool,
}

/// What a leader knows of one member.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    pub link: Option<Link>,
    pub agent: AgentSight,
    pub server: ServerSight,
    /// The reading under way: one at a time on the held connection.
    pub probing: Option<u64>,
    /// The incarnation that runs, and since when this leader has known.
    pub running: Option<(Incarnation, Millis)>,
    pub dead_since: Option<Millis>,
    pub answered_at: Option<Millis>,
    pub pod: Option<PodView>,
    pub flight: Option<SignedOrder>,
    pub resting: Option<&'static str>,
    pub stumbled: bool,
    pub progress: Progress,
}

/// One operator process.
#[derive(Debug)]
pub struct Leader {
    pub alive: bool,
    /// Another one holds the Lease; this one does not know yet.
    pub deposed: bool,
    /// Stopped by its machine until then.
    pub stalled_until: At,
    pub side: u8,
    pub record: Record,
    pub version: u64,
    pub my_term: Option<Term>,
    pub seq: u64,
    pub sights: Vec<Sight>,
    pub routed: Option<Ordinal>,
    pub routed_in: Term,
    pub service_version: u64,
    pub writing: bool,
    /// The status says something else than what this leader wrote last.
    pub overwritten: bool,
    pub deciding: bool,
    pub deciding_soon: bool,
    pub hot_until: At,
    pub no_acker_since: Option<Millis>,
    pub last: Decision,
}

impl World {
    /// A new process takes the Lease; whoever had it is deposed and may not know.
    pub fn elect(&mut self) {
        for leader in &mut self.leaders {
            leader.deposed = true;
        }
        let id = self.leaders.len();
        self.leaders.push(Leader {
            alive: true,
            deposed: false,
            stalled_until: 0,
            side: 0,
            record: self.store.record.clone(),
            version: self.store.version,
            my_term: None,
            seq: 0,
            sights: vec![Sight::default(); self.policy.members.len()],
            routed: self.service.to,
            routed_in: self.service.term,
            service_version: self.service.version,
            writing: false,
            overwritten: false,
            deciding: false,
            deciding_soon: false,
            hot_until: 0,
            no_acker_since: None,
            last: Decision::default(),
        });
        let term = self.store.record.term;
        self.say(|| format!("leader {id}: takes the lease at term {term}"));
        self.after(1, Event::Leader(id, ToLeader::Tick));
    }

    /// Something reaches a leader; a stalled one gets it when it wakes, a dead one never.
    pub fn leader_gets(&mut self, id: usize, what: ToLeader) {
        if !self.leaders[id].alive {
            return;
        }
        if self.leaders[id].stalled_until > self.now {
            let wait = self.leaders[id].stalled_until - self.now;
            return self.after(wait, Event::Leader(id, what));
        }
        match what {
            ToLeader::Tick => return self.tick(id),
            ToLeader::Decide => return self.decide(id),
            ToLeader::Probe { member, probe, begun } => return self.probe(id, member, probe, begun),
            ToLeader::Linked { member, link, host } => self.linked(id, member, link, host),
            ToLeader::Reopen { member } => return self.begin_probe(id, member),
            ToLeader::Probed { member, probe, sight } => {
                self.probed(id, member, probe, *sight);
                return self.ask_soon(id);
            }
            ToLeader::Wrote { record, version } => self.wrote(id, record.map(|record| *record), version),
            ToLeader::Timeout { member, id: order } => self.order_lost(id, member, &order),
            ToLeader::Rested { member } => self.leaders[id].sights[member].resting = None,
            ToLeader::ServiceSeen => self.read_service(id),
            ToLeader::StatusSeen => self.read_status(id),
        }
        self.ask(id);
    }

    fn tick(&mut self, id: usize) {
        if self.leaders[id].deposed && self.dice.chance(25) {
            self.say(|| format!("leader {id}: sees that it lost the lease"));
            self.leaders[id].alive = false;
            return;
        }
        self.look_at_links(id);
        for member in 0..self.leaders[id].sights.len() {
            if self.leaders[id].sights[member].probing.is_none() {
                self.begin_probe(id, member);
            }
        }
        self.ask(id);
        let leader = &mut self.leaders[id];
        if leader.record.transition.is_some() {
            leader.hot_until = self.now + HOT_FOR_MS;
        }
        let pause = if leader.hot_until > self.now { HOT_MS } else { REST_MS };
        self.after(pause, Event::Leader(id, ToLeader::Tick));
    }

    /// Asks `decide` now; once for everything that comes in the same moment.
    pub fn ask(&mut self, id: usize) {
        if !std::mem::replace(&mut self.leaders[id].deciding, true) {
            self.after(0, Event::Leader(id, ToLeader::Decide));
        }
    }

    /// Asks `decide` when the other readings of the same look are in too.
    fn ask_soon(&mut self, id: usize) {
        if !std::mem::replace(&mut self.leaders[id].deciding_soon, true) {
            self.after(LOOK_TAKES_MS, Event::Leader(id, ToLeader::Decide));
        }
    }

    fn observation(&mut self, id: usize) -> Observation {
        let fresh = self.fresh_id();
        let leader = &self.leaders[id];
        let members = leader.sights.iter().enumerate().map(|(member, sight)| MemberView {
            ordinal: Ordinal(u8::try_from(member).expect("at most 9 members")),
            pod: sight.pod.clone(),
            agent: sight.agent.clone(),
            server: sight.server.clone(),
            new_connection: NewConnection::Unknown,
            running_since: sight.running.map(|(_, since)| since),
            dead_since: sight.dead_since,
            answered_at: sight.answered_at,
            busy: sight.flight.as_ref().map(|order| order.order.name()).or(sight.resting),
            resting: sight.flight.is_none(),
            stumbled: sight.stumbled,
            progress: sight.progress.clone(),
            maintained: Maintained::default(),
        });
        let term = leader.record.term;
        let mut seen = Observation {
            members: members.collect(),
            no_acker_since: None,
            routed: leader.routed,
            routed_in: (leader.routed_in > Term(0)).then_some(leader.routed_in),
            now: Millis(self.now),
            my_term: leader.my_term.filter(|_| !leader.overwritten),
            fresh_uid: DataUid(format!("uid-{fresh}")),
            fresh_login: (format!("donor-{term}"), Secret("once".to_owned())),
        };
        let leader = &mut self.leaders[id];
        let counts = leader.record.transition.is_none() && leader.record.primary.is_some();
        if !counts || ackers::any_active(&leader.record, &seen) {
            leader.no_acker_since = None;
        } else {
            leader.no_acker_since.get_or_insert(seen.now);
        }
        seen.no_acker_since = leader.no_acker_since;
        seen
    }

    fn decide(&mut self, id: usize) {
        (self.leaders[id].deciding, self.leaders[id].deciding_soon) = (false, false);
        if self.leaders[id].writing {
            return;
        }
        let seen = self.observation(id);
        let version = self.leaders[id].version;
        let decision = decide_with(self.rules(), &self.policy, &self.leaders[id].record, &seen);
        if outdated::proof(&self.leaders[id].record, &seen).is_some() && self.mutant != Some(Mutant::PastBelieved) {
            // Somebody else may have written since: the status is read before anything is made of it.
            self.read_status(id);
            if self.leaders[id].version != version {
                return self.ask(id);
            }
        }
        if decision.blocked != self.leaders[id].last.blocked {
            self.say(|| format!("leader {id}: blocked {:?}", decision.blocked));
        }
        let acts = decision.acts.clone();
        self.leaders[id].last = decision;
        if acts.len() > 1 && acts.iter().any(|act| matches!(act, Act::Write { .. })) {
            self.broken(format!("a write does not stand alone: {acts:?}"));
        }
        for act in acts {
            if self.fault_at_act(id, &act) {
                return;
            }
            self.perform(id, act);
        }
    }

    fn rules(&self) -> Rules {
        Rules {
            acker_leaves_at_once: self.mutant == Some(Mutant::AckerLeavesAtOnce),
            ignore_incarnations: self.mutant == Some(Mutant::IncarnationsIgnored),
            ignore_dropped: self.mutant == Some(Mutant::DroppedIgnored),
            resumes_unread: self.mutant == Some(Mutant::ResumedUnread),
            any_pod_ends_a_run: self.mutant == Some(Mutant::AnyPodEndsARun),
            believes_the_past: self.mutant == Some(Mutant::PastBelieved),
            past_acknowledgements: self.mutant == Some(Mutant::PastAcknowledgements),
            ignore_strays: self.mutant == Some(Mutant::StraysIgnored),
        }
    }

    /// True while the leader is inside a failover, or this act begins one.
    pub fn is_failover(&self, id: usize, act: &Act) -> bool {
        let in_failover = |record: &Record| {
            record.transition.as_ref().is_some_and(|transition| transition.kind == TransitionKind::Failover)
        };
        in_failover(&self.leaders[id].record) || matches!(act, Act::Write { record, .. } if in_failover(record))
    }

    /// A status write reaches the API server.
    pub fn store_write(&mut self, id: usize, version: u64, record: Record) {
        if self.leaders[id].side != 0 {
            return;
        }
        let delay = self.dice.range(1, 8);
        let accepted = version == self.store.version;
        if accepted {
            self.check_write(&record);
            self.store.version += 1;
            self.store.record = record.clone();
            self.store.past.push(record.clone());
        } else {
            self.say(|| format!("leader {id}: conflict"));
        }
        let (record, version) = (accepted.then(|| Box::new(record)), self.store.version);
        self.after(delay, Event::Leader(id, ToLeader::Wrote { record, version }));
    }

    fn wrote(&mut self, id: usize, record: Option<Record>, version: u64) {
        self.leaders[id].writing = false;
        let Some(record) = record else { return self.read_status(id) };
        self.leaders[id].overwritten = false;
        self.recorded(id, record, version, true);
    }

    /// The status is read: after a conflict, or because a watch shows what this leader has not written.
    fn read_status(&mut self, id: usize) {
        let leader = &self.leaders[id];
        if leader.writing || leader.version == self.store.version {
            return;
        }
        if leader.side != 0 {
            return self.after(READ_AGAIN_MS, Event::Leader(id, ToLeader::StatusSeen));
        }
        if leader.deposed {
            self.say(|| format!("leader {id}: a read shows that it is deposed"));
            self.leaders[id].alive = false;
            return;
        }
        let (found, version) = (self.store.record.clone(), self.store.version);
        let foreign = found != leader.record && found.term <= leader.record.term;
        if leader.my_term.is_some() && foreign && self.mutant != Some(Mutant::PastBelieved) {
            self.say(|| format!("leader {id}: the status was overwritten"));
            let leader = &mut self.leaders[id];
            (leader.overwritten, leader.version) = (true, version);
            return;
        }
        if found != leader.record {
            self.leaders[id].my_term = None;
        }
        self.recorded(id, found, version, false);
    }

    fn recorded(&mut self, id: usize, record: Record, version: u64, mine: bool) {
        let leader = &mut self.leaders[id];
        leader.version = version;
        if record.term != leader.record.term {
            for sight in &mut leader.sights {
                sight.stumbled |= sight.progress.is_passed_over();
                sight.progress = Progress::default();
            }
            if mine {
                leader.my_term = Some(record.term);
            }
        }
        leader.record = record;
        leader.hot_until = self.now + HOT_FOR_MS;
    }

    /// Somebody puts the status back to what it was so many writes ago, at most to the end of the initialisation: a backup of
    /// the second before would make a datadir over every volume that has gone blank since.
    pub fn status_rolled_back(&mut self, writes: u64) {
        let Some(first) = self.store.past.iter().position(|record| record.primary.is_some()) else { return };
        let last = self.store.past.len() - 1;
        let then = last.saturating_sub(usize::try_from(writes).unwrap_or(last)).max(first);
        let obeyed =
            |host: &HostId| self.hosts[*host].volume.highest.as_ref().map_or(Term(0), |(token, _, _)| token.term);
        let proven = self.current.iter().flatten().map(obeyed).min().unwrap_or_default();
        if self.store.past[then].term >= proven {
            // Nothing would tell a new operator that the status is older (docs/known-gaps.md).
            return;
        }
        self.store.record = self.store.past[then].clone();
        self.store.version += 1;
        for leader in 0..self.leaders.len() {
            let delay = self.dice.range(20, 200);
            self.after(delay, Event::Leader(leader, ToLeader::StatusSeen));
        }
    }

    /// A patch of the primary Service reaches the API server. It is refused when another operator wrote the Service in a
    /// later term.
    pub fn service_write(&mut self, id: usize, version: u64, (to, term): (Ordinal, Term)) {
        if version == self.service.version && self.leaders[id].side == 0 && self.service.term <= term {
            self.service.before = self.service.to;
            (self.service.to, self.service.changed, self.service.term) = (Some(to), self.now, term);
            self.service.version += 1;
        }
        self.show_service(Some(id));
    }

    /// Somebody else writes the primary Service.
    pub fn service_edited(&mut self, to: Option<Ordinal>) {
        self.service.before = self.service.to;
        (self.service.to, self.service.changed) = (to, self.now);
        self.service.version += 1;
        self.show_service(None);
    }

    /// Every operator reads the Service when its watch shows a change; who wrote it hears at once.
    fn show_service(&mut self, writer: Option<usize>) {
        for leader in 0..self.leaders.len() {
            let delay = if Some(leader) == writer { 2 } else { self.dice.range(20, 200) };
            self.after(delay, Event::Leader(leader, ToLeader::ServiceSeen));
        }
    }

    /// What a watch showed may be old, so the Service is read; behind a partition that is tried again.
    fn read_service(&mut self, id: usize) {
        if self.leaders[id].side != 0 {
            return self.after(READ_AGAIN_MS, Event::Leader(id, ToLeader::ServiceSeen));
        }
        let leader = &mut self.leaders[id];
        (leader.routed, leader.routed_in) = (self.service.to, self.service.term);
        leader.service_version = self.service.version;
    }
}

/// A record on one line.
pub fn short(record: &Record) -> String {
    let ackers: Vec<String> =
        record.ackers.iter().map(|acker| format!("{}i{}", acker.member, acker.incarnation)).collect();
    let transition = record.transition.as_ref().map(|transition| {
        format!("{:?}/{:?} {:?}->{:?}", transition.kind, transition.step, transition.from, transition.to)
    });
    format!(
        "term {} primary {:?} {:?} ackers [{}] {}",
        record.term,
        record.primary.map(|primary| primary.0),
        record.durability,
        ackers.join(" "),
        transition.unwrap_or_default()
    )
}
