//! etcd's own measure of the disk below it: how long its write-ahead log takes to sync.

use anyhow::Result;

use super::host;

/// Network namespace of the control plane that the cluster tool makes.
const CONTROL_PLANE: &str = "bm-cp";
/// Where the tool's etcd answers, in the control plane's network.
const ETCD: &str = "exec 3<>/dev/tcp/127.0.0.1/2379; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
const HISTOGRAM: &str = "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"";

/// A histogram: (upper bound in seconds, observations up to it).
pub type Histogram = Vec<(f64, f64)>;

/// Reads etcd's histogram of syncs since its start.
///
/// # Errors
/// When etcd is not reachable: on a cluster that is not ours it is not.
pub async fn etcd_fsync() -> Result<Histogram> {
    let text = host::run("ip", &["netns", "exec", CONTROL_PLANE, "bash", "-c", ETCD], "").await?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Histogram {
    text.lines()
        .filter_map(|line| {
            let (bound, count) = line.strip_prefix(HISTOGRAM)?.split_once("\"} ")?;
            Some((bound.parse().unwrap_or(f64::INFINITY), count.trim().parse().ok()?))
        })
        .collect()
}

/// The median of what was observed between two readings, in milliseconds; linear within a bucket, as Prometheus does it.
#[must_use]
pub fn median_ms(before: &Histogram, after: &Histogram) -> Option<f64> {
    let buckets: Histogram =
        after.iter().zip(before).map(|((bound, after), (_, before))| (*bound, after - before)).collect();
    let total = buckets.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let half = total / 2.0;
    let mut below = (0.0, 0.0);
    for (bound, count) in buckets {
        if count >= half {
            let share = (half - below.1) / (count - below.1);
            return Some((below.0 + (bound - below.0) * share) * 1_000.0);
        }
        below = (bound, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts_only_what_happened_between_the_readings() {
        let before = parse(&format!("{HISTOGRAM}0.001\"}} 10\n{HISTOGRAM}0.002\"}} 10\n{HISTOGRAM}+Inf\"}} 10\n"));
        let after =
            parse(&format!("other 1\n{HISTOGRAM}0.001\"}} 10\n{HISTOGRAM}0.002\"}} 30\n{HISTOGRAM}+Inf\"}} 30\n"));
        assert_eq!(median_ms(&before, &after), Some(1.5));
        assert_eq!(median_ms(&after, &after), None);
    }
}
