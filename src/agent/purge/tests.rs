//! Which files may go.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::binlog::Checksum;
use crate::binlog::testing::LogFile;

const HOUR: u64 = 3_600;

/// Three files: up to 0-17-10, up to 0-17-20, and the one that is written.
fn three_files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let file = |start: &str, gtid: &str| LogFile::new(start, Checksum::Crc32).transaction(gtid, 100);
    let files = [file("", "0-17-10").rotated(), file("0-17-10", "0-17-20").rotated(), file("0-17-20", "0-17-30")];
    let names = (1..).map(|number| format!("bin.{number:06}"));
    let mut index = String::new();
    for (file, name) in files.iter().zip(names) {
        fs::write(directory.path().join(&name), &file.bytes).unwrap();
        index += &format!("./{name}\n");
    }
    fs::write(directory.path().join("bin.index"), index).unwrap();
    directory
}

/// Hours from now at which the files are looked at.
fn stays(purge: &Purge, hours: u64) -> Option<String> {
    let directory = three_files();
    let now = SystemTime::now() + Duration::from_secs(hours * HOUR);
    let stays = first_to_stay(directory.path(), &Keys::missing(""), purge, now).unwrap();
    stays.map(|name| name.to_string())
}

fn purge(covered: &str, older_than_h: Option<u64>, above_bytes: u64) -> Purge {
    Purge { covered: covered.parse().unwrap(), older_than_s: older_than_h.map(|hours| hours * HOUR), above_bytes }
}

#[test]
fn old_files_go_when_every_member_has_them() {
    let all = purge("0-17-30", Some(2), u64::MAX);
    assert_eq!(stays(&all, 1), None, "not old enough");
    assert_eq!(stays(&all, 3).as_deref(), Some("bin.000003"), "never the file that is written");
    assert_eq!(stays(&purge("0-17-19", Some(2), u64::MAX), 3).as_deref(), Some("bin.000002"));
    assert_eq!(stays(&purge("0-17-9", Some(2), u64::MAX), 3), None);
    assert_eq!(stays(&purge("", Some(2), u64::MAX), 3), None, "a member has nothing");
    assert_eq!(stays(&purge("0-33-5,7-1-9", Some(2), u64::MAX), 3), None, "another history");
}

#[test]
fn files_go_while_they_are_too_big_together() {
    let size = |name: &str| fs::metadata(three_files().path().join(name)).unwrap().len();
    let last_two = size("bin.000002") + size("bin.000003");
    assert_eq!(stays(&purge("0-17-30", None, last_two), 0).as_deref(), Some("bin.000002"));
    assert_eq!(stays(&purge("0-17-30", None, last_two - 1), 0).as_deref(), Some("bin.000003"));
    assert_eq!(stays(&purge("0-17-5", None, 0), 0), None, "not what a member lacks, however big");
    assert_eq!(stays(&purge("0-17-30", None, u64::MAX), 1_000), None, "age is no reason while a member is away");
}
