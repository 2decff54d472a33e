//! The password a member replicates with, from mariadbd's own file: no statement shows it.
//!
//! `master.info` of the default connection (MariaDB sql/rpl_mi.cc, `flush_master_info`): one value a line; the fourth to sixth
//! are host, user and password.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::config::Config;
use crate::layout::{repl_key, repl_user};

/// Our own options make it a few hundred bytes.
const MOST: u64 = 64 * 1024;
/// Lines before the user's name.
const BEFORE_USER: usize = 4;

/// Whether this member replicates as `user` with another password than `password`; none when it does not replicate as
/// that user, or the file cannot be read.
#[must_use]
pub(crate) fn differs(data_dir: &Path, user: &str, password: &str) -> Option<bool> {
    let mut text = Vec::new();
    File::open(data_dir.join("master.info")).ok()?.take(MOST).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.split('\n').skip(BEFORE_USER);
    let (stored_user, stored_password) = (lines.next()?, lines.next()?);
    (stored_user == user).then_some(stored_password != password)
}

/// True when the member replicates as its own account with another password than the mounted one.
#[must_use]
pub(crate) fn has_changed(config: &Config) -> bool {
    let Ok(password) = config.account_password(&repl_key(config.ordinal.0)) else { return false };
    differs(&config.data_dir(), &repl_user(config.ordinal.0), &password.0).unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_mariadb_is_read() {
        let home = tempfile::TempDir::new().unwrap();
        assert_eq!(differs(home.path(), "u", "p"), None);
        std::fs::write(home.path().join("master.info"), "33\nbin.000001\n4\nhost\nu\np q\n3306\n1\n0\n").unwrap();
        assert_eq!(differs(home.path(), "u", "p q"), Some(false));
        assert_eq!(differs(home.path(), "u", "p"), Some(true));
        assert_eq!(differs(home.path(), "one-time", "p"), None, "somebody else's login");
    }
}
