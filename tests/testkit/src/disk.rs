//! A file system of its own for a volume, on a loop device, that can be taken away while it is in use. Needs root.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Room for a small datadir, in bytes; the file is sparse.
const SIZE: u64 = 1 << 30;

/// A mounted ext4.
pub struct Disk {
    home: TempDir,
}

impl Disk {
    pub fn mount() -> Self {
        let disk = Self { home: TempDir::with_prefix("beachmaster-disk-").unwrap() };
        let image = disk.home.path().join("image");
        fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
        fs::create_dir(disk.path()).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        run(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(&image).arg(disk.path()));
        disk
    }

    pub fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    /// What the kernel makes of a device that answers no more: every further write fails.
    pub fn take_away(&self) {
        let device = fs::metadata(self.path()).unwrap().dev();
        let number = (rustix::fs::major(device), rustix::fs::minor(device));
        let block = fs::canonicalize(format!("/sys/dev/block/{}:{}", number.0, number.1)).unwrap();
        let name = block.file_name().unwrap().to_str().unwrap();
        fs::write(Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error"), "taken away").unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?} needs root: {}", String::from_utf8_lossy(&output.stderr));
}
