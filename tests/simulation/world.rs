//! The world: everything that exists, the queue of what will happen, and virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use beachmaster::api::ReplicationCluster;
use beachmaster::control::desired::Desired;
use beachmaster::control::effect::ServicePatch;
use beachmaster::gtid::Gtid;
use beachmaster::orders::{Incarnation, OrderEnvelope, Ordinal, Term, Up};
use beachmaster::topology::policy::Policy;
use beachmaster::topology::record::Record;

use crate::api_server::{Service, Store, applied};
use crate::clients::{Client, Endpoints};
use crate::dice::Dice;
use crate::member::{At, Conn, Host, HostId, Volume};
use crate::operator::{Operator, ToLeader};
use crate::plan::Plan;
use crate::stats::Stats;

/// A deliberate mistake that the simulation must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    AckerLeavesAtOnce,
    AgentTakesLowerTokens,
    IncarnationsIgnored,
    /// Relay logs that a member has thrown away in its present run are forgotten.
    DroppedIgnored,
    /// The old primary is promoted again though nobody knows where its binary logs ended.
    ResumedUnread,
    /// Any pod of an acker's name proves that the run recorded is over.
    AnyPodEndsARun,
    /// A status that was put back is followed as if it were the newest.
    PastBelieved,
    /// What a status that was put back says of acknowledgements is believed.
    PastAcknowledgements,
    /// A replica that somebody has made writable is treated like any other in a transition, by operator and agent.
    StraysIgnored,
    /// An agent with an empty volume is enough for a new leader to take over.
    AnyAgentWillDo,
    /// What members told before a status from the past was read counts.
    OldProofs,
    /// An acker whose agent is away is shut out though it acknowledges.
    AwayIsGone,
    /// Only a later run in the same pod ends an acker's entry.
    EntriesStay,
    /// A member whose mariadbd ends after its `init` is waited for.
    InitWaits,
    /// What an earlier term gave up is a reason to go back to it: two members that blame each other.
    GivenUpCounts,
    /// A mistake of the loop (`control::mistakes`).
    Loop(LoopMutant),
}

/// A mistake of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopMutant {
    StaleReadingBelieved,
    LostWriteBelieved,
    OrdersWhileBusy,
    ServiceUnchecked,
    AnyAnswerTaken,
    NeverInDoubt,
    TermForgotten,
}

/// Something that will happen.
#[derive(Debug)]
pub enum Event {
    Client(usize),
    /// A client that waits too long gives up.
    Patience {
        client: usize,
        attempt: u64,
    },
    Acknowledged {
        client: usize,
        attempt: u64,
        term: Term,
        begun: At,
    },
    Pump(u64),
    Ack {
        conn: u64,
        upto: usize,
    },
    StrangerAcks {
        host: HostId,
        upto: usize,
    },
    Apply(HostId, Incarnation),
    IoRetry(HostId, Incarnation),
    Booted(HostId, Incarnation),
    AutoStart(HostId),
    AgentStep {
        host: HostId,
        run: u64,
    },
    Order {
        host: HostId,
        reply: crate::member::Reply,
        order: Box<OrderEnvelope>,
    },
    Up {
        host: HostId,
        reply: crate::member::Reply,
        member: usize,
        up: Box<Up>,
    },
    Leader(usize, ToLeader),
    Elect,
    Store {
        leader: usize,
        object: Box<ReplicationCluster>,
        record: Box<Record>,
        /// False when whoever wrote has given up waiting before.
        awaited: bool,
    },
    StoreRead {
        leader: usize,
        /// Only to see whether the record still says the same.
        check: bool,
    },
    Service {
        leader: usize,
        patch: ServicePatch,
        awaited: bool,
    },
    ServiceRead {
        leader: usize,
    },
    Fault(usize),
    Heal(u64),
    Calm,
    Converged,
}

/// One event in the queue, by time, then by the order of insertion.
struct Entry(At, u64, Event);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// An acknowledged transaction.
#[derive(Debug, Clone, Copy)]
pub struct Acked {
    pub index: usize,
    pub gtid: Gtid,
    pub at: At,
}

/// Everything.
pub struct World {
    pub now: At,
    queue: BinaryHeap<Reverse<Entry>>,
    inserted: u64,
    pub dice: Dice,
    pub policy: Policy,
    /// The object as the user applied it.
    pub desired: Desired,
    pub plan: Plan,
    pub hosts: Vec<Host>,
    /// The pod the API server shows for each member.
    pub current: Vec<Option<HostId>>,
    pub conns: BTreeMap<u64, Conn>,
    pub next_id: u64,
    pub store: Store,
    pub service: Service,
    pub leaders: Vec<Operator>,
    pub clients: Vec<Client>,
    pub acked: Vec<Acked>,
    /// First acknowledgement a client got from each term.
    pub first_ack: BTreeMap<Term, At>,
    pub stats: Stats,
    pub calm: Option<At>,
    /// The API server answers nobody until then.
    pub api_away_until: At,
    pub endpoints: Endpoints,
    /// Copies that were made of volumes.
    pub copies: BTreeMap<Ordinal, Volume>,
    /// Members that never come back.
    pub lost: BTreeSet<Ordinal>,
    /// A foreign replica, and the primary that it acknowledges to.
    pub stranger: Option<(HostId, At)>,
    /// Since when nothing is missing any more.
    pub whole_since: Option<At>,
    /// Acknowledgements that clients got since the faults stopped.
    pub acked_since_calm: u64,
    /// When a replica's connection to a primary acknowledged last, by (source, replica).
    pub acknowledged_by: BTreeMap<(HostId, HostId), At>,
    /// When an acker's connection to its source was cut last, by the network or because the acker died.
    pub parted: BTreeMap<(HostId, HostId), At>,
    /// Pods shut out by a primary; one that was deleted by force stays so (docs/known-gaps.md).
    pub shut_out: BTreeSet<HostId>,
    pub violation: Option<String>,
    pub done: bool,
    pub mutant: Option<Mutant>,
    /// A pod that was shut out and deleted by force may come back, too (docs/known-gaps.md).
    pub with_known_gaps: bool,
    /// A deposed leader may read the status and go on: its clock stood still, so that its Lease has not run out for it.
    pub two_readers: bool,
    pub trace: Option<Vec<String>>,
}

impl World {
    /// The history of a seed.
    pub fn new(seed: u64, mutant: Option<Mutant>, trace: bool) -> Self {
        let mut dice = Dice::new(seed);
        let policy = crate::plan::policy(&mut dice);
        let mut plan = crate::plan::plan(&mut dice, policy.members.len());
        crate::plan::add_troubles_around(&mut plan, seed, policy.members.len());
        Self::planned(dice, policy, plan, (mutant, trace))
    }

    /// A history in which `plan` goes wrong.
    pub fn planned(dice: Dice, policy: Policy, plan: Plan, (mutant, trace): (Option<Mutant>, bool)) -> Self {
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            inserted: 0,
            dice,
            desired: applied(policy.members.len()),
            policy,
            plan,
            hosts: Vec::new(),
            current: Vec::new(),
            conns: BTreeMap::new(),
            next_id: 1,
            store: Store::default(),
            service: Service::default(),
            leaders: Vec::new(),
            clients: Vec::new(),
            acked: Vec::new(),
            first_ack: BTreeMap::new(),
            stats: Stats::default(),
            calm: None,
            api_away_until: 0,
            endpoints: Endpoints::default(),
            copies: BTreeMap::new(),
            lost: BTreeSet::new(),
            stranger: None,
            whole_since: None,
            acked_since_calm: 0,
            acknowledged_by: BTreeMap::new(),
            parted: BTreeMap::new(),
            shut_out: BTreeSet::new(),
            violation: None,
            done: false,
            mutant,
            with_known_gaps: false,
            two_readers: true,
            trace: trace.then(Vec::new),
        };
        world.populate();
        world
    }

    /// Runs the history to its end.
    pub fn run(&mut self) {
        while let Some(Reverse(Entry(at, _, event))) = self.queue.pop() {
            self.now = at;
            self.handle(event);
            self.check_one_writer();
            if self.done || self.violation.is_some() {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Client(client) => self.client_acts(client),
            Event::Patience { client, attempt } => self.client_gives_up(client, attempt),
            Event::Acknowledged { client, attempt, term, begun } => self.client_hears(client, attempt, term, begun),
            Event::Pump(conn) => self.pump(conn),
            Event::Ack { conn, upto } => self.ack(conn, upto),
            Event::StrangerAcks { host, upto } => self.stranger_acknowledges(host, upto),
            Event::Apply(host, incarnation) => self.apply(host, incarnation),
            Event::IoRetry(host, incarnation) => self.io_retry(host, incarnation),
            Event::Booted(host, incarnation) => self.booted(host, incarnation),
            Event::AutoStart(host) => self.auto_start(host),
            Event::AgentStep { host, run } => self.agent_step(host, run),
            Event::Order { host, reply, order } => self.order_arrives(host, reply, *order),
            Event::Up { host, reply, member, up } => self.up_arrives(host, reply, member, *up),
            Event::Leader(leader, what) => self.leader_gets(leader, what),
            Event::Elect => self.elect(),
            Event::Store { leader, object, record, awaited } => self.store_write(leader, object, *record, awaited),
            Event::StoreRead { leader, check } => self.store_read(leader, check),
            Event::Service { leader, patch, awaited } => self.service_written(leader, patch, awaited),
            Event::ServiceRead { leader } => self.service_read(leader),
            Event::Fault(index) => self.planned_fault(index),
            Event::Heal(what) => self.heal(what),
            Event::Calm => self.calm_down(),
            Event::Converged => self.check_convergence(),
        }
    }

    /// Lets `event` happen `delay` milliseconds from now.
    pub fn after(&mut self, delay: u64, event: Event) {
        self.inserted += 1;
        self.queue.push(Reverse(Entry(self.now + delay, self.inserted, event)));
    }

    pub fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Notes what happened, when someone wants to read it.
    pub fn say(&mut self, words: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>7} {}", self.now, words()));
        }
    }

    /// An invariant does not hold.
    pub fn broken(&mut self, words: String) {
        self.say(|| format!("VIOLATION {words}"));
        if self.violation.is_none() {
            self.violation = Some(format!("at {} ms: {words}", self.now));
        }
    }

    /// True when the network carries between two sides.
    pub fn hosts_reach(&self, a: HostId, b: HostId) -> bool {
        self.hosts[a].side == self.hosts[b].side
    }

    /// True when nothing goes from one mariadbd to the other.
    pub fn is_cut(&self, a: HostId, b: HostId) -> bool {
        !self.hosts_reach(a, b) || self.hosts[a].is_hung(self.now) || self.hosts[b].is_hung(self.now)
    }

    /// Ackers whose connection works, with their sources.
    pub fn working_ackers(&self) -> BTreeSet<(HostId, HostId)> {
        let works = |source: HostId, replica: HostId| {
            let there = &self.hosts[replica];
            there.alive && there.volume.disk.writes_after(self.now).is_none() && !self.is_cut(source, replica)
        };
        let ackers = self.conns.values().filter(|conn| conn.semi && !conn.donor && works(conn.source, conn.replica));
        ackers.map(|conn| (conn.source, conn.replica)).collect()
    }

    /// The network changes.
    pub fn partitioned(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.working_ackers();
        change(self);
        let after = self.working_ackers();
        let now = self.now;
        self.parted.extend(before.difference(&after).map(|pair| (*pair, now)));
    }

    /// The pod the API server shows for a member.
    pub fn host_of(&self, ordinal: Ordinal) -> Option<HostId> {
        self.current.get(usize::from(ordinal.0)).copied().flatten()
    }
}
