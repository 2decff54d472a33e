//! What kept relay logs hold: read from the files of runs that have ended, so that they can be removed once the member's
//! own binary log covers them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::binlog::{EventBody, GtidEvent, Keys, Progress, Scanner};
use crate::gtid::GtidPosition;

/// From here on larger pieces are not faster.
const CHUNK: usize = 1 << 20;

/// The last transaction of each domain that begins in these files, complete or not: never less than they hold.
///
/// # Errors
/// When a file cannot be read, is damaged or encrypted: then it is not known what they hold.
pub(crate) fn received(files: &[impl AsRef<Path>], keys: &Keys) -> io::Result<GtidPosition> {
    let mut position = GtidPosition::empty();
    for file in files {
        each(file.as_ref(), keys, |event| position = position.union(&[event.gtid].into_iter().collect()))?;
    }
    Ok(position)
}

/// The first transaction of a domain in these files, which are in their order, that comes after this number.
///
/// # Errors
/// As [`received`].
pub(crate) fn next_after(
    files: &[impl AsRef<Path>],
    keys: &Keys,
    (domain, sequence): (u32, u64),
) -> io::Result<Option<GtidEvent>> {
    let mut next: Option<GtidEvent> = None;
    for file in files {
        each(file.as_ref(), keys, |event| {
            let is_behind = event.gtid.domain == domain && event.gtid.sequence > sequence;
            next = next.or(is_behind.then_some(event));
        })?;
    }
    Ok(next)
}

fn each(path: &Path, keys: &Keys, mut take: impl FnMut(GtidEvent)) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut scanner = Scanner::new(fs::metadata(path)?.len(), keys);
    let mut buffer = vec![0; CHUNK];
    let mut input: &[u8] = &[];
    loop {
        match scanner.advance(&mut input).map_err(io::Error::other)? {
            Progress::Event(event) => {
                if let EventBody::Gtid(gtid) = event.body {
                    take(gtid);
                }
            }
            Progress::End(_) => return Ok(()),
            Progress::NeedMore => {
                let length = file.read(&mut buffer)?;
                if length == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                input = buffer.get(..length).unwrap_or_default();
            }
        }
    }
}
