//! What a member's own binary log says of the groups that its last crash may have left half done. mariadbd may run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::binlog_files::{BinlogError, SCAN_CHUNK, names, read_through};
use super::log_reader::{LogReader, LogSource};
use crate::binlog::{Claims, Keys, KnownGroup, KnownGroups, KnownHead, Plan, Refusal, Review, is_at_or_before};
use crate::gtid::GtidPosition;

/// A head is a few hundred bytes; with many domains some thousand.
const HEAD_CHUNK: usize = 16 << 10;

/// Why there is no plan.
#[derive(Debug, Error)]
pub(crate) enum NoPlan {
    /// The log cannot be read.
    #[error(transparent)]
    Unreadable(#[from] BinlogError),
    /// The log can be read, and what happened cannot be known.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The binary log of a running server.
#[derive(Debug)]
pub(crate) struct OwnLog {
    /// Where the files are.
    pub(crate) directory: PathBuf,
    /// Their base name.
    pub(crate) basename: &'static str,
    /// For encrypted ones.
    pub(crate) keys: Keys,
    /// `gtid_binlog_pos`.
    pub(crate) end: GtidPosition,
}

impl OwnLog {
    /// Compares the log with what the server claims. Reads the files since the last crash, and those beyond the position.
    ///
    /// # Errors
    /// The log cannot be read, or what a crash did cannot be known.
    pub(crate) fn plan(&self, claims: Claims) -> Result<Plan, NoPlan> {
        let files = self.files_to_read(&claims.position)?;
        let Some(first) = files.first() else { return Ok(Plan { position: self.end.clone(), ..Plan::default() }) };
        let start = head(first, &self.keys)?.map(|head| head.start).unwrap_or_default();
        let mut review = Review::new(claims, &start);
        for path in &files {
            read(path, &self.keys, |group| review.take(group))?;
        }
        Ok(review.plan()?)
    }

    /// In their order. None when the run before was stopped cleanly and the position is that of the log.
    ///
    /// Of this run there is nothing to be seen yet, unless the agent was restarted. Of the run before it the last file
    /// that holds something is needed. When that run closed its files it may have been one that only recovered: then the
    /// one before it counts, too, if it was left open.
    fn files_to_read(&self, position: &GtidPosition) -> Result<Vec<PathBuf>, BinlogError> {
        let covered = |start: &GtidPosition| start.iter().all(|gtid| is_at_or_before(gtid, position));
        let mut files = Vec::new();
        // Where the file looked at ends: where the one after it begins.
        let mut end = self.end.clone();
        let (mut earlier_run, mut crashed, mut found) = (false, false, false);
        for name in names(&self.directory, self.basename)?.iter().rev() {
            let path = self.directory.join(name.as_str());
            let Some(head) = head(&path, &self.keys)? else { continue };
            crashed |= earlier_run && head.left_open;
            let holds_something = head.start != end;
            if found && holds_something && !crashed {
                break;
            }
            files.push(path);
            found |= earlier_run && holds_something && covered(&head.start);
            if found && crashed && holds_something {
                break;
            }
            earlier_run |= head.begins_run;
            end = head.start;
        }
        files.reverse();
        let complete = !crashed && *position == self.end;
        Ok(if complete { Vec::new() } else { files })
    }
}

/// What stands before the first transaction of a file.
///
/// # Errors
/// The file cannot be read.
pub(super) fn head(path: &Path, keys: &Keys) -> Result<Option<KnownHead>, BinlogError> {
    let mut known = KnownGroups::new(size(path)?, keys);
    feed(path, &mut known, HEAD_CHUNK, |known| known.head().is_some(), |_| {})?;
    Ok(known.head().cloned())
}

fn read(path: &Path, keys: &Keys, take: impl FnMut(KnownGroup)) -> Result<(), BinlogError> {
    let mut known = KnownGroups::new(size(path)?, keys);
    feed(path, &mut known, SCAN_CHUNK, |_| false, take)
}

fn feed(
    path: &Path,
    known: &mut KnownGroups,
    chunk: usize,
    enough: impl Fn(&KnownGroups) -> bool,
    mut take: impl FnMut(KnownGroup),
) -> Result<(), BinlogError> {
    let failed = |source| BinlogError::Io { path: path.to_owned(), source };
    let mut reader = LogReader::open(&LogSource::File { path: path.to_owned(), cipher: None }).map_err(failed)?;
    read_through(&mut reader, chunk, failed, |bytes| {
        known.feed(bytes, &mut take).map_err(|source| BinlogError::Scan { path: path.to_owned(), source })?;
        Ok(known.is_done() || enough(known))
    })
}

fn size(path: &Path) -> Result<u64, BinlogError> {
    let size = |path: &Path| -> io::Result<u64> { Ok(fs::metadata(path)?.len()) };
    size(path).map_err(|source| BinlogError::Io { path: path.to_owned(), source })
}
