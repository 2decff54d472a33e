//! Log files as the command line names them: files, or a directory with an index.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::binlog::{Event, Group, GtidSet, Inspection, Inspector, parse_index};

/// Files are read in pieces of this size.
const CHUNK: usize = 1 << 20;

/// The files behind a path: itself, or those an index in it names, in their order.
///
/// # Errors
/// A sentence that names the path and the remedy.
pub fn behind(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let index = index_in(path)?;
    let basename = index.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read(&index).map_err(|error| format!("{}: {error}", index.display()))?;
    let names = parse_index(&text, &path.to_string_lossy(), &basename)
        .map_err(|error| format!("{}: {error}", index.display()))?;
    Ok(names.iter().map(|name| path.join(name.as_str())).collect())
}

/// The one index of binary logs in a directory.
///
/// # Errors
/// A sentence that names the directory and the remedy.
pub fn index_in(directory: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let is_index = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "index");
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_index).collect();
    // A datadir may have both; what a primary serves is its binary log.
    if found.len() > 1 {
        found.retain(|path| !path.file_name().unwrap_or_default().to_string_lossy().contains("relay"));
    }
    match found.as_slice() {
        [index] => Ok(index.clone()),
        [] => Err(format!("{}: no *.index file here: name the log files themselves", directory.display())),
        _ => Err(format!("{}: more than one *.index file here: name the log files themselves", directory.display())),
    }
}

/// Reads one file to its end, or to where it cannot be read.
///
/// # Errors
/// When the operating system refuses.
pub fn inspect(path: &Path, mut show: impl FnMut(&Event, Option<Group>)) -> io::Result<(Inspection, GtidSet)> {
    let mut file = File::open(path)?;
    let mut inspector = Inspector::new(file.metadata()?.len());
    let mut buffer = vec![0; CHUNK];
    let mut count = 0;
    loop {
        inspector.feed(buffer.get(..count).unwrap_or_default(), &mut show);
        if inspector.is_done() {
            return Ok(inspector.finish());
        }
        count = file.read(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
    }
}
