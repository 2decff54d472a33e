//! A part of a transaction at the end of the binary log of a server that was killed.
//!
//! mariadbd passes by it at its start and begins another file. But a replica that reads through the file, once this member
//! is the primary, never gets past it: half an event is error 1236 ("binlog truncated in the middle of event"), and of a
//! group without its end it says "Unexpected break of being relay-logged GTID", error 1595, because the next file begins
//! with the same GTID. mariadbd has rolled the transaction back, so its part is cut off before mariadbd starts.

use std::fs::OpenOptions;
use std::path::Path;

use tracing::{info, warn};

use super::binlog_files::{BinlogError, names, whole};
use super::log_reader::LogSource;
use crate::binlog::{Fault, Keys, Torn, TornReason};

/// Looks at the last file of the logs `basename` in `directory`, of which no mariadbd runs. What cannot be read stays as it is.
pub fn cut(directory: &Path, basename: &str, keys: &Keys) {
    if let Err(error) = try_to_cut(directory, basename, keys) {
        warn!(%error, "the end of the binary log cannot be looked at: replicas that read through it may get error 1236");
    }
}

fn try_to_cut(directory: &Path, basename: &str, keys: &Keys) -> Result<(), BinlogError> {
    let Some(name) = names(directory, basename)?.pop() else { return Ok(()) };
    let path = directory.join(name.as_str());
    let Some((_, scan)) = whole(&LogSource::File { path: path.clone(), cipher: None }, keys)? else { return Ok(()) };
    let Some(torn) = scan.torn.filter(is_rolled_back) else { return Ok(()) };
    let file = OpenOptions::new().write(true).open(&path);
    let shortened = file.and_then(|file| file.set_len(scan.events_end).and_then(|()| file.sync_all()));
    shortened.map_err(|source| BinlogError::Io { path: path.clone(), source })?;
    info!(file = %path.display(), %torn, end = scan.events_end, "cut a part of a transaction off the end of the binary log");
    Ok(())
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
