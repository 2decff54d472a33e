//! The cluster tasks of this leader. Dropping it ends them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Api;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::clients::Clients;
use super::clock::Clock;
use super::cluster::book::Book;
use super::cluster::crew::Crew;
use super::cluster::failover_record::FailoverRecords;
use super::cluster::input::Input;
use super::cluster::link::{ExecTransport, Transport};
use super::cluster::narrator::Narrator;
use super::cluster::parts::{Leader, Parts};
use super::cluster::pod_labels::PodLabels;
use super::cluster::pods::PodWatch;
use super::cluster::probe::ProbeSettings;
use super::cluster::record::RecordError;
use super::cluster::router::Router;
use super::cluster::service_watch;
use super::cluster::task::ClusterTask;
use super::cluster::wish::Wish;
use super::events::Events;
use super::lease::Leadership;
use super::metrics::Metrics;
use super::settings::Settings;
use crate::orders::Secret;

/// What every cluster task of one leader shares.
#[derive(Clone)]
pub struct Leading {
    /// Ways to the API server.
    pub clients: Clients,
    /// Until when this process may act.
    pub leadership: Leadership,
    /// What the operator was told.
    pub settings: Arc<Settings>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// News for users.
    pub events: Events,
    /// The clock.
    pub clock: Clock,
}

/// Namespace and name of a cluster.
pub type Key = (String, String);

struct Running {
    wish: Arc<Wish>,
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
pub struct Registry(BTreeMap<Key, Running>);

impl Registry {
    /// The wish in force for a cluster, while its task runs.
    #[must_use]
    pub fn wish(&self, key: &Key) -> Option<Arc<Wish>> {
        self.0.get(key).filter(|running| !running.tasks[0].is_finished()).map(|running| Arc::clone(&running.wish))
    }

    /// Passes a wish to its task, which is started when none runs for this object.
    ///
    /// # Errors
    /// When the object's status cannot be continued from.
    pub fn pass(&mut self, leading: &Leading, wish: Wish, probe: Secret) -> Result<(), RecordError> {
        let key = (wish.cluster.namespace.clone(), wish.cluster.name.clone());
        let wish = Arc::new(wish);
        let probes = probes(leading, &wish, probe);
        if let Some(running) = self.0.get_mut(&key).filter(|running| running.serves(&wish, &probes)) {
            running.wish = Arc::clone(&wish);
            // A task that ended meanwhile is noticed at the next reconcile.
            let _ = running.inputs.send(Input::Wish(wish));
            return Ok(());
        }
        // The old task must have ended before another one acts for the same name.
        self.0.remove(&key);
        self.0.insert(key, start(leading, wish, probes)?);
        Ok(())
    }

    /// Tells a running task that the object was changed into one that cannot be used.
    pub fn refuse(&mut self, key: &Key, wish: Wish) {
        if let Some(running) = self.0.get_mut(key) {
            let wish = Arc::new(wish);
            running.wish = Arc::clone(&wish);
            // As in `pass`.
            let _ = running.inputs.send(Input::Wish(wish));
        }
    }

    /// Ends the task of a cluster.
    pub fn end(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Ends the tasks of clusters that no longer exist.
    pub fn keep(&mut self, exists: impl Fn(&Key) -> bool) {
        self.0.retain(|key, _| exists(key));
    }
}

impl Running {
    /// True when the task runs, is for this very object with this many members, and looks at them as it should.
    fn serves(&self, wish: &Wish, probes: &ProbeSettings) -> bool {
        !self.tasks[0].is_finished()
            && self.probes == *probes
            && self.wish.cluster.uid == wish.cluster.uid
            && self.wish.cluster.spec.members == wish.cluster.spec.members
    }
}

fn probes(leading: &Leading, wish: &Wish, password: Secret) -> ProbeSettings {
    let spec = &wish.cluster.spec;
    ProbeSettings {
        password,
        gtid_domain: spec.gtid_domain_id,
        interval: spec.failover.interval,
        limit: spec.failover.timeout,
        clock: leading.clock,
    }
}

fn start(leading: &Leading, wish: Arc<Wish>, probes: ProbeSettings) -> Result<Running, RecordError> {
    let Leading { clients, leadership, settings, metrics, events, clock } = leading;
    let cluster = &wish.cluster;
    let (namespace, name) = (cluster.namespace.as_str(), cluster.name.as_str());
    let act = &clients.act;
    let (inputs, received) = mpsc::unbounded_channel();
    let transport: Arc<dyn Transport> = Arc::new(ExecTransport::new(act.clone(), namespace));
    let parts = Parts {
        crew: Crew::gather(cluster.spec.members, &transport, &probes, &inputs),
        book: Book::open(Api::namespaced(act.clone(), namespace), leadership.clone(), wish.object.clone())?,
        router: Router::new(
            Api::namespaced(act.clone(), namespace),
            Api::namespaced(act.clone(), namespace),
            leadership.clone(),
            name.to_owned(),
            inputs.clone(),
        ),
        labels: PodLabels::new(Api::namespaced(act.clone(), namespace), leadership.clone()),
        narrator: Narrator::new(wish.object.clone(), events.clone(), Arc::clone(metrics)),
        failovers: FailoverRecords {
            api: Api::namespaced(act.clone(), namespace),
            leadership: leadership.clone(),
            cluster: wish.object.clone(),
        },
    };
    let leader = Leader {
        identity: settings.identity.clone(),
        manager: settings.lease.manager(),
        leadership: leadership.clone(),
        clock: *clock,
    };
    let pods = PodWatch::new(clients.watch.clone(), namespace.to_owned(), name.to_owned(), cluster.spec.members);
    let watch = pods.run(inputs.clone());
    let services =
        service_watch::run(Api::namespaced(clients.watch.clone(), namespace), name.to_owned(), inputs.clone());
    let task = ClusterTask::new(parts, leader, Arc::clone(&wish), received);
    Ok(Running { wish, probes, inputs, tasks: [tokio::spawn(task.run()), tokio::spawn(watch), tokio::spawn(services)] })
}
