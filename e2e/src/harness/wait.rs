//! Waiting for a state, with a deadline and the last reason why it was not there.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::{sleep, timeout};

/// Between two looks at the API server.
const PERIOD: Duration = Duration::from_millis(100);

/// Looks until the state is there. A look that fails says why it is not there yet.
///
/// # Errors
/// When the limit passes: what was waited for, and what was seen last.
pub async fn until<T>(what: &str, limit: Duration, look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    every(PERIOD, what, limit, look).await
}

/// As `until`, with a time of one's own between two looks: for those that cost the cluster something.
///
/// # Errors
/// As `until`.
pub async fn every<T>(
    period: Duration,
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    let mut last = None;
    while let Some(left) = limit.checked_sub(start.elapsed()) {
        match timeout(left, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = Some(error),
            Err(_) => break,
        }
        sleep(period).await;
    }
    let last = last.map_or_else(|| "nothing was answered".to_owned(), |error| format!("{error:#}"));
    bail!("{what}: not within {} s; last seen: {last}", limit.as_secs())
}
