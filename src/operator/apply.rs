//! Brings a cluster's Kubernetes objects into being: built in `resources`, applied by server-side apply.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::clients::{CallError, call};
use super::lease::Leadership;
use super::passwords;
use crate::api::validate::Cluster;
use crate::layout;
use crate::resources::{self, Site, names};

/// Owner of what the operator applies.
pub const FIELD_MANAGER: &str = "beachmaster";

/// An object could not be brought into being.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The API server.
    #[error("{kind} {name}: {source}")]
    Call {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What happened.
        source: CallError,
    },
    /// The Secret is not as the operator made it.
    #[error("Secret {name} has no key {key}: restore it, or add the key with the password of that account")]
    Key {
        /// The Secret.
        name: String,
        /// The missing key.
        key: String,
    },
}

/// Applies objects of one cluster.
pub struct Applier<'a> {
    /// The client.
    pub client: &'a Client,
    /// Until when this process may act.
    pub leadership: &'a Leadership,
    /// The cluster.
    pub cluster: &'a Cluster,
}

impl Applier<'_> {
    /// Applies everything but the Secret, which must exist before.
    ///
    /// # Errors
    /// The first object that was refused.
    pub async fn objects(&self, site: &Site) -> Result<(), ApplyError> {
        let cluster = self.cluster;
        self.apply(&resources::config_map(cluster)).await?;
        self.apply(&resources::members_service(cluster)).await?;
        self.apply(&resources::primary_service(cluster)).await?;
        self.apply(&resources::replicas_service(cluster)).await?;
        if let Some(budget) = resources::disruption_budget(cluster) {
            self.apply(&budget).await?;
        }
        self.apply(&resources::stateful_set(cluster, site)).await
    }

    async fn apply<K>(&self, object: &K) -> Result<(), ApplyError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned
            + Send
            + Sync,
    {
        let name = object.name_any();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(object);
        let done = call(self.leadership, self.api::<K>().patch(&name, &params, &patch)).await;
        done.map(drop).map_err(|source| ApplyError::Call { kind: K::kind(&()).into_owned(), name, source })
    }

    /// Creates the Secret with passwords when there is none; an existing one is never written, because volumes carry
    /// its passwords. Returns the probe's password.
    ///
    /// # Errors
    /// When it can neither be read nor created, or lacks the probe's password.
    pub async fn accounts(&self) -> Result<String, ApplyError> {
        let name = names::accounts(&self.cluster.name);
        let api: Api<Secret> = self.api();
        let failed = |source| ApplyError::Call { kind: "Secret".to_owned(), name: name.clone(), source };
        let secret = match call(self.leadership, api.get_opt(&name)).await.map_err(failed)? {
            Some(secret) => secret,
            None => {
                let fresh = resources::accounts_secret(self.cluster, &passwords::accounts());
                call(self.leadership, api.create(&PostParams::default(), &fresh)).await.map_err(failed)?
            }
        };
        let bytes = secret.data.and_then(|mut data| data.remove(layout::PROBE_KEY));
        let password = bytes.and_then(|bytes| String::from_utf8(bytes.0).ok());
        password.ok_or(ApplyError::Key { name, key: layout::PROBE_KEY.to_owned() })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.cluster.namespace)
    }
}
