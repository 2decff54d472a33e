//! An operator process: the machine of `src/control` itself, driven in virtual time. What it says is done by the API server
//! of the model ([`crate::api_server`]) or carried along the [`crate::roads`] to the members.

use std::sync::Arc;

use beachmaster::control::cluster::{Cluster, Fresh, Leader, Moment};
use beachmaster::control::desired::Desired;
use beachmaster::control::effect::{Effect, ServicePatch};
use beachmaster::control::input::{Input, Reading};
use beachmaster::control::mistakes::Mistakes;
use beachmaster::control::record_codec;
use beachmaster::orders::{DataUid, Ordinal, Secret};
use beachmaster::time::Millis;
use beachmaster::topology::decide::Act;
use beachmaster::topology::record::Record;
use beachmaster::topology::rules::Rules;
use beachmaster::topology::transition::TransitionKind;
use jiff::Timestamp;

use crate::api_server::NAME;
use crate::member::{At, HostId};
use crate::roads::Road;
use crate::world::{Event, LoopMutant, Mutant, World};

/// Time in which most readings of one look come in.
const LOOK_TAKES_MS: u64 = 4;

/// What reaches an operator process.
#[derive(Debug)]
pub enum ToLeader {
    /// The machine is asked what to do.
    Turn,
    /// The same, at the time it named itself.
    Wake(At),
    /// Something happened.
    Input(Box<Input>),
    /// What it was about to do when its machine stopped.
    Perform(Vec<Effect>),
    /// A watch shows the pods as they are now.
    Pods,
    /// Streams are opened, kept and given up.
    Look,
    /// A stream is open.
    Linked { member: usize, link: u64, host: HostId },
    /// The next reading of a member is due.
    ProbeDue { member: usize, due: u64 },
    /// The query of a reading reaches the member.
    Probe { member: usize, probe: u64, begun: At },
    /// Whether a member takes new connections is tried.
    Knock { member: usize },
    /// A reading has come back.
    Probed { member: usize, probe: u64, reading: Box<Reading> },
}

/// One operator process.
#[derive(Debug)]
pub struct Operator {
    pub alive: bool,
    /// Another one holds the Lease; this one does not know yet.
    pub deposed: bool,
    /// Stopped by its machine until then.
    pub stalled_until: At,
    pub side: u8,
    pub machine: Cluster,
    pub roads: Vec<Road>,
    /// When its watch has shown the newest version of an object that is on its way.
    pub shown_at: At,
    turning: bool,
    turning_soon: bool,
    wakes_at: At,
}

impl World {
    /// A new process takes the Lease; whoever had it is deposed and may not know.
    pub fn elect(&mut self) {
        if self.now < self.api_away_until {
            return self.after(self.api_away_until - self.now, Event::Elect);
        }
        for leader in &mut self.leaders {
            leader.deposed = true;
        }
        let id = self.leaders.len();
        let leader = Leader { identity: format!("operator-{id}"), manager: "sim/beachmaster".to_owned() };
        let machine = Cluster::new(self.desired(), leader).expect("a status that operators of the model wrote");
        self.leaders.push(Operator {
            alive: true,
            deposed: false,
            stalled_until: 0,
            side: 0,
            machine: machine.with_mistakes(self.rules(), self.mistakes()),
            roads: vec![Road::default(); self.policy.members.len()],
            shown_at: self.now,
            turning: false,
            turning_soon: false,
            wakes_at: 0,
        });
        let term = self.store.record.term;
        self.say(|| format!("leader {id}: takes the lease at term {term}"));
        if self.calm.is_some() {
            // It has no held session (docs/known-gaps.md).
            (0..self.hosts.len()).for_each(|host| self.wedge_ends(host));
        }
        self.after(0, Event::Leader(id, ToLeader::Turn));
        self.after(1, Event::Leader(id, ToLeader::Pods));
        self.after(1, Event::Leader(id, ToLeader::Look));
        for member in 0..self.policy.members.len() {
            self.after(2, Event::Leader(id, ToLeader::ProbeDue { member, due: 0 }));
            if self.plan.knocks {
                self.after(3, Event::Leader(id, ToLeader::Knock { member }));
            }
        }
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
            ToLeader::Turn => self.turn(id),
            ToLeader::Wake(at) => {
                if self.leaders[id].wakes_at == at {
                    self.wakes(id);
                }
            }
            ToLeader::Perform(effects) => self.perform_all(id, effects),
            // A watch shows nothing through a partition.
            ToLeader::Pods if self.is_without_api(id) => self.after(300, Event::Leader(id, ToLeader::Pods)),
            ToLeader::Input(input) if self.is_without_api(id) && is_of_a_watch(&input) => {
                self.after(300, Event::Leader(id, ToLeader::Input(input)));
            }
            ToLeader::Input(input) => self.hears(id, *input),
            ToLeader::Pods => {
                let pods = self.pods();
                self.hears(id, Input::Pods(pods));
            }
            ToLeader::Look => self.look_at_links(id),
            ToLeader::Linked { member, link, host } => self.linked(id, member, link, host),
            ToLeader::ProbeDue { member, due } => {
                if self.leaders[id].roads[member].due == due {
                    self.begin_probe(id, member);
                }
            }
            ToLeader::Knock { member } => self.knock(id, member),
            ToLeader::Probe { member, probe, begun } => self.probe(id, member, probe, begun),
            ToLeader::Probed { member, probe, reading } => self.probed(id, member, probe, *reading),
        }
    }

    fn wakes(&mut self, id: usize) {
        if self.leaders[id].deposed && self.dice.chance(25) {
            self.say(|| format!("leader {id}: sees that it lost the lease"));
            self.leaders[id].alive = false;
            return;
        }
        self.ask(id);
    }

    fn moment(&self) -> Moment {
        let wall = Timestamp::from_millisecond(i64::try_from(self.now).unwrap_or(0)).unwrap_or_default();
        Moment { now: Millis(self.now), wall }
    }

    /// The machine takes something in and is asked what to do; once for everything that comes in the same moment.
    pub fn hears(&mut self, id: usize, input: Input) {
        self.hears_without_turn(id, input);
        self.ask(id);
    }

    /// The same, and it is asked when the other readings of the same look are in, too.
    pub fn hears_a_reading(&mut self, id: usize, input: Input) {
        self.hears_without_turn(id, input);
        if !std::mem::replace(&mut self.leaders[id].turning_soon, true) {
            self.after(LOOK_TAKES_MS, Event::Leader(id, ToLeader::Turn));
        }
    }

    fn hears_without_turn(&mut self, id: usize, input: Input) {
        let at = self.moment();
        self.leaders[id].machine.handle(input, at);
    }

    fn ask(&mut self, id: usize) {
        if !std::mem::replace(&mut self.leaders[id].turning, true) {
            self.after(0, Event::Leader(id, ToLeader::Turn));
        }
    }

    fn turn(&mut self, id: usize) {
        (self.leaders[id].turning, self.leaders[id].turning_soon) = (false, false);
        let fresh = self.fresh_id();
        let term = self.leaders[id].machine.record().term;
        let fresh =
            Fresh { uid: DataUid(format!("uid-{fresh}")), login: (format!("donor-{term}"), Secret("once".to_owned())) };
        let (at, machine) = (self.moment(), &mut self.leaders[id].machine);
        let blocked = machine.decision().blocked.clone();
        let effects = machine.turn(at, fresh);
        let decision = machine.decision();
        if decision.acts.len() > 1 && decision.acts.iter().any(|act| matches!(act, Act::Write { .. })) {
            let acts = decision.acts.clone();
            self.broken(format!("a write does not stand alone: {acts:?}"));
        }
        let now_blocked = self.leaders[id].machine.decision().blocked.clone();
        if now_blocked != blocked {
            self.say(|| format!("leader {id}: blocked {now_blocked:?}"));
        }
        self.perform_all(id, effects);
        let wakes_at = self.leaders[id].machine.wakes_at(at.now).0.max(self.now + 1);
        self.leaders[id].wakes_at = wakes_at;
        self.after(wakes_at - self.now, Event::Leader(id, ToLeader::Wake(wakes_at)));
    }

    /// Does what a machine says, one after the other; a process that is stopped in between goes on when it wakes, one that is
    /// gone does not.
    fn perform_all(&mut self, id: usize, effects: Vec<Effect>) {
        let mut effects = effects.into_iter();
        while let Some(effect) = effects.next() {
            if let Some(effect) = self.perform(id, effect) {
                let rest = [effect].into_iter().chain(effects).collect();
                return self.after(1, Event::Leader(id, ToLeader::Perform(rest)));
            }
        }
    }

    /// Does it, or gives it back when its process is stopped or gone before that.
    fn perform(&mut self, id: usize, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::WriteStatus(object) => {
                let record = record_codec::read(NAME, object.status.as_ref()).expect("what a machine writes");
                let news = record != *self.leaders[id].machine.record();
                if news && self.fault_at_act(id, is_failover(&record)) {
                    return Some(Effect::WriteStatus(object));
                }
                self.write_status(id, object, record, news);
            }
            Effect::ReadStatus => self.read_status(id, false),
            Effect::CheckStatus => self.read_status(id, true),
            Effect::ReadService => self.read_service(id),
            Effect::WriteService(patch) => {
                if self.fault_at_act(id, false) {
                    return Some(Effect::WriteService(patch));
                }
                self.switches_service(id, patch);
            }
            Effect::Watch { ordinal, how } => self.watch(id, usize::from(ordinal.0), how),
            Effect::Order { ordinal, command } => {
                if self.fault_at_act(id, false) {
                    return Some(Effect::Order { ordinal, command });
                }
                self.give(id, usize::from(ordinal.0), command);
            }
            Effect::End => self.broken(format!("leader {id}: believes that the object is gone")),
            Effect::Event(news) => {
                self.say(|| format!("leader {id}: {} {}", news.reason.as_str(), news.note));
            }
            // Read by nobody here.
            Effect::Label(_) | Effect::Failover(_) | Effect::Show(_) | Effect::Count(_) => {}
        }
        None
    }

    fn switches_service(&mut self, id: usize, patch: ServicePatch) {
        self.say(|| format!("leader {id}: routes to {}", patch.member));
        self.check_routed(id, patch.member);
        self.write_service(id, patch);
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
            any_agent_will_do: self.mutant == Some(Mutant::AnyAgentWillDo),
            old_proofs: self.mutant == Some(Mutant::OldProofs),
            away_is_gone: self.mutant == Some(Mutant::AwayIsGone),
            entries_stay: self.mutant == Some(Mutant::EntriesStay),
            init_waits: self.mutant == Some(Mutant::InitWaits),
            given_up_counts: self.mutant == Some(Mutant::GivenUpCounts),
        }
    }

    fn mistakes(&self) -> Mistakes {
        let makes = |mutant| self.mutant == Some(Mutant::Loop(mutant));
        Mistakes {
            stale_reading_believed: makes(LoopMutant::StaleReadingBelieved),
            lost_write_believed: makes(LoopMutant::LostWriteBelieved),
            orders_while_busy: makes(LoopMutant::OrdersWhileBusy),
            service_unchecked: makes(LoopMutant::ServiceUnchecked),
            any_answer_taken: makes(LoopMutant::AnyAnswerTaken),
            never_in_doubt: makes(LoopMutant::NeverInDoubt),
            term_forgotten: makes(LoopMutant::TermForgotten),
        }
    }

    /// True while the leader is inside a failover.
    pub fn is_in_failover(&self, id: usize) -> bool {
        is_failover(self.leaders[id].machine.record())
    }

    /// Why the newest status is written.
    pub fn why(&self, id: usize) -> String {
        match self.leaders[id].machine.decision().acts.first() {
            Some(Act::Write { why, .. }) => why.clone(),
            _ => String::new(),
        }
    }

    /// The object as a watch shows it.
    pub fn desired(&self) -> Arc<Desired> {
        Arc::new(Desired { object: self.object(), policy: self.policy.clone(), ..self.desired.clone() })
    }

    /// What a leader knows of a member.
    pub fn view(&self, id: usize, member: Ordinal) -> beachmaster::topology::observation::MemberView {
        self.leaders[id].machine.view(member, Millis(self.now)).expect("a member of the policy")
    }
}

fn is_of_a_watch(input: &Input) -> bool {
    matches!(input, Input::Desired(_) | Input::ServiceChanged)
}

fn is_failover(record: &Record) -> bool {
    record.transition.as_ref().is_some_and(|transition| transition.kind() == TransitionKind::Failover)
}

/// A record on one line.
pub fn short(record: &Record) -> String {
    let ackers: Vec<String> =
        record.ackers.iter().map(|acker| format!("{}i{}", acker.member, acker.incarnation)).collect();
    let transition = record.transition.as_ref().map(|transition| {
        format!("{:?}/{:?} {:?}->{:?}", transition.kind(), transition.step(), transition.from(), transition.to())
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
