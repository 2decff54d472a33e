//! Keeps each cluster's Kubernetes objects as they should be, and one task running for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ObjectMeta, PostParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Api, Resource, ResourceExt};
use thiserror::Error;
use tokio::time::interval;
use tracing::{debug, error, info, warn};

use super::applied::Applied;
use super::apply::{Accounts, Applier, ApplyError};
use super::apply_outcome;
use super::clients::{CallError, call};
use super::drift;
use super::registry::{Key, Leading, Registry};
use crate::api::ReplicationCluster;
use crate::api::validate::{Cluster, Invalid};
use crate::control::desired::Desired;
use crate::control::event_reason::EventReason;
use crate::control::record_codec::{self, RecordError};
use crate::control::refusal::Refusal;
use crate::control::status;
use crate::orders::{Secret, Term};
use crate::resources::{Site, labels};
use crate::sync::locked;

/// A watch that says nothing for this long is asked for again.
const WATCH_SECONDS: u32 = 20;
/// Objects are applied again this often, against changes no watch showed.
const AGAIN: Duration = Duration::from_secs(30);
/// Pause after a reconcile that failed.
const FAILED: Duration = Duration::from_secs(2);
/// Pause after the API server has refused an object: somebody must mend something first.
const REFUSED: Duration = Duration::from_secs(5);
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
    registry: Mutex<Registry>,
    applied: Arc<Mutex<Applied>>,
    /// What each cluster was last told to be wrong, so that an Event tells each change once.
    told: Mutex<BTreeMap<Key, Refusal>>,
}

/// Works as the leader until it is dropped.
pub(crate) async fn run(leading: Leading) {
    let clusters = api::<Guarded>(&leading);
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let site = Site {
        operator_image: leading.settings.agent_image.clone(),
        cluster_domain: leading.settings.cluster_domain.clone(),
    };
    let context = Arc::new(Context {
        leading: leading.clone(),
        site,
        registry: Mutex::default(),
        applied: Arc::default(),
        told: Mutex::default(),
    });
    // Without the label anybody's objects would come by here, however many and large.
    let ours = config.clone().labels(labels::CLUSTER);
    let controller = Controller::new(clusters, config)
        .watches(api::<StatefulSet>(&leading), ours.clone(), drift::noting(Arc::clone(&context.applied)))
        .watches(api::<Service>(&leading), ours.clone(), drift::noting(Arc::clone(&context.applied)))
        .watches(api::<ConfigMap>(&leading), ours.clone(), drift::noting(Arc::clone(&context.applied)))
        .watches(api::<PodDisruptionBudget>(&leading), ours, drift::noting(Arc::clone(&context.applied)));
    let store = controller.store();
    // A task ends when the status cannot be read, and that may be over before its end is noticed.
    let (again, ended) = mpsc::channel(1);
    let controller = controller.reconcile_all_on(ended);
    let reconciled = controller.run(reconcile, on_error, Arc::clone(&context)).for_each(|result| async {
        if let Err(error) = result {
            debug!(%error, "reconcile");
        }
    });
    tokio::select! {
        () = reconciled => error!("the controller has ended"),
        () = sweep(store, &context, again) => {}
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

/// Ends the tasks of deleted clusters: nothing is reconciled for them any more. Clusters whose task has ended are looked at
/// `again`.
async fn sweep(store: Store<Guarded>, context: &Context, mut again: mpsc::Sender<()>) {
    if store.wait_until_ready().await.is_err() {
        return;
    }
    let mut ticks = interval(SWEEP);
    loop {
        ticks.tick().await;
        let exists = |(namespace, name): &Key| store.get(&ObjectRef::<Guarded>::new(name).within(namespace)).is_some();
        locked(&context.registry).keep(exists);
        if locked(&context.registry).forget_ended() {
            // One that waits there will do.
            let _ = again.try_send(());
        }
        locked(&context.applied).keep(exists);
        locked(&context.told).retain(|key, _| exists(key));
    }
}

fn on_error(object: Arc<Guarded>, error: &ReconcileError, _: Arc<Context>) -> Action {
    warn!(cluster = %object.name_any(), %error, "not reconciled; it is tried again");
    match error {
        ReconcileError::Apply(error) if error.reason().is_some() => Action::requeue(REFUSED),
        ReconcileError::Unreadable(_) => Action::requeue(AGAIN),
        _ => Action::requeue(FAILED),
    }
}

async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let object = match object.0.clone() {
        Ok(object) => object,
        Err(error) => return Err(unreadable(&context, &error.metadata, error.error)),
    };
    let key: Key = (object.namespace().unwrap_or_default(), object.name_any());
    if object.metadata.deletion_timestamp.is_some() {
        locked(&context.registry).end(&key);
        return Ok(Action::await_change());
    }
    let Some(object) = claim(&context, object).await? else { return Ok(Action::requeue(AGAIN)) };
    let cluster = match Cluster::parse(&object) {
        Ok(cluster) => cluster,
        Err(invalid) => return refuse(&context, &key, object, invalid).await,
    };
    let waits_for = key.clone();
    let Applying { probe, errors, anew } = apply(&context, &key, &object, &cluster).await;
    let unreadable = record_codec::read(&key.1, object.status.as_ref()).err();
    // A task that runs puts back what it wrote itself, or ends.
    let stops = unreadable.as_ref().filter(|_| locked(&context.registry).desired(&key).is_none());
    let refusal = apply_outcome::refusal(&errors, stops);
    announce(&context, &key, &object, refusal.as_ref());
    // What was not applied now is as old as it was.
    if let Some(probe) = probe.as_ref().filter(|_| errors.is_empty() && anew) {
        locked(&context.applied).note(key.clone(), &object, probe.clone(), Instant::now());
    }
    match probe.filter(|_| stops.is_none()) {
        Some(probe) => {
            let desired = Desired::new(object, cluster, &context.site.cluster_domain).refused(refusal);
            locked(&context.registry).pass(&context.leading, desired, probe)?;
        }
        None => stand_still(&context, &key, object, refusal).await?,
    }
    if !errors.is_empty() {
        // What could not be applied is still to be applied, however young the rest is.
        locked(&context.applied).note_changed(&waits_for);
    }
    match errors.into_iter().next() {
        Some(error) => Err(error.into()),
        None if unreadable.is_some() => Ok(Action::requeue(FAILED)),
        None => Ok(Action::requeue(locked(&context.applied).again(&waits_for).unwrap_or(AGAIN))),
    }
}

/// What applying a cluster's objects came to.
struct Applying {
    /// The probe's password, when a task may run with it.
    probe: Option<Secret>,
    errors: Vec<ApplyError>,
    /// False when nothing had to be applied.
    anew: bool,
}

/// Applies everything a cluster needs, unless that was done just now; a paused one gets nothing but its Secret. A
/// cluster that has data is looked after whatever became of its objects; a new one is not begun beside objects of
/// somebody else.
async fn apply(context: &Context, key: &Key, object: &ReplicationCluster, cluster: &Cluster) -> Applying {
    if let Some(probe) = locked(&context.applied).current(key, object, Instant::now()) {
        return Applying { probe: Some(probe), errors: Vec::new(), anew: false };
    }
    locked(&context.applied).begin(key);
    let Leading { clients, leadership, .. } = &context.leading;
    let applier = Applier { client: &clients.act, leadership, cluster };
    let Accounts { mut probe, missing } = match applier.accounts().await {
        Ok(accounts) => accounts,
        Err(error) => return Applying { probe: None, errors: vec![error], anew: true },
    };
    let mut errors: Vec<ApplyError> = missing.into_iter().collect();
    if !cluster.spec.paused {
        let begun = object.status.as_ref().is_some_and(|status| status.data_uid.is_some());
        errors.extend(applier.objects(&context.site, begun).await);
        tell_ignored(context, object, cluster);
        let taken = errors.iter().any(|error| matches!(error, ApplyError::NameTaken { .. }));
        probe = probe.filter(|_| begun || !taken);
    }
    Applying { probe, errors, anew: true }
}

/// An object that this version cannot read has no status that it could write; an Event says so.
fn unreadable(context: &Context, metadata: &ObjectMeta, error: String) -> ReconcileError {
    let error = ReconcileError::Unreadable(error);
    let key: Key = (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
    let told = Refusal { reason: EventReason::Unreadable, message: error.to_string() };
    if locked(&context.told).insert(key, told.clone()).as_ref() != Some(&told) {
        context.leading.events.publish_about(metadata, told.reason, (Term::default(), ""), told.message);
    }
    error
}

/// Tells an Event what is wrong, when that has changed.
fn announce(context: &Context, key: &Key, object: &ReplicationCluster, refusal: Option<&Refusal>) {
    let mut told = locked(&context.told);
    let Some(refusal) = refusal else {
        told.remove(key);
        return;
    };
    if told.insert(key.clone(), refusal.clone()).as_ref() != Some(refusal) {
        let term = object.status.as_ref().and_then(|status| status.term).unwrap_or_default();
        context.leading.events.publish(object, refusal.reason, (term, ""), refusal.message.clone());
    }
}

/// Says once for each spec which of its lines have no effect; my.cnf in the ConfigMap says it at the line itself.
fn tell_ignored(context: &Context, object: &ReplicationCluster, cluster: &Cluster) {
    let status = object.status.as_ref();
    let known = status.is_some_and(|status| status.observed_generation == object.metadata.generation);
    let ignored = &cluster.spec.my_cnf.ignored;
    if known || ignored.is_empty() {
        return;
    }
    let term = status.and_then(|status| status.term).unwrap_or(Term(0));
    let note = format!("spec.myCnf: {}", ignored.join("; "));
    context.leading.events.publish(object, EventReason::OptionIgnored, (term, ""), note);
}

/// Makes sure that no other installation manages the object; none when one does.
async fn claim(context: &Context, object: ReplicationCluster) -> Result<Option<ReplicationCluster>, CallError> {
    let manager = context.leading.settings.lease.manager();
    let other = object.status.as_ref().and_then(|status| status.managed_by.clone());
    match other {
        Some(other) if other == manager => Ok(Some(object)),
        Some(other) => {
            info!(cluster = %object.name_any(), %other, "another installation manages the cluster; it is left alone");
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

/// Says what is wrong with a spec.
async fn refuse(
    context: &Context,
    key: &Key,
    object: ReplicationCluster,
    invalid: Invalid,
) -> Result<Action, ReconcileError> {
    let refusal = Refusal::of_spec(&invalid);
    announce(context, key, &object, Some(&refusal));
    stand_still(context, key, object, Some(refusal)).await?;
    Ok(Action::requeue(AGAIN))
}

/// Nothing new can be done. A running task goes on with what is in force and says why, because it alone writes the
/// status; where none runs it is written here.
async fn stand_still(
    context: &Context,
    key: &Key,
    object: ReplicationCluster,
    refusal: Option<Refusal>,
) -> Result<(), CallError> {
    let Some(refusal) = refusal else { return Ok(()) };
    let running = locked(&context.registry).desired(key);
    if let Some(desired) = running {
        locked(&context.registry).refuse(key, desired.superseded(object, refusal));
        return Ok(());
    }
    let mut status = object.status.clone().unwrap_or_default();
    status::stand_still(&mut status, &refusal, object.metadata.generation, Timestamp::now());
    if object.status.as_ref() != Some(&status) {
        replace_status(context, &ReplicationCluster { status: Some(status), ..object }).await?;
    }
    Ok(())
}
