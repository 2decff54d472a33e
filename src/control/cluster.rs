//! The machine of one cluster.
//!
//! Whoever drives it passes what happens to [`Cluster::handle`], asks [`Cluster::turn`] afterwards what is to be done, and
//! calls `turn` again at [`Cluster::wakes_at`]. Inputs are folded at any time; a decision is only taken while the record is
//! certain, that is, while no read or write of the status is under way. Who has lost the Lease calls `turn` no more.

mod observed_status;
mod record;

use std::sync::Arc;

use jiff::Timestamp;
use tracing::{error, warn};

use super::desired::Desired;
use super::effect::{Effect, FailoverRecord};
use super::input::Input;
use super::labels::PodLabels;
use super::member::{News, order_id};
use super::members::Members;
use super::mistakes::Mistakes;
use super::primary_service::{Lead, PrimaryService, ServiceError, Step as ServiceStep};
use super::record_codec::RecordError;
use super::status_store::StatusStore;
use super::telemetry::Telemetry;
use super::timeline::Timeline;
use crate::orders::{DataUid, Order, Ordinal, Secret, Token};
use crate::time::Millis;
use crate::topology::ackers;
use crate::topology::decide::{Act, Decision, decide_with};
use crate::topology::observation::{MemberView, Observation};
use crate::topology::outdated;
use crate::topology::record::{Durability, Record};
use crate::topology::rules::Rules;

/// A decision is taken at least this often, for what changes by the mere passing of time.
pub(crate) const TICK_MS: u64 = 500;
/// Probes go on looking often for this long after a transition: members are being brought back.
const EAGER_AFTER_MS: u64 = 3_000;
/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the observer's own clock.
    pub now: Millis,
    /// By the wall clock, for what people read.
    pub wall: Timestamp,
}

/// Values that nobody has ever seen, made anew for each turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// For data that is to be made.
    pub uid: DataUid,
    /// User and password for binlog servers.
    pub login: (String, Secret),
}

/// Facts about this leader.
#[derive(Debug, Clone)]
pub struct Leader {
    /// Its name, unique among all processes that ever ran.
    pub identity: String,
    /// Its Lease.
    pub manager: String,
}

/// The status write under way.
#[derive(Debug)]
enum Write {
    /// The next record, why, and who is not promoted by it.
    Record { before: Box<Record>, next: Box<Record>, why: String, rejected: Vec<String> },
    /// The same record, with news for people.
    People,
}

/// One cluster.
#[derive(Debug)]
pub struct Cluster {
    leader: Leader,
    rules: Rules,
    mistakes: Mistakes,
    desired: Arc<Desired>,
    members: Members,
    store: StatusStore,
    service: PrimaryService,
    labels: PodLabels,
    timeline: Timeline,
    telemetry: Telemetry,
    effects: Vec<Effect>,
    writing: Option<Write>,
    seq: u64,
    /// Of the present term.
    login: Option<(String, Secret)>,
    decision: Decision,
    /// The record as an earlier leader left it was taken up.
    resumed: bool,
    ended: bool,
    began: Option<Millis>,
    no_acker_since: Option<Millis>,
    transition_seen: Option<Millis>,
    routed_at: Option<Millis>,
    /// Why NAME-primary was not read or written last.
    service_error: Option<ServiceError>,
    people_at: Option<Millis>,
    /// That write failed: the next one is not hurried.
    people_failed: bool,
    /// When the status was read last.
    read_at: Option<Millis>,
}

impl Cluster {
    /// A machine that has not begun.
    ///
    /// # Errors
    /// When the object's status cannot be continued from.
    pub fn new(desired: Arc<Desired>, leader: Leader) -> Result<Self, RecordError> {
        let spec = &desired.cluster;
        Ok(Self {
            leader,
            rules: Rules::default(),
            mistakes: Mistakes::default(),
            members: Members::new(spec.spec.members),
            store: StatusStore::open(desired.object.clone())?,
            service: PrimaryService::new(spec.name.clone()),
            labels: PodLabels::default(),
            timeline: Timeline::default(),
            telemetry: Telemetry::new(&spec.namespace, &spec.name),
            effects: Vec::new(),
            writing: None,
            seq: 0,
            login: None,
            decision: Decision::default(),
            resumed: false,
            ended: false,
            began: None,
            no_acker_since: None,
            transition_seen: None,
            routed_at: None,
            service_error: None,
            people_at: None,
            people_failed: false,
            read_at: None,
            desired,
        })
    }

    /// The same with mistakes; only for tests that prove that they are noticed.
    #[doc(hidden)]
    #[must_use]
    pub fn with_mistakes(mut self, rules: Rules, mistakes: Mistakes) -> Self {
        self.members.err(mistakes);
        Self { rules, mistakes, ..self }
    }

    /// The record as this leader knows it.
    #[must_use]
    pub fn record(&self) -> &Record {
        self.store.record()
    }

    /// What was decided last.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// What decisions see of a member.
    #[must_use]
    pub fn view(&self, ordinal: Ordinal, now: Millis) -> Option<MemberView> {
        self.members.get(ordinal).map(|member| member.view(now))
    }

    /// When `turn` is to be called although nothing has happened: never later than half a second from now.
    #[must_use]
    pub fn wakes_at(&self, now: Millis) -> Millis {
        let tick = Millis(now.0.saturating_add(TICK_MS));
        let parts = [self.members.wakes_at(now), self.store.wakes_at(now), self.service.wakes_at(now)];
        parts.into_iter().flatten().fold(tick, Millis::min)
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, input: Input, at: Moment) {
        let now = at.now;
        match input {
            Input::Link { ordinal, event } => {
                for news in self.members.heard(ordinal, event, now) {
                    self.note(ordinal, &news, now);
                }
            }
            Input::Probe { ordinal, reading } => self.members.probed(ordinal, reading, now),
            Input::NewConnection { ordinal, begun, outcome } => {
                self.members.connection_tried(ordinal, begun, outcome);
            }
            Input::Pods(pods) => self.members.pods_seen(&pods, now),
            Input::Absent(why) => self.members.absent_seen(&why, now),
            Input::Desired(desired) => {
                self.store.shown(&desired.object);
                self.desired = desired;
            }
            Input::StatusWritten(result) => self.written(result, at),
            Input::StatusRead(result) => self.read(result, at),
            Input::StatusChecked(found) => {
                let found = found.as_ref().map(|found| found.as_ref().and_then(|found| found.status.as_ref()));
                match self.service.checked(found.map_err(Clone::clone), now) {
                    Ok(read) => self.effects.extend(read),
                    Err(error) => self.not_led(&error),
                }
            }
            Input::ServiceRead(found) => {
                let found = found.as_ref().map(|found| found.as_deref()).map_err(Clone::clone);
                let read = self.service.read(found, now);
                self.service_goes_on(read, now);
            }
            Input::ServiceWritten(result) => {
                let written = self.service.written(result, now);
                self.service_goes_on(written, now);
            }
            Input::ServiceChanged if self.mistakes.service_unchecked => {}
            Input::ServiceChanged => self.service.changed(),
        }
    }

    /// Says what is to be done now.
    pub fn turn(&mut self, at: Moment, fresh: Fresh) -> Vec<Effect> {
        self.began.get_or_insert(at.now);
        for (ordinal, news) in self.members.tick(at.now) {
            self.note(ordinal, &news, at.now);
        }
        if !self.ended {
            let read = self.service.poll(at.now);
            self.effects.extend(read);
            self.take_up(at);
            self.decide(at, fresh);
            let read = self.store.poll(at.now);
            self.effects.extend(read);
        }
        self.effects.extend(self.members.changes());
        self.effects.append(&mut self.telemetry.take());
        std::mem::take(&mut self.effects)
    }

    fn note(&mut self, ordinal: Ordinal, news: &News, now: Millis) {
        let term = self.store.record().term;
        self.telemetry.news(term, ordinal, news);
        if let News::Done { order, answer, .. } = news
            && let Some(milestone) = self.timeline.carried_out(ordinal, order, answer, now)
        {
            self.telemetry.milestone(term, &milestone, "");
        }
    }

    fn service_goes_on(&mut self, step: Result<ServiceStep, ServiceError>, now: Millis) {
        match step {
            Ok(ServiceStep::Nothing) => self.service_error = None,
            Ok(ServiceStep::Leads) => {
                self.service_error = None;
                self.routed_at = Some(now);
                if let Some(milestone) = self.timeline.service_switched(now) {
                    self.telemetry.milestone(self.store.record().term, &milestone, "");
                }
            }
            Err(error) => self.not_led(&error),
        }
    }

    /// Said once, not at every try.
    fn not_led(&mut self, error: &ServiceError) {
        if self.service_error.as_ref() != Some(error) {
            warn!(cluster = %self.desired.cluster, %error, "NAME-primary cannot be read or written; tried again");
            self.service_error = Some(error.clone());
        }
    }

    /// Takes up what an earlier leader left, once it is known where clients are led: the record as it stands.
    fn take_up(&mut self, at: Moment) {
        if self.resumed || !self.service.is_known() {
            return;
        }
        self.resumed = true;
        self.note_record(true, "taken over", at);
        let record = self.store.record();
        if record.transition.is_none() {
            self.effects.push(Effect::Failover(FailoverRecord::CompleteLeftOver(record.promoted_in)));
        }
    }

    /// Decides and acts, when the record is certain.
    fn decide(&mut self, at: Moment, fresh: Fresh) {
        if !self.resumed || !self.store.is_certain() {
            return;
        }
        let seen = self.observe(at, fresh);
        if outdated::proof(self.store.record(), &seen).is_some() && self.read_again(at.now) {
            return;
        }
        let decision = decide_with(self.rules, &self.desired.policy, self.store.record(), &seen);
        if self.store.record().durability != Durability::Enforced {
            // What comes in from now on counts, also while the write that says `Enforced` is under way.
            self.members.forget_weakness();
        }
        self.telemetry.decided(self.store.record(), &decision, at.now);
        match decision.acts.first() {
            Some(Act::Write { record, why }) => self.write(record, why, &seen, &decision, at),
            _ => {
                self.act(&decision, at.now);
                self.settle(&seen, &decision, at);
            }
        }
        self.decision = decision;
    }

    /// What seems to be older than the members may only be older than the status: it is read once more, not more often than
    /// time passes.
    fn read_again(&mut self, now: Millis) -> bool {
        let due = !self.rules.believes_the_past && self.read_at.is_none_or(|at| now.since(at) >= TICK_MS);
        if due {
            self.store.doubt();
        }
        due
    }

    fn observe(&mut self, at: Moment, fresh: Fresh) -> Observation {
        let now = at.now;
        let record = self.store.record();
        let mut seen = Observation {
            members: self.members.views(now),
            service_member: self.service.selected(),
            service_term: self.service.service_term(record.term),
            service_by_name_alone: self.service.selects_by_name_alone(),
            now,
            no_acker_since: None,
            status_since: self.store.since(),
            my_term: self.store.my_term(),
            fresh_uid: fresh.uid,
            fresh_login: self.login.get_or_insert(fresh.login).clone(),
        };
        // While no primary is at rest nobody can be connected to it: that time counts against no acker.
        let rests = record.transition.is_none() && record.primary.is_some();
        let alone = rests && !ackers::any_active(&self.desired.policy, record, &seen);
        self.no_acker_since = alone.then(|| self.no_acker_since.unwrap_or(now));
        seen.no_acker_since = self.no_acker_since;
        if let Some(primary) = record.primary.and_then(|primary| self.members.get(primary)) {
            self.timeline.primary_looks(primary.health(), now, at.wall);
        }
        if record.transition.is_some() || self.timeline.trouble_since().is_some() {
            self.transition_seen = Some(now);
        }
        let eager = self.transition_seen.is_some_and(|at| now.since(at) < EAGER_AFTER_MS);
        self.members.watch_closely(eager);
        if self.mistakes.never_in_doubt {
            self.members.doubt_nobody();
        }
        seen
    }

    /// Gives orders and leads clients.
    fn act(&mut self, decision: &Decision, now: Millis) {
        if !decision.acts.iter().any(|act| matches!(act, Act::SwitchService { .. })) {
            self.service.stay();
        }
        for act in &decision.acts {
            match act {
                Act::Write { .. } => {}
                Act::Order { member, order } => self.order(*member, order.clone(), now),
                Act::SwitchService { member } => {
                    let record = self.store.record();
                    let lead = Lead { member: *member, term: record.term, repair: record.transition.is_none() };
                    let call = self.service.lead_to(lead, now);
                    self.effects.extend(call);
                }
            }
        }
    }

    fn order(&mut self, ordinal: Ordinal, order: Order, now: Millis) {
        let record = self.store.record();
        let Some(data_uid) = record.data_uid.clone() else {
            error!(cluster = %self.desired.cluster, order = order.name(), "not given: the status has no data identity");
            return;
        };
        self.seq += 1;
        let token = Token { data_uid, term: record.term, seq: self.seq };
        let id = order_id(token.term, token.seq, &self.leader.identity);
        self.telemetry.ordered(record, token.seq, ordinal, &order);
        let effect = self.members.order(ordinal, id, token, order, now);
        self.effects.extend(effect);
    }
}

#[cfg(test)]
mod tests;
