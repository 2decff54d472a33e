//! How fast the end of a log is found, and how many files the start of a position takes, beside a plain read.
//!
//! `cargo bench --bench scan`; fails when a ratio is missed, whatever the times are.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "reads files and clocks")]
#![allow(clippy::unwrap_used)]

#[path = "common/log_file.rs"]
mod log_file;
#[path = "common/report.rs"]
mod report;

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use beachmaster::agent::binlog_files::{BinlogFiles, SCAN_CHUNK};
use beachmaster::binlog::Keys;
use beachmaster::gtid::{Gtid, GtidPosition};
use log_file::{LogFile, Shape, index};
use report::{Report, Table, median, median_ratio, ms, timed};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Of the file whose end is looked for.
const SIZE: u64 = 1 << 30;
const ROUNDS: usize = 5;
/// Finding the last complete group, in times of a plain read.
const SCAN_LIMIT: f64 = 5.0;

const FILES: u64 = 100;
const TRANSACTIONS_PER_FILE: u64 = 10;
/// Of the files above, at most so many are opened to find where a position begins.
const OPENED_LIMIT: usize = 12;

/// What a file consists of; the last one costs most for each byte, and is shown for itself: its events are smaller than
/// those of any real load that fills a gigabyte.
const SHAPES: [(&str, Shape, Option<f64>); 3] = [
    ("100 rows of 1 KB", Shape { rows: 100, row_size: 1000 }, Some(SCAN_LIMIT)),
    ("5 rows of 1 KB", Shape { rows: 5, row_size: 1000 }, Some(SCAN_LIMIT)),
    ("1 row of 100 bytes", Shape { rows: 1, row_size: 100 }, None),
];

fn main() -> ExitCode {
    let mut report = Report::default();
    let runtime = Runtime::new().unwrap();
    report.load("before");
    last_group(&runtime, &mut report);
    start_of_a_position(&runtime, &mut report);
    report.load("after");
    report.exit()
}

fn last_group(runtime: &Runtime, report: &mut Report) {
    let mut table =
        Table::new(&["1 GB of transactions of", "events", "plain read", "last complete group", "ratio", "GB/s"]);
    let mut verdicts = Vec::new();
    for (name, shape, limit) in SHAPES {
        eprintln!("writing a file of 1 GB, transactions of {name} …");
        let directory = directory();
        let (size, events, last) = one_file(directory.path(), shape);
        let file = directory.path().join("bin.000001");
        plain_read(&file);
        let (mut plain, mut scans) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            eprintln!("  round {round} of {ROUNDS}");
            let (time, read) = timed(|| plain_read(&file));
            assert_eq!(read, size);
            plain.push(time);
            let (time, files) = timed(|| open(runtime, directory.path()));
            assert_eq!((files.catalogue().end().offset, files.catalogue().end().position.get(0)), (size, Some(last)));
            scans.push(time);
        }
        let ratio = median_ratio(&scans, &plain);
        let (plain, scan) = (median(plain), median(scans));
        let speed = format!("{:.2}", size as f64 / 1e9 / scan.as_secs_f64());
        table.row(&[name.to_owned(), events.to_string(), ms(plain), ms(scan), format!("{ratio:.2}"), speed]);
        verdicts.push((name, ratio, limit));
    }
    table.print();
    for (name, ratio, limit) in verdicts {
        if let Some(limit) = limit {
            report.at_most(&format!("last complete group in 1 GB of {name}, in plain reads"), ratio, limit);
        }
    }
}

fn start_of_a_position(runtime: &Runtime, report: &mut Report) {
    eprintln!("writing {FILES} files …");
    let directory = directory();
    let size = many_files(directory.path());
    let (mut worst, mut total) = (0, 0);
    let mut times = Vec::new();
    let all = FILES * TRANSACTIONS_PER_FILE;
    for sequence in 0..=all {
        let had: GtidPosition = (sequence > 0).then(|| gtid(sequence)).into_iter().collect();
        let files = open(runtime, directory.path());
        let (time, start) = timed(|| files.start(&had).unwrap().0);
        assert_eq!(start.file as u64, (sequence / TRANSACTIONS_PER_FILE).min(FILES - 1), "{had}");
        times.push(time);
        worst = worst.max(files.opened());
        total += files.opened();
    }
    let plain: Vec<Duration> = (0..ROUNDS).map(|_| timed(|| read_all(directory.path())).0).collect();
    let mut table = Table::new(&[
        "start of a position in 100 files",
        "files opened, most",
        "mean",
        "time, median",
        "plain read of all",
    ]);
    let mean = format!("{:.1}", total as f64 / (all + 1) as f64);
    let positions = format!("{} positions, {} KB", all + 1, size / 1000);
    table.row(&[positions, worst.to_string(), mean, ms(median(times)), ms(median(plain))]);
    table.print();
    report.at_most("files opened of 100, the last one included", worst as f64, OPENED_LIMIT as f64);
}

fn directory() -> TempDir {
    TempDir::with_prefix_in("bench-scan-", env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn open(runtime: &Runtime, directory: &Path) -> BinlogFiles {
    runtime.block_on(BinlogFiles::open(directory, "bin", Keys::missing("none is needed"))).unwrap()
}

/// Size, number of events and last transaction.
fn one_file(directory: &Path, shape: Shape) -> (u64, u64, Gtid) {
    let name = "bin.000001".to_owned();
    let mut log = LogFile::begin(&directory.join(&name), 0).unwrap();
    while log.size < SIZE {
        log.transaction(shape).unwrap();
    }
    let found = (log.size, log.events, gtid(log.sequence));
    log.finish().unwrap();
    index(directory, &[name]).unwrap();
    found
}

/// Bytes of all.
fn many_files(directory: &Path) -> u64 {
    let name = |number: u64| format!("bin.{number:06}");
    let mut size = 0;
    for file in 0..FILES {
        let mut log = LogFile::begin(&directory.join(name(file + 1)), file * TRANSACTIONS_PER_FILE).unwrap();
        for _ in 0..TRANSACTIONS_PER_FILE {
            log.transaction(Shape { rows: 5, row_size: 1000 }).unwrap();
        }
        size += log.size;
        if file + 1 < FILES { log.rotated(&name(file + 2)).unwrap() } else { log.finish().unwrap() }
    }
    index(directory, &(1..=FILES).map(name).collect::<Vec<_>>()).unwrap();
    size
}

fn gtid(sequence: u64) -> Gtid {
    Gtid { domain: 0, server: 1, sequence }
}

/// In pieces as large as those of a scan.
fn plain_read(path: &Path) -> u64 {
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; SCAN_CHUNK];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).unwrap();
        black_box(&buffer);
        if count == 0 {
            return size;
        }
        size += count as u64;
    }
}

fn read_all(directory: &Path) {
    for entry in directory.read_dir().unwrap() {
        plain_read(&entry.unwrap().path());
    }
}
