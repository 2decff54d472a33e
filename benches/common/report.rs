//! Tables of figures, and the ratios that must hold.
//!
//! Times say something about the machine; only ratios within one run decide whether a benchmark passes.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::fmt::Write;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Collects what did not hold.
#[derive(Debug, Default)]
pub struct Report {
    missed: Vec<String>,
}

impl Report {
    /// Prints the machine's load, which figures must be read with.
    pub fn load(&self, when: &str) {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').take(3).collect::<Vec<_>>().join(", ");
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("load average {when}: {load} ({cores} cores)");
    }

    /// `value` must not be above `limit`.
    pub fn at_most(&mut self, what: &str, value: f64, limit: f64) {
        self.verdict(&format!("{what}: {value:.2}, at most {limit}"), value <= limit);
    }

    /// `value` must not be below `limit`.
    pub fn at_least(&mut self, what: &str, value: f64, limit: f64) {
        self.verdict(&format!("{what}: {value:.2}, at least {limit}"), value >= limit);
    }

    fn verdict(&mut self, what: &str, holds: bool) {
        println!("{} {what}", if holds { "holds " } else { "MISSED" });
        if !holds {
            self.missed.push(what.to_owned());
        }
    }

    /// Fails when anything was missed.
    pub fn exit(self) -> ExitCode {
        if self.missed.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("missed: {}", self.missed.join("; "));
        ExitCode::FAILURE
    }
}

/// Rows under a head, columns aligned.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.to_vec());
    }

    /// In Markdown, so that it can be pasted into docs/figures.md.
    pub fn print(&self) {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        println!();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::from("|");
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, " {cell:width$} |");
            }
            println!("{line}");
            if index == 0 {
                println!("|{}", widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect::<String>());
            }
        }
        println!();
    }
}

/// How long `work` takes, and what it gives.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let result = work();
    (began.elapsed(), result)
}

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The middle one of the ratios of each round: what else runs on the machine changes from round to round, and less so
/// within one.
pub fn median_ratio(times: &[Duration], bases: &[Duration]) -> f64 {
    let mut ratios: Vec<f64> =
        times.iter().zip(bases).map(|(time, base)| time.as_secs_f64() / base.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}

/// In milliseconds.
pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
