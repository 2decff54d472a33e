//! Tells what happens: one log line a step, Events, metrics. Decides nothing and is never waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{info, warn};

use super::chronicle::{Chapter, Story};
use super::member::{Member, News};
use super::people::with_remedy;
use super::pods::UNSCHEDULABLE;
use crate::api::ReplicationCluster;
use crate::api::status::ConditionType;
use crate::api::validate::member_name;
use crate::gtid::join_ranges;
use crate::operator::events::{Events, Reason};
use crate::operator::metrics::{ClusterLabels, MemberLabels, Metrics, RoleLabels, WordLabels};
use crate::orders::{Order, Ordinal, Term};
use crate::topology::complaint;
use crate::topology::decide::Decision;
use crate::topology::observation::Millis;
use crate::topology::progress::CatchUp;
use crate::topology::record::{Durability, Record, TransitionKind};
use crate::topology::report::{MemberReport, Report, Role};
use crate::topology::words::MemberState;

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
struct Blocked {
    since: Millis,
    told: BTreeSet<String>,
}

/// The voice of one cluster.
pub struct Narrator {
    object: ReplicationCluster,
    namespace: String,
    cluster: String,
    path: String,
    events: Events,
    metrics: Arc<Metrics>,
    blocked: Option<Blocked>,
    /// The long catching up under way: since when, and whether it was told of.
    catching_up: Option<(Millis, bool)>,
    states: BTreeMap<Ordinal, MemberState>,
    pending: BTreeMap<Ordinal, Pending>,
}

/// What keeps a member's pod from running: since when, and whether it was told of.
struct Pending {
    reason: String,
    since: Millis,
    told: bool,
}

impl Narrator {
    /// Speaks about `object`.
    #[must_use]
    pub fn new(object: ReplicationCluster, events: Events, metrics: Arc<Metrics>) -> Self {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let cluster = object.metadata.name.clone().unwrap_or_default();
        let path = format!("{namespace}/{cluster}");
        Self {
            object,
            namespace,
            cluster,
            path,
            events,
            metrics,
            blocked: None,
            catching_up: None,
            states: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    fn event(&self, reason: Reason, about: (Term, &str), note: String) {
        self.events.publish(&self.object, reason, about, note);
    }

    fn member(&self, ordinal: Ordinal) -> String {
        member_name(&self.cluster, ordinal)
    }

    fn word(&self, value: &str) -> WordLabels {
        WordLabels { namespace: self.namespace.clone(), cluster: self.cluster.clone(), value: value.to_owned() }
    }

    fn labels(&self) -> ClusterLabels {
        ClusterLabels { namespace: self.namespace.clone(), cluster: self.cluster.clone() }
    }

    fn member_labels(&self, ordinal: Ordinal) -> MemberLabels {
        let member = self.member(ordinal);
        MemberLabels { namespace: self.namespace.clone(), cluster: self.cluster.clone(), member }
    }

    fn role_labels(&self, ordinal: Ordinal) -> [(Role, RoleLabels); 2] {
        let MemberLabels { namespace, cluster, member } = self.member_labels(ordinal);
        let labels = |role: &str| RoleLabels {
            namespace: namespace.clone(),
            cluster: cluster.clone(),
            member: member.clone(),
            role: role.to_owned(),
        };
        [(Role::Primary, labels("primary")), (Role::Replica, labels("replica"))]
    }

    /// Somebody else wrote the status.
    pub fn overwritten(&self, term: Term) {
        warn!(cluster = %self.path, %term, "somebody else wrote the status: what this operator wrote is put back");
        let note = "somebody else wrote the status: what the operator wrote last is put back under a new term";
        self.event(Reason::StatusOverwritten, (term, ""), note.to_owned());
    }

    /// A member's news.
    pub fn news(&self, term: Term, ordinal: Ordinal, news: &News) {
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
                let how = complaint::of_exit(*status, message);
                self.event(Reason::MariadbdExited, (term, &member), format!("{member}: {how}"));
                self.metrics.mariadbd_exits.get_or_create(&self.member_labels(ordinal)).inc();
            }
            News::Look => {}
        }
    }

    /// An order was given.
    pub fn ordered(&self, record: &Record, seq: u64, ordinal: Ordinal, order: &Order) {
        let (member, term) = (self.member(ordinal), record.term);
        info!(cluster = %self.path, %member, %term, seq, step = order.name(), "order given");
        if *order == Order::Fence && record.primary != Some(ordinal) {
            let note = format!(
                "{member} could take writes (its read_only was off) and is not the primary: its mariadbd is killed, which \
                 answers nobody who still waits, and starts again as a replica"
            );
            warn!(cluster = %self.path, %member, %term, note, "fenced");
            self.event(Reason::MemberFenced, (term, &member), note);
        }
    }

    /// The record changed.
    pub fn written(&self, before: &Record, after: &Record, why: &str) {
        let term = after.term;
        info!(cluster = %self.path, %term, step = "record", why, "status written");
        if before.durability != after.durability {
            let note = format!("{:?} → {:?}: {why}", before.durability, after.durability);
            self.event(Reason::DurabilityChanged, (term, &format!("{:?}", after.durability)), note);
        }
    }

    /// Members that are not promoted, and why, when another one is.
    pub fn passed_over(&self, term: Term, rejected: &[String]) {
        for why in rejected {
            warn!(cluster = %self.path, %term, step = "passed-over", why, "not promoted");
        }
    }

    /// A transition went on.
    pub fn chapter(&self, term: Term, chapter: &Chapter, why: &str) {
        match chapter {
            Chapter::Began => info!(cluster = %self.path, %term, step = "began", why, "transition"),
            Chapter::Passed(point, ms) => {
                info!(cluster = %self.path, %term, step = point.as_str(), ms, "transition");
                let seconds = std::time::Duration::from_millis(*ms).as_secs_f64();
                self.metrics.transition_seconds.get_or_create(&self.word(point.as_str())).observe(seconds);
            }
            Chapter::Ended(story) => self.ended(story),
        }
    }

    /// A failover was announced.
    pub fn failover_began(&self, story: &Story, why: &str) {
        let from = story.from.map(|ordinal| self.member(ordinal)).unwrap_or_default();
        self.event(Reason::FailoverStarted, (story.term, ""), format!("{from}: {why}"));
    }

    fn ended(&self, story: &Story) {
        let to = story.to.map(|ordinal| self.member(ordinal)).unwrap_or_default();
        let from = story.from.map(|ordinal| self.member(ordinal)).unwrap_or_default();
        let outage = story.outage_ms().unwrap_or_default();
        let about = (story.term, "");
        info!(cluster = %self.path, term = %story.term, from, to, outage, kind = ?story.kind, "transition ended");
        match story.kind {
            TransitionKind::Initialise => self.event(Reason::Initialised, about, format!("{to} is the primary")),
            TransitionKind::Resume => self.event(Reason::Resumed, about, format!("{to} is the primary again")),
            TransitionKind::Failover => {
                let salvaged = story.salvaged();
                if !salvaged.is_empty() {
                    let note = format!("{} read from {from}'s binary log", join_ranges(&salvaged));
                    self.event(Reason::TailSalvaged, about, note);
                }
                self.event(Reason::Promoted, about, format!("{to} is the primary"));
                self.event(Reason::FailoverComplete, about, format!("{from} → {to} in {outage} ms"));
                self.metrics.failovers.get_or_create(&self.word("Promoted")).inc();
            }
        }
    }

    /// What stands in the way or takes its time, after every decision.
    pub fn decided(&mut self, record: &Record, decision: &Decision, now: Millis) {
        let term = record.term;
        self.catches_up(term, decision.progress, now);
        let Some(message) = &decision.blocked else {
            self.blocked = None;
            self.metrics.blocked_seconds.get_or_create(&self.labels()).set(0.0);
            return;
        };
        let mut blocked = self.blocked.take().unwrap_or(Blocked { since: now, told: BTreeSet::new() });
        let lasted = now.since(blocked.since);
        let seconds = std::time::Duration::from_millis(lasted).as_secs_f64();
        self.metrics.blocked_seconds.get_or_create(&self.labels()).set(seconds);
        let patience = if is_first_start(record) { FIRST_START_MS } else { BLOCKED_LASTS_MS };
        if lasted >= patience && blocked.told.len() < MOST_TOLD && blocked.told.insert(message.clone()) {
            warn!(cluster = %self.path, %term, step = "blocked", message, rejected = ?decision.rejected, "blocked");
            self.event(Reason::Blocked, (term, ""), message.clone());
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
            self.event(Reason::CatchingUp, (term, &name), progress.to_string());
        }
        self.catching_up = Some((since, told || tell));
    }

    /// What keeps a member's pod from running.
    pub fn troubled(&mut self, term: Term, member: &Member, now: Millis) {
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
            self.event(Reason::MemberPending, (term, &name), note);
        }
        self.pending.insert(ordinal, pending);
    }

    /// The newest report: gauges, and Events for members whose state changed.
    pub fn reported(&mut self, record: &Record, report: &Report) {
        for member in &report.members {
            let labels = self.member_labels(member.ordinal);
            self.metrics.member_up.get_or_create(&labels).set(i64::from(member.state == MemberState::Ready));
            match member.lag_s.and_then(|lag| u32::try_from(lag).ok()) {
                Some(lag) => {
                    self.metrics.lag.get_or_create(&labels).set(lag.into());
                }
                None => {
                    self.metrics.lag.remove(&labels);
                }
            }
            for (role, labels) in self.role_labels(member.ordinal) {
                self.metrics.role.get_or_create(&labels).set(i64::from(member.role == role));
            }
            let before = self.states.insert(member.ordinal, member.state);
            if before.is_some_and(|before| before != member.state) {
                self.state_changed(record.term, member);
            }
        }
        let ready = report
            .conditions
            .iter()
            .any(|condition| condition.kind == ConditionType::FailoverReady.as_str() && condition.status);
        self.metrics.failover_ready.get_or_create(&self.labels()).set(i64::from(ready));
        for durability in Durability::ALL {
            let holds = i64::from(record.data_uid.is_some() && record.durability == durability);
            self.metrics.durability.get_or_create(&self.word(&format!("{durability:?}"))).set(holds);
        }
    }

    fn state_changed(&self, term: Term, member: &MemberReport) {
        let name = self.member(member.ordinal);
        let message = member.message.clone().unwrap_or_default();
        info!(cluster = %self.path, member = name, %term, state = %member.state, reason = ?member.reason, message, "member");
        match (member.state, member.role) {
            (MemberState::Quarantined | MemberState::Refused, _) => {
                self.event(Reason::MemberQuarantined, (term, &name), format!("{name}: {message}"));
            }
            (MemberState::Ready, Role::Replica) => {
                self.event(Reason::MemberRejoined, (term, &name), format!("{name} follows the primary"));
            }
            _ => {}
        }
    }
}

/// True until there is data and a primary for it.
fn is_first_start(record: &Record) -> bool {
    let transition = record.transition.as_ref();
    record.data_uid.is_none() || transition.is_some_and(|transition| transition.kind == TransitionKind::Initialise)
}

/// A cluster nobody watches any more, or another process does, is not told of. What was counted stays.
impl Drop for Narrator {
    fn drop(&mut self) {
        for ordinal in self.states.keys() {
            let labels = self.member_labels(*ordinal);
            self.metrics.member_up.remove(&labels);
            self.metrics.lag.remove(&labels);
            for (_, labels) in self.role_labels(*ordinal) {
                self.metrics.role.remove(&labels);
            }
        }
        self.metrics.failover_ready.remove(&self.labels());
        self.metrics.blocked_seconds.remove(&self.labels());
        for durability in Durability::ALL {
            self.metrics.durability.remove(&self.word(&format!("{durability:?}")));
        }
    }
}
