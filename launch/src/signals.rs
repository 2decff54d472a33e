//! Signals as a file descriptor, so that one poll loop sees them all. The only unsafe code of launch.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::Command;

/// What launch listens to; blocked for the process and read from a descriptor instead.
const WATCHED: [libc::c_int; 3] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT];

/// The descriptor that becomes readable when a watched signal arrives.
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the watched signals and opens the descriptor.
    pub fn watch() -> io::Result<Self> {
        let set = signal_set(&WATCHED);
        // SAFETY: `set` is initialised; the old mask is not asked for.
        if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: -1 asks for a new descriptor, which nobody else owns.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is open and owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The signals that arrived since the last call.
    pub fn take(&self) -> Vec<libc::c_int> {
        let mut arrived = Vec::new();
        let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
        while let Ok(length) = rustix::io::read(&self.0, &mut buffer[..]) {
            if length < buffer.len() {
                break;
            }
            // `ssi_signo` is the first field, a u32 in native byte order (signalfd(2)).
            let number = u32::from_ne_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
            arrived.extend(libc::c_int::try_from(number));
        }
        arrived
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Lets the child start with no signal blocked, and die with launch: nobody else could tell how it ends.
pub fn prepare_child(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let prepare = || {
        let none = signal_set(&[]);
        // SAFETY: both calls are async-signal-safe and take no pointers but to `none`, which is initialised.
        let done = unsafe {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) == 0
                && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
        };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: `prepare` only makes the two system calls above and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: a zeroed sigset_t is valid memory for sigemptyset to fill; the numbers are real signals.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}
