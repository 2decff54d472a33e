//! All logs of a server: where they end, and which file holds the transactions after a position.

use std::sync::Arc;

use thiserror::Error;

use super::file::{FileScan, Head, is_at_or_before};
use super::index::LogName;
use super::scan_result::Torn;
use crate::gtid::{Gtid, GtidPosition};

/// The names of all files and the contents of the last one, which is what most questions need. Of files before it heads
/// are read where a search needs them, and contents when a replica does.
#[derive(Debug, Clone)]
pub struct Catalogue {
    names: Vec<LogName>,
    last_name: LogName,
    last: Arc<Head>,
    last_scan: Arc<FileScan>,
}

/// Where the binary logs of a server end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// The last complete transaction of each domain.
    pub position: GtidPosition,
    /// The file it stands in.
    pub(crate) last_file: LogName,
    /// Offset of the byte after it.
    pub offset: u64,
    /// Set when an incomplete event or transaction follows. It was never acknowledged: the server acknowledges after
    /// the write is complete.
    pub torn: Option<Torn>,
}

/// Where the transactions after a position begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Index of the file.
    pub file: usize,
    /// Transactions the replica has, each with the index of the one file that must hold it: when it does not, the
    /// replica has diverged.
    pub(crate) must_exist: Vec<(usize, Gtid)>,
}

/// Why no stream can begin at a position. The texts are those a primary sends.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoStart {
    /// Files with missing transactions were removed.
    #[error(
        "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old and \
         required binlog files have been purged."
    )]
    Purged,
    /// Position mode: the file was removed, or never was one of these.
    #[error("Could not find first log file name in binary log index file: {0} was purged, or is another server's")]
    NoFile(String),
    /// Position mode, but the logs were put together from relay logs.
    #[error("Relay logs are served by GTID only: use CHANGE MASTER TO MASTER_USE_GTID=slave_pos")]
    GtidOnly,
    /// Position mode: no event begins there.
    #[error("Client requested master to start replication from impossible position {0}")]
    Offset(u64),
    /// The replica has more than the logs.
    #[error("Error: connecting slave requested to start from GTID {0}, which is not in the master's binlog")]
    Ahead(Gtid),
    /// The logs have other transactions in the place of the replica's.
    #[error(
        "Error: connecting slave requested to start from GTID {0}, which is not in the master's binlog. Since the \
         master's binlog contains GTIDs with higher sequence numbers, it probably means that the slave has diverged \
         due to executing extra erroneous transactions"
    )]
    Diverged(Gtid),
}

impl Catalogue {
    /// All files in their order; `head` and `scan` are the last one's.
    #[must_use]
    pub(crate) fn new(before: Vec<LogName>, last: LogName, head: Arc<Head>, scan: Arc<FileScan>) -> Self {
        let mut names = before;
        names.push(last.clone());
        Self { names, last_name: last, last: head, last_scan: scan }
    }

    /// Name of the file at `index`, or of the last one.
    #[must_use]
    pub(crate) fn name(&self, index: usize) -> &LogName {
        self.names.get(index).unwrap_or(&self.last_name)
    }

    /// Index of the file of this name.
    #[must_use]
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|each| each.as_str() == name)
    }

    /// Number of files; never 0.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// The last file's head.
    #[must_use]
    pub(crate) fn last_head(&self) -> &Arc<Head> {
        &self.last
    }

    /// What the last file holds.
    #[must_use]
    pub(crate) fn last_scan(&self) -> &Arc<FileScan> {
        &self.last_scan
    }

    /// Where the logs end.
    #[must_use]
    pub fn end(&self) -> LogEnd {
        LogEnd {
            position: self.last_scan.position.clone(),
            last_file: self.last_name.clone(),
            offset: self.last_scan.end,
            torn: self.last_scan.torn.clone(),
        }
    }

    /// Where a replica that has everything up to `had` must start. `head` reads the head of a file before the last one;
    /// `None` when it has none, or cannot be read: the one after it stands for it. It is asked for few files: GTID_LISTs
    /// only grow, so that the search halves the files at each step.
    ///
    /// # Errors
    /// What a primary answers with error 1236.
    pub(crate) fn start(
        &self,
        had: &GtidPosition,
        mut head: impl FnMut(usize) -> Option<Arc<Head>>,
    ) -> Result<Start, NoStart> {
        for gtid in had.iter() {
            self.check_end(gtid)?;
        }
        let mut search = Search { catalogue: self, head: &mut head };
        let covered = |head: &Head| head.gtid_list.iter().all(|gtid| is_at_or_before(*gtid, had));
        let file = search.last_where(0, covered).or_else(|| search.back_to(covered)).ok_or(NoStart::Purged)?;
        let mut must_exist = Vec::new();
        for gtid in had.iter() {
            must_exist.extend(search.holder(file, gtid)?.map(|index| (index, gtid)));
        }
        Ok(Start { file, must_exist })
    }

    /// Where a replica in position mode must start: in the file of this name, or in the first one when it gives none.
    ///
    /// # Errors
    /// What a primary answers with error 1236.
    pub(crate) fn start_at(&self, file: &str, offset: u64) -> Result<Start, NoStart> {
        /// Behind the magic number.
        const FIRST: u64 = 4;
        let index = if file.is_empty() { Some(0) } else { self.index_of(file) };
        let index = index.ok_or_else(|| NoStart::NoFile(file.to_owned()))?;
        if offset < FIRST { Err(NoStart::Offset(offset)) } else { Ok(Start { file: index, must_exist: Vec::new() }) }
    }

    /// A domain the logs have never seen is another primary's: a primary lets it pass, too.
    fn check_end(&self, gtid: Gtid) -> Result<(), NoStart> {
        match self.last_scan.position.get(gtid.domain) {
            Some(end) if gtid.sequence > end.sequence => Err(NoStart::Ahead(gtid)),
            Some(end) if gtid.sequence == end.sequence && gtid != end => Err(NoStart::Diverged(gtid)),
            _ => Ok(()),
        }
    }
}

/// Looks for files by their heads.
struct Search<'a, F> {
    catalogue: &'a Catalogue,
    head: &'a mut F,
}

impl<F: FnMut(usize) -> Option<Arc<Head>>> Search<'_, F> {
    /// The head of the first file from `index` on that has one.
    fn head(&mut self, index: usize) -> Arc<Head> {
        let before_last = index..self.catalogue.count() - 1;
        before_last.into_iter().find_map(&mut *self.head).unwrap_or_else(|| Arc::clone(&self.catalogue.last))
    }

    /// The last file, from `first` on, for which `so` holds; it holds for files up to some point.
    fn last_where(&mut self, first: usize, so: impl Fn(&Head) -> bool) -> Option<usize> {
        let (mut low, mut high) = (first, self.catalogue.count());
        while low < high {
            let middle = low.midpoint(high);
            if so(&self.head(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1).filter(|index| *index >= first)
    }

    /// The last file for which `so` holds, whatever holds before: after FLUSH BINARY LOGS DELETE_DOMAIN_ID a GTID_LIST is
    /// smaller than those before it.
    fn back_to(&mut self, so: impl Fn(&Head) -> bool) -> Option<usize> {
        (0..self.catalogue.count()).rev().find(|index| so(&self.head(*index)))
    }

    /// The one file, from `first` on, that must hold `gtid`; `None` when a GTID_LIST already names it.
    fn holder(&mut self, first: usize, gtid: Gtid) -> Result<Option<usize>, NoStart> {
        let domain = gtid.domain;
        let is_later = |head: &Head| head.start().get(domain).is_none_or(|before| before.sequence < gtid.sequence);
        // Mostly it is the first one: its neighbour has been looked at already.
        let holder = match first + 1 < self.catalogue.count() && is_later(&self.head(first + 1)) {
            true => self.last_where(first + 1, is_later),
            false => Some(first).filter(|first| is_later(&self.head(*first))),
        };
        // The first file whose GTID_LIST is at the transaction or behind it, if any.
        let next = holder.map_or(first, |index| index + 1);
        if next < self.catalogue.count() {
            match self.head(next).start().get(domain) {
                Some(before) if before.sequence == gtid.sequence => {
                    let same = before == gtid || before.server == Head::UNKNOWN_SERVER;
                    return if same { Ok(None) } else { Err(NoStart::Diverged(gtid)) };
                }
                _ => {}
            }
        }
        let known = self.catalogue.last_scan.position.get(domain).is_some();
        Ok(holder.filter(|_| known))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::binlog::Checksum;
    use crate::binlog::testing::{LogFile, catalogue};

    fn three_files() -> (Catalogue, Vec<Arc<Head>>) {
        let file = |start| LogFile::new(start, Checksum::Crc32);
        catalogue(&[
            file("0-1-10").transaction("0-1-11", 9).transaction("0-1-12", 9).rotated(),
            file("0-1-12").transaction("0-1-13", 9).statement("5-1-1").rotated(),
            file("0-1-13,5-1-1").transaction("0-2-14", 9).begun("0-2-15"),
        ])
    }

    fn start(had: &str) -> Result<(usize, usize), NoStart> {
        let (catalogue, heads) = three_files();
        let found = catalogue.start(&had.parse().unwrap(), |index| heads.get(index).cloned());
        found.map(|start| (start.file, start.must_exist.len()))
    }

    #[test]
    fn the_latest_file_that_holds_everything_missing_is_taken() {
        assert_eq!(start("0-1-10"), Ok((0, 0)), "the GTID_LIST names it");
        assert_eq!(start("0-1-11"), Ok((0, 1)));
        assert_eq!(start("0-1-12"), Ok((1, 0)));
        assert_eq!(start("0-1-13"), Ok((1, 0)), "domain 5 is missing; the next file's GTID_LIST names 0-1-13");
        assert_eq!(start("0-1-13,5-1-1"), Ok((2, 0)));
        assert_eq!(start("0-2-14,5-1-1"), Ok((2, 1)));
        assert_eq!(start("0-1-13,5-1-1,9-9-9"), Ok((2, 0)), "a domain of another primary");
    }

    #[test]
    fn a_domain_that_was_deleted_is_no_reason_to_refuse() {
        let file = |start| LogFile::new(start, Checksum::Crc32);
        let (catalogue, heads) = catalogue(&[
            file("0-1-10,9-1-1").transaction("0-1-11", 9),
            file("0-1-11,9-1-1").transaction("0-1-12", 9),
            file("0-1-12").transaction("0-1-13", 9),
            file("0-1-13").transaction("0-1-14", 9),
        ]);
        let start = catalogue.start(&"0-1-12".parse().unwrap(), |index| heads.get(index).cloned());
        assert_eq!(start.unwrap().file, 2);
    }

    #[test]
    fn purged_ahead_and_diverged_are_three_answers() {
        assert_eq!(start(""), Err(NoStart::Purged));
        assert_eq!(start("0-1-9"), Err(NoStart::Purged));
        for ahead in ["0-2-15", "0-1-100"] {
            assert_eq!(start(ahead), Err(NoStart::Ahead(ahead.parse().unwrap())));
        }
        for diverged in ["0-3-14", "0-3-12", "0-3-13,5-1-1"] {
            let gtid: GtidPosition = diverged.parse().unwrap();
            assert_eq!(start(diverged), Err(NoStart::Diverged(gtid.get(0).unwrap())), "{diverged}");
        }
    }

    #[test]
    fn of_a_hundred_files_few_heads_are_read() {
        let files: Vec<LogFile> = (0..100)
            .map(|file| {
                let start = if file == 0 { String::new() } else { format!("0-1-{}", 2 * file) };
                let gtid = |number| format!("0-1-{}", 2 * file + number);
                LogFile::new(&start, Checksum::Crc32).transaction(&gtid(1), 9).transaction(&gtid(2), 9)
            })
            .collect();
        let (catalogue, heads) = catalogue(&files);
        // Some have none, as a crash while a file is begun leaves them.
        for (without, most) in [(1000, 7), (10, 12)] {
            for sequence in 0..=200_usize {
                let mut read = BTreeSet::new();
                let had = if sequence == 0 { String::new() } else { format!("0-1-{sequence}") };
                let start = catalogue.start(&had.parse().unwrap(), |index| {
                    read.insert(index);
                    heads.get(index).filter(|_| index % without != 7).cloned()
                });
                // The last one whose GTID_LIST is covered; where it has no head the one behind stood for it.
                let covered = (sequence / 2).min(99);
                let expected = if covered % without == 7 { covered - 1 } else { covered };
                assert_eq!(start.unwrap().file, expected, "{had}");
                assert!(read.len() <= most, "{had}: {read:?} and the last one");
            }
        }
    }

    #[test]
    fn the_end_is_that_of_the_last_complete_group() {
        let end = three_files().0.end();
        assert_eq!((end.position.to_string().as_str(), end.last_file.as_str()), ("0-2-14,5-1-1", "bin.000003"));
        assert!(end.torn.is_some());
    }
}
