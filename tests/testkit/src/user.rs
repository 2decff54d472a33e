//! The user that servers run as when the tests run as root: mysql.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program run by that user.
pub fn as_server(program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=mysql", "--regid=mysql", "--clear-groups"]).arg(program);
    command
}

/// Hands a path to that user.
pub fn give_to_server(path: &Path) {
    if is_root() {
        chown(path, Some(id_of("-u")), Some(id_of("-g"))).unwrap();
    }
}

/// The same with everything below it.
pub(crate) fn give_all_to_server(path: &Path) {
    give_to_server(path);
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_all_to_server(&entry.unwrap().path()));
    }
}

fn id_of(kind: &str) -> u32 {
    let output = Command::new("id").args([kind, "mysql"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("the mysql user exists")
}
