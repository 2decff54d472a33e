//! The API server: the object with its status, the primary Service, the pods; with versions, lost answers and watches that
//! come late.

use std::collections::BTreeMap;
use std::sync::Arc;

use beachmaster::api::validate::Cluster;
use beachmaster::api::{ClusterStatus, ReplicationCluster};
use beachmaster::control::desired::Desired;
use beachmaster::control::effect::ServicePatch;
use beachmaster::control::input::{CallFailed, Input};
use beachmaster::control::pod::PodFacts;
use beachmaster::orders::{Ordinal, Term};
use beachmaster::resources::labels;
use beachmaster::topology::record::Record;
use k8s_openapi::api::core::v1::{Service as KubeService, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::member::HostId;
use crate::operator::{ToLeader, short};
use crate::plan::Heal;
use crate::steps::address;
use crate::world::{Event, World};

/// Name of the one cluster.
pub const NAME: &str = "shop";
/// Limit of a call.
const CALL_LIMIT_MS: u64 = 3_000;

/// The object's status, and everything that operators ever wrote to it.
#[derive(Debug, Default)]
pub struct Store {
    /// The record in `status`.
    pub record: Record,
    pub status: Option<ClusterStatus>,
    pub version: u64,
    /// Every record that was written, and the status around it.
    pub past: Vec<Record>,
    past_statuses: Vec<Option<ClusterStatus>>,
}

impl Store {
    /// What an operator wrote last, whatever somebody else has put in its place.
    pub fn truth(&self) -> &Record {
        self.past.last().unwrap_or(&self.record)
    }
}

/// The primary Service.
#[derive(Debug, Default)]
pub struct Service {
    pub to: Option<Ordinal>,
    pub before: Option<Ordinal>,
    pub changed: u64,
    pub version: u64,
    /// The term of the last operator that wrote it; 0 when it does not say.
    pub term: Term,
    /// Somebody has deleted it, and the controller has not made it again.
    pub deleted: bool,
}

/// A cluster of so many members as a user would apply it. What decisions see of it is chosen by the seed.
pub fn applied(members: usize) -> Desired {
    let object: ReplicationCluster = serde_json::from_value(serde_json::json!({
        "apiVersion": "beachmaster.dev/v1alpha1", "kind": "ReplicationCluster",
        "metadata": {"name": NAME, "namespace": "sim", "uid": "u-1", "generation": 1},
        "spec": {
            "members": members, "image": "localhost/mariadb:11.8", "storage": {"size": "1Gi"},
            "replication": {"mode": "Async"},
        },
    }))
    .expect("an object as users write it");
    let cluster = Cluster::parse(&object).expect("a spec that can be used");
    Desired::new(object, cluster, "cluster.local")
}

fn timed_out() -> CallFailed {
    CallFailed { conflict: false, message: "no answer: whether it was done is unknown".to_owned() }
}

impl World {
    fn answer_call(&mut self, id: usize, delay: u64, input: Input) {
        self.after(delay, Event::Leader(id, ToLeader::Input(Box::new(input))));
    }

    /// True when an operator's calls are not answered.
    pub fn is_without_api(&self, id: usize) -> bool {
        self.leaders[id].side != 0 || self.now < self.api_away_until
    }

    /// The object as it stands.
    pub fn object(&self) -> ReplicationCluster {
        let mut object = self.desired.object.clone();
        object.metadata.resource_version = Some(self.store.version.to_string());
        object.status.clone_from(&self.store.status);
        object
    }

    /// Sends a status write.
    pub fn write_status(&mut self, id: usize, object: Box<ReplicationCluster>, record: Record, news: bool) {
        if news {
            let why = self.why(id);
            self.say(|| format!("leader {id}: writes {} ({why})", short(&record)));
        }
        let (delay, awaited) = self.way_of_a_write(2, 12);
        if !awaited {
            self.say(|| format!("leader {id}: that write is late"));
            self.answer_call(id, CALL_LIMIT_MS, Input::StatusWritten(Err(timed_out())));
        }
        self.after(delay, Event::Store { leader: id, object, record: Box::new(record), awaited });
    }

    /// How long a write takes to the API server, and whether it comes while it is waited for.
    fn way_of_a_write(&mut self, least: u64, most: u64) -> (u64, bool) {
        let late = self.calm.is_none() && self.dice.chance(self.plan.lost_answers_percent);
        if late {
            self.stats.late_writes += 1;
            return (CALL_LIMIT_MS + self.dice.range(0, 4_000), false);
        }
        (self.dice.range(least, most), true)
    }

    /// A status write reaches the API server, or does not.
    pub fn store_write(&mut self, id: usize, object: Box<ReplicationCluster>, record: Record, awaited: bool) {
        if self.is_without_api(id) {
            if awaited {
                self.answer_call(id, CALL_LIMIT_MS, Input::StatusWritten(Err(timed_out())));
            }
            return;
        }
        let delay = self.dice.range(1, 8);
        if object.metadata.resource_version != Some(self.store.version.to_string()) {
            self.say(|| format!("leader {id}: conflict"));
            let conflict = CallFailed { conflict: true, message: "the object has been modified".to_owned() };
            if awaited {
                self.answer_call(id, delay, Input::StatusWritten(Err(conflict)));
            }
            return;
        }
        self.store.version += 1;
        self.store.status = object.status;
        if record != self.store.record {
            self.check_write(&record);
            self.store.record = record.clone();
            self.store.past.push(record);
            self.store.past_statuses.push(self.store.status.clone());
        }
        let lost = self.calm.is_none() && self.dice.chance(self.plan.lost_answers_percent);
        let (delay, result) = match lost {
            true => (CALL_LIMIT_MS, Err(timed_out())),
            false => (delay, Ok(Box::new(self.object()))),
        };
        if lost && awaited {
            self.say(|| format!("leader {id}: the answer to a write is lost"));
            self.stats.lost_answers += 1;
        }
        if awaited {
            self.answer_call(id, delay, Input::StatusWritten(result));
        }
        self.show_status();
    }

    /// Reads the object. A leader that was deposed learns of it: it holds no Lease that a call could use.
    pub fn read_status(&mut self, id: usize, check: bool) {
        let delay = self.dice.range(2, 12);
        self.after(delay, Event::StoreRead { leader: id, check });
    }

    /// A read of the object reaches the API server.
    pub fn store_read(&mut self, id: usize, check: bool) {
        let end = if check { Input::StatusChecked } else { Input::StatusRead };
        if self.is_without_api(id) {
            return self.answer_call(id, CALL_LIMIT_MS, end(Err(timed_out())));
        }
        // Its Lease has run out for it; but one whose clock was stopped with its machine does not know.
        if self.leaders[id].deposed && !(self.two_readers && self.dice.chance(50)) {
            self.say(|| format!("leader {id}: a read shows that it is deposed"));
            self.leaders[id].alive = false;
            return;
        }
        let found = Ok(Some(Box::new(self.object())));
        let delay = self.dice.range(1, 4);
        self.answer_call(id, delay, end(found));
    }

    /// Every operator's watch shows the object, late but in order.
    fn show_status(&mut self) {
        let desired = self.desired();
        for id in 0..self.leaders.len() {
            let delay = self.way_of_a_watch(5, 200);
            let at = (self.now + delay).max(self.leaders[id].shown_at);
            self.leaders[id].shown_at = at;
            self.answer_call(id, at - self.now, Input::Desired(Arc::clone(&desired)));
        }
    }

    /// How late a watch shows a change: mostly at once, sometimes only when it is opened again.
    fn way_of_a_watch(&mut self, least: u64, most: u64) -> u64 {
        let late = self.calm.is_none() && self.dice.chance(3);
        if late { self.dice.range(1_000, 20_000) } else { self.dice.range(least, most) }
    }

    /// Somebody annotates the object, or changes nothing in it: the next write conflicts.
    pub fn object_touched(&mut self) {
        self.store.version += 1;
        self.show_status();
    }

    /// Somebody puts the status back to what it was so many writes ago, at most to the end of the initialisation: a backup of
    /// the second before would make a datadir over every volume that has gone blank since.
    pub fn status_rolled_back(&mut self, writes: u64, within: bool) {
        let rests = |record: &Record| record.primary.is_some() && record.transition.is_none();
        let Some(first) = self.store.past.iter().position(rests) else { return };
        let last = self.store.past.len() - 1;
        let then = last.saturating_sub(usize::try_from(writes).unwrap_or(last)).max(first);
        let obeyed =
            |host: &HostId| self.hosts[*host].volume.highest.as_ref().map_or(Term(0), |(token, _, _)| token.term);
        let proven = self.current.iter().flatten().map(obeyed).min().unwrap_or_default();
        if self.store.past[then].term >= proven && !within {
            // Nothing would tell a new operator that the status is older (docs/known-gaps.md).
            return;
        }
        self.stats.rollbacks += 1;
        self.store.record = self.store.past[then].clone();
        self.store.status = self.store.past_statuses[then].clone();
        self.store.version += 1;
        self.show_status();
    }

    /// Reads the primary Service.
    pub fn read_service(&mut self, id: usize) {
        let delay = self.dice.range(1, 8);
        self.after(delay, Event::ServiceRead { leader: id });
    }

    /// A read of the primary Service reaches the API server.
    pub fn service_read(&mut self, id: usize) {
        if self.is_without_api(id) {
            return self.answer_call(id, CALL_LIMIT_MS, Input::ServiceRead(Err(timed_out())));
        }
        let delay = self.dice.range(1, 4);
        let found = (!self.service.deleted).then(|| Box::new(self.kube_service()));
        self.answer_call(id, delay, Input::ServiceRead(Ok(found)));
    }

    fn kube_service(&self) -> KubeService {
        let Service { to, version, term, .. } = &self.service;
        let annotations = (*term > Term(0)).then(|| BTreeMap::from([(labels::TERM.to_owned(), term.to_string())]));
        let selector = to.map(|to| {
            let labels = [(labels::CLUSTER, NAME.to_owned()), (labels::POD_NAME, format!("{NAME}-{to}"))];
            labels.map(|(key, value)| (key.to_owned(), value)).into()
        });
        KubeService {
            metadata: ObjectMeta { resource_version: Some(version.to_string()), annotations, ..ObjectMeta::default() },
            spec: Some(ServiceSpec { selector, ..ServiceSpec::default() }),
            status: None,
        }
    }

    /// Sends a new selector.
    pub fn write_service(&mut self, id: usize, patch: ServicePatch) {
        let (delay, awaited) = self.way_of_a_write(1, 15);
        if !awaited {
            self.answer_call(id, CALL_LIMIT_MS, Input::ServiceWritten(Err(timed_out())));
        }
        self.after(delay, Event::Service { leader: id, patch, awaited });
    }

    /// A new selector reaches the API server, or does not.
    pub fn service_written(&mut self, id: usize, patch: ServicePatch, awaited: bool) {
        if self.is_without_api(id) {
            if awaited {
                self.answer_call(id, CALL_LIMIT_MS, Input::ServiceWritten(Err(timed_out())));
            }
            return;
        }
        let delay = self.dice.range(1, 4);
        if self.service.deleted || patch.resource_version != Some(self.service.version.to_string()) {
            let conflict = CallFailed { conflict: true, message: "the object has been modified".to_owned() };
            if awaited {
                self.answer_call(id, delay, Input::ServiceWritten(Err(conflict)));
            }
            return;
        }
        self.service.before = self.service.to;
        (self.service.to, self.service.changed, self.service.term) = (Some(patch.member), self.now, patch.term);
        self.service.version += 1;
        let lost = self.calm.is_none() && self.dice.chance(self.plan.lost_answers_percent);
        let (delay, result) = if lost { (CALL_LIMIT_MS, Err(timed_out())) } else { (delay, Ok(())) };
        if awaited {
            self.answer_call(id, delay, Input::ServiceWritten(result));
        }
        self.show_service();
    }

    /// Somebody else writes the primary Service, and leaves its term or not.
    pub fn service_edited(&mut self, to: Option<Ordinal>) {
        self.service.before = self.service.to;
        (self.service.to, self.service.changed) = (to, self.now);
        if self.dice.chance(30) {
            self.service.term = Term(0);
        }
        self.service.version += 1;
        self.show_service();
    }

    /// Somebody deletes the primary Service; the controller makes it again.
    pub fn service_deleted(&mut self) {
        self.service_edited(None);
        (self.service.deleted, self.service.term) = (true, Term(0));
        let again = self.dice.range(100, 3_000);
        self.later(again, Heal::Service);
    }

    /// The controller has made the Service again, without a selector.
    pub fn service_made(&mut self) {
        self.service.deleted = false;
        self.service_edited(None);
    }

    /// Every operator's watch shows that the Service has changed.
    fn show_service(&mut self) {
        for id in 0..self.leaders.len() {
            let delay = self.way_of_a_watch(20, 200);
            self.answer_call(id, delay, Input::ServiceChanged);
        }
    }

    /// The pods as they are.
    pub fn pods(&self) -> Vec<PodFacts> {
        let pod = |host: &HostId| {
            let there = &self.hosts[*host];
            PodFacts {
                ordinal: there.ordinal,
                name: format!("{NAME}-{}", there.ordinal),
                uid: there.pod_uid.clone(),
                version: there.pod_uid.clone(),
                ip: address(*host).parse().ok(),
                deleting: false,
                node: Some(there.boot_id.clone()),
                trouble: None,
                labels: BTreeMap::new(),
            }
        };
        self.current.iter().flatten().map(pod).collect()
    }

    /// Every operator's watch shows the pods.
    pub fn show_pods(&mut self) {
        for id in 0..self.leaders.len() {
            let delay = self.way_of_a_watch(5, 100);
            self.after(delay, Event::Leader(id, ToLeader::Pods));
        }
    }
}
