//! Keeps each cluster's Kubernetes objects as they should be, and one task running for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::PostParams;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Api, Resource, ResourceExt};
use thiserror::Error;
use tokio::time::interval;
use tracing::{debug, error, info, warn};

use super::applied::Applied;
use super::apply::{Applier, ApplyError};
use super::clients::{CallError, call};
use super::cluster::people;
use super::cluster::record::RecordError;
use super::cluster::wish::Wish;
use super::events::Reason;
use super::registry::{Key, Leading, Registry};
use crate::api::ReplicationCluster;
use crate::api::status::ConditionType;
use crate::api::validate::{Cluster, INVALID_SPEC, Invalid};
use crate::orders::{Secret, Term};
use crate::resources::Site;

/// A watch that says nothing for this long is asked for again.
const WATCH_SECONDS: u32 = 20;
/// Objects are applied again this often, against changes no watch showed.
const AGAIN: Duration = Duration::from_secs(30);
/// Pause after a reconcile that failed.
const FAILED: Duration = Duration::from_secs(2);
/// Deleted clusters are looked for this often.
const SWEEP: Duration = Duration::from_secs(1);

type Guarded = DeserializeGuard<ReplicationCluster>;

/// Why a reconcile did not succeed.
#[derive(Debug, Error)]
enum ReconcileError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the object cannot be read by this version ({0}): correct it, or run the operator that wrote it")]
    Unreadable(String),
}

struct Context {
    leading: Leading,
    site: Site,
    registry: Arc<Mutex<Registry>>,
    applied: Mutex<Applied>,
}

/// Works as the leader until it is dropped.
pub async fn run(leading: Leading) {
    let clusters = api::<Guarded>(&leading);
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let site = Site {
        operator_image: leading.settings.agent_image.clone(),
        cluster_domain: leading.settings.cluster_domain.clone(),
    };
    let registry = Arc::new(Mutex::new(Registry::default()));
    let context =
        Context { leading: leading.clone(), site, registry: Arc::clone(&registry), applied: Mutex::default() };
    let controller = Controller::new(clusters, config.clone())
        .owns(api::<StatefulSet>(&leading), config.clone())
        .owns(api::<Service>(&leading), config.clone())
        .owns(api::<ConfigMap>(&leading), config);
    let store = controller.store();
    let reconciled = controller.run(reconcile, on_error, Arc::new(context)).for_each(|result| async {
        if let Err(error) = result {
            debug!(%error, "reconcile");
        }
    });
    tokio::select! {
        () = reconciled => error!("the controller has ended"),
        () = sweep(store, registry) => {}
    }
}

fn api<K>(leading: &Leading) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    let client = leading.clients.watch.clone();
    match &leading.settings.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// Ends the tasks of deleted clusters: nothing is reconciled for them any more.
async fn sweep(store: Store<Guarded>, registry: Arc<Mutex<Registry>>) {
    if store.wait_until_ready().await.is_err() {
        return;
    }
    let mut ticks = interval(SWEEP);
    loop {
        ticks.tick().await;
        let exists = |(namespace, name): &Key| store.get(&ObjectRef::<Guarded>::new(name).within(namespace)).is_some();
        lock(&registry).keep(exists);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn on_error(object: Arc<Guarded>, error: &ReconcileError, _: Arc<Context>) -> Action {
    warn!(cluster = %object.name_any(), %error, "not reconciled; it is tried again");
    Action::requeue(FAILED)
}

async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let object = object.0.clone().map_err(|error| ReconcileError::Unreadable(error.error))?;
    let key: Key = (object.namespace().unwrap_or_default(), object.name_any());
    if object.metadata.deletion_timestamp.is_some() {
        lock(&context.registry).end(&key);
        return Ok(Action::await_change());
    }
    let Some(object) = claim(&context, object).await? else { return Ok(Action::requeue(AGAIN)) };
    let cluster = match Cluster::parse(&object) {
        Ok(cluster) => cluster,
        Err(invalid) => return refuse(&context, &key, object, invalid).await,
    };
    let current = lock(&context.applied).current(&key, &object, Instant::now());
    let probe = match current {
        Some(probe) => probe,
        None => {
            let probe = apply(&context, &cluster).await?;
            lock(&context.applied).note(key, &object, probe.clone(), Instant::now());
            probe
        }
    };
    let wish = Wish::new(object, cluster, &context.site.cluster_domain);
    lock(&context.registry).pass(&context.leading, wish, probe)?;
    Ok(Action::requeue(AGAIN))
}

/// Applies everything a cluster needs; a paused one gets nothing but its Secret.
async fn apply(context: &Context, cluster: &Cluster) -> Result<Secret, ApplyError> {
    let Leading { clients, leadership, .. } = &context.leading;
    let applier = Applier { client: &clients.act, leadership, cluster };
    let probe = applier.accounts().await?;
    if !cluster.spec.paused {
        applier.objects(&context.site).await?;
    }
    Ok(Secret(probe))
}

/// Makes sure that no other installation manages the object; none when one does.
async fn claim(context: &Context, object: ReplicationCluster) -> Result<Option<ReplicationCluster>, CallError> {
    let manager = context.leading.settings.lease.manager();
    let other = object.status.as_ref().and_then(|status| status.managed_by.clone());
    match other {
        Some(other) if other == manager => Ok(Some(object)),
        Some(other) => {
            info!(cluster = %object.name_any(), %other, "is managed by another installation and left alone");
            Ok(None)
        }
        None => {
            let mut claimed = object;
            claimed.status.get_or_insert_default().managed_by = Some(manager);
            replace_status(context, &claimed).await.map(Some)
        }
    }
}

async fn replace_status(context: &Context, object: &ReplicationCluster) -> Result<ReplicationCluster, CallError> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<ReplicationCluster> = Api::namespaced(context.leading.clients.act.clone(), &namespace);
    let params = PostParams::default();
    call(&context.leading.leadership, api.replace_status(&object.name_any(), &params, object)).await
}

/// Says what is wrong with a spec. A running task says it itself, because it alone writes the status.
async fn refuse(
    context: &Context,
    key: &Key,
    object: ReplicationCluster,
    invalid: Invalid,
) -> Result<Action, ReconcileError> {
    let running = lock(&context.registry).wish(key);
    if let Some(wish) = running {
        let wish = wish.refused(object, invalid);
        lock(&context.registry).refuse(key, wish);
        return Ok(Action::requeue(AGAIN));
    }
    let mut status = object.status.clone().unwrap_or_default();
    let mut stalled = Condition {
        type_: ConditionType::Stalled.as_str().to_owned(),
        status: "True".to_owned(),
        reason: INVALID_SPEC.to_owned(),
        message: invalid.to_string(),
        observed_generation: object.metadata.generation,
        last_transition_time: Time(Timestamp::now()),
    };
    people::since(&mut stalled, &status.conditions);
    if !status.conditions.contains(&stalled) {
        let term = status.term.unwrap_or(Term(0));
        context.leading.events.publish(&object, Reason::InvalidSpec, (term, ""), invalid.to_string());
        status.conditions.retain(|condition| condition.type_ != stalled.type_);
        status.conditions.push(stalled);
        status.observed_generation = object.metadata.generation;
        replace_status(context, &ReplicationCluster { status: Some(status), ..object }).await?;
    }
    Ok(Action::requeue(AGAIN))
}
