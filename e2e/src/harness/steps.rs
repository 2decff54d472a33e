//! Where the time of an outage goes: the steps of every failover of a series, counted from the kill.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::report::{Outage, Run};

/// The observer's first row on the new primary: its connections go to the pods, past the Service.
const DIRECT: &str = "first row acknowledged past the Service";

/// What the Service costs: how much later the first row through it was acknowledged than the first one past it, in
/// milliseconds, 0 when it was not later.
#[must_use]
pub fn share_of_the_service(runs: &[Run]) -> Option<Outage> {
    let later = |run: &Run| Some(instant(run, "first_ack_us")?.saturating_sub(instant(run, "first_direct_ack_us")?));
    Outage::of(runs.iter().filter_map(later).map(|us| us / 1_000).collect())
}

/// For each step p50, p90 and maximum of the milliseconds since the kill, in the order in which steps are reached.
#[must_use]
pub fn since_the_kill(runs: &[Run]) -> Value {
    let mut steps: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (step, ms) in runs.iter().flat_map(of_run) {
        steps.entry(step).or_default().push(ms);
    }
    let mut rows: Vec<_> = steps.into_iter().filter_map(|(step, ms)| Some((step, Outage::of(ms)?))).collect();
    rows.sort_by_key(|(_, times)| times.p50_ms);
    let rows = rows.into_iter().map(
        |(step, times)| json!({"step": step, "p50_ms": times.p50_ms, "p90_ms": times.p90_ms, "max_ms": times.max_ms}),
    );
    rows.collect()
}

/// The operator counts from the first sign of the death; the kill was before that.
fn of_run(run: &Run) -> Vec<(String, u64)> {
    let Some(killed_us) = instant(run, "killed_us") else { return vec![] };
    let mut steps = Vec::new();
    for (name, key) in [("first row acknowledged", "first_ack_us"), (DIRECT, "first_direct_ack_us")] {
        if let Some(at_us) = instant(run, key) {
            steps.push((name.to_owned(), at_us.saturating_sub(killed_us) / 1_000));
        }
    }
    let failover = &run.more["failover"];
    let started: Option<Timestamp> = failover["startedAt"].as_str().and_then(|time| time.parse().ok());
    let Some(started_us) = started.and_then(|started| u64::try_from(started.as_microsecond()).ok()) else {
        return steps;
    };
    let sign = started_us.saturating_sub(killed_us) / 1_000;
    steps.push(("first sign".to_owned(), sign));
    for step in failover["timeline"].as_array().into_iter().flatten() {
        if let (Some(name), Some(ms)) = (step["step"].as_str(), step["ms"].as_u64()) {
            steps.push((name.to_owned(), sign + ms));
        }
    }
    steps
}

/// A time of the run, `CLOCK_REALTIME` in microseconds.
fn instant(run: &Run, key: &str) -> Option<u64> {
    run.more.get(key).and_then(Value::as_u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_from_the_kill() {
        let failover =
            json!({"startedAt": "1970-01-01T00:00:01.050000Z", "timeline": [{"step": "promoted", "ms": 300}]});
        let more = json!({
            "killed_us": 1_000_000, "first_ack_us": 1_400_000, "first_direct_ack_us": 1_370_000, "failover": failover
        });
        let run = Run {
            acknowledged: 1,
            lost: 0,
            outage_ms: Some(401),
            members_equal: true,
            from: "shop-0".into(),
            to: "shop-1".into(),
            more: more.as_object().unwrap().clone(),
        };
        let expected = [("first sign", 50), ("promoted", 350), (DIRECT, 370), ("first row acknowledged", 400)];
        let runs = [run];
        assert_eq!(share_of_the_service(&runs).map(|share| share.max_ms), Some(30));
        let steps = since_the_kill(&runs);
        let found: Vec<_> = steps
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["step"].as_str().unwrap(), row["p50_ms"].as_u64().unwrap()))
            .collect();
        assert_eq!(found, expected);
    }
}
