//! Leadership: only the holder of the Lease acts.
//!
//! kube has no leader election. The rule is that of Kubernetes' own components: a process that waits takes the Lease when
//! it has not seen it change for its whole duration, by its own monotonic clock; the holder gives up earlier than that,
//! counted from before its last successful renewal was sent. Clocks of two machines are never compared.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::settings::LeaseSettings;

/// Until when this process may act. Cheap to clone; every call to the API server asks it.
#[derive(Debug, Clone)]
pub(crate) struct Leadership(watch::Receiver<Instant>);

impl Leadership {
    /// What is left before this process must have stopped acting.
    #[must_use]
    pub(crate) fn remaining(&self) -> Duration {
        self.0.borrow().saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
impl Leadership {
    /// Longer than any test takes.
    pub(crate) fn of_an_hour() -> Self {
        Self(watch::channel(Instant::now() + Duration::from_secs(3_600)).1)
    }
}

/// The Lease as seen last, and since when it has looked so.
struct Seen {
    version: Option<String>,
    since: Instant,
}

/// One process' part in the election.
pub(crate) struct Elector {
    api: Api<Lease>,
    settings: LeaseSettings,
    identity: String,
    seen: Option<Seen>,
}

/// A won election: the Lease as written last, and the promise given to others.
pub(crate) struct HeldLease {
    lease: Lease,
    until: watch::Sender<Instant>,
}

impl HeldLease {
    /// What parts that act hold.
    #[must_use]
    pub(crate) fn leadership(&self) -> Leadership {
        Leadership(self.until.subscribe())
    }

    fn left(&self) -> Duration {
        self.until.borrow().saturating_duration_since(Instant::now())
    }
}

impl Elector {
    /// Takes part under `identity`, which no other process may ever use.
    #[must_use]
    pub(crate) fn new(client: kube::Client, settings: LeaseSettings, identity: String) -> Self {
        let api = Api::namespaced(client, &settings.namespace);
        Self { api, settings, identity, seen: None }
    }

    /// Waits until this process is the leader.
    pub(crate) async fn acquire(&mut self) -> HeldLease {
        loop {
            match self.try_acquire().await {
                Ok(Some(held)) => {
                    info!(lease = %self.settings.manager(), identity = %self.identity, "leads");
                    return held;
                }
                Ok(None) => {}
                Err(message) => warn!(lease = %self.settings.manager(), %message, "the Lease cannot be read or taken"),
            }
            sleep(self.settings.retry_period).await;
        }
    }

    async fn try_acquire(&mut self) -> Result<Option<HeldLease>, String> {
        let limit = self.settings.renew_deadline;
        let found = within(limit, self.api.get_opt(&self.settings.name)).await?;
        let begun = Instant::now();
        let written = match found {
            None => {
                let lease =
                    self.lease(ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() }, 0);
                within(limit, self.api.create(&PostParams::default(), &lease)).await?
            }
            Some(found) if self.may_take(&found, begun) => {
                let turns = found.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
                let lease = self.lease(found.metadata, turns.saturating_add(1));
                within(limit, self.api.replace(&self.settings.name, &PostParams::default(), &lease)).await?
            }
            Some(_) => return Ok(None),
        };
        let (until, _) = watch::channel(begun + self.settings.renew_deadline);
        Ok(Some(HeldLease { lease: written, until }))
    }

    /// Whether nobody can still believe to hold this Lease. Remembers what was seen.
    fn may_take(&mut self, found: &Lease, now: Instant) -> bool {
        let spec = found.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref().is_none_or(str::is_empty) {
            return true;
        }
        let version = found.metadata.resource_version.clone();
        let promised = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = promised.map_or(self.settings.duration, Duration::from_secs).max(self.settings.duration);
        match &self.seen {
            Some(seen) if seen.version == version => now.saturating_duration_since(seen.since) > duration,
            _ => {
                self.seen = Some(Seen { version, since: now });
                false
            }
        }
    }

    /// Renews until that fails for too long; returns when this process is no longer the leader.
    pub(crate) async fn keep(&mut self, held: &mut HeldLease) {
        loop {
            sleep(self.settings.retry_period.min(held.left())).await;
            let left = held.left();
            if left.is_zero() {
                warn!(lease = %self.settings.manager(), "the Lease was not renewed in time: the operator stops acting");
                return;
            }
            let begun = Instant::now();
            match timeout(left, self.renew(held)).await {
                Ok(Ok(true)) => {
                    held.until.send_replace(begun + self.settings.renew_deadline);
                }
                Ok(Ok(false)) => {
                    warn!(lease = %self.settings.manager(), "another process took the Lease: this one stops acting");
                    return;
                }
                Ok(Err(message)) => warn!(lease = %self.settings.manager(), %message, "the Lease was not renewed"),
                Err(_) => {}
            }
        }
    }

    /// One renewal; false when another process holds the Lease.
    async fn renew(&self, held: &mut HeldLease) -> Result<bool, String> {
        let mut lease = held.lease.clone();
        if let Some(spec) = lease.spec.as_mut() {
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
        }
        // Half of what a renewal may take: an answer that is lost must not use up the whole deadline.
        let limit = self.settings.renew_deadline / 2;
        match within(limit, self.api.replace(&self.settings.name, &PostParams::default(), &lease)).await {
            Ok(written) => {
                held.lease = written;
                Ok(true)
            }
            Err(message) => {
                // A conflict, or an unanswered renewal that was carried out: look whose it is now.
                let found = within(limit, self.api.get(&self.settings.name)).await?;
                let holder = found.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                if holder != Some(self.identity.as_str()) {
                    return Ok(false);
                }
                held.lease = found;
                Err(message)
            }
        }
    }

    /// Gives the Lease back, so that another process need not wait. To be called after all acts have ended.
    pub(crate) async fn release(&self, held: HeldLease) {
        let mut lease = held.lease;
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
        }
        let limit = self.settings.retry_period;
        match within(limit, self.api.replace(&self.settings.name, &PostParams::default(), &lease)).await {
            Ok(_) => info!(lease = %self.settings.manager(), "released"),
            Err(message) => {
                warn!(lease = %self.settings.manager(), %message, "the Lease was not released: it expires by itself")
            }
        }
    }

    fn lease(&self, metadata: ObjectMeta, turns: i32) -> Lease {
        let now = MicroTime(jiff::Timestamp::now());
        let seconds = self.settings.duration.as_secs().max(1);
        let spec = LeaseSpec {
            acquire_time: Some(now.clone()),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(seconds).ok(),
            lease_transitions: Some(turns),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, String> {
    match timeout(limit, request).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the API server did not answer within {limit:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elector() -> Elector {
        let service = tower_test_client();
        let settings = LeaseSettings {
            name: "beachmaster".to_owned(),
            namespace: "system".to_owned(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        };
        Elector::new(service, settings, "a-1".to_owned())
    }

    /// A client that is never asked: these tests look at values only.
    fn tower_test_client() -> kube::Client {
        let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        kube::Client::try_from(config).unwrap()
    }

    fn held(by: &str, version: &str, seconds: i32) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(by.to_owned()),
                lease_duration_seconds: Some(seconds),
                ..LeaseSpec::default()
            }),
        }
    }

    #[tokio::test]
    async fn takes_a_lease_only_after_it_stood_still_for_its_whole_duration() {
        let mut elector = elector();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!elector.may_take(&held("b", "1", 15), at(0)), "just seen");
        assert!(!elector.may_take(&held("b", "1", 15), at(15)));
        assert!(!elector.may_take(&held("b", "2", 15), at(16)), "renewed: the wait begins again");
        assert!(!elector.may_take(&held("b", "2", 15), at(31)));
        assert!(elector.may_take(&held("b", "2", 15), at(32)));
    }

    #[tokio::test]
    async fn keeps_to_the_longer_promise_and_takes_a_released_lease_at_once() {
        let mut elector = elector();
        let start = Instant::now();
        assert!(!elector.may_take(&held("b", "1", 60), start));
        assert!(!elector.may_take(&held("b", "1", 60), start + Duration::from_secs(50)));
        assert!(elector.may_take(&held("", "2", 60), start));
    }

    #[tokio::test]
    async fn even_an_own_lease_of_an_earlier_life_is_waited_for() {
        let mut elector = elector();
        assert!(!elector.may_take(&held("a-1", "1", 15), Instant::now()));
    }
}
