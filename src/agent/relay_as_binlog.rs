//! Kept relay logs, read as binary logs of the source they came from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::binlog_files::{BinlogError, BinlogFiles, SCAN_CHUNK, file_size, names, read_through};
use super::log_reader::{LogReader, LogSource, Piece, PieceContent};
use crate::binlog::{EventHeader, FileCipher, HEADER_LEN, Keys, LogName, Progress, Scanner, Spliced, Splicer, Torn};

/// Base name of a member's relay logs (option `relay_log`).
pub const RELAY_LOGS: &str = "relay";

/// A relay log that was read.
struct RelayLog {
    path: PathBuf,
    cipher: Option<FileCipher>,
}

/// True when the logs `basename` in `directory` are relay logs: then the replica has marked their first event as its own.
#[must_use]
pub(crate) fn are_relay_logs(directory: &Path, basename: &str) -> bool {
    names(directory, basename).is_ok_and(|names| names.iter().any(|name| is_relay_log(&directory.join(name.as_str()))))
}

fn is_relay_log(path: &Path) -> bool {
    /// In front of the first event.
    const MAGIC: usize = 4;
    let mut bytes = Vec::new();
    let source = LogSource::File { path: path.to_owned(), cipher: None };
    let read = LogReader::open(&source).and_then(|mut file| file.read_into(0, MAGIC + HEADER_LEN, &mut bytes));
    let first = bytes.get(MAGIC..).and_then(|bytes| EventHeader::read(bytes).ok());
    read.is_ok() && first.is_some_and(|header| header.flags & EventHeader::RELAY_LOG != 0)
}

impl BinlogFiles {
    /// Reads the relay logs `basename` of a stopped server in `directory`, by their index, as binary logs of their source.
    ///
    /// # Errors
    /// The logs cannot be read, or hold no complete transaction; see [`BinlogError`].
    pub(crate) async fn open_relay_logs(directory: &Path, basename: &str, keys: Keys) -> Result<Self, BinlogError> {
        let (directory, basename) = (directory.to_owned(), basename.to_owned());
        spawn_blocking(move || Self::of(binlogs_of_relay_logs(&directory, &basename, &keys)?, keys, &directory)).await?
    }
}

/// The relay logs `basename` of `directory`, by its index, as binary logs of their source.
///
/// # Errors
/// They cannot be read, or hold what no server writes.
pub(crate) fn binlogs_of_relay_logs(
    directory: &Path,
    basename: &str,
    keys: &Keys,
) -> Result<Vec<(LogName, LogSource)>, BinlogError> {
    let mut splicer = Splicer::default();
    let mut files = Vec::new();
    let mut before = None;
    for name in names(directory, basename)? {
        let path = directory.join(name.as_str());
        let found = read(&path, keys, &mut splicer)?;
        // Behind a file that a crash cut off the server opens another one when it starts, and may write nothing to it.
        if let Some((path, torn)) = before.take_if(|_| found.has_transactions) {
            return Err(BinlogError::TornInside { path, torn });
        }
        before = before.or(found.torn.map(|torn| (path.clone(), torn)));
        splicer.next_file();
        files.push(RelayLog { path, cipher: found.cipher });
    }
    let spliced = splicer.finish().map_err(|source| BinlogError::Splice { directory: directory.to_owned(), source })?;
    Ok(spliced.into_iter().map(|log| source(log, &files)).collect())
}

/// What was found in a relay log.
#[derive(Default)]
struct Found {
    cipher: Option<FileCipher>,
    torn: Option<Torn>,
    /// Of the source, complete or not.
    has_transactions: bool,
}

/// Gives a file's events to `splicer`.
fn read(path: &Path, keys: &Keys, splicer: &mut Splicer) -> Result<Found, BinlogError> {
    let failed = |source| BinlogError::Io { path: path.to_owned(), source };
    let mut scanner = Scanner::new(file_size(path)?, keys);
    let mut reader = LogReader::open(&LogSource::File { path: path.to_owned(), cipher: None }).map_err(failed)?;
    let mut found = Found::default();
    read_through(&mut reader, SCAN_CHUNK, failed, |mut bytes| {
        loop {
            let step = scanner.advance(&mut bytes);
            found.cipher = found.cipher.take().or_else(|| scanner.file_cipher().cloned());
            match step.map_err(|source| BinlogError::Scan { path: path.to_owned(), source })? {
                Progress::Event(event) => {
                    let taken = splicer.event(&event);
                    found.has_transactions |=
                        taken.map_err(|source| BinlogError::Splice { directory: path.to_owned(), source })?;
                }
                Progress::NeedMore => return Ok(false),
                Progress::End(torn) => {
                    found.torn = torn;
                    return Ok(true);
                }
            }
        }
    })?;
    Ok(found)
}

fn source(log: Spliced, files: &[RelayLog]) -> (LogName, LogSource) {
    let head = Piece { start: 0, length: log.head.len() as u64, content: PieceContent::Bytes(log.head) };
    let mut pieces = vec![head];
    for part in log.parts {
        let Some(file) = files.get(part.file) else { continue };
        let content = PieceContent::Part { path: file.path.clone(), cipher: file.cipher.clone(), offset: part.offset };
        let start = pieces.last().map_or(0, |piece| piece.start + piece.length);
        pieces.push(Piece { start, length: part.length, content });
    }
    (log.name, LogSource::Spliced(Arc::from(pieces)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::binlog::Checksum;
    use crate::binlog::testing::LogFile;

    fn spliced(files: &[&[u8]]) -> Result<Vec<(LogName, LogSource)>, BinlogError> {
        let directory = tempfile::tempdir().unwrap();
        let mut index = String::new();
        for (number, bytes) in files.iter().enumerate() {
            let name = format!("relay.{:06}", number + 1);
            fs::write(directory.path().join(&name), bytes).unwrap();
            index += &format!("./{name}\n");
        }
        fs::write(directory.path().join("relay.index"), index).unwrap();
        assert!(are_relay_logs(directory.path(), RELAY_LOGS));
        binlogs_of_relay_logs(directory.path(), RELAY_LOGS, &Keys::missing(""))
    }

    #[test]
    fn a_torn_relay_log_is_an_error_only_when_the_source_s_events_follow() {
        let relay = || LogFile::relay("bin.000001", Checksum::Crc32);
        let whole = relay().transaction("0-1-1", 9).transaction("0-1-2", 9).bytes;
        let torn = &whole[..whole.len() - 5];
        let begun = LogFile::relay_of_nothing().bytes;
        let connected = relay().bytes;
        let received = relay().transaction("0-1-3", 9).bytes;
        assert_eq!(spliced(&[torn, &begun, &connected]).unwrap().len(), 1);
        let error = spliced(&[torn, &begun, &received]).unwrap_err();
        assert!(matches!(&error, BinlogError::TornInside { path, .. } if path.ends_with("relay.000001")), "{error}");
        let error = spliced(&[torn, &begun[..9], &received]).unwrap_err();
        assert!(matches!(&error, BinlogError::TornInside { path, .. } if path.ends_with("relay.000001")), "{error}");
    }
}
