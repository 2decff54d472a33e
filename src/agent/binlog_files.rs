//! The binary logs of a stopped server on disk: read, never written.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::binlog::{
    Catalogue, FileScan, FileScanner, Head, IndexError, Log, LogName, ScanError, parse_index, present,
};

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
    /// No file has anything in it.
    #[error("{directory}: no log file has a complete head, so nothing was ever written to the binary log", directory = directory.display())]
    NoHead {
        /// The directory.
        directory: PathBuf,
    },
    /// The work was cut off.
    #[error("reading of the binary logs was cut off: {0}")]
    Cancelled(#[from] tokio::task::JoinError),
}

/// The binary logs of one server: a catalogue, and scans of single files as they are needed.
#[derive(Debug)]
pub struct BinlogFiles {
    directory: PathBuf,
    catalogue: Arc<Catalogue>,
    scans: Vec<OnceCell<Arc<FileScan>>>,
}

impl BinlogFiles {
    /// Reads the index, the heads of all files and the whole last file.
    ///
    /// # Errors
    /// The logs cannot be read; see [`BinlogError`].
    pub async fn open(directory: &Path, basename: &str) -> Result<Self, BinlogError> {
        let (directory, basename) = (directory.to_owned(), basename.to_owned());
        spawn_blocking(move || Self::open_blocking(directory, &basename)).await?
    }

    fn open_blocking(directory: PathBuf, basename: &str) -> Result<Self, BinlogError> {
        let (earlier, last, scan) = last_log(&directory, names(&directory, basename)?)?;
        let catalogue = Catalogue::new(readable_heads(&directory, earlier), last, Arc::new(scan));
        let scans = (0..catalogue.count()).map(|_| OnceCell::new()).collect();
        Ok(Self { directory, catalogue: Arc::new(catalogue), scans })
    }

    /// The catalogue.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// What the file at `index` of the catalogue holds; scanned once, whoever asks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn scan(&self, index: usize) -> Result<Arc<FileScan>, BinlogError> {
        if index + 1 >= self.catalogue.count() {
            return Ok(Arc::clone(self.catalogue.last_scan()));
        }
        let (Some(log), Some(cell)) = (self.catalogue.log(index), self.scans.get(index)) else {
            return Ok(Arc::clone(self.catalogue.last_scan()));
        };
        let (directory, name) = (self.directory.clone(), log.name.clone());
        let scan = cell.get_or_try_init(|| async move {
            let found = spawn_blocking(move || whole(&directory, &name)).await??;
            found.map(|(_, scan)| Arc::new(scan)).ok_or(BinlogError::NoHead { directory: self.directory.clone() })
        });
        scan.await.map(Arc::clone)
    }

    /// Opens the file at `index` of the catalogue.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub async fn open_log(&self, index: usize) -> Result<Arc<File>, BinlogError> {
        let name = &self.catalogue.log(index).unwrap_or(self.catalogue.last()).name;
        let path = self.directory.join(name.as_str());
        spawn_blocking(move || File::open(&path).map(Arc::new).map_err(|source| BinlogError::Io { path, source }))
            .await?
    }
}

/// Files named by the index of the logs `basename` in `directory`, in order; they may be gone.
///
/// # Errors
/// The index cannot be read or used.
pub fn listed(directory: &Path, basename: &str) -> Result<Vec<LogName>, BinlogError> {
    let path = index(directory, basename);
    let text = fs::read(&path).map_err(|source| BinlogError::Io { path: path.clone(), source })?;
    parse_index(&text, &directory.to_string_lossy(), basename).map_err(|source| BinlogError::Index { path, source })
}

fn index(directory: &Path, basename: &str) -> PathBuf {
    directory.join(format!("{basename}.index"))
}

/// Existing files of the index, in order.
fn names(directory: &Path, basename: &str) -> Result<Vec<LogName>, BinlogError> {
    // A link could lead out of the directory: it does not count as one of the files.
    let is_file = |name: &LogName| fs::symlink_metadata(directory.join(name.as_str())).is_ok_and(|file| file.is_file());
    let path = index(directory, basename);
    present(listed(directory, basename)?, is_file).map_err(|source| BinlogError::Index { path, source })
}

/// The last file with a head, scanned, and the names before it. A crash while a new file is begun leaves it empty.
fn last_log(directory: &Path, mut names: Vec<LogName>) -> Result<(Vec<LogName>, Log, FileScan), BinlogError> {
    while let Some(name) = names.pop() {
        if let Some((log, scan)) = whole(directory, &name)? {
            return Ok((names, log, scan));
        }
        tracing::info!(file = %name, "binary log has no complete head, looking at the one before");
    }
    Err(BinlogError::NoHead { directory: directory.to_owned() })
}

/// The files, from the newest back to the first one that cannot be read: what lies before counts as purged.
fn readable_heads(directory: &Path, names: Vec<LogName>) -> Vec<Log> {
    let mut logs = Vec::new();
    for name in names.iter().rev() {
        match head(directory, name) {
            Ok(Some(log)) => logs.push(log),
            Ok(None) => tracing::info!(file = %name, "binary log has no complete head and is passed over"),
            Err(error) => {
                tracing::warn!(%error, "binary logs up to this file cannot be served");
                break;
            }
        }
    }
    logs.reverse();
    logs
}

fn head(directory: &Path, name: &LogName) -> Result<Option<Log>, BinlogError> {
    let file = Input::open(directory, name)?;
    let mut scanner = FileScanner::new(file.size);
    file.feed(&mut scanner, HEAD_CHUNK, |scanner| scanner.head().is_some())?;
    Ok(scanner.head().map(|head| file.log(name, head.clone())))
}

fn whole(directory: &Path, name: &LogName) -> Result<Option<(Log, FileScan)>, BinlogError> {
    let file = Input::open(directory, name)?;
    let mut scanner = FileScanner::new(file.size);
    file.feed(&mut scanner, SCAN_CHUNK, |_| false)?;
    Ok(scanner.finish().map(|(head, scan)| (file.log(name, head), scan)))
}

/// A file being scanned.
struct Input {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Input {
    fn open(directory: &Path, name: &LogName) -> Result<Self, BinlogError> {
        let path = directory.join(name.as_str());
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((size, file)) => Ok(Self { path, file, size }),
            Err(source) => Err(BinlogError::Io { path, source }),
        }
    }

    fn feed(
        &self,
        scanner: &mut FileScanner,
        chunk: usize,
        enough: impl Fn(&FileScanner) -> bool,
    ) -> Result<(), BinlogError> {
        let io = |source| BinlogError::Io { path: self.path.clone(), source };
        read_through(&self.file, chunk, io, |bytes| {
            scanner.feed(bytes).map_err(|source| BinlogError::Scan { path: self.path.clone(), source })?;
            Ok(scanner.is_done() || enough(scanner))
        })
    }

    fn log(&self, name: &LogName, head: Head) -> Log {
        Log { name: name.clone(), size: self.size, head }
    }
}

/// Gives `take` the bytes of `file` piece by piece until it has enough; first none, because a file may be empty.
///
/// # Errors
/// What `take` says, or what the operating system says, through `failed`.
pub fn read_through<E>(
    file: &File,
    chunk: usize,
    failed: impl Fn(io::Error) -> E,
    mut take: impl FnMut(&[u8]) -> Result<bool, E>,
) -> Result<(), E> {
    let mut buffer = vec![0; chunk];
    let (mut offset, mut count) = (0, 0);
    while !take(buffer.get(..count).unwrap_or_default())? {
        count = file.read_at(&mut buffer, offset).map_err(&failed)?;
        if count == 0 {
            // Nobody wants more than the size the file had when it was opened.
            let shorter = "the file became shorter while it was read";
            return Err(failed(io::Error::new(io::ErrorKind::UnexpectedEof, shorter)));
        }
        offset += count as u64;
    }
    Ok(())
}
