//! All logs of a server: where they end, and which file holds the transactions after a position.

use std::sync::Arc;

use thiserror::Error;

use super::file::{FileScan, Head};
use super::index::LogName;
use super::scanner::Torn;
use crate::gtid::{Gtid, GtidPosition};

/// One log file.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its name.
    pub name: LogName,
    /// Its size in bytes.
    pub size: u64,
    /// What stands before its first transaction.
    pub head: Head,
}

/// The heads of all files and the contents of the last one, which is what most questions need. Files before it are
/// scanned when a replica needs them.
#[derive(Debug, Clone)]
pub struct Catalogue {
    logs: Vec<Log>,
    last: Log,
    last_scan: Arc<FileScan>,
}

/// Where the binary logs of a server end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// The last complete transaction of each domain.
    pub position: GtidPosition,
    /// The file it stands in.
    pub last_file: LogName,
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
    pub must_exist: Vec<(usize, Gtid)>,
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
    /// All files in their order: those `before` the last, and the `last` with its contents.
    #[must_use]
    pub fn new(before: Vec<Log>, last: Log, last_scan: Arc<FileScan>) -> Self {
        let mut logs = before;
        logs.push(last.clone());
        Self { logs, last, last_scan }
    }

    /// The file at `index`.
    #[must_use]
    pub fn log(&self, index: usize) -> Option<&Log> {
        self.logs.get(index)
    }

    /// Number of files; never 0.
    #[must_use]
    pub fn count(&self) -> usize {
        self.logs.len()
    }

    /// The last file.
    #[must_use]
    pub fn last(&self) -> &Log {
        &self.last
    }

    /// What the last file holds.
    #[must_use]
    pub fn last_scan(&self) -> &Arc<FileScan> {
        &self.last_scan
    }

    /// Where the logs end.
    #[must_use]
    pub fn end(&self) -> LogEnd {
        LogEnd {
            position: self.last_scan.position.clone(),
            last_file: self.last.name.clone(),
            offset: self.last_scan.end,
            torn: self.last_scan.torn.clone(),
        }
    }

    /// Where a replica that has everything up to `had` must start.
    ///
    /// # Errors
    /// What a primary answers with error 1236.
    pub fn start(&self, had: &GtidPosition) -> Result<Start, NoStart> {
        for gtid in had.iter() {
            self.check_end(gtid)?;
        }
        let holds_all_after =
            |log: &Log| log.head.gtid_list.iter().all(|gtid| super::file::is_at_or_before(*gtid, had));
        let file = self.logs.iter().rposition(holds_all_after).ok_or(NoStart::Purged)?;
        let mut must_exist = Vec::new();
        for gtid in had.iter() {
            must_exist.extend(self.holder(file, gtid)?.map(|index| (index, gtid)));
        }
        Ok(Start { file, must_exist })
    }

    /// A domain the logs have never seen is another primary's: a primary lets it pass, too.
    fn check_end(&self, gtid: Gtid) -> Result<(), NoStart> {
        match self.last_scan.position.get(gtid.domain) {
            Some(end) if gtid.sequence > end.sequence => Err(NoStart::Ahead(gtid)),
            Some(end) if gtid.sequence == end.sequence && gtid != end => Err(NoStart::Diverged(gtid)),
            _ => Ok(()),
        }
    }

    /// The one file, from `first` on, that must hold `gtid`; `None` when a GTID_LIST already names it.
    fn holder(&self, first: usize, gtid: Gtid) -> Result<Option<usize>, NoStart> {
        let mut holder = None;
        for (index, log) in self.logs.iter().enumerate().skip(first) {
            let before = log.head.start().get(gtid.domain);
            match before {
                Some(before) if before == gtid => return Ok(None),
                Some(before) if before.sequence == gtid.sequence => return Err(NoStart::Diverged(gtid)),
                Some(before) if before.sequence > gtid.sequence => break,
                _ => holder = Some(index),
            }
        }
        let known = self.last_scan.position.get(gtid.domain).is_some();
        Ok(holder.filter(|_| known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Checksum;
    use crate::binlog::testing::{LogFile, catalogue};

    fn three_files() -> Catalogue {
        let file = |start| LogFile::new(start, Checksum::Crc32);
        catalogue(&[
            file("0-1-10").transaction("0-1-11", 9).transaction("0-1-12", 9).rotated(),
            file("0-1-12").transaction("0-1-13", 9).statement("5-1-1").rotated(),
            file("0-1-13,5-1-1").transaction("0-2-14", 9).begun("0-2-15"),
        ])
    }

    fn start(had: &str) -> Result<(usize, usize), NoStart> {
        three_files().start(&had.parse().unwrap()).map(|start| (start.file, start.must_exist.len()))
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
    fn the_end_is_that_of_the_last_complete_group() {
        let end = three_files().end();
        assert_eq!((end.position.to_string().as_str(), end.last_file.as_str()), ("0-2-14,5-1-1", "bin.000003"));
        assert!(end.torn.is_some());
    }
}
