//! Kept relay logs, read as binary logs of the source they came from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::binlog_files::{BinlogError, SCAN_CHUNK, file_size, names, read_through};
use super::log_reader::{LogReader, LogSource, Piece, PieceContent};
use crate::binlog::{FileCipher, Keys, LogName, Progress, Scanner, Spliced, Splicer, Torn};

/// Base name of relay logs (option `relay_log`).
pub const RELAY_LOGS: &str = "relay";

/// A relay log that was read.
struct RelayLog {
    path: PathBuf,
    cipher: Option<FileCipher>,
}

/// The relay logs of `directory`, by its index, as binary logs of their source.
///
/// # Errors
/// They cannot be read, or hold what no server writes.
pub(super) fn binlogs_of_relay_logs(directory: &Path, keys: &Keys) -> Result<Vec<(LogName, LogSource)>, BinlogError> {
    let mut splicer = Splicer::default();
    let mut files = Vec::new();
    let names = names(directory, RELAY_LOGS)?;
    for (index, name) in names.iter().enumerate() {
        let path = directory.join(name.as_str());
        let (cipher, torn) = read(&path, keys, &mut splicer)?;
        if let Some(torn) = torn.filter(|_| index + 1 < names.len()) {
            return Err(BinlogError::TornInside { path, torn });
        }
        splicer.next_file();
        files.push(RelayLog { path, cipher });
    }
    let spliced = splicer.finish().map_err(|source| BinlogError::Splice { directory: directory.to_owned(), source })?;
    Ok(spliced.into_iter().map(|log| source(log, &files)).collect())
}

/// Gives a file's events to `splicer`: how it is encrypted, and how it is torn.
fn read(path: &Path, keys: &Keys, splicer: &mut Splicer) -> Result<(Option<FileCipher>, Option<Torn>), BinlogError> {
    let failed = |source| BinlogError::Io { path: path.to_owned(), source };
    let mut scanner = Scanner::new(file_size(path)?, keys);
    let mut reader = LogReader::open(&LogSource::File { path: path.to_owned(), cipher: None }).map_err(failed)?;
    let (mut cipher, mut end) = (None, None);
    read_through(&mut reader, SCAN_CHUNK, failed, |mut bytes| {
        loop {
            let step = scanner.advance(&mut bytes);
            cipher = cipher.take().or_else(|| scanner.file_cipher().cloned());
            match step.map_err(|source| BinlogError::Scan { path: path.to_owned(), source })? {
                Progress::Event(event) => splicer
                    .event(&event)
                    .map_err(|source| BinlogError::Splice { directory: path.to_owned(), source })?,
                Progress::NeedMore => return Ok(false),
                Progress::End(torn) => {
                    end = torn;
                    return Ok(true);
                }
            }
        }
    })?;
    Ok((cipher, end))
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
