//! What happened in a transition and when, for the Failover record, metrics and logs. No I/O.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::member::Health;
use crate::gtid::{GtidPosition, GtidRange, join_ranges};
use crate::orders::{Answer, Frozen, LogEvidence, Order, Ordinal, Source, Term};
use crate::time::Millis;
use crate::topology::record::Record;
use crate::topology::transition::{Step, TransitionKind};

/// A point of a transition's timeline, in the order in which they are usually reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// The status announces the transition.
    Decided,
    /// The old primary is proven dead and held.
    Fenced,
    /// Every replica that answered receives nothing more.
    Frozen,
    /// The old primary's agent serves its binary log.
    Served,
    /// The candidate has applied everything it had received or was served.
    CaughtUp,
    /// The status names the new primary: the point of no return.
    Committed,
    /// The new primary accepts writes.
    Promoted,
    /// The Service leads to it.
    ServiceSwitched,
    /// The status announces the end.
    Done,
}

impl Point {
    /// The word in the record, the metrics and the logs.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Fenced => "fenced",
            Self::Frozen => "frozen",
            Self::Served => "served",
            Self::CaughtUp => "caught-up",
            Self::Committed => "committed",
            Self::Promoted => "promoted",
            Self::ServiceSwitched => "routed",
            Self::Done => "done",
        }
    }
}

/// One transition as this leader saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// What it was for.
    pub(crate) kind: TransitionKind,
    /// Term of the promotion, once committed; the announced one before.
    pub(crate) term: Term,
    /// The primary before.
    pub(crate) from: Option<Ordinal>,
    /// The primary after, once known.
    pub(crate) to: Option<Ordinal>,
    /// When the outage began, by the wall clock.
    pub(crate) started_at: Timestamp,
    /// Milliseconds from the beginning of the outage; each point's last occurrence.
    pub(crate) points: BTreeMap<Point, u64>,
    /// What the old primary's files held, once read.
    pub(crate) end: Option<GtidPosition>,
    /// What each replica had when it was frozen.
    pub(crate) received: BTreeMap<Ordinal, GtidPosition>,
    /// What was seen when it was decided.
    pub(crate) evidence: Vec<String>,
    began: Millis,
    resumed: bool,
}

impl Story {
    fn new(record: &Record, kind: TransitionKind, began: Millis, started_at: Timestamp, resumed: bool) -> Self {
        let transition = record.transition.as_ref();
        Self {
            kind,
            term: record.term,
            from: transition.and_then(|transition| transition.from()),
            to: transition.and_then(|transition| transition.to()),
            started_at,
            points: BTreeMap::new(),
            end: None,
            received: BTreeMap::new(),
            evidence: Vec::new(),
            began,
            resumed,
        }
    }

    fn mark(&mut self, point: Point, now: Millis) -> (Point, u64) {
        let ms = now.since(self.began);
        self.points.insert(point, ms);
        (point, ms)
    }

    /// True when an earlier leader began it: the times count from the take-over only.
    #[must_use]
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// From the primary's death until clients were led to a primary that accepts writes: until both are so. The time that
    /// nodes take to follow the Service is not known here.
    #[must_use]
    pub(crate) fn outage_ms(&self) -> Option<u64> {
        let promoted = self.points.get(&Point::Promoted)?;
        let switched = self.points.get(&Point::ServiceSwitched).unwrap_or(promoted);
        Some(*promoted.max(switched))
    }

    /// Transactions that no frozen replica had received and the old primary's files did hold.
    #[must_use]
    pub(crate) fn salvaged(&self) -> Vec<GtidRange> {
        self.end.as_ref().map(|end| end.beyond(&self.most_received())).unwrap_or_default()
    }

    /// Transactions that one replica lacked and another had.
    #[must_use]
    pub(crate) fn equalised(&self) -> Vec<(Ordinal, String)> {
        let most = self.most_received();
        let lacking = |(ordinal, received): (&Ordinal, &GtidPosition)| {
            let ranges = most.beyond(received);
            (!ranges.is_empty()).then(|| (*ordinal, join_ranges(&ranges)))
        };
        self.received.iter().filter_map(lacking).collect()
    }

    fn most_received(&self) -> GtidPosition {
        self.received.values().fold(GtidPosition::empty(), |most, received| most.union(received))
    }
}

/// The term a transition's record is named after: that of the promotion, once it is committed. A take-over of leadership
/// in between raises the record's own.
#[must_use]
pub(crate) fn promotion_term(record: &Record) -> Term {
    match &record.transition {
        Some(transition) if transition.step() == Step::Decided => record.term,
        _ => record.promoted_in,
    }
}

/// Follows what happens to one cluster.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    trouble: Option<Trouble>,
    story: Option<Story>,
}

/// The primary does not work.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    /// First sign of it.
    seen: Millis,
    /// The same by the wall clock.
    wall: Timestamp,
    health: Health,
}

impl Trouble {
    /// When clients could write last: when mariadbd died, as its parent process tells; else the last reading that was
    /// answered; else the first sign of trouble.
    fn began(&self) -> (Millis, Timestamp) {
        let Health { died, answered, .. } = self.health;
        let began = died.or(answered).map_or(self.seen, |at| at.min(self.seen));
        let ahead = SignedDuration::from_millis(i64::try_from(self.seen.since(began)).unwrap_or(0));
        (began, self.wall.saturating_sub(ahead).unwrap_or(self.wall))
    }
}

/// What a status write meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// A transition began, or was taken over.
    Began,
    /// It passed a point.
    Passed(Point, u64),
    /// It ended.
    Ended(Box<Story>),
}

impl Timeline {
    /// The transition under way.
    #[must_use]
    pub(crate) fn story(&self) -> Option<&Story> {
        self.story.as_ref()
    }

    /// Why the transition was begun, as the decision said.
    pub(crate) fn because(&mut self, why: String) {
        if let Some(story) = self.story.as_mut().filter(|story| story.evidence.is_empty()) {
            story.evidence.push(why);
        }
    }

    /// Members that are not promoted, and why, when another one is.
    pub(crate) fn passed_over(&mut self, why: &[String]) {
        if let Some(story) = &mut self.story {
            story.evidence.extend_from_slice(why);
        }
    }

    /// How the primary looks now: remembers since when it is in trouble.
    pub(crate) fn primary_looks(&mut self, health: Health, now: Millis, wall: Timestamp) {
        self.trouble = match self.trouble {
            _ if health.good => None,
            None => Some(Trouble { seen: now, wall, health }),
            Some(trouble) => Some(Trouble { health, ..trouble }),
        };
    }

    /// Since when the primary is in trouble.
    #[must_use]
    pub(crate) fn trouble_since(&self) -> Option<Millis> {
        self.trouble.map(|trouble| trouble.seen)
    }

    /// The record was written, or taken over from another leader (`resumed`).
    pub(crate) fn recorded(&mut self, record: &Record, resumed: bool, now: Millis, wall: Timestamp) -> Vec<Milestone> {
        let Some(transition) = &record.transition else {
            return self.finish(record, now).into_iter().collect();
        };
        let mut milestones = Vec::new();
        let same =
            self.story.as_ref().is_some_and(|story| story.kind == transition.kind() && story.from == transition.from());
        if !same {
            let trouble = self.trouble.as_ref().filter(|_| !resumed);
            let (began, started_at) = trouble.map_or((now, wall), Trouble::began);
            self.story = Some(Story::new(record, transition.kind(), began, started_at, resumed));
            milestones.push(Milestone::Began);
        }
        let Some(story) = &mut self.story else { return milestones };
        let passed = match transition.step() {
            Step::Decided => Point::Decided,
            Step::Promoting => Point::Committed,
        };
        story.to = transition.to();
        story.term = promotion_term(record);
        let known = story.points.contains_key(&passed) || resumed && same;
        if !known {
            let (point, ms) = story.mark(passed, now);
            milestones.push(Milestone::Passed(point, ms));
        }
        milestones
    }

    fn finish(&mut self, record: &Record, now: Millis) -> Option<Milestone> {
        let mut story = self.story.take()?;
        story.mark(Point::Done, now);
        story.to = record.primary.filter(|_| story.points.contains_key(&Point::Committed)).or(story.to);
        self.trouble = None;
        Some(Milestone::Ended(Box::new(story)))
    }

    /// An order was carried out.
    pub(crate) fn carried_out(
        &mut self,
        member: Ordinal,
        order: &Order,
        answer: &Answer,
        now: Millis,
    ) -> Option<Milestone> {
        let story = self.story.as_mut()?;
        let point = match (order, answer) {
            (Order::Fence, Answer::Fenced { logs }) => {
                if let LogEvidence::Readable { end, .. } = logs {
                    story.end = Some(end.clone());
                }
                Point::Fenced
            }
            (Order::Freeze, Answer::Frozen(Frozen { received, .. })) => {
                story.received.insert(member, received.clone());
                Point::Frozen
            }
            (Order::ServeBinlog { .. }, Answer::Serving { end, .. }) => {
                story.end = Some(end.clone());
                Point::Served
            }
            (
                Order::Follow { source: Source::BinlogServer { .. }, .. } | Order::Await { .. },
                Answer::Applied { reached: true, .. },
            ) => Point::CaughtUp,
            (Order::Promote { .. }, Answer::Promoted { .. }) => Point::Promoted,
            _ => return None,
        };
        // What is repeated after the point of no return is no longer part of the way to it.
        if point < Point::Committed && story.points.contains_key(&Point::Committed) {
            return None;
        }
        let (point, ms) = story.mark(point, now);
        Some(Milestone::Passed(point, ms))
    }

    /// The Service leads to the new primary.
    pub(crate) fn service_switched(&mut self, now: Millis) -> Option<Milestone> {
        let (point, ms) = self.story.as_mut()?.mark(Point::ServiceSwitched, now);
        Some(Milestone::Passed(point, ms))
    }
}

#[cfg(test)]
pub(crate) mod tests;
