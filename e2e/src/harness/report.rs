//! Results: what a scenario writes to target/e2e/NAME.json, for people and for comparisons between versions.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};

/// One kill and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Rows acknowledged between the kill before and the check after this one.
    pub acknowledged: u64,
    /// Rows acknowledged at any time of the series that a member lacks now.
    pub lost: u64,
    /// The longest time without any acknowledgement after the kill; none when writes were not measured.
    pub outage_ms: Option<u64>,
    /// Same position, row counts, checksums and schemas on every member.
    pub members_equal: bool,
    /// The primary before.
    pub from: String,
    /// The primary after.
    pub to: String,
    /// What else was measured.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Something looked at once.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub name: String,
    pub passed: bool,
    pub message: String,
}

/// A scenario's result. Written after every run, so that a series which breaks off is reported as far as it came.
#[derive(Debug, Serialize)]
pub struct Report {
    pub scenario: String,
    pub runs: Vec<Run>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    /// Measured over the whole series.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub series: Map<String, Value>,
    /// Why the scenario broke off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Nothing lost, members equal, every check true. Times are reported and not judged.
    pub passed: bool,
}

/// The distribution of a time over a series, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outage {
    pub p50_ms: u64,
    pub p90_ms: u64,
    pub max_ms: u64,
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new(scenario: &str) -> Self {
        Self {
            scenario: scenario.into(),
            runs: vec![],
            checks: vec![],
            outage: None,
            series: Map::new(),
            error: None,
            passed: false,
        }
    }

    /// Folder for this scenario's results and what is kept of its failures.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        PathBuf::from("target/e2e").join(&self.scenario)
    }

    /// Adds a run, tells it and writes the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, run: Run) -> Result<()> {
        let outage = run.outage_ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
        println!(
            "  run {}: {} -> {}, outage {outage}, {} acknowledged, {} lost, members {}",
            self.runs.len() + 1,
            run.from,
            run.to,
            run.acknowledged,
            run.lost,
            if run.members_equal { "equal" } else { "DIFFER" },
        );
        self.keep(run)
    }

    /// Adds a run and writes the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&mut self, run: Run) -> Result<()> {
        self.runs.push(run);
        self.save()
    }

    /// Adds something looked at once, prints it and writes the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn check(&mut self, name: &str, outcome: Result<String>) -> Result<()> {
        let passed = outcome.is_ok();
        let message = outcome.unwrap_or_else(|error| format!("{error:#}"));
        println!("  {} {name}: {message}", if passed { "ok  " } else { "FAIL" });
        self.checks.push(Check { name: name.into(), passed, message });
        self.save()
    }

    /// Judges and writes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&mut self) -> Result<()> {
        let outages: Vec<u64> = self.runs.iter().filter_map(|run| run.outage_ms).collect();
        self.outage = Outage::of(outages);
        let runs_well = self.runs.iter().all(|run| run.lost == 0 && run.members_equal);
        let something = !self.runs.is_empty() || !self.checks.is_empty();
        self.passed = something && runs_well && self.checks.iter().all(|check| check.passed) && self.error.is_none();
        let path = self.folder().with_extension("json");
        std::fs::create_dir_all(self.folder())?;
        std::fs::write(&path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Outage {
    /// Of the figures of a series, by nearest rank: every one is one that was measured.
    #[must_use]
    pub fn of(mut outages: Vec<u64>) -> Option<Self> {
        outages.sort_unstable();
        let rank = |percent: usize| outages.get((outages.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { p50_ms: rank(50)?, p90_ms: rank(90)?, max_ms: rank(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let outages = (1..=30).rev().collect();
        assert_eq!(Outage::of(outages), Some(Outage { p50_ms: 15, p90_ms: 27, max_ms: 30 }));
        assert_eq!(Outage::of(vec![7]), Some(Outage { p50_ms: 7, p90_ms: 7, max_ms: 7 }));
        assert_eq!(Outage::of(vec![]), None);
    }
}
