//! What the orders of the present term have reached on a member.

use std::collections::{BTreeMap, BTreeSet};

use crate::gtid::GtidPosition;
use crate::orders::{Answer, Frozen, Incarnation, LogEvidence, Order, OrderError, Ordinal, Reason, Source};
use crate::time::Millis;

/// After this many failures in a row within one term a member is passed over: one may be chance, three are a state.
pub(crate) const FAILURES_TO_REJECT: u32 = 3;

/// Name of the order, which agents of the first release do not know.
pub(crate) const MAINTAIN: &str = "maintain";

/// True when this outcome shows that a member that stumbled is as good a candidate as any: it caught up, or follows the new
/// primary.
#[must_use]
pub(crate) fn is_fit_again(order: &Order, answer: &Answer) -> bool {
    matches!(
        (order, answer),
        (_, Answer::Applied { reached: true, .. }) | (Order::Follow { wait: None, .. }, Answer::Done)
    )
}

/// Orders that say nothing about whether a member can be promoted: an agent of an earlier release does not know them.
/// `unstick` is the primary's trouble as much as the member's; a backup's lock keeps `readmit-acker` waiting.
const UPKEEP: [&str; 5] = ["reconnect", "reset-semi-sync", "unstick", "readmit-acker", MAINTAIN];

/// A binlog server that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Serving {
    /// Its port.
    pub(crate) port: u16,
    /// Where its stream ends.
    pub(crate) end: GtidPosition,
    /// About what it holds that the candidate lacks.
    pub(crate) bytes: Option<u64>,
}

/// An order of a member that failed, until it succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Name of the order.
    pub(crate) order: &'static str,
    /// What the agent said, or what became of the stream.
    pub(crate) error: OrderError,
    /// How often in a row.
    pub(crate) count: u32,
}

/// What was reached on a member in the present term; forgotten when the term changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemberProgress {
    /// Its mariadbd is proven dead and held; what its binary logs say.
    pub(crate) fenced: Option<LogEvidence>,
    /// It receives nothing more.
    pub(crate) frozen: Option<Frozen>,
    /// Earlier runs whose kept relay logs it has applied since it was frozen.
    pub(crate) recovered: BTreeSet<Incarnation>,
    /// Its binlog server runs.
    pub(crate) serving: Option<Serving>,
    /// A `follow` was carried out, to this host.
    pub(crate) following: Option<String>,
    /// What it had applied when asked last.
    pub(crate) applied: Option<GtidPosition>,
    /// What has kept it from applying anything when it was asked last.
    pub(crate) held: Option<String>,
    /// Since when without a break.
    pub(crate) held_since: Option<Millis>,
    /// It has applied what it was asked to, durably.
    pub(crate) settled: bool,
    /// It was promoted and answered so.
    pub(crate) promoted: Option<GtidPosition>,
    /// When that answer came.
    pub(crate) promoted_at: Option<Millis>,
    /// It was told `init` and has done it.
    pub(crate) initialised: bool,
    /// Members whose replication account was locked on it, and when the answer came.
    pub(crate) evicted: BTreeMap<Ordinal, Millis>,
    /// What a crash has left half done in it, only a source can mend: it said so.
    pub(crate) needs_a_source: bool,
    /// Orders that failed, by name. Each counts for itself: a failover may go round in a circle of several.
    failures: BTreeMap<&'static str, Failure>,
}

impl MemberProgress {
    /// An order was carried out.
    pub(crate) fn note(&mut self, order: &Order, answer: &Answer, now: Millis) {
        self.failures.remove(order.name());
        if is_fit_again(order, answer) || matches!(answer, Answer::Promoted { .. } | Answer::Recovered { .. }) {
            self.failures.clear();
            self.needs_a_source = false;
            self.is_free();
        }
        match answer {
            Answer::Done => {}
            Answer::Fenced { logs } => self.fenced = Some(logs.clone()),
            Answer::Frozen(frozen) => self.stands_at(frozen),
            Answer::Recovered { of, frozen } => {
                self.stands_at(frozen);
                self.recovered.insert(*of);
            }
            Answer::Applied { position, reached, held } => {
                (self.applied, self.settled) = (Some(position.clone()), *reached);
                self.held_since = held.as_ref().map(|_| self.held_since.unwrap_or(now));
                self.held.clone_from(held);
            }
            Answer::Serving { port, end, bytes } => {
                self.serving = Some(Serving { port: *port, end: end.clone(), bytes: *bytes });
            }
            Answer::Promoted { position } => {
                (self.promoted, self.promoted_at) = (Some(position.clone()), Some(now));
            }
        }
        match order {
            Order::Init { .. } => self.initialised = true,
            Order::Follow { source: Source::Member { host, .. } | Source::BinlogServer { host, .. }, .. } => {
                self.following = Some(host.clone());
            }
            Order::EvictAcker { ordinal } => {
                self.evicted.insert(*ordinal, now);
            }
            Order::ReadmitAcker { ordinal } => {
                self.evicted.remove(ordinal);
            }
            _ => {}
        }
    }

    /// What its agent told of a lock when it was frozen with something left to apply. Others are preferred from then on;
    /// for how long it is held up counts from the first time that it is asked to apply and cannot.
    pub(crate) fn note_lock(&mut self, order: &Order, lock: Option<&str>) {
        let has_more = |frozen: &Frozen| !frozen.killed && !frozen.applied.covers(&frozen.received);
        let frozen = matches!(order, Order::Freeze) && self.frozen.as_ref().is_some_and(has_more);
        if let Some(lock) = lock.filter(|_| frozen && self.held.is_none()) {
            self.held = Some(lock.to_owned());
        }
    }

    /// An order failed, or nobody knows what became of it; returns how often in a row.
    pub(crate) fn note_failure(&mut self, order: &Order, error: OrderError) -> u32 {
        self.needs_a_source |= error.reason == Reason::MissingTransactions;
        let count = self.failures.get(order.name()).map_or(1, |failure| failure.count.saturating_add(1));
        self.failures.insert(order.name(), Failure { order: order.name(), error, count });
        // It may have been carried out in part: relay logs that were counted on may be thrown away.
        if matches!(order, Order::Follow { .. } | Order::Recover { .. } | Order::Unstick) {
            self.frozen = None;
            (self.following, self.applied, self.settled) = (None, None, false);
        }
        count
    }

    /// Nothing holds it up.
    fn is_free(&mut self) {
        (self.held, self.held_since) = (None, None);
    }

    /// Frozen, also once more: it follows nobody, and tells anew what it has.
    fn stands_at(&mut self, frozen: &Frozen) {
        // Locks end with the run they were taken in.
        if self.frozen.as_ref().is_some_and(|before| before.incarnation != frozen.incarnation) {
            self.is_free();
        }
        self.frozen = Some(frozen.clone());
        (self.following, self.applied, self.settled) = (None, None, false);
    }

    /// The order that failed most often in a row.
    #[must_use]
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failures.values().max_by_key(|failure| failure.count)
    }

    /// True when this order failed when it was given last.
    #[must_use]
    pub(crate) fn has_failed(&self, order: &Order) -> bool {
        self.failures.contains_key(order.name())
    }

    /// How often in a row this order has failed.
    #[must_use]
    pub(crate) fn failures_of(&self, order: &Order) -> u32 {
        self.failures.get(order.name()).map_or(0, |failure| failure.count)
    }

    /// What this order failed with when it was given last.
    #[must_use]
    pub(crate) fn failure_of(&self, order: &Order) -> Option<&OrderError> {
        self.failures.get(order.name()).map(|failure| &failure.error)
    }

    /// True when another candidate is preferred: it failed too often, or is held up.
    #[must_use]
    pub(crate) fn is_passed_over(&self) -> bool {
        self.given_up().is_some() || self.held.is_some()
    }

    /// The order that failed too often for the member to count on in this term.
    #[must_use]
    pub(crate) fn given_up(&self) -> Option<&Failure> {
        let counts = self.failures.values().filter(|failure| !UPKEEP.contains(&failure.order));
        counts.filter(|failure| failure.count >= FAILURES_TO_REJECT).max_by_key(|failure| failure.count)
    }
}
