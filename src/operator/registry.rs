//! The cluster tasks of this leader. Dropping it ends them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Api;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::clients::Clients;
use super::clock::Clock;
use super::cluster::effects::{Reach, World};
use super::cluster::link::{ExecTransport, Transport};
use super::cluster::metrics::ClusterMetrics;
use super::cluster::pods::PodWatch;
use super::cluster::probe::ProbeSettings;
use super::cluster::service_watch;
use super::cluster::task::ClusterTask;
use super::events::Events;
use super::lease::Leadership;
use super::metrics::Metrics;
use super::settings::Settings;
use crate::control::cluster::{Cluster, Leader};
use crate::control::desired::Desired;
use crate::control::input::Input;
use crate::control::record_codec::RecordError;
use crate::orders::Secret;

/// What every cluster task of one leader shares.
#[derive(Clone)]
pub(crate) struct Leading {
    /// Ways to the API server.
    pub(crate) clients: Clients,
    /// Until when this process may act.
    pub(crate) leadership: Leadership,
    /// What the operator was told.
    pub(crate) settings: Arc<Settings>,
    /// Numbers.
    pub(crate) metrics: Arc<Metrics>,
    /// News for users.
    pub(crate) events: Events,
    /// The clock.
    pub(crate) clock: Clock,
}

/// Namespace and name of a cluster.
pub(crate) type Key = (String, String);

struct Running {
    desired: Arc<Desired>,
    probes: ProbeSettings,
    inputs: mpsc::UnboundedSender<Input>,
    tasks: [JoinHandle<()>; 3],
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The running tasks by cluster.
#[derive(Default)]
pub(crate) struct Registry(BTreeMap<Key, Running>);

impl Registry {
    /// What is in force for a cluster, while its task runs.
    #[must_use]
    pub(crate) fn desired(&self, key: &Key) -> Option<Arc<Desired>> {
        self.0.get(key).filter(|running| !running.tasks[0].is_finished()).map(|running| Arc::clone(&running.desired))
    }

    /// Passes what is desired to its task, which is started when none runs for this object.
    ///
    /// # Errors
    /// When the object's status cannot be continued from.
    pub(crate) fn pass(&mut self, leading: &Leading, desired: Desired, probe: Secret) -> Result<(), RecordError> {
        let key = (desired.cluster.namespace.clone(), desired.cluster.name.clone());
        let desired = Arc::new(desired);
        let probes = probes(leading, &desired, probe);
        if let Some(running) = self.0.get_mut(&key).filter(|running| running.serves(&desired, &probes)) {
            running.desired = Arc::clone(&desired);
            // A task that ended meanwhile is noticed at the next reconcile.
            let _ = running.inputs.send(Input::Desired(desired));
            return Ok(());
        }
        // The old task must have ended before another one acts for the same name.
        self.0.remove(&key);
        self.0.insert(key, start(leading, desired, probes)?);
        Ok(())
    }

    /// Tells a running task that the object was changed into one that cannot be used.
    pub(crate) fn refuse(&mut self, key: &Key, desired: Desired) {
        if let Some(running) = self.0.get_mut(key) {
            let desired = Arc::new(desired);
            running.desired = Arc::clone(&desired);
            // As in `pass`.
            let _ = running.inputs.send(Input::Desired(desired));
        }
    }

    /// Ends the task of a cluster.
    pub(crate) fn end(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Forgets tasks that have ended; true when there was one.
    pub(crate) fn forget_ended(&mut self) -> bool {
        let before = self.0.len();
        self.0.retain(|_, running| !running.tasks[0].is_finished());
        self.0.len() < before
    }

    /// Ends the tasks of clusters that no longer exist.
    pub(crate) fn keep(&mut self, exists: impl Fn(&Key) -> bool) {
        self.0.retain(|key, _| exists(key));
    }
}

impl Running {
    /// True when the task runs, is for this very object with this many members, and looks at them as it should.
    fn serves(&self, desired: &Desired, probes: &ProbeSettings) -> bool {
        !self.tasks[0].is_finished()
            && self.probes == *probes
            && self.desired.cluster.uid == desired.cluster.uid
            && self.desired.cluster.spec.members == desired.cluster.spec.members
    }
}

fn probes(leading: &Leading, desired: &Desired, password: Secret) -> ProbeSettings {
    let spec = &desired.cluster.spec;
    ProbeSettings {
        password,
        gtid_domain: spec.gtid_domain_id,
        interval: spec.failover.interval,
        limit: spec.failover.timeout,
        clock: leading.clock,
    }
}

fn start(leading: &Leading, desired: Arc<Desired>, probes: ProbeSettings) -> Result<Running, RecordError> {
    let Leading { clients, leadership, settings, metrics, events, clock } = leading;
    let spec = &desired.cluster;
    let (namespace, name) = (spec.namespace.as_str(), spec.name.as_str());
    let (inputs, received) = mpsc::unbounded_channel();
    let leader = Leader { identity: settings.identity.clone(), manager: settings.lease.manager() };
    let machine = Cluster::new(Arc::clone(&desired), leader)?;
    let transport: Arc<dyn Transport> = Arc::new(ExecTransport::new(clients.act.clone(), namespace));
    let reach = Reach { client: clients.act.clone(), leadership: leadership.clone(), object: desired.object.clone() };
    let numbers = ClusterMetrics::new(Arc::clone(metrics), namespace.to_owned(), name.to_owned());
    let told = (events.clone(), numbers);
    let world = World::new(reach, spec.spec.members, &transport, &probes, told, inputs.clone());
    let pods = PodWatch::new(clients.watch.clone(), namespace.to_owned(), name.to_owned(), spec.spec.members);
    let watch = pods.run(inputs.clone());
    let services =
        service_watch::run(Api::namespaced(clients.watch.clone(), namespace), name.to_owned(), inputs.clone());
    let task = ClusterTask { machine, world, inputs: received, leadership: leadership.clone(), clock: *clock };
    let tasks = [tokio::spawn(task.run()), tokio::spawn(watch), tokio::spawn(services)];
    Ok(Running { desired, probes, inputs, tasks })
}
