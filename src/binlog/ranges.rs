//! Sets of transactions, as people compare them: ranges of sequence numbers for each domain and server.

use std::collections::BTreeMap;

use crate::gtid::{Gtid, GtidRange};

/// A set of transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GtidSet(BTreeMap<(u32, u32), Vec<(u64, u64)>>);

impl GtidSet {
    /// Adds one. Transactions mostly come in their order, so that the last range grows.
    pub(crate) fn insert(&mut self, gtid: Gtid) {
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
    pub(crate) fn extend(&mut self, other: &Self) {
        for (server, theirs) in &other.0 {
            let ranges = self.0.entry(*server).or_default();
            ranges.extend(theirs);
            *ranges = merged(std::mem::take(ranges));
        }
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub(crate) fn without(&self, other: &Self) -> Self {
        let left = |(server, ours): (&(u32, u32), &Vec<(u64, u64)>)| {
            let theirs = other.0.get(server).map_or(&[][..], Vec::as_slice);
            let rest: Vec<_> = ours.iter().flat_map(|range| cut(*range, theirs)).collect();
            (!rest.is_empty()).then_some((*server, rest))
        };
        Self(self.0.iter().filter_map(left).collect())
    }

    /// True when it holds nothing.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when it holds `gtid`.
    #[must_use]
    pub fn contains(&self, gtid: Gtid) -> bool {
        let ranges = self.0.get(&(gtid.domain, gtid.server)).map_or(&[][..], Vec::as_slice);
        let later = ranges.partition_point(|(first, _)| *first <= gtid.sequence);
        let range = later.checked_sub(1).and_then(|index| ranges.get(index));
        range.is_some_and(|(_, last)| gtid.sequence <= *last)
    }

    /// Its ranges, by domain, server and number.
    #[must_use]
    pub(crate) fn ranges(&self) -> Vec<GtidRange> {
        let range = |(domain, server): (u32, u32), (first, last): (u64, u64)| GtidRange { domain, server, first, last };
        self.0.iter().flat_map(|(server, ranges)| ranges.iter().map(|each| range(*server, *each))).collect()
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
        set.ranges().into_iter().flat_map(|range| range.first..=range.last).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(ours in prop::collection::vec(0_u64..40, 0..30), theirs in prop::collection::vec(0_u64..40, 0..30)) {
            let (a, b): (BTreeSet<u64>, BTreeSet<u64>) = (ours.iter().copied().collect(), theirs.iter().copied().collect());
            let (left, right) = (set(ours), set(theirs));
            prop_assert_eq!(numbers(&left), a.iter().copied().collect::<Vec<_>>());
            for sequence in 0..40 {
                prop_assert_eq!(left.contains(Gtid { domain: 0, server: 1, sequence }), a.contains(&sequence));
            }
            prop_assert_eq!(numbers(&left.without(&right)), a.difference(&b).copied().collect::<Vec<_>>());
            let mut both = left;
            both.extend(&right);
            prop_assert_eq!(numbers(&both), a.union(&b).copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_greatest_number_has_no_successor() {
        let all = set([u64::MAX - 1, u64::MAX]);
        assert_eq!(all.ranges()[0].count(), 2);
        assert!(all.without(&all).is_empty());
        assert_eq!(numbers(&all.without(&set([u64::MAX]))), [u64::MAX - 1]);
    }
}
