//! Proof of death without launch: a running mariadbd holds fcntl locks on two of its files, and the kernel drops them
//! when it ends. This process holds none itself, so opening and closing these files here does no harm.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::process::{Flock, FlockType, fcntl_getlk};

/// Locked from before recovery until the end (InnoDB: os_file_lock; Aria: my_lock of the log control file).
const LOCKED: [&str; 2] = ["ibdata1", "aria_log_control"];

/// True when a process on this kernel holds mariadbd's locks of `data_dir`. A missing file is not locked.
///
/// # Errors
/// When a file is there and cannot be asked: then nothing is proven.
pub(crate) fn are_held(data_dir: &Path) -> io::Result<bool> {
    for name in LOCKED {
        match File::open(data_dir.join(name)) {
            Ok(file) => {
                let wanted = Flock::from(FlockType::WriteLock);
                if fcntl_getlk(&file, &wanted)?.is_some() {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
