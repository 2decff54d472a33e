//! A part of a transaction at the end of the binary log of a server that was killed.
//!
//! mariadbd passes by it at its start and begins another file. But a replica that reads through the file, once this member
//! is the primary, never gets past it: half an event is error 1236 ("binlog truncated in the middle of event"), and of a
//! group without its end it says "Unexpected break of being relay-logged GTID", error 1595, because the next file begins
//! with the same GTID. mariadbd has rolled the transaction back, so its part is cut off before mariadbd starts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use tokio::task::block_in_place;
use tracing::{info, warn};

use super::binlog_files::{BinlogError, BinlogFiles};
use super::config::Config;
use crate::binlog::{Fault, Torn, TornReason};
use crate::layout::BINLOGS;

/// What was last cut off, in the agent's folder of the volume.
const KEPT: &str = "torn-end";

/// Looks at the end of the binary log, of which no mariadbd runs. What cannot be read or kept stays as it is.
pub(crate) async fn cut(config: &Config) {
    if let Err(error) = try_to_cut(config).await {
        warn!(%error, "the end of the binary log could not be checked or cut: replicas may get error 1236 there");
    }
}

async fn try_to_cut(config: &Config) -> Result<(), BinlogError> {
    let logs = BinlogFiles::open(&config.data_dir(), BINLOGS, config.log_keys()).await?;
    let scan = logs.catalogue().last_scan();
    let Some(torn) = scan.torn.as_ref().filter(|torn| is_rolled_back(torn)) else { return Ok(()) };
    let path = config.data_dir().join(logs.catalogue().end().last_file.as_str());
    let (end, kept) = (scan.events_end, config.state_dir().join(KEPT));
    let moved = block_in_place(|| move_end(&path, end, &kept));
    moved.map_err(|source| BinlogError::Io { path: path.clone(), source })?;
    info!(
        file = %path.display(), %torn, end, kept = %kept.display(),
        "an incomplete transaction was cut off the end of the binary log"
    );
    Ok(())
}

fn move_end(path: &Path, end: u64, kept: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    file.seek(SeekFrom::Start(end))?;
    let new = kept.with_extension("new");
    let mut copy = File::create(&new)?;
    io::copy(&mut Read::by_ref(&mut file), &mut copy)?;
    copy.sync_all()?;
    fs::rename(new, kept)?;
    file.set_len(end)?;
    file.sync_all()
}

/// True when mariadbd takes the last transaction for incomplete as well. It does not verify checksums and commits by an
/// event whose checksum is wrong.
const fn is_rolled_back(torn: &Torn) -> bool {
    match &torn.reason {
        TornReason::ShortHeader { .. } | TornReason::ShortEvent { .. } | TornReason::UnfinishedGroup(_) => true,
        // Blocks of zeros that a power failure left.
        TornReason::LastEvent(fault) => matches!(fault, Fault::TooShort(_)),
    }
}
