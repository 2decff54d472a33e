//! Log files as the command line names them: files, or a directory with an index.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::agent::binlog_files::{SCAN_CHUNK, listed, read_through, size};
use crate::agent::log_reader::{LogReader, LogSource};
use crate::agent::relay_as_binlog::{are_relay_logs, binlogs_of_relay_logs};
use crate::binlog::{Algorithm, Event, Group, GtidSet, Inspection, Inspector, Keys, LogName};

/// The key of encrypted logs, as the command line names it.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
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
    pub(crate) fn keys(&self) -> Result<Keys, String> {
        let Some(path) = &self.key_file else { return Ok(Keys::missing("name the server's key file with --key-file")) };
        let algorithm = match self.key_algorithm {
            KeyAlgorithm::AesCbc => Algorithm::AesCbc,
            KeyAlgorithm::AesCtr => Algorithm::AesCtr,
        };
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Keys::parse(&String::from_utf8_lossy(&text), algorithm).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// A log and what it is called.
pub(crate) struct Log {
    /// The file, or how it came to be.
    pub(crate) name: String,
    source: LogSource,
}

impl Log {
    fn file(path: PathBuf) -> Self {
        Self { name: path.display().to_string(), source: LogSource::File { path, cipher: None } }
    }
}

/// The logs behind a path: the file itself, or those an index in it names, in their order. Relay logs of a directory are put
/// together to binary logs of their source, because a transaction may be spread over two of them.
///
/// # Errors
/// A sentence that names the path and the remedy.
pub(crate) fn behind(path: &Path, keys: &Keys) -> Result<Vec<Log>, String> {
    if !path.is_dir() {
        return Ok(vec![Log::file(path.to_owned())]);
    }
    let basename = basename_in(path)?;
    if are_relay_logs(path, &basename) {
        let logs = binlogs_of_relay_logs(path, &basename, keys).map_err(|error| error.to_string())?;
        let name = |name: LogName| format!("{} (of the relay logs in {})", name, path.display());
        return Ok(logs.into_iter().map(|(log, source)| Log { name: name(log), source }).collect());
    }
    let names = listed(path, &basename).map_err(|error| error.to_string())?;
    Ok(names.iter().map(|name| Log::file(path.join(name.as_str()))).collect())
}

/// The base name of the binary logs in a directory, by their index.
///
/// # Errors
/// A sentence that names the directory and the remedy.
pub(crate) fn basename_in(directory: &Path) -> Result<String, String> {
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

/// Reads one log to its end, or to where it cannot be read.
///
/// # Errors
/// A sentence that names the log, when the operating system refuses.
pub(crate) fn inspect(
    log: &Log,
    keys: &Keys,
    mut show: impl FnMut(&Event, Option<Group>),
) -> Result<(Inspection, GtidSet), String> {
    let failed = |error: io::Error| format!("{}: {error}", log.name);
    let mut reader = LogReader::open(&log.source).map_err(failed)?;
    let mut inspector = Inspector::new(size(&log.source).map_err(|error| error.to_string())?, keys);
    read_through(&mut reader, SCAN_CHUNK, failed, |bytes| {
        inspector.feed(bytes, &mut show);
        Ok(inspector.is_done())
    })?;
    Ok(inspector.finish())
}
