//! Files on disk, read for several replicas.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::*;
use crate::binlog::Checksum;
use crate::binlog::testing::LogFile;

/// Binary logs in a directory of their own.
fn written(files: &[LogFile]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut index = String::new();
    for (number, file) in files.iter().enumerate() {
        let name = format!("bin.{:06}", number + 1);
        fs::write(directory.path().join(&name), &file.bytes).unwrap();
        index += &format!("./{name}\n");
    }
    fs::write(directory.path().join("bin.index"), index).unwrap();
    directory
}

#[tokio::test]
async fn a_scan_goes_on_when_who_asked_for_it_is_gone() {
    let first = LogFile::new("", Checksum::Crc32).transaction("0-1-1", 9);
    let directory = written(&[first.rotated(), LogFile::new("0-1-1", Checksum::Crc32).transaction("0-1-2", 9)]);
    let files = Arc::new(BinlogFiles::open(directory.path(), "bin", Keys::missing("")).await.unwrap());
    tokio::select! {
        biased;
        _ = files.contents(0) => {}
        () = std::future::ready(()) => {}
    }
    let scanned = async {
        while files.logs[0].scan.get().is_none() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), scanned).await.unwrap();
}
