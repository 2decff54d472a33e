//! How far the candidate has come on a long tail, for people who wait for it.

use std::fmt;

use super::observation::{MemberView, ServerView};
use crate::gtid::GtidPosition;
use crate::orders::{LONG_TAIL, Ordinal};
use crate::time::Millis;

/// A long catching up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CatchUp {
    /// The member that catches up.
    pub(crate) member: Ordinal,
    /// Transactions it lacked when it was frozen, at most.
    pub(crate) total: u64,
    /// Of them not yet applied.
    pub(crate) left: u64,
    /// About what all of them are in the donor's binary log, in bytes.
    pub(crate) bytes: Option<u64>,
    /// What is left to wait at the pace of the last two readings, in seconds.
    pub(crate) seconds_left: Option<u64>,
}

impl CatchUp {
    /// Of `candidate` on its way to `target` by logs of so many bytes; `None` when it is a short one, which ends before anybody
    /// could read of it.
    #[must_use]
    pub(crate) fn of(candidate: &MemberView, target: &GtidPosition, bytes: Option<u64>) -> Option<Self> {
        let start = &candidate.frozen()?.applied;
        let total = target.distance(start);
        if total <= LONG_TAIL {
            return None;
        }
        let left = |view: &ServerView| target.distance(&view.applied().union(start));
        let now = candidate.current_view().map(|view| (view.begun, left(view)));
        let before = candidate.before().map(|view| (view.begun, left(view)));
        let seconds_left = before.zip(now).and_then(|(before, now)| seconds_left(before, now));
        Some(Self { member: candidate.ordinal, total, left: now.map_or(total, |(_, left)| left), bytes, seconds_left })
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member: _, total, left, bytes, seconds_left } = self;
        let applied = total.saturating_sub(*left);
        write!(f, "catches up: {applied} of {total} transactions applied")?;
        if let Some(bytes) = bytes {
            let mb = |bytes: u128| bytes.div_ceil(1_000_000);
            let done = u128::from(*bytes) * u128::from(applied) / u128::from(*total).max(1);
            write!(f, ", about {} of {} MB", mb(done), mb(u128::from(*bytes)))?;
        }
        seconds_left.map_or(Ok(()), |seconds| write!(f, ", about {seconds} s left"))
    }
}

fn seconds_left((then, had): (Millis, u64), (now, has): (Millis, u64)) -> Option<u64> {
    let done = had.checked_sub(has).filter(|done| *done > 0)?;
    let ms = u128::from(has) * u128::from(now.since(then)) / u128::from(done);
    u64::try_from(ms.div_ceil(1_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::super::member::samples::{edit, replica};
    use super::super::observation::ServerSight;
    use super::*;
    use crate::orders::{Frozen, Incarnation};

    fn candidate(before: &str, now: &str) -> MemberView {
        let mut member = replica(1, "p0");
        let applied = "0-17-1000".parse().unwrap();
        member.progress.frozen = Some(Frozen {
            incarnation: Incarnation(1),
            received: GtidPosition::empty(),
            applied,
            killed: false,
            dropped: false,
            settled: true,
        });
        edit(&mut member, |view| (view.binlog_position, view.begun) = (before.parse().unwrap(), Millis(2_000)));
        let earlier = member.view().cloned().map(Box::new);
        edit(&mut member, |view| (view.binlog_position, view.begun) = (now.parse().unwrap(), Millis(2_500)));
        if let ServerSight::Answers { before, .. } = &mut member.server {
            *before = earlier;
        }
        member
    }

    #[test]
    fn a_long_one_is_told_with_its_pace() {
        let target = "0-17-21000".parse().unwrap();
        let told = CatchUp::of(&candidate("0-17-5000", "0-17-7000"), &target, Some(40_000_000)).unwrap();
        let words = "catches up: 6000 of 20000 transactions applied, about 12 of 40 MB, about 4 s left";
        assert_eq!(told.to_string(), words);
        let stands = CatchUp::of(&candidate("0-17-7000", "0-17-7000"), &target, None).unwrap();
        assert_eq!(stands.to_string(), "catches up: 6000 of 20000 transactions applied");
        assert_eq!(CatchUp::of(&candidate("0-17-1000", "0-17-1000"), &"0-17-1500".parse().unwrap(), None), None);
    }
}
