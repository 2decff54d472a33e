//! The two Kubernetes clients, and the time limit on every call.

use std::future::Future;
use std::time::Duration;

use kube::{Client, Config};
use thiserror::Error;
use tokio::time::timeout;

use super::lease::Leadership;

/// Longest a single call to the API server may take, whatever is left of the Lease.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// A TCP connection within one data centre takes milliseconds; kube's 30 s would outlast the Lease.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Clients by purpose.
#[derive(Clone)]
pub(crate) struct Clients {
    /// For watches and for what may wait: retries by itself.
    pub(crate) watch: Client,
    /// For acts: never retries, because an act that is late may be wrong.
    pub(crate) act: Client,
}

impl Clients {
    /// Connects as the environment says: `$KUBECONFIG`, or the pod's ServiceAccount.
    ///
    /// # Errors
    /// When no configuration is found or it cannot be used.
    pub(crate) async fn infer() -> Result<Self, ClientError> {
        let mut config = Config::infer().await?;
        config.connect_timeout = Some(CONNECT_LIMIT);
        let watch = Client::try_from(config.clone())?;
        config.default_retry = false;
        Ok(Self { watch, act: Client::try_from(config)? })
    }
}

/// Why no client could be made.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Neither a kubeconfig nor a ServiceAccount.
    #[error("no configuration for the API server: set KUBECONFIG, or run in a pod with a ServiceAccount token")]
    Config(#[from] kube::config::InferConfigError),
    /// The configuration cannot be used.
    #[error("the API server's address or certificates in the configuration cannot be used")]
    Client(#[from] kube::Error),
}

/// Why a call to the API server did not succeed.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    /// The API server did not answer in time: whether it acted is unknown.
    #[error("the API server did not answer within {0:?}; whether it acted is unknown")]
    Timeout(Duration),
    /// It answered with an error, or could not be reached.
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

impl CallError {
    /// True when the object has changed since it was read.
    #[must_use]
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if status.is_conflict())
    }

    /// True when the API server has refused for good: the same call is refused again until somebody changes something.
    #[must_use]
    pub(crate) fn is_refusal(&self) -> bool {
        /// Changed meanwhile; too many requests; the API server or its etcd took too long or is not there.
        const PASSING: [u16; 4] = [409, 429, 503, 504];
        matches!(self, Self::Kube(kube::Error::Api(status)) if !PASSING.contains(&status.code))
    }

    /// True when the object exists already.
    #[must_use]
    pub(crate) fn is_already_exists(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if status.is_already_exists())
    }
}

/// Runs one call, for at most what is left of the leadership.
///
/// # Errors
/// What the call said, or that it took too long.
pub(crate) async fn call<T>(
    leadership: &Leadership,
    request: impl Future<Output = Result<T, kube::Error>> + Send,
) -> Result<T, CallError> {
    let limit = CALL_LIMIT.min(leadership.remaining());
    match timeout(limit, request).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(CallError::Timeout(limit)),
    }
}
