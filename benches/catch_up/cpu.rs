//! Processor time of processes: unlike the clock it says little about what else runs on the machine.

use std::fs;
use std::time::Duration;

/// Ticks a second in /proc (`USER_HZ`), the same on every Linux.
const TICKS: f64 = 100.0;

/// Used so far by the processes `servers`, by this one, and by its children that have ended.
pub fn used(servers: &[u32]) -> Duration {
    let servers: f64 = servers.iter().map(|pid| ticks(&pid.to_string(), 2)).sum();
    Duration::from_secs_f64((servers + ticks("self", 4)) / TICKS)
}

/// The first `count` of utime, stime, cutime and cstime (`man 5 proc`).
fn ticks(process: &str, count: usize) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The program's name before them may have spaces.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().skip(11).take(count).map(|field| field.parse::<f64>().unwrap()).sum()
}
