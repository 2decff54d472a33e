//! The binary logs of a stopped server on disk: read, never written.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use thiserror::Error;
use tokio::sync::OnceCell;
use tokio::task::{spawn, spawn_blocking};

use super::log_reader::{LogReader, LogSource};
use crate::binlog::{
    Catalogue, FileCipher, FileScan, FileScanner, Head, IndexError, Keys, LogName, NoStart, ScanError, SpliceError,
    Start, Torn, parse_index, present,
};
use crate::gtid::GtidPosition;

/// Scanning reads in pieces of this size: from here on larger ones are not faster.
pub const SCAN_CHUNK: usize = 1 << 20;
/// A head is a few hundred bytes; with many domains some thousand.
const HEAD_CHUNK: usize = 16 << 10;

/// Why binary logs cannot be read.
#[derive(Debug, Error)]
pub enum BinlogError {
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The index cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// What is wrong.
        source: IndexError,
    },
    /// A file is damaged or encrypted.
    #[error("{path}: {source}", path = path.display())]
    Scan {
        /// The log file.
        path: PathBuf,
        /// What is wrong, and where.
        source: ScanError,
    },
    /// Relay logs hold what no source sent.
    #[error("{directory}: {source}", directory = directory.display())]
    Splice {
        /// The directory or file.
        directory: PathBuf,
        /// What is wrong.
        source: SpliceError,
    },
    /// A relay log is incomplete although another one follows: the end of a file that was in the page cache only is gone.
    #[error("{path} is {torn}, but another relay log follows: what came after it was lost", path = path.display())]
    TornInside {
        /// The relay log.
        path: PathBuf,
        /// Where, and how.
        torn: Torn,
    },
    /// No file has anything in it.
    #[error("{directory}: no log file has a complete head, so nothing was ever written to the binary log", directory = directory.display())]
    NoHead {
        /// The directory.
        directory: PathBuf,
    },
    /// The work was cut off.
    #[error("reading the binary logs was interrupted: {0}")]
    Cancelled(#[from] tokio::task::JoinError),
}

/// The logs of one server: a catalogue, and what single files hold as it is needed.
#[derive(Debug)]
pub struct BinlogFiles {
    catalogue: Arc<Catalogue>,
    logs: Vec<OneLog>,
    keys: Keys,
}

/// One file and what is known of it.
#[derive(Debug)]
struct OneLog {
    source: LogSource,
    /// `None` when it has no head, or none that can be read.
    head: OnceLock<Option<Opened>>,
    scan: OnceCell<Option<Arc<FileScan>>>,
}

/// What a file's head tells.
#[derive(Debug, Clone)]
struct Opened {
    head: Arc<Head>,
    cipher: Option<FileCipher>,
}

/// A file's head and contents.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    /// What stands before its first transaction.
    pub(crate) head: Arc<Head>,
    /// What it holds.
    pub(crate) scan: Arc<FileScan>,
}

impl BinlogFiles {
    /// Reads the index and the whole last file.
    ///
    /// # Errors
    /// The logs cannot be read; see [`BinlogError`].
    pub async fn open(directory: &Path, basename: &str, keys: Keys) -> Result<Self, BinlogError> {
        let (directory, basename) = (directory.to_owned(), basename.to_owned());
        spawn_blocking(move || {
            let names = names(&directory, &basename)?;
            let logs = names.into_iter().map(|name| {
                let source = LogSource::File { path: directory.join(name.as_str()), cipher: None };
                (name, source)
            });
            Self::of(logs.collect(), keys, &directory)
        })
        .await?
    }

    /// Logs in their order, in `directory`; the last one with a head is read as a whole. A crash while a new file is begun
    /// leaves it empty.
    pub(super) fn of(mut logs: Vec<(LogName, LogSource)>, keys: Keys, directory: &Path) -> Result<Self, BinlogError> {
        while let Some((name, source)) = logs.pop() {
            if let Some((opened, scan)) = whole(&source, &keys)? {
                let catalogue = Catalogue::new(
                    logs.iter().map(|(name, _)| name.clone()).collect(),
                    name,
                    Arc::clone(&opened.head),
                    Arc::new(scan),
                );
                logs.push((catalogue.name(logs.len()).clone(), source));
                let logs: Vec<OneLog> = logs.into_iter().map(|(_, source)| OneLog::new(source)).collect();
                if let Some(last) = logs.last() {
                    last.scan.set(Some(Arc::clone(catalogue.last_scan()))).unwrap_or_default();
                    last.head.set(Some(opened)).unwrap_or_default();
                }
                return Ok(Self { catalogue: Arc::new(catalogue), logs, keys });
            }
            tracing::info!(file = %name, "the binary log has no complete head; the one before it is read");
        }
        Err(BinlogError::NoHead { directory: directory.to_owned() })
    }

    /// The catalogue.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Where the transactions after `had` begin, and the head of that file. Reads the heads of a few files.
    ///
    /// # Errors
    /// What a primary answers with error 1236.
    pub fn start(&self, had: &GtidPosition) -> Result<(Start, Arc<Head>), NoStart> {
        let start = self.catalogue.start(had, |index| self.head(index))?;
        // The search never ends at a file that has none.
        let head = self.head(start.file).ok_or(NoStart::Purged)?;
        Ok((start, head))
    }

    /// Where a replica in position mode begins, and the head of that file.
    ///
    /// # Errors
    /// What a primary answers with error 1236.
    pub(crate) fn start_at(&self, file: &str, offset: u64) -> Result<(Start, Arc<Head>), NoStart> {
        let start = self.catalogue.start_at(file, offset)?;
        if self.logs.iter().any(|log| matches!(log.source, LogSource::Spliced(_))) {
            // Offsets here are not those of the source's files.
            return Err(NoStart::GtidOnly);
        }
        let head = self.head(start.file).ok_or_else(|| NoStart::NoFile(file.to_owned()))?;
        Ok((start, head))
    }

    /// The head of the file at `index` of the catalogue; `None` when it has none or it cannot be read.
    #[must_use]
    pub(crate) fn head(&self, index: usize) -> Option<Arc<Head>> {
        Some(Arc::clone(&self.logs.get(index)?.opened(&self.keys)?.head))
    }

    /// About how many bytes the logs hold after `had`, up to their end; `None` when no stream can begin there. Of the file it
    /// begins in, it counts the part of its transactions that are missing: nothing is read for this but heads.
    #[must_use]
    pub(crate) fn bytes_after(&self, had: &GtidPosition) -> Option<u64> {
        let (start, head) = self.start(had).ok()?;
        let next = self.head(start.file + 1).map_or_else(|| self.catalogue.end().position, |head| head.start());
        let all = u128::from(next.distance(&head.start())).max(1);
        let missing = u128::from(next.distance(had)).min(all);
        let first = u128::from(self.length(start.file)?) * missing / all;
        let behind = (start.file + 1..self.logs.len()).map(|index| self.length(index)).sum::<Option<u64>>()?;
        Some(behind.saturating_add(u64::try_from(first).ok()?))
    }

    /// Bytes of the file at `index` of the catalogue; of the last one up to its last complete group.
    fn length(&self, index: usize) -> Option<u64> {
        if index + 1 == self.logs.len() {
            return Some(self.catalogue.end().offset);
        }
        size(&self.logs.get(index)?.source).ok()
    }

    /// How many files have been opened for their heads or their contents.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.logs.iter().filter(|log| log.head.get().is_some()).count()
    }

    /// What the file at `index` of the catalogue holds; scanned once, whoever asks. `None` when it has no head, as a crash
    /// leaves a file that was being begun.
    ///
    /// The scan is a task of its own: it goes on, for others who wait for it, while the caller does something else or is gone.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) async fn contents(self: &Arc<Self>, index: usize) -> Result<Option<Contents>, BinlogError> {
        let files = Arc::clone(self);
        spawn(async move { files.scanned(index).await }).await?
    }

    async fn scanned(self: &Arc<Self>, index: usize) -> Result<Option<Contents>, BinlogError> {
        let Some(log) = self.logs.get(index) else { return Ok(None) };
        let scan = log.scan.get_or_try_init(|| async {
            let files = Arc::clone(self);
            spawn_blocking(move || files.read_whole(index)).await?
        });
        let scan = scan.await?.clone();
        Ok(self.head(index).zip(scan).map(|(head, scan)| Contents { head, scan }))
    }

    fn read_whole(&self, index: usize) -> Result<Option<Arc<FileScan>>, BinlogError> {
        let Some(log) = self.logs.get(index) else { return Ok(None) };
        let found = whole(&log.source, &self.keys)?;
        Ok(found.map(|(opened, scan)| {
            log.head.get_or_init(|| Some(opened));
            Arc::new(scan)
        }))
    }

    /// The position at an offset of the file at `index`, by its complete groups; `None` when it cannot be told.
    #[must_use]
    pub(crate) fn position_at(&self, index: usize, offset: u64) -> Option<GtidPosition> {
        let source = &self.logs.get(index)?.source;
        let mut scanner = FileScanner::new(offset, &self.keys);
        feed(source, &mut scanner, SCAN_CHUNK, |_| false).ok()?;
        Some(scanner.finish()?.1.position)
    }

    /// A reader of the file at `index` of the catalogue, whose contents are known.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn reader(&self, index: usize) -> Result<LogReader, BinlogError> {
        let Some(log) = self.logs.get(index) else {
            return Err(io_error(Path::new("the log asked for"), io::ErrorKind::NotFound.into()));
        };
        let mut source = log.source.clone();
        if let (LogSource::File { cipher, .. }, Some(opened)) = (&mut source, log.opened(&self.keys)) {
            cipher.clone_from(&opened.cipher);
        }
        LogReader::open(&source).map_err(|error| io_error(&path(&source), error))
    }
}

impl OneLog {
    fn new(source: LogSource) -> Self {
        Self { source, head: OnceLock::new(), scan: OnceCell::new() }
    }

    /// A head that cannot be read now may be readable later.
    fn opened(&self, keys: &Keys) -> Option<&Opened> {
        if self.head.get().is_none() {
            match head(&self.source, keys) {
                // Somebody else may have been faster: with the same.
                Ok(found) => drop(self.head.set(found)),
                Err(error) => tracing::warn!(%error, "the head of a log cannot be read"),
            }
        }
        self.head.get()?.as_ref()
    }
}

/// Files named by the index of the logs `basename` in `directory`, in order; they may be gone.
///
/// # Errors
/// The index cannot be read or used.
pub(crate) fn listed(directory: &Path, basename: &str) -> Result<Vec<LogName>, BinlogError> {
    let path = index(directory, basename);
    let text = fs::read(&path).map_err(|source| BinlogError::Io { path: path.clone(), source })?;
    parse_index(&text, &directory.to_string_lossy(), basename).map_err(|source| BinlogError::Index { path, source })
}

fn index(directory: &Path, basename: &str) -> PathBuf {
    directory.join(format!("{basename}.index"))
}

/// Existing files of the index, in order.
pub(super) fn names(directory: &Path, basename: &str) -> Result<Vec<LogName>, BinlogError> {
    // A link could lead out of the directory: it does not count as one of the files.
    let is_file = |name: &LogName| fs::symlink_metadata(directory.join(name.as_str())).is_ok_and(|file| file.is_file());
    let path = index(directory, basename);
    present(listed(directory, basename)?, is_file).map_err(|source| BinlogError::Index { path, source })
}

fn head(source: &LogSource, keys: &Keys) -> Result<Option<Opened>, BinlogError> {
    let mut scanner = FileScanner::new(size(source)?, keys);
    feed(source, &mut scanner, HEAD_CHUNK, |scanner| scanner.head().is_some())?;
    let cipher = scanner.file_cipher().cloned();
    Ok(scanner.head().map(|head| Opened { head: Arc::new(head.clone()), cipher }))
}

fn whole(source: &LogSource, keys: &Keys) -> Result<Option<(Opened, FileScan)>, BinlogError> {
    let mut scanner = FileScanner::new(size(source)?, keys);
    feed(source, &mut scanner, SCAN_CHUNK, |_| false)?;
    let cipher = scanner.file_cipher().cloned();
    Ok(scanner.finish().map(|(head, scan)| (Opened { head: Arc::new(head), cipher }, scan)))
}

/// Bytes of a log.
///
/// # Errors
/// When the operating system refuses.
pub(crate) fn size(source: &LogSource) -> Result<u64, BinlogError> {
    match source {
        LogSource::File { path, .. } => file_size(path),
        LogSource::Spliced(pieces) => Ok(pieces.last().map_or(0, |piece| piece.start + piece.length)),
    }
}

pub(super) fn file_size(path: &Path) -> Result<u64, BinlogError> {
    Ok(fs::metadata(path).map_err(|error| io_error(path, error))?.len())
}

/// Scanners decrypt by themselves: a file's bytes are given to them as they are.
fn feed(
    source: &LogSource,
    scanner: &mut FileScanner,
    chunk: usize,
    enough: impl Fn(&FileScanner) -> bool,
) -> Result<(), BinlogError> {
    let failed = |error| io_error(&path(source), error);
    let mut reader = LogReader::open(source).map_err(failed)?;
    read_through(&mut reader, chunk, failed, |bytes| {
        scanner.feed(bytes).map_err(|source_error| BinlogError::Scan { path: path(source), source: source_error })?;
        Ok(scanner.is_done() || enough(scanner))
    })
}

fn path(source: &LogSource) -> PathBuf {
    match source {
        LogSource::File { path, .. } => path.clone(),
        LogSource::Spliced(_) => PathBuf::from("what the relay logs hold"),
    }
}

fn io_error(path: &Path, source: io::Error) -> BinlogError {
    BinlogError::Io { path: path.to_owned(), source }
}

/// Gives `take` the bytes behind `reader` piece by piece until it has enough; first none, because a file may be empty.
///
/// # Errors
/// What `take` says, or what the operating system says, through `failed`.
pub(crate) fn read_through<E>(
    reader: &mut LogReader,
    chunk: usize,
    failed: impl Fn(io::Error) -> E,
    mut take: impl FnMut(&[u8]) -> Result<bool, E>,
) -> Result<(), E> {
    let mut bytes = Vec::new();
    let mut offset = 0;
    while !take(&bytes)? {
        reader.read_into(offset, chunk, &mut bytes).map_err(&failed)?;
        if bytes.is_empty() {
            // Nobody wants more than the size the file had when it was opened.
            let shorter = "the file became shorter while it was read";
            return Err(failed(io::Error::new(io::ErrorKind::UnexpectedEof, shorter)));
        }
        offset += bytes.len() as u64;
    }
    Ok(())
}
