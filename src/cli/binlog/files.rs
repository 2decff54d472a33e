//! Log files as the command line names them: files, or a directory with an index.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::agent::binlog_files::{SCAN_CHUNK, listed, read_through};
use crate::agent::log_reader::{LogReader, LogSource};
use crate::binlog::{Algorithm, Event, Group, GtidSet, Inspection, Inspector, Keys};

/// The key of encrypted logs, as the command line names it.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// Key file of file_key_management, to read encrypted logs.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// file_key_management_encryption_algorithm of the server.
    #[arg(long, value_enum, default_value = "aes-cbc", value_name = "ALGORITHM")]
    key_algorithm: KeyAlgorithm,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KeyAlgorithm {
    AesCbc,
    AesCtr,
}

impl KeyArgs {
    /// Reads the key file, if there is one.
    ///
    /// # Errors
    /// A sentence that names the file and the remedy.
    pub fn keys(&self) -> Result<Keys, String> {
        let Some(path) = &self.key_file else { return Ok(Keys::missing("name the server's key file with --key-file")) };
        let algorithm = match self.key_algorithm {
            KeyAlgorithm::AesCbc => Algorithm::AesCbc,
            KeyAlgorithm::AesCtr => Algorithm::AesCtr,
        };
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Keys::parse(&String::from_utf8_lossy(&text), algorithm).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The files behind a path: itself, or those an index in it names, in their order.
///
/// # Errors
/// A sentence that names the path and the remedy.
pub fn behind(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let names = listed(path, &basename_in(path)?).map_err(|error| error.to_string())?;
    Ok(names.iter().map(|name| path.join(name.as_str())).collect())
}

/// The base name of the binary logs in a directory, by their index.
///
/// # Errors
/// A sentence that names the directory and the remedy.
pub fn basename_in(directory: &Path) -> Result<String, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let basename = |path: &Path| {
        let is_index = path.extension().is_some_and(|extension| extension == "index");
        is_index.then(|| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
    };
    let mut found: Vec<String> = entries.filter_map(|entry| basename(&entry.ok()?.path())).collect();
    // A datadir may have both; what a primary serves is its binary log.
    if found.len() > 1 {
        found.retain(|basename| !basename.contains("relay"));
    }
    match found.as_slice() {
        [basename] => Ok(basename.clone()),
        [] => Err(format!("{}: no *.index file here: name the log files themselves", directory.display())),
        _ => Err(format!("{}: more than one *.index file here: name the log files themselves", directory.display())),
    }
}

/// Reads one file to its end, or to where it cannot be read.
///
/// # Errors
/// When the operating system refuses.
pub fn inspect(
    path: &Path,
    keys: &Keys,
    mut show: impl FnMut(&Event, Option<Group>),
) -> io::Result<(Inspection, GtidSet)> {
    let mut reader = LogReader::open(&LogSource::File { path: path.to_owned(), cipher: None })?;
    let mut inspector = Inspector::new(fs::metadata(path)?.len(), keys);
    read_through(
        &mut reader,
        SCAN_CHUNK,
        |error| error,
        |bytes| {
            inspector.feed(bytes, &mut show);
            Ok(inspector.is_done())
        },
    )?;
    Ok(inspector.finish())
}
