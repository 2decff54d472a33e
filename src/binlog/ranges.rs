//! Sets of transactions, as people compare them: ranges of sequence numbers for each domain and server.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::gtid::Gtid;

/// A set of transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GtidSet(BTreeMap<(u32, u32), Vec<(u64, u64)>>);

/// Consecutive transactions of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GtidSpan {
    /// The first.
    pub first: Gtid,
    /// The last.
    pub last: Gtid,
    /// How many.
    pub count: u64,
}

impl GtidSet {
    /// Adds one. Transactions mostly come in their order, so that the last range grows.
    pub fn insert(&mut self, gtid: Gtid) {
        let ranges = self.0.entry((gtid.domain, gtid.server)).or_default();
        match ranges.last_mut() {
            Some((first, last)) if (*first..=*last).contains(&gtid.sequence) => {}
            Some((_, last)) if last.checked_add(1) == Some(gtid.sequence) => *last = gtid.sequence,
            Some((_, last)) if *last < gtid.sequence => ranges.push((gtid.sequence, gtid.sequence)),
            None => ranges.push((gtid.sequence, gtid.sequence)),
            Some(_) => {
                ranges.push((gtid.sequence, gtid.sequence));
                *ranges = merged(std::mem::take(ranges));
            }
        }
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (server, theirs) in &other.0 {
            let ranges = self.0.entry(*server).or_default();
            ranges.extend(theirs);
            *ranges = merged(std::mem::take(ranges));
        }
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let left = |(server, ours): (&(u32, u32), &Vec<(u64, u64)>)| {
            let theirs = other.0.get(server).map_or(&[][..], Vec::as_slice);
            let rest: Vec<_> = ours.iter().flat_map(|range| cut(*range, theirs)).collect();
            (!rest.is_empty()).then_some((*server, rest))
        };
        Self(self.0.iter().filter_map(left).collect())
    }

    /// True when it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its ranges, by domain, server and number.
    #[must_use]
    pub fn spans(&self) -> Vec<GtidSpan> {
        let span = |(domain, server): (u32, u32), (first, last): (u64, u64)| {
            let gtid = |sequence| Gtid { domain, server, sequence };
            GtidSpan { first: gtid(first), last: gtid(last), count: (last - first).saturating_add(1) }
        };
        self.0.iter().flat_map(|(server, ranges)| ranges.iter().map(|range| span(*server, *range))).collect()
    }
}

fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut all: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match all.last_mut() {
            Some((_, before)) if first <= before.saturating_add(1) => *before = last.max(*before),
            _ => all.push((first, last)),
        }
    }
    all
}

/// The parts of a range that lie outside `holes`, which are sorted and apart.
fn cut((first, last): (u64, u64), holes: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut parts = Vec::new();
    let mut from = Some(first);
    for (hole, end) in holes.iter().filter(|(hole, end)| *end >= first && *hole <= last) {
        let Some(start) = from else { break };
        if *hole > start {
            parts.push((start, hole - 1));
        }
        from = end.checked_add(1);
    }
    parts.extend(from.filter(|start| *start <= last).map(|start| (start, last)));
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(numbers: impl IntoIterator<Item = u64>) -> GtidSet {
        let mut set = GtidSet::default();
        numbers.into_iter().for_each(|sequence| set.insert(Gtid { domain: 0, server: 1, sequence }));
        set
    }

    fn numbers(set: &GtidSet) -> Vec<u64> {
        set.spans().into_iter().flat_map(|span| span.first.sequence..=span.last.sequence).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(ours in prop::collection::vec(0_u64..40, 0..30), theirs in prop::collection::vec(0_u64..40, 0..30)) {
            let (a, b): (BTreeSet<u64>, BTreeSet<u64>) = (ours.iter().copied().collect(), theirs.iter().copied().collect());
            let (left, right) = (set(ours), set(theirs));
            prop_assert_eq!(numbers(&left), a.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(numbers(&left.without(&right)), a.difference(&b).copied().collect::<Vec<_>>());
            let mut both = left;
            both.extend(&right);
            prop_assert_eq!(numbers(&both), a.union(&b).copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_greatest_number_has_no_successor() {
        let all = set([u64::MAX - 1, u64::MAX]);
        assert_eq!(all.spans()[0].count, 2);
        assert!(all.without(&all).is_empty());
        assert_eq!(numbers(&all.without(&set([u64::MAX]))), [u64::MAX - 1]);
    }
}
