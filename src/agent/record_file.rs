//! The record file of a volume: preallocated, overwritten in place, so that a full disk cannot stop a fence.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record_slots::{self, FILE, SLOT, Slots};
use super::volume_lock;
use crate::gtid::GtidPosition;
use crate::orders::{Incarnation, VolumeRecord};

/// What the agent keeps on the volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stored {
    /// What others are told.
    #[serde(flatten)]
    pub(crate) record: VolumeRecord,
    /// Id of the order with the highest token.
    #[serde(default)]
    pub(crate) order_id: String,
    /// True once `init` was carried out to its end.
    #[serde(default)]
    pub(crate) initialised: bool,
    /// Commits may not be on disk yet, but they are in the memory of the kernel with this boot id.
    #[serde(default)]
    pub(crate) relaxed_in_boot: Option<String>,
    /// Settings as they were before syncs were let go, by name.
    #[serde(default)]
    pub(crate) before_relaxing: BTreeMap<String, String>,
    /// The run of mariadbd in which what earlier runs left half done was looked for and mended.
    #[serde(default)]
    pub(crate) examined: Option<Incarnation>,
    /// What the tables have, while a repair has moved the server's own position back.
    #[serde(default)]
    pub(crate) mending: Option<GtidPosition>,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct RecordFile {
    file: File,
    counter: u64,
    next: usize,
}

/// What the file says.
#[derive(Debug)]
pub(crate) enum Found {
    /// Never written.
    Empty,
    /// A record, and the file to write the next one to.
    Record(Box<Stored>, RecordFile),
    /// Not readable as a record, and why.
    Damaged(String),
    /// Another agent has it, or nobody can tell; and what people are told.
    Locked(String),
}

impl RecordFile {
    /// Reads the record of a volume.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(crate) fn open(path: &Path) -> io::Result<Found> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Empty),
            Err(error) => return Err(error),
        };
        if let Some(message) = volume_lock::explain(&volume_lock::take(&file)) {
            return Ok(Found::Locked(message));
        }
        Ok(match record_slots::read(&fs::read(path)?) {
            Slots::Empty => Found::Empty,
            Slots::Damaged => Found::Damaged("neither slot of the record has a valid checksum".to_owned()),
            Slots::Newest { counter, text, next } => match serde_json::from_slice(&text) {
                Ok(stored) => Found::Record(stored, Self { file, counter, next }),
                Err(error) => Found::Damaged(format!("the record cannot be parsed: {error}")),
            },
        })
    }

    /// Makes the file with its first record. Both slots are allocated before one is written.
    ///
    /// # Errors
    /// When a step fails; then no record was made. So it is when another agent was faster.
    pub(crate) fn create(path: &Path, stored: &Stored) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if let Some(message) = volume_lock::explain(&volume_lock::take(&file)) {
            return Err(io::Error::other(message));
        }
        if matches!(record_slots::read(&fs::read(path)?), Slots::Newest { .. }) {
            return Err(io::Error::other("another agent has initialised the volume: restart this one"));
        }
        file.write_all_at(&[0; FILE], 0)?;
        file.sync_all()?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        let mut record = Self { file, counter: 0, next: 0 };
        record.write(stored)?;
        Ok(record)
    }

    /// Writes over the older slot and waits until it is on disk.
    ///
    /// # Errors
    /// When it is not known to be on disk; the next write tries the same slot again.
    pub(crate) fn write(&mut self, stored: &Stored) -> io::Result<()> {
        let text = serde_json::to_vec(stored)?;
        let slot = record_slots::encode(self.counter + 1, &text).map_err(io::Error::other)?;
        self.file.write_all_at(&slot, if self.next == 0 { 0 } else { SLOT as u64 })?;
        self.file.sync_data()?;
        self.counter += 1;
        self.next = 1 - self.next;
        Ok(())
    }
}
