//! Tells what happens: one log line a step, Events, numbers. Decides nothing and is never waited for.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use super::effect::{Count, Effect, News as Told};
use super::event_reason::EventReason;
use super::gauges::{Gauges, MemberGauges};
use super::member::{Member, News};
use super::pod::{UNSCHEDULABLE, with_remedy};
use super::timeline::{Milestone, Story};
use crate::api::status::ConditionType;
use crate::gtid::join_ranges;
use crate::orders::{Order, Ordinal, Term, member_name};
use crate::time::Millis;
use crate::topology::catch_up::CatchUp;
use crate::topology::decide::Decision;
use crate::topology::last_error_line;
use crate::topology::reasons::MemberState;
use crate::topology::record::Record;
use crate::topology::report::{MemberReport, Report, Role};
use crate::topology::transition::TransitionKind;

/// What stands in the way is told as an Event when it lasts: passing obstacles are part of every transition.
const BLOCKED_LASTS_MS: u64 = 2_000;

/// A catching up is told as an Event when it lasts.
const CATCHING_UP_LASTS_MS: u64 = 2_000;

/// Until the cluster has its first primary, waiting for images, volumes and mariadbd is no news: the conditions say it at
/// once, a Warning comes when it takes longer than it should.
const FIRST_START_MS: u64 = 60_000;
/// A pod that waits for a node gets one when its volume is there, usually.
const UNSCHEDULED_LASTS_MS: u64 = 30_000;

/// Messages with positions in them could go on for ever.
const MOST_TOLD: usize = 32;

/// Something has stood in the way without a break: since when, and what was told of it.
#[derive(Debug)]
struct Blocked {
    since: Millis,
    told: BTreeSet<String>,
}

/// The voice of one cluster.
#[derive(Debug)]
pub(crate) struct Telemetry {
    cluster: String,
    path: String,
    blocked: Option<Blocked>,
    /// The long catching up under way: since when, and whether it was told of.
    catching_up: Option<(Millis, bool)>,
    states: BTreeMap<Ordinal, MemberState>,
    pending: BTreeMap<Ordinal, Pending>,
    gauges: Gauges,
    shown: Option<Gauges>,
    effects: Vec<Effect>,
}

/// What keeps a member's pod from running: since when, and whether it was told of.
#[derive(Debug)]
struct Pending {
    reason: String,
    since: Millis,
    told: bool,
}

impl Telemetry {
    /// Speaks about a cluster.
    #[must_use]
    pub(crate) fn new(namespace: &str, cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            path: format!("{namespace}/{cluster}"),
            blocked: None,
            catching_up: None,
            states: BTreeMap::new(),
            pending: BTreeMap::new(),
            gauges: Gauges::default(),
            shown: None,
            effects: Vec::new(),
        }
    }

    /// What there is to tell, and the numbers when they have changed.
    pub(crate) fn take(&mut self) -> Vec<Effect> {
        // Before the first report nothing is known that could be shown.
        if !self.gauges.members.is_empty() && self.shown.as_ref() != Some(&self.gauges) {
            self.shown = Some(self.gauges.clone());
            self.effects.push(Effect::Show(Box::new(self.gauges.clone())));
        }
        std::mem::take(&mut self.effects)
    }

    fn event(&mut self, reason: EventReason, (term, subject): (Term, &str), note: String) {
        self.effects.push(Effect::Event(Told { reason, term, subject: subject.to_owned(), note }));
    }

    fn count(&mut self, count: Count) {
        self.effects.push(Effect::Count(count));
    }

    fn member(&self, ordinal: Ordinal) -> String {
        member_name(&self.cluster, ordinal)
    }

    /// Somebody else wrote the status.
    pub(crate) fn overwritten(&mut self, term: Term) {
        warn!(cluster = %self.path, %term, "somebody else wrote the status: what this operator wrote is put back");
        let note = "somebody else wrote the status: what the operator wrote last is put back under a new term";
        self.event(EventReason::StatusOverwritten, (term, ""), note.to_owned());
    }

    /// A member's news.
    pub(crate) fn news(&mut self, term: Term, ordinal: Ordinal, news: &News) {
        let member = self.member(ordinal);
        match news {
            News::Done { order, ms, .. } => {
                info!(cluster = %self.path, %member, %term, step = order.name(), ms, "order carried out");
            }
            News::Failed { order, error, count } => {
                let reason = format!("{:?}", error.reason);
                warn!(cluster = %self.path, %member, %term, step = order, count, reason, %error, "order failed");
            }
            News::Exited { status, message } => {
                warn!(cluster = %self.path, %member, %term, %status, "mariadbd exited");
                let how = last_error_line::of_exit(*status, message);
                self.event(EventReason::MariadbdExited, (term, &member), format!("{member}: {how}"));
                self.count(Count::MariadbdExit(ordinal));
            }
            News::Look => {}
        }
    }

    /// An order was given.
    pub(crate) fn ordered(&mut self, record: &Record, seq: u64, ordinal: Ordinal, order: &Order) {
        let (member, term) = (self.member(ordinal), record.term);
        info!(cluster = %self.path, %member, %term, seq, step = order.name(), "order given");
        if *order == Order::Fence && record.primary != Some(ordinal) {
            let note = format!(
                "{member} could take writes (its read_only was off) and is not the primary: its mariadbd is killed, so \
                 that waiting commits get no answer, and starts again as a replica"
            );
            warn!(cluster = %self.path, %member, %term, note, "fenced");
            self.event(EventReason::MemberFenced, (term, &member), note);
        }
    }

    /// The record changed.
    pub(crate) fn written(&mut self, before: &Record, after: &Record, why: &str) {
        let term = after.term;
        info!(cluster = %self.path, %term, step = "record", why, "status written");
        if before.durability != after.durability {
            let note = format!("{:?} → {:?}: {why}", before.durability, after.durability);
            self.event(EventReason::DurabilityChanged, (term, &format!("{:?}", after.durability)), note);
        }
    }

    /// Members that are not promoted, and why, when another one is.
    pub(crate) fn passed_over(&self, term: Term, rejected: &[String]) {
        for why in rejected {
            warn!(cluster = %self.path, %term, step = "passed-over", why, "not promoted");
        }
    }

    /// A transition went on.
    pub(crate) fn milestone(&mut self, term: Term, milestone: &Milestone, why: &str) {
        match milestone {
            Milestone::Began => info!(cluster = %self.path, %term, step = "began", why, "transition"),
            Milestone::Passed(point, ms) => {
                info!(cluster = %self.path, %term, step = point.as_str(), ms, "transition");
                self.count(Count::Reached(*point, *ms));
            }
            Milestone::Ended(story) => self.ended(story),
        }
    }

    /// A failover was announced.
    pub(crate) fn failover_began(&mut self, story: &Story, why: &str) {
        self.event(EventReason::FailoverStarted, (story.term, ""), why.to_owned());
    }

    fn ended(&mut self, story: &Story) {
        let to = story.to.map(|ordinal| self.member(ordinal)).unwrap_or_default();
        let from = story.from.map(|ordinal| self.member(ordinal)).unwrap_or_default();
        let outage = story.outage_ms().unwrap_or_default();
        let about = (story.term, "");
        info!(cluster = %self.path, term = %story.term, from, to, outage, kind = ?story.kind, "transition ended");
        match story.kind {
            TransitionKind::Initialise => self.event(EventReason::Initialised, about, format!("{to} is the primary")),
            TransitionKind::Resume => self.event(EventReason::Resumed, about, format!("{to} is the primary again")),
            TransitionKind::Failover => {
                let salvaged = story.salvaged();
                if !salvaged.is_empty() {
                    let note = format!("{} read from {from}'s binary log", join_ranges(&salvaged));
                    self.event(EventReason::TailSalvaged, about, note);
                }
                self.event(EventReason::Promoted, about, format!("{to} is the primary"));
                self.event(EventReason::FailoverComplete, about, format!("{from} → {to} in {outage} ms"));
                self.count(Count::Failover);
            }
        }
    }

    /// What stands in the way or takes its time, after every decision.
    pub(crate) fn decided(&mut self, record: &Record, decision: &Decision, now: Millis) {
        let term = record.term;
        self.catches_up(term, decision.progress, now);
        let Some(message) = decision.blocked.as_ref().map(ToString::to_string) else {
            self.blocked = None;
            self.gauges.blocked_ms = 0;
            return;
        };
        let mut blocked = self.blocked.take().unwrap_or(Blocked { since: now, told: BTreeSet::new() });
        let lasted = now.since(blocked.since);
        self.gauges.blocked_ms = lasted;
        let patience = if is_first_start(record) { FIRST_START_MS } else { BLOCKED_LASTS_MS };
        if lasted >= patience && blocked.told.len() < MOST_TOLD && blocked.told.insert(message.clone()) {
            warn!(cluster = %self.path, %term, step = "blocked", message, rejected = ?decision.rejected, "blocked");
            self.event(EventReason::Blocked, (term, ""), message);
        }
        self.blocked = Some(blocked);
    }

    fn catches_up(&mut self, term: Term, progress: Option<CatchUp>, now: Millis) {
        let Some(progress) = progress else {
            self.catching_up = None;
            return;
        };
        let (since, told) = self.catching_up.unwrap_or((now, false));
        let tell = !told && now.since(since) >= CATCHING_UP_LASTS_MS;
        if tell {
            let name = self.member(progress.member);
            info!(cluster = %self.path, member = name, %term, step = "catching-up", %progress, "transition");
            self.event(EventReason::CatchingUp, (term, &name), format!("{name} {progress}"));
        }
        self.catching_up = Some((since, told || tell));
    }

    /// What keeps a member's pod from running.
    pub(crate) fn troubled(&mut self, term: Term, member: &Member, now: Millis) {
        let ordinal = member.ordinal();
        let Some(trouble) = member.trouble(now) else {
            self.pending.remove(&ordinal);
            return;
        };
        let known = self.pending.remove(&ordinal).filter(|known| known.reason == trouble.reason);
        let mut pending = known.unwrap_or_else(|| Pending { reason: trouble.reason.clone(), since: now, told: false });
        let patience = if trouble.reason == UNSCHEDULABLE { UNSCHEDULED_LASTS_MS } else { 0 };
        if !pending.told && now.since(pending.since) >= patience {
            pending.told = true;
            let name = self.member(ordinal);
            let note = format!("{name}: {}: {}", trouble.reason, with_remedy(trouble));
            self.event(EventReason::MemberPending, (term, &name), note);
        }
        self.pending.insert(ordinal, pending);
    }

    /// The newest report: gauges, and Events for members whose state changed.
    pub(crate) fn reported(&mut self, record: &Record, report: &Report) {
        self.gauges.members = report.members.iter().map(MemberGauges::of).collect();
        for member in &report.members {
            let before = self.states.insert(member.ordinal, member.state);
            if before.is_some_and(|before| before != member.state) {
                self.state_changed(record.term, member);
            }
        }
        let ready = |condition: &crate::topology::report::Condition| {
            condition.kind == ConditionType::FailoverReady.as_str() && condition.status
        };
        self.gauges.failover_ready = report.conditions.iter().any(ready);
        self.gauges.durability = record.data_uid.is_some().then_some(record.durability);
    }

    fn state_changed(&mut self, term: Term, member: &MemberReport) {
        let name = self.member(member.ordinal);
        let message = member.message.clone().unwrap_or_default();
        info!(cluster = %self.path, member = name, %term, state = %member.state, reason = ?member.reason, message, "member");
        match (member.state, member.role) {
            (MemberState::Quarantined | MemberState::Refused, _) => {
                self.event(EventReason::MemberQuarantined, (term, &name), format!("{name}: {message}"));
            }
            (MemberState::Ready, Role::Replica) => {
                self.event(EventReason::MemberRejoined, (term, &name), format!("{name} follows the primary"));
            }
            _ => {}
        }
    }
}

/// True until there is data and a primary for it.
fn is_first_start(record: &Record) -> bool {
    let transition = record.transition.as_ref();
    record.data_uid.is_none() || transition.is_some_and(|transition| transition.kind() == TransitionKind::Initialise)
}
