//! The file with every acknowledgement, so that the claim outlives the process that made it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::clock::Stamp;

/// How often the file is synced. In groups: a sync for every row would make the writer compete with the database for the disk.
const SYNC_PERIOD: Duration = Duration::from_millis(200);

/// An append-only file: one line `ID REALTIME_US MONOTONIC_US` for each acknowledged row.
#[derive(Clone)]
pub struct Journal {
    file: Arc<Mutex<File>>,
    dirty: Arc<AtomicBool>,
}

impl Journal {
    /// Creates the file and the thread that syncs it.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        let journal = Self { file: Arc::new(Mutex::new(File::create(path)?)), dirty: Arc::default() };
        let synced = journal.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(SYNC_PERIOD);
                if let Err(error) = synced.sync() {
                    eprintln!("journal: {error}");
                }
            }
        });
        Ok(journal)
    }

    /// Hands a line to the kernel; it is on the disk after the next sync.
    ///
    /// # Errors
    /// When the write fails.
    pub fn append(&self, id: u64, at: Stamp) -> io::Result<()> {
        let line = format!("{id} {} {}\n", at.realtime_us, at.monotonic_us);
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?;
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// Waits until every line is on the disk.
    ///
    /// # Errors
    /// When the sync fails.
    pub fn sync(&self) -> io::Result<()> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?;
        file.sync_data()
    }
}
