//! launch copies itself into the volume it is started from: it runs in images that are not ours.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Copies this program to `folder/launch`, executable for all, complete or not at all.
///
/// # Errors
/// When the copy cannot be written.
pub fn install(folder: &Path) -> io::Result<PathBuf> {
    let target = folder.join("launch");
    let temporary = folder.join(".launch.new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&temporary)?;
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    copy.sync_all()?;
    // A descriptor open for writing makes the kernel refuse to execute the file.
    drop(copy);
    fs::rename(&temporary, &target)?;
    Ok(target)
}
