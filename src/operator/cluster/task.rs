//! The loop: on any input put the observation together, decide, act.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::book::BookError;
use super::chronicle::{Chapter, Chronicle, Point};
use super::input::Input;
use super::member::{self, News};
use super::parts::{Leader, Parts};
use super::people::{self, Scene};
use super::pod_labels::{SETTLED_MS, Wanted};
use super::record;
use super::router::Lead;
use super::wish::Wish;
use crate::api::ClusterStatus;
use crate::operator::passwords;
use crate::orders::{DataUid, Order, Ordinal, Secret, Token};
use crate::topology::ackers;
use crate::topology::decide::{Act, Decision, decide};
use crate::topology::observation::{Millis, Observation};
use crate::topology::outdated;
use crate::topology::record::{Record, Step, TransitionKind};
use crate::topology::report::{Report, report};

/// A decision is taken at least this often, for what changes by the mere passing of time.
const TICK_MS: u64 = 500;
const TICK: Duration = Duration::from_millis(TICK_MS);
/// Probes go on looking often for this long after a transition: members are being brought back.
const EAGER_AFTER_MS: u64 = 3_000;
/// Writes that follow from one another are done without waiting for news in between; more in a row would be a fault.
const WRITES_IN_A_ROW: usize = 8;
/// Pause after a status write or read that failed.
const BOOK_PAUSE: Duration = Duration::from_millis(200);
/// Status for people is written at most this often.
const PEOPLE_MS: u64 = 1_000;
/// The same when the cluster becomes ready, or no longer is: a trouble that is over within a second is seen, too.
const TURN_MS: u64 = 100;
/// So long a new leader does not take back what its predecessor has said of a cluster that is ready: its first readings come in.
const SETTLES_IN_MS: u64 = 3_000;

/// The task of one cluster.
pub struct ClusterTask {
    parts: Parts,
    leader: Leader,
    wish: Arc<Wish>,
    inputs: mpsc::UnboundedReceiver<Input>,
    chronicle: Chronicle,
    seq: u64,
    login: (String, Secret),
    no_acker_since: Option<Millis>,
    transition_seen: Option<Millis>,
    routed_at: Option<Millis>,
    people_at: Option<Millis>,
    /// That write failed: the next one is not hurried.
    people_failed: bool,
    doubted_at: Option<Millis>,
    began: Millis,
}

impl ClusterTask {
    /// A task that has not begun.
    #[must_use]
    pub fn new(parts: Parts, leader: Leader, wish: Arc<Wish>, inputs: mpsc::UnboundedReceiver<Input>) -> Self {
        Self {
            began: leader.clock.now(),
            parts,
            leader,
            wish,
            inputs,
            chronicle: Chronicle::default(),
            seq: 0,
            login: login(),
            no_acker_since: None,
            transition_seen: None,
            routed_at: None,
            people_at: None,
            people_failed: false,
            doubted_at: None,
        }
    }

    /// Works until the object is gone.
    pub async fn run(mut self) {
        self.resume().await;
        loop {
            if self.step().await.is_err() {
                return;
            }
            self.wait().await;
        }
    }

    fn now(&self) -> Millis {
        self.leader.clock.now()
    }

    /// Takes up what an earlier leader left: the record as it stands.
    async fn resume(&mut self) {
        while let Err(error) = self.parts.router.look().await {
            warn!(cluster = %self.wish.cluster, %error, "cannot read where clients are led");
            sleep(BOOK_PAUSE).await;
        }
        self.note_record(true, "taken over");
        let record = self.parts.book.record();
        if record.transition.is_none() {
            self.parts.failovers.complete_left_over_soon(record.promoted_in);
        }
    }

    /// Waits for an input, at most until something changes by itself, and takes in everything that has come.
    async fn wait(&mut self) {
        let now = self.now();
        let due = self.parts.crew.wakes_at(now).map_or(TICK, |at| self.leader.clock.until(at));
        if let Ok(Some(input)) = timeout(due.min(TICK), self.inputs.recv()).await {
            self.take_in(input);
        }
        self.take_in_all();
    }

    fn take_in_all(&mut self) {
        while let Ok(input) = self.inputs.try_recv() {
            self.take_in(input);
        }
        let now = self.now();
        for (ordinal, news) in self.parts.crew.tick(now) {
            self.note(ordinal, &news, now);
        }
    }

    fn take_in(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Link { ordinal, event } => {
                for news in self.parts.crew.heard(ordinal, event, now) {
                    self.note(ordinal, &news, now);
                }
            }
            Input::Probe { ordinal, reading } => self.parts.crew.probed(ordinal, reading, now),
            Input::Newcomer { ordinal, begun, outcome } => self.parts.crew.newcomer(ordinal, begun, outcome),
            Input::Pods(pods) => self.parts.crew.pods_seen(&pods, now),
            Input::Absent(why) => self.parts.crew.absent_seen(&why, now),
            Input::Wish(wish) => {
                self.parts.book.refresh(&wish.object);
                self.wish = wish;
            }
            Input::Routed(result) => self.note_route(result, now),
            Input::ServiceChanged => self.parts.router.look_soon(),
            Input::Led(led) => self.parts.router.seen(led),
        }
    }

    fn note(&mut self, ordinal: Ordinal, news: &News, now: Millis) {
        let term = self.parts.book.record().term;
        self.parts.narrator.news(term, ordinal, news);
        if let News::Done { order, answer, .. } = news
            && let Some(chapter) = self.chronicle.carried_out(ordinal, order, answer, now)
        {
            self.parts.narrator.chapter(term, &chapter, "");
        }
    }

    fn note_route(&mut self, result: Result<Ordinal, String>, now: Millis) {
        self.parts.router.ended(&result, self.parts.book.record().term);
        match result {
            Ok(_) => {
                self.routed_at = Some(now);
                if let Some(chapter) = self.chronicle.routed(now) {
                    self.parts.narrator.chapter(self.parts.book.record().term, &chapter, "");
                }
            }
            Err(error) => {
                warn!(cluster = %self.wish.cluster, %error, "NAME-primary was not written; it is tried again")
            }
        }
    }

    /// Decides and acts until there is nothing more to do at once.
    ///
    /// # Errors
    /// When the object is gone.
    async fn step(&mut self) -> Result<(), Gone> {
        for _ in 0..WRITES_IN_A_ROW {
            if self.leader.leadership.remaining().is_zero() {
                return Ok(());
            }
            if !self.parts.book.is_certain() && !self.reload().await? {
                return Ok(());
            }
            let seen = self.observe();
            if outdated::proof(self.parts.book.record(), &seen).is_some() && self.read_again(seen.now) {
                continue;
            }
            let decision = decide(&self.wish.policy, self.parts.book.record(), &seen);
            self.parts.narrator.decided(self.parts.book.record(), &decision, seen.now);
            match decision.acts.first() {
                Some(Act::Write { record, why }) => self.write(record, why, &seen, &decision).await,
                _ => {
                    self.act(&decision);
                    self.settle(&seen, &decision).await;
                    return Ok(());
                }
            }
            self.take_in_all();
        }
        Ok(())
    }

    /// What seems to be older than the members may only be older than the status: it is read once more, not more often than
    /// time passes.
    fn read_again(&mut self, now: Millis) -> bool {
        let due = self.doubted_at.is_none_or(|at| now.since(at) >= TICK_MS);
        if due {
            self.doubted_at = Some(now);
            self.parts.book.doubt();
        }
        due
    }

    async fn reload(&mut self) -> Result<bool, Gone> {
        let before = self.parts.book.record().clone();
        match self.parts.book.reload().await {
            Ok(overwritten) => {
                if overwritten {
                    self.parts.narrator.overwritten(before.term);
                }
                self.record_changed(&before);
                if before != *self.parts.book.record() {
                    self.note_record(true, "read again");
                }
                Ok(true)
            }
            Err(BookError::Gone { name }) => {
                info!(name, "the object is gone; its task ends");
                Err(Gone)
            }
            Err(error) => {
                error!(cluster = %self.wish.cluster, %error, "the record cannot be read");
                sleep(BOOK_PAUSE).await;
                Ok(false)
            }
        }
    }

    fn observe(&mut self) -> Observation {
        let now = self.now();
        let mut seen = Observation {
            members: self.parts.crew.views(now),
            routed: self.parts.router.routed(),
            routed_in: self.parts.router.routed_in(self.parts.book.record().term),
            now,
            no_acker_since: None,
            my_term: self.parts.book.my_term(),
            fresh_uid: DataUid(Uuid::new_v4().to_string()),
            fresh_login: self.login.clone(),
        };
        let record = self.parts.book.record();
        // While no primary is at rest nobody can be connected to it: that time counts against no acker.
        let rests = record.transition.is_none() && record.primary.is_some();
        let alone = rests && !ackers::any_active(record, &seen);
        self.no_acker_since = alone.then(|| self.no_acker_since.unwrap_or(now));
        seen.no_acker_since = self.no_acker_since;
        if let Some(primary) = record.primary.and_then(|primary| self.parts.crew.member(primary)) {
            self.chronicle.primary_looks(primary.health(), now, Timestamp::now());
        }
        if record.transition.is_some() || self.chronicle.trouble_since().is_some() {
            self.transition_seen = Some(now);
        }
        let eager = self.transition_seen.is_some_and(|at| now.since(at) < EAGER_AFTER_MS);
        self.parts.crew.watch_closely(eager);
        seen
    }

    /// One status write with the next record.
    async fn write(&mut self, next: &Record, why: &str, seen: &Observation, decision: &Decision) {
        let before = self.parts.book.record().clone();
        let mut status = self.compose(next, seen, decision);
        record::write(&self.wish.cluster.name, next, &mut status, Timestamp::now());
        match self.parts.book.write(next.clone(), status).await {
            Ok(()) => {
                self.people_at = Some(self.now());
                self.parts.narrator.written(&before, next, why);
                self.record_changed(&before);
                if next.transition.as_ref().is_some_and(|transition| transition.step == Step::Promoting) {
                    self.parts.narrator.passed_over(next.term, &decision.rejected);
                    self.chronicle.passed_over(&decision.rejected);
                }
                self.note_record(false, why);
            }
            Err(error) => {
                warn!(cluster = %self.wish.cluster, term = %next.term, why, %error, "status not written; it is read again");
                // After a conflict the object is read at once; an API server in trouble gets a pause.
                if !error.is_conflict() {
                    sleep(BOOK_PAUSE).await;
                }
            }
        }
    }

    fn record_changed(&mut self, before: &Record) {
        if before.term != self.parts.book.record().term {
            self.parts.crew.enter_term();
            self.login = login();
        }
    }

    /// Follows the record into the chronicle.
    fn note_record(&mut self, resumed: bool, why: &str) {
        let (now, wall) = (self.now(), Timestamp::now());
        let record = self.parts.book.record();
        for chapter in self.chronicle.recorded(record, resumed, now, wall) {
            self.parts.narrator.chapter(record.term, &chapter, why);
            match chapter {
                Chapter::Began => {
                    self.chronicle.because(why.to_owned());
                    let failover = self.chronicle.story().filter(|story| story.kind == TransitionKind::Failover);
                    if let Some(story) = failover.filter(|_| !resumed) {
                        self.parts.narrator.failover_began(story, why);
                    }
                }
                Chapter::Passed(Point::Committed, _) => {
                    if let Some(story) = self.chronicle.story() {
                        self.parts.failovers.begin_soon(story);
                    }
                }
                Chapter::Passed(..) => {}
                Chapter::Ended(story) => self.parts.failovers.complete_soon(*story),
            }
        }
    }

    /// Starts orders and routes.
    fn act(&mut self, decision: &Decision) {
        for act in &decision.acts {
            match act {
                Act::Write { .. } => {}
                Act::Order { member, order } => self.order(*member, order.clone()),
                Act::Route { member } => self.lead_to(*member),
            }
        }
    }

    fn lead_to(&mut self, member: Ordinal) {
        let record = self.parts.book.record();
        let lead = Lead { member, term: record.term, repair: record.transition.is_none() };
        self.parts.router.lead_to(lead);
    }

    fn order(&mut self, ordinal: Ordinal, order: Order) {
        let record = self.parts.book.record();
        let Some(data_uid) = record.data_uid.clone() else {
            error!(cluster = %self.wish.cluster, order = order.name(), "an order without data identity is not given");
            return;
        };
        let now = self.now();
        self.seq += 1;
        let token = Token { data_uid, term: record.term, seq: self.seq };
        let id = member::order_id(token.term, token.seq, &self.leader.identity);
        self.parts.narrator.ordered(record, token.seq, ordinal, &order);
        self.parts.crew.order(ordinal, id, token, order, now);
    }

    /// What may wait: status for people, labels. Not while a transition has its own writes to do.
    async fn settle(&mut self, seen: &Observation, decision: &Decision) {
        let told = report(&self.wish.policy, self.parts.book.record(), seen, decision);
        self.parts.narrator.reported(self.parts.book.record(), &told);
        for member in self.parts.crew.members() {
            self.parts.narrator.troubled(self.parts.book.record().term, member, seen.now);
        }
        let promoting = self.chronicle.story().is_some_and(|story| story.kind != TransitionKind::Initialise);
        if promoting && decision.blocked.is_none() && decision.progress.is_none() {
            return;
        }
        self.put_labels(seen);
        let turns = !self.people_failed && people::turns(&told, &self.parts.book.status());
        let pause = if turns { TURN_MS } else { PEOPLE_MS };
        if self.people_at.is_some_and(|at| seen.now.since(at) < pause) {
            return;
        }
        let record = self.parts.book.record().clone();
        let status = self.compose(&record, seen, decision);
        if status == self.parts.book.status() {
            return;
        }
        self.people_at = Some(seen.now);
        let written = self.parts.book.write(record, status).await;
        self.people_failed = written.is_err();
        if let Err(error) = written {
            warn!(cluster = %self.wish.cluster, %error, "status not written; it is read again");
        }
    }

    fn compose(&self, record: &Record, seen: &Observation, decision: &Decision) -> ClusterStatus {
        let told = report(&self.wish.policy, record, seen, decision);
        let scene = Scene {
            wish: &self.wish,
            manager: &self.leader.manager,
            members: &seen.members,
            pods: self.parts.crew.members().map(super::member::Member::pod).collect(),
            troubles: self.parts.crew.members().map(|member| member.trouble(seen.now)).collect(),
            now: Timestamp::now(),
        };
        let mut status = self.parts.book.status();
        if !self.is_settling_in(record, &told, seen.now) {
            people::tell(&mut status, &told, &scene);
        }
        status
    }

    /// The cluster was ready and rests, and this leader has only just begun to look.
    fn is_settling_in(&self, record: &Record, told: &Report, now: Millis) -> bool {
        record.transition.is_none()
            && now.since(self.began) < SETTLES_IN_MS
            && people::turns(told, &self.parts.book.status())
            && people::is_ready(&self.parts.book.status())
    }

    fn put_labels(&mut self, seen: &Observation) {
        let settled = self.routed_at.is_none_or(|at| seen.now.since(at) >= SETTLED_MS);
        let record = self.parts.book.record();
        if !settled || record.transition.is_some() || self.chronicle.trouble_since().is_some() {
            return;
        }
        let Some(primary) = record.primary else { return };
        let max_lag = self.wish.cluster.spec.max_lag.as_secs();
        for view in &seen.members {
            let pod = self.parts.crew.member(view.ordinal).and_then(super::member::Member::pod);
            if let (Some(pod), Some(wanted)) = (pod, Wanted::of(view, view.ordinal == primary, max_lag)) {
                self.parts.labels.put(pod, wanted, seen.now);
            }
        }
    }
}

/// The object was deleted.
struct Gone;

/// A login for binlog servers, new in every term.
fn login() -> (String, Secret) {
    (format!("beachmaster_tail_{}", passwords::random(8)), Secret(passwords::random(32)))
}
