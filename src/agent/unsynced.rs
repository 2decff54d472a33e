//! How a member applies a long tail without syncs: what is set for it, and what keeps the sync at its end short. When that is
//! right, `orders/durable.rs` decides.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tracing::debug;

use crate::binlog::LogName;

/// Whether a commit syncs the log of InnoDB.
pub(crate) const FLUSH_LOG: &str = "innodb_flush_log_at_trx_commit";
/// Whether a commit syncs the binary log.
pub(crate) const SYNC_BINLOG: &str = "sync_binlog";
const BINLOG_CACHE: &str = "binlog_cache_size";

/// What is set while a member catches up. A server that does not know one of them goes on without it.
pub const RELAXED: [(&str, &str); 4] = [
    // 2 and not 0: 0 would leave a second of commits in mariadbd's memory.
    (FLUSH_LOG, "2"),
    (SYNC_BINLOG, "0"),
    // From 10.8 on InnoDB writes its log past the kernel's cache: even a commit without a sync waits for the disk then.
    // Measured with 29,000 one-row transactions: 4.2 s without, 0.8 s with it. InnoDB of 10.11 and 11.8 does not switch it off
    // again before its next start; durability does not depend on it, because a sync covers the cache, too.
    ("innodb_log_file_buffering", "ON"),
    // A larger transaction goes through a temporary file before it is logged; the default is 32 kB.
    (BINLOG_CACHE, "1048576"),
];

/// Whether a variable has to be set; a cache that is larger already is welcome.
#[must_use]
pub(crate) fn is_less(name: &str, found: &str, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    if name == BINLOG_CACHE { number(found) < number(wanted) } else { found != wanted }
}

/// Between two rounds: a fast server writes some 20 MB meanwhile.
const PERIOD: Duration = Duration::from_millis(100);
/// The log that is being written, and the one before: it may have ended since the last round.
const LAST_LOGS: usize = 2;
/// InnoDB's log, from 10.5 on the only one.
const ENGINE_LOG: &str = "ib_logfile0";

/// A thread that sends to the disk what mariadbd writes without syncs, while this lives. It answers for nothing: whoever
/// needs everything on disk syncs once more.
#[derive(Debug)]
pub struct Writeback(#[expect(dead_code, reason = "dropped, it ends the thread")] Sender<()>);

impl Writeback {
    /// Syncs the newest binary logs named `basename` and the log of InnoDB in `data_dir`, again and again.
    #[must_use]
    pub fn start(data_dir: PathBuf, basename: &'static str) -> Self {
        let (alive, ended) = channel();
        thread::spawn(move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = round(&data_dir, basename) {
                    debug!(%error, "logs are not written back");
                }
            }
        });
        Self(alive)
    }
}

fn round(data_dir: &Path, basename: &str) -> io::Result<()> {
    let mut logs = binary_logs(data_dir, basename)?;
    let older = logs.len().saturating_sub(LAST_LOGS);
    for path in logs.drain(older..).chain([data_dir.join(ENGINE_LOG)]) {
        match File::open(path).and_then(|file| file.sync_data()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Syncs all binary logs named `basename`, what belongs to them (index, GTID indexes), and their directory.
///
/// # Errors
/// When one cannot be synced: then it is not durable.
pub fn sync_binlogs(data_dir: &Path, basename: &str) -> io::Result<()> {
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().strip_prefix(basename).is_some_and(|rest| rest.starts_with('.')) {
            // One without anything to write costs nothing.
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(data_dir)?.sync_all()
}

/// In the order in which they were begun.
fn binary_logs(data_dir: &Path, basename: &str) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        names.extend(LogName::parse(&entry?.file_name().to_string_lossy(), basename));
    }
    // By number: the millionth has one digit more.
    names.sort_by_key(|name| (name.as_str().len(), name.to_string()));
    Ok(names.iter().map(|name| data_dir.join(name.as_str())).collect())
}
