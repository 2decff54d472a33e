//! Keeping relay logs. MariaDB throws received but unapplied relay logs away at START SLAVE once both threads were
//! stopped; so at every exit of mariadbd and before every statement that may drop them the files get a second name in
//! `beachmaster/relay/<incarnation>/`.
//!
//! Hard links only: a freeze waits for this. No fsync: a link and the later removal of the first name are made durable
//! in the order they happened, and a relay log itself is in the page cache only.

use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::relay_content;
use crate::binlog::{GtidEvent, Keys};
use crate::gtid::{Gtid, GtidPosition};
use crate::orders::Incarnation;
use crate::sync::locked;

/// Names what the files of the folder hold at most, when that is known.
const RECEIVED: &str = "received";
/// Extension of a folder that is being removed.
const DOOMED: &str = "gone";
/// Folders of so many bytes together are read while somebody waits: some 20 ms, less than the order that its being unknown would cost.
const READ_AT_ONCE: u64 = 16 << 20;
/// The list of files, as mariadbd writes it.
const INDEX: &str = "relay.index";

/// Where relay logs are and where they are kept.
#[derive(Debug, Clone)]
pub struct RelayLogs {
    data_dir: PathBuf,
    kept: PathBuf,
    keys: Keys,
    /// Locked while links are made, and while it is decided that a folder goes: never both at a time.
    turn: Arc<Mutex<Readers>>,
}

/// How many read kept folders.
#[derive(Debug, Default)]
struct Readers(usize);

/// While it lives no folder goes.
#[derive(Debug)]
pub(crate) struct Reading(Arc<Mutex<Readers>>);

impl Drop for Reading {
    fn drop(&mut self) {
        let mut readers = locked(&self.0);
        readers.0 = readers.0.saturating_sub(1);
    }
}

impl RelayLogs {
    /// Relay logs of `data_dir`, kept in `kept`.
    #[must_use]
    pub fn new(data_dir: PathBuf, kept: PathBuf, keys: Keys) -> Self {
        Self { data_dir, kept, keys, turn: Arc::default() }
    }

    /// Links what is there. `received` is the last transaction these files hold, when that is known.
    ///
    /// # Errors
    /// When a link cannot be made: then nothing may drop the relay logs.
    pub fn keep(&self, incarnation: Incarnation, received: Option<&GtidPosition>) -> io::Result<()> {
        let _turn = locked(&self.turn);
        let files = self.files()?;
        if files.is_empty() {
            return Ok(());
        }
        let folder = self.folder(incarnation, &files)?;
        fs::create_dir_all(&folder)?;
        // What stood there said less than the files may hold from now on.
        remove_if_there(&folder.join(RECEIVED))?;
        for file in &files {
            match fs::hard_link(file.path(), folder.join(file.file_name())) {
                // Purged by the SQL thread in this moment: applied.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        write_index(&folder)?;
        received.map_or(Ok(()), |received| write_received(&folder, received))
    }

    /// Keeps every folder where it is: what is known of it may cover it by now, and it is read all the same.
    #[must_use]
    pub(crate) fn read(&self) -> Reading {
        locked(&self.turn).0 += 1;
        Reading(Arc::clone(&self.turn))
    }

    /// The folders of a run and of later ones, in the order in which their files were written.
    ///
    /// # Errors
    /// When the folders cannot be listed.
    pub(crate) fn folders_since(&self, run: Incarnation) -> io::Result<Vec<PathBuf>> {
        let _turn = locked(&self.turn);
        let mut folders: Vec<((Incarnation, u64), PathBuf)> = entries(&self.kept)?
            .into_iter()
            .map(|folder| folder.path())
            .filter(|folder| !is_doomed(folder))
            .filter_map(|folder| Some((generation_of(&folder).filter(|(of, _)| *of >= run)?, folder)))
            .collect();
        folders.sort_unstable();
        Ok(folders.into_iter().map(|(_, folder)| folder).collect())
    }

    /// True when a folder of this run or of a later one holds more than `position`, or it is not known what. One that the
    /// SQL thread left behind a moment ago is read first, if it is small: nobody has measured it yet.
    ///
    /// # Errors
    /// When the folders cannot be listed.
    pub(crate) fn hold_more(&self, run: Incarnation, position: &GtidPosition) -> io::Result<bool> {
        let _reading = self.read();
        let present = self.files()?;
        let mut left = READ_AT_ONCE;
        for folder in self.folders_since(run)? {
            if received_of(&folder).is_none()
                && !shares_any(&folder, &present)
                && let Some(rest) = left.checked_sub(size_of(&folder)?)
            {
                left = rest;
                self.read_received(&folder, false)?;
            }
            if !Self::is_covered(&folder, position) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True when it is known what a folder holds, and `position` covers it.
    #[must_use]
    pub(crate) fn is_covered(folder: &Path, position: &GtidPosition) -> bool {
        received_of(folder).is_some_and(|received| position.covers(&received))
    }

    /// Reads what the folders hold, where that is not known yet and nothing is written to their files any more.
    ///
    /// # Errors
    /// When a folder cannot be read or written. One whose files cannot be read stays unknown, and so it stays.
    pub(crate) fn measure(&self, current: Incarnation) -> io::Result<()> {
        let present = self.files()?;
        for folder in entries(&self.kept)? {
            let folder = folder.path();
            let is_over = |run: Incarnation| run < current || run == current && !shares_any(&folder, &present);
            if received_of(&folder).is_some() || !run_of(&folder).is_some_and(is_over) {
                continue;
            }
            self.read_received(&folder, run_of(&folder).is_some_and(|run| run < current))?;
        }
        Ok(())
    }

    /// Notes what a folder holds, unless more is or was written to its files meanwhile. `is_over`: its run is.
    fn read_received(&self, folder: &Path, is_over: bool) -> io::Result<()> {
        let files = paths_of_relay_logs_in(folder)?;
        match relay_content::received(&files, &self.keys) {
            Ok(received) => {
                // Links may have been made since, also the first ones, and two may have read the same folder.
                let _turn = locked(&self.turn);
                let is_live = !is_over && shares_any(folder, &self.files()?);
                if is_live || received_of(folder).is_some() || paths_of_relay_logs_in(folder)? != files {
                    return Ok(());
                }
                write_received(folder, &received)
            }
            Err(error) => {
                tracing::debug!(folder = %folder.display(), %error, "kept relay logs cannot be read");
                Ok(())
            }
        }
    }

    /// Removes the kept folders whose content the member's own binary log has. What they hold must be known, and `logged` is the
    /// last transaction of each server in each domain: a higher number of another term says nothing.
    ///
    /// # Errors
    /// When a folder cannot be read or removed.
    pub(crate) fn forget(&self, logged: &[Gtid]) -> io::Result<()> {
        for folder in entries(&self.kept)? {
            let folder = folder.path();
            if is_doomed(&folder) || self.doom(&folder, logged)? {
                fs::remove_dir_all(folder.with_extension(DOOMED))?;
            }
        }
        Ok(())
    }

    /// Takes a folder that is no longer needed out of the way of new links: removing large files takes time.
    fn doom(&self, folder: &Path, logged: &[Gtid]) -> io::Result<bool> {
        let readers = locked(&self.turn);
        let is_logged = |gtid: Gtid| {
            let same = |known: &&Gtid| (known.domain, known.server) == (gtid.domain, gtid.server);
            logged.iter().filter(same).any(|known| known.sequence >= gtid.sequence)
        };
        let covered = received_of(folder).is_some_and(|received| received.iter().all(is_logged));
        if !covered || readers.0 > 0 {
            return Ok(false);
        }
        fs::rename(folder, folder.with_extension(DOOMED))?;
        Ok(true)
    }

    /// The first received transaction of a domain after this number. mariadbd does not run.
    ///
    /// # Errors
    /// When a relay log cannot be read.
    pub(crate) fn next_after(&self, domain: u32, sequence: u64) -> io::Result<Option<GtidEvent>> {
        let mut files: Vec<PathBuf> = self.files()?.iter().map(DirEntry::path).collect();
        files.sort();
        relay_content::next_after(&files, &self.keys, (domain, sequence))
    }

    fn files(&self) -> io::Result<Vec<DirEntry>> {
        relay_logs_in(&self.data_dir)
    }

    /// The folder of this run, or the next one of it where a name was used again (CHANGE MASTER begins with 1 again).
    fn folder(&self, incarnation: Incarnation, files: &[DirEntry]) -> io::Result<PathBuf> {
        let mut newest = 0;
        for folder in entries(&self.kept)? {
            let folder = folder.path();
            let Some((_, generation)) = generation_of(&folder).filter(|(of, _)| *of == incarnation) else { continue };
            if shares_with(&folder, files)? {
                return Ok(folder);
            }
            newest = newest.max(generation);
        }
        Ok(match newest {
            0 => self.kept.join(incarnation.to_string()),
            // Numbers are in the order of time, also where an older folder has gone.
            _ => self.kept.join(format!("{incarnation}-{}", newest + 1)),
        })
    }
}

/// True when `files` go on where a folder's files end: one of them is there, and none under the name of another file.
/// Otherwise its relay logs have ended: names were used again, or what is in it was all purged since.
fn shares_with(folder: &Path, files: &[DirEntry]) -> io::Result<bool> {
    let mut shared = false;
    for file in files {
        let (Ok(kept), Ok(present)) = (fs::metadata(folder.join(file.file_name())), file.metadata()) else {
            continue;
        };
        if kept.ino() != present.ino() {
            return Ok(false);
        }
        shared = true;
    }
    Ok(shared || entries(folder)?.is_empty())
}

/// What a folder's files hold at most, when that is known. A text without its end is of a write that was cut off: the empty
/// one would say that the folder holds nothing.
fn received_of(folder: &Path) -> Option<GtidPosition> {
    fs::read_to_string(folder.join(RECEIVED)).ok()?.strip_suffix('\n')?.parse().ok()
}

fn write_received(folder: &Path, received: &GtidPosition) -> io::Result<()> {
    write_whole(&folder.join(RECEIVED), &format!("{received}\n"))
}

/// The file is there whole, or as it was: the disk may be full, the agent may end.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}

/// True when one of `files` is in the folder, too.
fn shares_any(folder: &Path, files: &[DirEntry]) -> bool {
    let is_here = |file: &DirEntry| {
        let kept = fs::metadata(folder.join(file.file_name()));
        kept.is_ok_and(|kept| file.metadata().is_ok_and(|present| kept.ino() == present.ino()))
    };
    files.iter().any(is_here)
}

/// The run a folder belongs to.
fn run_of(folder: &Path) -> Option<Incarnation> {
    generation_of(folder).map(|(run, _)| run)
}

/// The run a folder belongs to, and its number among that run's.
fn generation_of(folder: &Path) -> Option<(Incarnation, u64)> {
    let name = folder.file_name()?.to_str()?;
    let (run, generation) = name.split_once('-').unwrap_or((name, "1"));
    Some((Incarnation(run.parse().ok()?), generation.parse().ok()?))
}

fn is_doomed(folder: &Path) -> bool {
    folder.extension().is_some_and(|extension| extension == DOOMED)
}

fn is_relay_log(name: &str) -> bool {
    name.strip_prefix("relay.").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn relay_logs_in(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let mut files = entries(folder)?;
    files.retain(|file| is_relay_log(&file.file_name().to_string_lossy()));
    Ok(files)
}

/// Their paths, in the order of their names.
fn paths_of_relay_logs_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = relay_logs_in(folder)?.iter().map(DirEntry::path).collect();
    files.sort();
    Ok(files)
}

/// Bytes of its files.
fn size_of(folder: &Path) -> io::Result<u64> {
    relay_logs_in(folder)?.iter().map(|file| file.metadata().map(|file| file.len())).sum()
}

fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn write_index(folder: &Path) -> io::Result<()> {
    let names = entries(folder)?.into_iter().map(|file| file.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| is_relay_log(name)).collect();
    // By number: the millionth has one digit more.
    names.sort_by_key(|name| (name.len(), name.clone()));
    write_whole(&folder.join(INDEX), &names.iter().map(|name| format!("./{name}\n")).collect::<String>())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
