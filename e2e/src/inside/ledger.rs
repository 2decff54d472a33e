//! What a writer was told: which rows were acknowledged, and when nobody was. Pure.

use serde::{Deserialize, Serialize};

use super::clock::Stamp;

/// Shorter pauses between acknowledgements are ordinary life of a busy server and are not kept.
pub const SHORTEST_GAP_US: u64 = 20_000;

/// The instant of a kill is taken just before it, and answers already under way still arrive after it: a pause that begins
/// this much later still belongs to the kill.
const ANSWERS_UNDER_WAY_US: u64 = 250_000;

/// Bits of an id below the worker's number: 2^40 attempts for each worker.
const SEQUENCE_BITS: u32 = 40;

/// The id of the row that a worker writes at its n-th attempt. Never used twice: an attempt whose outcome is unknown
/// leaves its id behind.
#[must_use]
pub fn row_id(worker: u32, sequence: u64) -> u64 {
    (u64::from(worker) << SEQUENCE_BITS) | sequence
}

/// Ids `first..=last`, all acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub first: u64,
    pub last: u64,
}

impl Range {
    /// How many ids.
    #[must_use]
    pub fn count(self) -> u64 {
        self.last - self.first + 1
    }
}

/// A time in which no writer got an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last acknowledgement before.
    pub from: Stamp,
    /// The first one after.
    pub to: Stamp,
}

impl Gap {
    /// Its length.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.to.monotonic_us.saturating_sub(self.from.monotonic_us)
    }
}

/// How an attempt ended that was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server said no before it did anything (it is read-only).
    Refused,
    /// The connection broke or the limit passed: the row may exist.
    Unknown,
}

/// The sum of all that the workers saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Rows acknowledged.
    pub acknowledged: u64,
    /// Attempts the server refused.
    pub refused: u64,
    /// Attempts whose outcome is unknown.
    pub unknown: u64,
    /// The acknowledged ids, worker by worker, in order.
    pub ranges: Vec<Vec<Range>>,
    /// Pauses of at least [`SHORTEST_GAP_US`] over all workers, oldest first.
    pub gaps: Vec<Gap>,
    /// The newest acknowledgement.
    pub last: Option<Stamp>,
}

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new(workers: u32) -> Self {
        Self { ranges: vec![Vec::new(); workers as usize], ..Self::default() }
    }

    /// Notes an acknowledged row.
    pub fn acknowledge(&mut self, worker: u32, id: u64, at: Stamp) {
        self.acknowledged += 1;
        if let Some(ranges) = self.ranges.get_mut(worker as usize) {
            match ranges.last_mut() {
                Some(range) if range.last + 1 == id => range.last = id,
                _ => ranges.push(Range { first: id, last: id }),
            }
        }
        if let Some(from) = self.last {
            let gap = Gap { from, to: at };
            if gap.micros() >= SHORTEST_GAP_US {
                self.gaps.push(gap);
            }
        }
        self.last = Some(at);
    }

    /// Notes an attempt that was not acknowledged.
    pub fn fail(&mut self, failure: Failure) {
        match failure {
            Failure::Refused => self.refused += 1,
            Failure::Unknown => self.unknown += 1,
        }
    }

    /// Forgets the newest acknowledgement, so that a pause ordered from outside is not taken for an outage.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// Every range of every worker.
    pub fn all_ranges(&self) -> impl Iterator<Item = Range> + '_ {
        self.ranges.iter().flatten().copied()
    }

    /// The write outage that a kill caused: from the last acknowledgement before it to the first after it.
    #[must_use]
    pub fn outage_of(&self, killed_realtime_us: u64) -> Option<Gap> {
        let begins = |gap: &Gap| gap.from.realtime_us <= killed_realtime_us + ANSWERS_UNDER_WAY_US;
        self.gaps_after(killed_realtime_us).filter(begins).max_by_key(|gap| gap.micros())
    }

    /// The longest pause that ended after an instant, whatever its reason.
    #[must_use]
    pub fn longest_after(&self, realtime_us: u64) -> Option<Gap> {
        self.gaps_after(realtime_us).max_by_key(|gap| gap.micros())
    }

    fn gaps_after(&self, realtime_us: u64) -> impl Iterator<Item = Gap> + '_ {
        self.gaps.iter().copied().filter(move |gap| gap.to.realtime_us > realtime_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Stamp {
        Stamp { realtime_us: ms * 1_000, monotonic_us: ms * 1_000 }
    }

    #[test]
    fn acknowledged_ids_are_kept_as_ranges_and_an_unknown_one_leaves_a_hole() {
        let mut ledger = Ledger::new(2);
        for sequence in [0, 1, 2, 4, 5] {
            ledger.acknowledge(1, row_id(1, sequence), at(sequence));
        }
        ledger.fail(Failure::Unknown);
        let ranges: Vec<_> = ledger.all_ranges().collect();
        assert_eq!(
            ranges,
            [Range { first: row_id(1, 0), last: row_id(1, 2) }, Range { first: row_id(1, 4), last: row_id(1, 5) }]
        );
        assert_eq!(ranges.iter().map(|range| range.count()).sum::<u64>(), ledger.acknowledged);
        assert_eq!(ledger.unknown, 1);
    }

    #[test]
    fn the_outage_is_the_pause_of_all_workers_around_the_kill() {
        let mut ledger = Ledger::new(2);
        for (worker, sequence, ms) in
            [(0, 0, 0), (1, 0, 900), (0, 1, 1_000), (1, 1, 1_005), (0, 2, 1_400), (1, 2, 2_450)]
        {
            ledger.acknowledge(worker, row_id(worker, sequence), at(ms));
        }
        let outage = ledger.outage_of(at(1_004).realtime_us).map(Gap::micros);
        assert_eq!(outage, Some(395_000), "not the 900 ms before the kill, not the 1,050 ms long after it");
        assert_eq!(ledger.longest_after(at(1_004).realtime_us).map(Gap::micros), Some(1_050_000));
        assert_eq!(ledger.outage_of(at(2_450).realtime_us), None);
    }

    #[test]
    fn a_pause_that_was_ordered_is_no_gap() {
        let mut ledger = Ledger::new(1);
        ledger.acknowledge(0, 0, at(0));
        ledger.interrupt();
        ledger.acknowledge(0, 1, at(5_000));
        assert!(ledger.gaps.is_empty());
    }
}
