//! Reading that may take longer than an order: it goes on when the order is cut off, and whoever repeats the order finds it as
//! far as it has come.

use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};

use crate::orders::Incarnation;

/// At most one at a time.
#[derive(Debug)]
pub(crate) struct SingleFlight<T>(Mutex<Option<(Incarnation, JoinHandle<T>)>>);

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> SingleFlight<T> {
    /// The result of the flight about this run of mariadbd: of the one under way, else of the one that is begun now.
    ///
    /// # Errors
    /// When it was cut off.
    pub(crate) async fn result(&self, run: Incarnation, begin: impl FnOnce() -> JoinHandle<T>) -> Result<T, JoinError> {
        let mut flight = self.0.lock().await;
        // What was begun about an earlier run tells nothing of this one.
        flight.take_if(|(of, _)| *of != run);
        let (_, under_way) = flight.get_or_insert_with(|| (run, begin()));
        let result = under_way.await;
        *flight = None;
        result
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn who_comes_again_finds_the_one_under_way_and_not_that_of_another_run() {
        let flight = SingleFlight::default();
        let (done, wait) = oneshot::channel();
        let first = flight.result(Incarnation(1), || tokio::spawn(async { wait.await.unwrap() }));
        assert!(timeout(Duration::from_millis(5), first).await.is_err(), "its time is over");
        done.send(7).unwrap();
        assert_eq!(flight.result(Incarnation(1), || tokio::spawn(async { 8 })).await.unwrap(), 7);
        assert_eq!(flight.result(Incarnation(1), || tokio::spawn(async { 8 })).await.unwrap(), 8);
        let cut_off = flight.result(Incarnation(1), || tokio::spawn(std::future::pending()));
        assert!(timeout(Duration::from_millis(5), cut_off).await.is_err());
        assert_eq!(flight.result(Incarnation(2), || tokio::spawn(async { 9 })).await.unwrap(), 9);
    }
}
