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
use crate::control::event_reason::EventReason;
use crate::layout;
use crate::orders::Secret as Password;
use crate::resources::{self, Site, names, stranger};

/// Owner of what the operator applies.
pub(crate) const FIELD_MANAGER: &str = "beachmaster";

/// An object could not be brought into being.
#[derive(Debug, Error)]
pub(crate) enum ApplyError {
    /// The API server.
    #[error("{kind} {name}: {source}{}", remedy(source))]
    Call {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What happened.
        source: CallError,
    },
    /// The Secret is not as the operator made it.
    #[error(
        "Secret {name} has no password under {}: restore the Secret, or add the keys with the passwords of those accounts",
        keys.join(", ")
    )]
    Keys {
        /// The Secret.
        name: String,
        /// The missing keys.
        keys: Vec<String>,
    },
    /// Somebody else has an object of that name.
    #[error(
        "{kind} {name} exists and is not this cluster's: {whose}; delete or rename it, or create the ReplicationCluster \
         under another name; to hand it over, leave it without a controller and label it beachmaster.dev/cluster={cluster}"
    )]
    NameTaken {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Whose it is.
        whose: String,
        /// The cluster that wants it.
        cluster: String,
    },
}

impl ApplyError {
    /// Reason for conditions and Events; none when it passes by itself (no answer, a conflict, an API server that asks
    /// to be left alone for a while).
    #[must_use]
    pub(crate) fn reason(&self) -> Option<EventReason> {
        match self {
            Self::Call { source, .. } => source.is_refusal().then_some(EventReason::ObjectRefused),
            Self::Keys { .. } => Some(EventReason::SecretIncomplete),
            Self::NameTaken { .. } => Some(EventReason::NameTaken),
        }
    }
}

fn remedy(source: &CallError) -> &'static str {
    if source.is_refusal() {
        "; correct what it names in the spec, or the quota, policy, webhook or right that refuses it"
    } else {
        ""
    }
}

/// Applies objects of one cluster.
pub(crate) struct Applier<'a> {
    /// The client.
    pub(crate) client: &'a Client,
    /// Until when this process may act.
    pub(crate) leadership: &'a Leadership,
    /// The cluster.
    pub(crate) cluster: &'a Cluster,
}

impl Applier<'_> {
    /// Applies everything but the Secret, which must exist before. Each is tried whatever became of the others. Where
    /// the cluster has no data yet (`begun` is false) nothing is made beside objects of somebody else.
    pub(crate) async fn objects(&self, site: &Site, begun: bool) -> Vec<ApplyError> {
        let cluster = self.cluster;
        let config = resources::config_map(cluster);
        let members = resources::members_service(cluster);
        let primary = resources::primary_service(cluster);
        let replicas = resources::replicas_service(cluster);
        let budget = resources::disruption_budget(cluster);
        let set = resources::stateful_set(cluster, site);
        if !begun {
            let found = [
                self.found(&config).await,
                self.found(&members).await,
                self.found(&primary).await,
                self.found(&replicas).await,
                self.found(&set).await,
            ];
            let failed: Vec<ApplyError> = found.into_iter().filter_map(Result::err).collect();
            if !failed.is_empty() {
                return failed;
            }
        }
        let mut done = vec![
            self.apply(config).await,
            self.apply(members).await,
            self.apply(primary).await,
            self.apply(replicas).await,
        ];
        if let Some(budget) = budget {
            done.push(self.apply(budget).await);
        }
        done.push(self.apply(set).await);
        done.into_iter().filter_map(Result::err).collect()
    }

    /// Applies one object. The uid of what was found keeps an object that takes its place meanwhile from being taken
    /// over.
    async fn apply<K: Ours>(&self, mut object: K) -> Result<(), ApplyError> {
        object.meta_mut().uid = self.found(&object).await?;
        let name = object.name_any();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        let done = call(self.leadership, self.api::<K>().patch(&name, &params, &patch)).await;
        done.map(drop).map_err(|source| failed::<K>(name, source))
    }

    /// Uid of the object of this name; none when there is none.
    async fn found<K: Ours>(&self, object: &K) -> Result<Option<String>, ApplyError> {
        let name = object.name_any();
        let found = call(self.leadership, self.api::<K>().get_metadata_opt(&name)).await;
        let Some(found) = found.map_err(|source| failed::<K>(name.clone(), source))? else { return Ok(None) };
        match stranger(self.cluster, &found.metadata) {
            None => Ok(found.metadata.uid),
            Some(whose) => {
                let (kind, cluster) = (K::kind(&()).into_owned(), self.cluster.name.clone());
                Err(ApplyError::NameTaken { kind, name, whose, cluster })
            }
        }
    }

    /// Creates the Secret with passwords when there is none; an existing one is never written, because volumes carry
    /// its passwords.
    ///
    /// # Errors
    /// When it can neither be read nor created.
    pub(crate) async fn accounts(&self) -> Result<Accounts, ApplyError> {
        let name = names::accounts(&self.cluster.name);
        let api: Api<Secret> = self.api();
        let failed = |source| failed::<Secret>(name.clone(), source);
        let secret = match call(self.leadership, api.get_opt(&name)).await.map_err(failed)? {
            Some(secret) => secret,
            None => {
                let fresh = resources::accounts_secret(self.cluster, &passwords::accounts());
                call(self.leadership, api.create(&PostParams::default(), &fresh)).await.map_err(failed)?
            }
        };
        Ok(Accounts::read(name, &secret, self.cluster.spec.members))
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.cluster.namespace)
    }
}

/// What we apply.
trait Ours:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync
{
}

impl<K> Ours for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
{
}

fn failed<K: Resource<DynamicType = ()>>(name: String, source: CallError) -> ApplyError {
    ApplyError::Call { kind: K::kind(&()).into_owned(), name, source }
}

/// What the Secret with our accounts' passwords holds.
pub(crate) struct Accounts {
    /// The probe's password, when it is there.
    pub(crate) probe: Option<Password>,
    /// Keys without a password.
    pub(crate) missing: Option<ApplyError>,
}

impl Accounts {
    fn read(name: String, secret: &Secret, members: u8) -> Self {
        let password = |key: &str| {
            let bytes = secret.data.as_ref()?.get(key)?;
            String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.is_empty())
        };
        let keys: Vec<String> = std::iter::once(layout::PROBE_KEY.to_owned())
            .chain((0..members).map(layout::repl_key))
            .filter(|key| password(key).is_none())
            .collect();
        Self {
            probe: password(layout::PROBE_KEY).map(Password),
            missing: (!keys.is_empty()).then_some(ApplyError::Keys { name, keys }),
        }
    }
}

#[cfg(test)]
mod tests;
