//! What kept relay logs hold: read from the files of runs that have ended, so that they can be removed once the member's
//! own binary log covers them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::binlog::{EventBody, Keys, Progress, Scanner};
use crate::gtid::GtidPosition;

/// From here on larger pieces are not faster.
const CHUNK: usize = 1 << 20;

/// The last transaction of each domain that begins in these files, complete or not: never less than they hold.
///
/// # Errors
/// When a file cannot be read, is damaged or encrypted: then it is not known what they hold.
pub fn received(files: &[impl AsRef<Path>], keys: &Keys) -> io::Result<GtidPosition> {
    let mut position = GtidPosition::empty();
    for file in files {
        position = position.union(&of_file(file.as_ref(), keys)?);
    }
    Ok(position)
}

fn of_file(path: &Path, keys: &Keys) -> io::Result<GtidPosition> {
    let mut file = File::open(path)?;
    let mut scanner = Scanner::new(fs::metadata(path)?.len(), keys);
    let mut buffer = vec![0; CHUNK];
    let mut position = GtidPosition::empty();
    let mut input: &[u8] = &[];
    loop {
        match scanner.advance(&mut input).map_err(io::Error::other)? {
            Progress::Event(event) => {
                if let EventBody::Gtid(gtid) = event.body {
                    position = position.union(&[gtid.gtid].into_iter().collect());
                }
            }
            Progress::End(_) => return Ok(position),
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
