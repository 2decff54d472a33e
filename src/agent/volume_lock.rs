//! The lock that keeps two agents from writing one volume record: held for life, released by the kernel at death.
//!
//! flock(2) on the record file itself. It belongs to the open file: every container on the node sees it, whatever it has
//! mounted where; opening and closing the file elsewhere in this process does not release it, as it would with the fcntl locks
//! of a process (which mariadbd uses on its own files: locks.rs); and a process that is killed in the middle of a write to a
//! disk that hangs keeps it until that write has ended. Over NFS the kernel makes it a lock of the server, CephFS knows it by
//! itself. A lock file of its own could not be made on a full disk.

use std::fs::{File, TryLockError};
use std::io;

/// How a try to lock ended.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Nobody else has it: it is ours as long as the file stays open.
    Ours,
    /// Another agent lives.
    Taken,
    /// The file system does not lock, so that nothing is known.
    Unknown(io::Error),
}

/// Tries to lock the record, without waiting.
#[must_use]
pub(crate) fn take(record: &File) -> Turn {
    match record.try_lock() {
        Ok(()) => Turn::Ours,
        Err(TryLockError::WouldBlock) => Turn::Taken,
        Err(TryLockError::Error(error)) => Turn::Unknown(error),
    }
}

/// What people are told of a volume whose lock is not ours.
#[must_use]
pub(crate) fn explain(turn: &Turn) -> Option<String> {
    match turn {
        Turn::Ours => None,
        Turn::Taken => Some(
            "another agent still uses the volume: this one writes nothing and goes on by itself when the other has ended; \
             look for an older pod of this name on the node (kubectl get pods -o wide) and for its containers"
                .to_owned(),
        ),
        // mariadbd itself does not start on such a volume: it cannot lock its files either.
        Turn::Unknown(error) => Some(format!(
            "its record cannot be locked ({error}), so another agent could write it, too: use a volume with file locks \
             (for NFS: mounted without nolock)"
        )),
    }
}
