//! How fast a dead primary's tail reaches candidates: the binlog server and relaxed durability, as the agent does it, beside
//! MHA's way, `mariadb-binlog FILES | mariadb`. Both end with everything durable on the candidate.
//!
//! `cargo bench --bench catch_up`; takes minutes, fails when a ratio is missed, whatever the times are.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "runs servers, reads files and clocks")]
#![allow(clippy::unwrap_used)]

#[path = "catch_up/candidates.rs"]
mod candidates;
#[path = "catch_up/cpu.rs"]
mod cpu;
#[path = "catch_up/origin.rs"]
mod origin;
#[path = "common/report.rs"]
mod report;

use std::process::ExitCode;
use std::time::Duration;

use candidates::{Candidates, Way};
use origin::{Kind, Origin};
use report::{Report, Table, median, median_ratio};

/// The middle of five, each with servers of its own.
const ROUNDS: usize = 5;
/// The IO threads alone are quicker and use the same servers again.
const IO_ROUNDS: usize = 5;
/// Two replicas at once, in times of one, until both IO threads have everything.
const TWO_LIMIT: f64 = 1.6;
/// `slave_parallel_threads` of the product's default.
const THREADS: u8 = 4;

/// A tail, and how many times as fast as MHA's way it must be applied, with and without parallel threads. The second is
/// about transactions that wait for each other's syncs.
const TAILS: [(Kind, f64); 2] = [
    (Kind { name: "257 MB, 100 rows of 1 KB each", transactions: 2_481, rows: 100, row_size: 1024 }, 5.0),
    (Kind { name: "29,000 one-row transactions", transactions: 29_000, rows: 1, row_size: 64 }, 4.0),
];

fn main() -> ExitCode {
    let mut report = Report::default();
    report.load("before");
    for (kind, limit) in TAILS {
        eprintln!("{}: writing it …", kind.name);
        let origin = Origin::make(kind);
        println!("\n{}: {:.1} MB of binary log, {} transactions", kind.name, origin.megabytes(), kind.transactions);
        catch_up(&origin, limit, &mut report);
        io_threads(&origin, &mut report);
    }
    report.load("after");
    report.exit()
}

/// One row of the table: the candidates, and what each round took until all were durable.
struct Case {
    way: Way,
    replicas: u32,
    times: Vec<Duration>,
    /// Processor time of the servers, the sender and the pipes.
    used: Vec<Duration>,
}

fn catch_up(origin: &Origin, limit: f64, report: &mut Report) {
    let ways = [Way::Pipe, Way::Stream { threads: 0 }, Way::Stream { threads: THREADS }];
    let mut cases: Vec<Case> =
        [1, 2].into_iter().flat_map(|replicas| ways.map(|way| Case::new(way, replicas))).collect();
    for round in 1..=ROUNDS {
        for case in &mut cases {
            eprint!("  round {round} of {ROUNDS}: {} to {} at once … ", case.way, case.replicas);
            case.run(origin);
        }
    }
    let mut table = Table::new(&HEAD);
    let ratios = cases.iter().map(|case| {
        let mha = cases.iter().find(|other| other.way == Way::Pipe && other.replicas == case.replicas);
        (case, mha.map_or(f64::NAN, |mha| median_ratio(&mha.times, &case.times)))
    });
    let ratios: Vec<(&Case, f64)> = ratios.collect();
    ratios.iter().for_each(|(case, ratio)| table.row(&case.cells(origin, *ratio)));
    table.print();
    for (case, ratio) in ratios.into_iter().filter(|(case, _)| case.replicas == 1 && case.way != Way::Pipe) {
        let threads = case.way.threads();
        let what = format!("{}: {threads} threads, times as fast as mariadb-binlog | mariadb", origin.kind.name);
        report.at_least(&what, ratio, limit);
    }
}

const HEAD: [&str; 9] =
    ["way", "threads", "replicas", "s, median", "each round", "MB/s", "transactions/s", "CPU s", "times MHA's"];

impl Case {
    fn new(way: Way, replicas: u32) -> Self {
        Self { way, replicas, times: Vec::new(), used: Vec::new() }
    }

    /// With new servers, whose start does not count.
    fn run(&mut self, origin: &Origin) {
        let (time, used) = Candidates::start(self.replicas, self.way.threads()).catch_up(origin, self.way);
        eprintln!("{:.2} s", time.as_secs_f64());
        self.times.push(time);
        self.used.push(used);
    }

    fn cells(&self, origin: &Origin, ratio: f64) -> [String; 9] {
        let seconds = median(self.times.clone()).as_secs_f64();
        let each: Vec<String> = self.times.iter().map(|time| format!("{:.2}", time.as_secs_f64())).collect();
        [
            self.way.to_string(),
            if self.way == Way::Pipe { "not used".to_owned() } else { self.way.threads().to_string() },
            self.replicas.to_string(),
            format!("{seconds:.2}"),
            each.join(", "),
            format!("{:.1}", origin.megabytes() / seconds),
            format!("{:.0}", f64::from(origin.kind.transactions) / seconds),
            format!("{:.1}", median(self.used.clone()).as_secs_f64()),
            format!("{ratio:.1}"),
        ]
    }
}

/// Until the IO threads have everything, with the SQL threads stopped.
fn io_threads(origin: &Origin, report: &mut Report) {
    let candidates = Candidates::start(2, 0);
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=IO_ROUNDS {
        eprintln!("  round {round} of {IO_ROUNDS}: IO threads of one and of two replicas …");
        for (replicas, times) in (1_usize..).zip(&mut times) {
            times.push(candidates.receive(origin, replicas));
        }
    }
    let ratio = median_ratio(&times[1], &times[0]);
    let [one, two] = times.map(|times| median(times).as_secs_f64());
    let mut table = Table::new(&["IO threads alone", "s, median", "MB/s each"]);
    for (name, seconds) in [("one replica", one), ("two at once", two)] {
        table.row(&[name.to_owned(), format!("{seconds:.2}"), format!("{:.0}", origin.megabytes() / seconds)]);
    }
    table.print();
    report.at_most(&format!("{}: two IO threads, in times of one", origin.kind.name), ratio, TWO_LIMIT);
}
