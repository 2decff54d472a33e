//! Does what a cluster's machine says, each thing in the background; the ends of calls come back as inputs.

use std::ops::ControlFlow;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::warn;

use super::failover_record::FailoverRecords;
use super::link::{Link, LinkHandle, Transport};
use super::metrics::ClusterMetrics;
use super::new_connection::NewConnections;
use super::probe::{Probe, ProbeSettings, ProbeTarget};
use crate::api::ReplicationCluster;
use crate::control::effect::{Effect, FailoverRecord, News, ServicePatch, Watching};
use crate::control::input::{CallFailed, Input};
use crate::control::labels::LabelPatch;
use crate::control::primary_service;
use crate::layout::MARIADB_PORT;
use crate::operator::apply;
use crate::operator::clients::{CallError, call};
use crate::operator::events::Events;
use crate::operator::lease::Leadership;
use crate::orders::Ordinal;
use crate::resources::names;

/// Owner of the selector among the object's field managers.
const FIELD_MANAGER: &str = "beachmaster-router";

/// What the calls of one cluster need; cheap to clone for tasks of their own.
#[derive(Clone)]
pub(crate) struct Reach {
    /// Client for acts.
    pub(crate) client: kube::Client,
    /// Until when this process may act.
    pub(crate) leadership: Leadership,
    /// The object.
    pub(crate) object: ReplicationCluster,
}

struct WatchedMember {
    link: LinkHandle,
    probe: watch::Sender<ProbeTarget>,
    /// The link has heard whether there is a pod.
    told: bool,
}

/// The world as one cluster's machine acts on it. Dropping it ends the streams and probes of its members.
pub(crate) struct World {
    reach: Reach,
    inputs: mpsc::UnboundedSender<Input>,
    members: Vec<WatchedMember>,
    events: Events,
    metrics: ClusterMetrics,
    _tasks: JoinSet<()>,
    /// Calls under way; they end with the world, too.
    calls: JoinSet<()>,
}

impl World {
    /// Begins to watch `size` members.
    #[must_use]
    pub(crate) fn new(
        reach: Reach,
        size: u8,
        transport: &Arc<dyn Transport>,
        probes: &ProbeSettings,
        (events, metrics): (Events, ClusterMetrics),
        inputs: mpsc::UnboundedSender<Input>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let members = (0..size).map(Ordinal).map(|ordinal| {
            let (link, handle) = Link::new(ordinal, Arc::clone(transport), inputs.clone());
            let (probe, target) = Probe::new(ordinal, probes.clone(), inputs.clone());
            let connections = NewConnections::new(ordinal, probes.clone(), target.subscribe(), inputs.clone());
            tasks.spawn(link.run());
            tasks.spawn(connections.run());
            tasks.spawn(probe.run());
            WatchedMember { link: handle, probe: target, told: false }
        });
        let members = members.collect();
        Self { reach, inputs, members, events, metrics, _tasks: tasks, calls: JoinSet::new() }
    }

    /// Does it, or begins to.
    pub(crate) fn perform(&mut self, effect: Effect) -> ControlFlow<()> {
        match effect {
            Effect::WriteStatus(object) => self.soon(|reach| reach.write_status(object)),
            Effect::ReadStatus => self.soon(|reach| reach.read_status(Input::StatusRead)),
            Effect::CheckStatus => self.soon(|reach| reach.read_status(Input::StatusChecked)),
            Effect::ReadService => self.soon(Reach::read_service),
            Effect::WriteService(patch) => self.soon(|reach| reach.write_service(patch)),
            Effect::Watch { ordinal, how } => self.watch(ordinal, how),
            Effect::Order { ordinal, command } => {
                if let Some(member) = self.members.get(usize::from(ordinal.0)) {
                    // A link that has ended answers nothing; the machine gives the order up like any unanswered one.
                    let _ = member.link.orders.send(command);
                }
            }
            Effect::Label(patch) => {
                let reach = self.reach.clone();
                tokio::spawn(async move { reach.label(patch).await });
            }
            Effect::Failover(record) => self.record(record),
            Effect::Event(News { reason, term, subject, note }) => {
                self.events.publish(&self.reach.object, reason, (term, &subject), note);
            }
            Effect::Show(gauges) => self.metrics.show(&gauges),
            Effect::Count(count) => self.metrics.count(count),
            Effect::End => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Calls in the background and passes on how that ended.
    fn soon<F>(&mut self, call: impl FnOnce(Reach) -> F)
    where
        F: Future<Output = Input> + Send + 'static,
    {
        while self.calls.try_join_next().is_some() {}
        let (ended, inputs) = (call(self.reach.clone()), self.inputs.clone());
        self.calls.spawn(async move {
            // A cluster task that has ended needs no news.
            let _ = inputs.send(ended.await);
        });
    }

    fn watch(&mut self, ordinal: Ordinal, how: Watching) {
        let Some(member) = self.members.get_mut(usize::from(ordinal.0)) else { return };
        let Watching { known, pod, ip, extra_port, eager, doubt, looks } = how;
        if known {
            let first = !std::mem::replace(&mut member.told, true);
            member.link.pod.send_if_modified(|old| std::mem::replace(old, pod.clone()) != pod || first);
        }
        member.link.doubt.send_if_modified(|old| std::mem::replace(old, doubt) != doubt);
        let target = ProbeTarget { ip, port: extra_port.unwrap_or(MARIADB_PORT), eager, looks };
        member.probe.send_if_modified(|old| std::mem::replace(old, target.clone()) != target);
    }

    fn record(&self, record: FailoverRecord) {
        let Reach { client, leadership, object } = self.reach.clone();
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let records = FailoverRecords { api: Api::namespaced(client, &namespace), leadership, cluster: object };
        match record {
            FailoverRecord::Begin(story) => records.begin_soon(&story),
            FailoverRecord::Complete(story) => records.complete_soon(*story),
            FailoverRecord::CompleteLeftOver(term) => records.complete_left_over_soon(term),
        }
    }
}

impl Reach {
    fn namespace(&self) -> &str {
        self.object.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    fn clusters(&self) -> Api<ReplicationCluster> {
        Api::namespaced(self.client.clone(), self.namespace())
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), self.namespace())
    }

    async fn write_status(self, object: Box<ReplicationCluster>) -> Input {
        let (api, params) = (self.clusters(), PostParams::default());
        let written = call(&self.leadership, api.replace_status(self.name(), &params, &object)).await;
        Input::StatusWritten(written.map(Box::new).map_err(failed))
    }

    async fn read_status(
        self,
        end: impl FnOnce(Result<Option<Box<ReplicationCluster>>, CallFailed>) -> Input + Send + 'static,
    ) -> Input {
        let found = call(&self.leadership, self.clusters().get_opt(self.name())).await;
        end(found.map(|found| found.map(Box::new)).map_err(failed))
    }

    async fn read_service(self) -> Input {
        let found = call(&self.leadership, self.services().get_opt(&names::primary(self.name()))).await;
        Input::ServiceRead(found.map(|found| found.map(Box::new)).map_err(failed))
    }

    async fn write_service(self, patch: ServicePatch) -> Input {
        let (api, params) = (self.services(), PatchParams::apply(FIELD_MANAGER).force());
        let patch = Patch::Apply(primary_service::applied(self.name(), &patch));
        let done = call(&self.leadership, api.patch(&names::primary(self.name()), &params, &patch)).await;
        Input::ServiceWritten(done.map(drop).map_err(failed))
    }

    async fn label(self, patch: LabelPatch) {
        let LabelPatch { pod, uid, labels } = patch;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), self.namespace());
        let labels: serde_json::Map<_, _> =
            labels.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        let patch = serde_json::json!({"metadata": {"uid": uid, "labels": labels}});
        let params = PatchParams { field_manager: Some(apply::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        if let Err(error) = call(&self.leadership, api.patch(&pod, &params, &Patch::Merge(&patch))).await {
            warn!(pod, %error, "the labels of a pod were not written");
        }
    }
}

fn failed(error: CallError) -> CallFailed {
    CallFailed { conflict: error.is_conflict(), message: error.to_string() }
}
