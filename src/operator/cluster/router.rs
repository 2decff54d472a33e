//! Where NAME-primary leads: its selector, written by transitions and put back when somebody else changed it.
//!
//! The Service carries the term in which its selector was written (annotation `beachmaster.dev/term`). An operator that
//! finds a higher one than its own was deposed, and writes nothing. The selector is applied whole, by a field manager of
//! its own, with the resourceVersion that was read just before: a write that arrives late undoes no newer one.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::input::Input;
use crate::api::ReplicationCluster;
use crate::api::validate::{member_name, member_ordinal};
use crate::operator::clients::{CallError, call};
use crate::operator::lease::Leadership;
use crate::orders::{Ordinal, Term};
use crate::resources::{labels, names};

/// Owner of the selector among the object's field managers.
const FIELD_MANAGER: &str = "beachmaster-router";

/// So many terms no cluster passes through while a status is out of date (four years of a failover every two minutes): a term
/// that is further above the record's was written by hand.
const MOST_TERMS: u64 = 1 << 20;

/// And so many none passes through in fifty years: however often somebody writes a higher one by hand, the record's term stays
/// where a server id has room for it.
const NO_TERM: u64 = 1 << 24;

/// Pause before a read or write that failed is tried again.
const FAILED: Duration = Duration::from_millis(200);

/// Why the Service was not written.
#[derive(Debug, Error)]
pub enum RouteError {
    /// The API server.
    #[error("Service {name}: {source}")]
    Call {
        /// The Service.
        name: String,
        /// What happened.
        source: CallError,
    },
    /// Another operator has written it since.
    #[error("Service {name} was written in term {found}, above our term {ours}: another operator leads")]
    Deposed {
        /// The Service.
        name: String,
        /// Its term.
        found: Term,
        /// Ours.
        ours: Term,
    },
    /// The record is no longer the one that this was decided by.
    #[error("Service {name} is not put back: the status of {cluster} no longer says term {ours} with this primary")]
    Outdated {
        /// The Service.
        name: String,
        /// The cluster.
        cluster: String,
        /// Our term.
        ours: Term,
    },
}

/// Where clients are to be led, and by what right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead {
    /// The member.
    pub member: Ordinal,
    /// The record's term.
    pub term: Term,
    /// No status write just before says so: the record is read again first.
    pub repair: bool,
}

/// What the Service said when it was read last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Led {
    /// The one member that it selects, and nothing else.
    pub to: Option<Ordinal>,
    /// The term in which that was written.
    pub term: Option<Term>,
}

/// Reads and writes where clients are led.
pub struct Router {
    reach: Reach,
    inputs: mpsc::UnboundedSender<Input>,
    led: Led,
    busy: bool,
    /// The Service changed while it was read or written.
    look_again: bool,
}

/// What a read or write needs, for tasks of its own.
#[derive(Clone)]
struct Reach {
    services: Api<Service>,
    clusters: Api<ReplicationCluster>,
    leadership: Leadership,
    cluster: String,
}

impl Router {
    /// A router that does not know yet where clients are led.
    #[must_use]
    pub fn new(
        services: Api<Service>,
        clusters: Api<ReplicationCluster>,
        leadership: Leadership,
        cluster: String,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> Self {
        let reach = Reach { services, clusters, leadership, cluster };
        Self { reach, inputs, led: Led::default(), busy: false, look_again: false }
    }

    /// The member clients are led to.
    #[must_use]
    pub fn routed(&self) -> Option<Ordinal> {
        self.led.to
    }

    /// The term in which that was written; none when the Service does not say (an earlier release wrote it, or somebody took
    /// the annotation away), or what no operator wrote that knew a record of the term `ours`.
    #[must_use]
    pub fn routed_in(&self, ours: Term) -> Option<Term> {
        self.led.term.filter(|found| may_be_written(*found, ours))
    }

    /// Reads the Service.
    ///
    /// # Errors
    /// When that fails.
    pub async fn look(&mut self) -> Result<(), RouteError> {
        self.led = self.reach.look().await?;
        Ok(())
    }

    /// The Service changed, or was deleted: it is read, because what a watch shows may be old. The result comes as
    /// [`Input::Led`].
    pub fn look_soon(&mut self) {
        if std::mem::replace(&mut self.busy, true) {
            self.look_again = true;
            return;
        }
        let (reach, inputs) = (self.reach.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let led = reach.look().await.map_err(|error| error.to_string());
            if led.is_err() {
                sleep(FAILED).await;
            }
            // A cluster task that has ended needs no news.
            let _ = inputs.send(Input::Led(led));
        });
    }

    /// Begins to lead clients to a member; the result comes as [`Input::Routed`]. Nothing while another read or write is
    /// on its way.
    pub fn lead_to(&mut self, lead: Lead) {
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        let (reach, inputs) = (self.reach.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let result = reach.select(lead).await.map_err(|error| error.to_string());
            if result.is_err() {
                sleep(FAILED).await;
            }
            // As above.
            let _ = inputs.send(Input::Routed(result.map(|()| lead.member)));
        });
    }

    /// The write has ended. What became of one that failed is not known: the Service is read again.
    pub fn ended(&mut self, result: &Result<Ordinal, String>, term: Term) {
        self.busy = false;
        match result {
            Ok(member) => self.led = Led { to: Some(*member), term: Some(term) },
            Err(_) => self.look_again = true,
        }
        self.go_on();
    }

    /// The Service was read, or could not be.
    pub fn seen(&mut self, led: Result<Led, String>) {
        self.busy = false;
        match led {
            Ok(led) => self.led = led,
            Err(_) => self.look_again = true,
        }
        self.go_on();
    }

    fn go_on(&mut self) {
        if std::mem::take(&mut self.look_again) {
            self.look_soon();
        }
    }
}

impl Reach {
    fn name(&self) -> String {
        names::primary(&self.cluster)
    }

    fn failed(&self, source: CallError) -> RouteError {
        RouteError::Call { name: self.name(), source }
    }

    async fn look(&self) -> Result<Led, RouteError> {
        let found = call(&self.leadership, self.services.get_opt(&self.name())).await;
        let service = found.map_err(|source| self.failed(source))?;
        Ok(service.map(|service| led(&self.cluster, &service)).unwrap_or_default())
    }

    async fn select(&self, lead: Lead) -> Result<(), RouteError> {
        if lead.repair {
            self.still_recorded(lead).await?;
        }
        let name = self.name();
        let service = call(&self.leadership, self.services.get(&name)).await.map_err(|source| self.failed(source))?;
        let Some(patch) = patch(&self.cluster, &service, lead)? else { return Ok(()) };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let done = call(&self.leadership, self.services.patch(&name, &params, &Patch::Apply(&patch))).await;
        done.map(drop).map_err(|source| self.failed(source))
    }

    /// A leader that was deposed without knowing must not undo what its successor wrote.
    async fn still_recorded(&self, lead: Lead) -> Result<(), RouteError> {
        let found = call(&self.leadership, self.clusters.get(&self.cluster)).await;
        let status = found.map_err(|source| self.failed(source))?.status.unwrap_or_default();
        let primary = member_name(&self.cluster, lead.member);
        if status.term == Some(lead.term) && status.current_primary.as_ref() == Some(&primary) {
            return Ok(());
        }
        Err(RouteError::Outdated { name: self.name(), cluster: self.cluster.clone(), ours: lead.term })
    }
}

/// The change that leads `service` to a member; none when it does already and says so.
fn patch(cluster: &str, service: &Service, lead: Lead) -> Result<Option<serde_json::Value>, RouteError> {
    let name = names::primary(cluster);
    let Lead { member, term, .. } = lead;
    let now = led(cluster, service);
    let written_in = now.term.filter(|found| may_be_written(*found, term));
    if let Some(found) = written_in.filter(|found| *found > term) {
        return Err(RouteError::Deposed { name, found, ours: term });
    }
    if now.to == Some(member) && written_in.is_some() {
        return Ok(None);
    }
    Ok(Some(serde_json::json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "resourceVersion": service.metadata.resource_version,
            "annotations": {labels::TERM: term.to_string()},
        },
        "spec": {"selector": labels::primary_selector(&member_name(cluster, member))},
    })))
}

/// True when an operator may have written the term `found`, for all that one knows whose record says `ours`.
fn may_be_written(found: Term, ours: Term) -> bool {
    found <= ours || found.0 <= ours.0.saturating_add(MOST_TERMS) && found.0 < NO_TERM
}

/// Where a Service leads. A selector with more in it than ours leads nowhere.
fn led(cluster: &str, service: &Service) -> Led {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let only = selector.filter(|selector| selector.len() == 1).and_then(|selector| selector.get(labels::POD_NAME));
    let term = service.metadata.annotations.as_ref().and_then(|annotations| annotations.get(labels::TERM));
    Led {
        to: only.and_then(|pod| member_ordinal(cluster, pod)),
        term: term.and_then(|term| term.parse().ok()).map(Term),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(term: Option<&str>, selector: serde_json::Value) -> Service {
        let annotations = term.map(|term| serde_json::json!({labels::TERM: term}));
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "shop-primary", "resourceVersion": "7", "annotations": annotations},
            "spec": {"selector": selector},
        }))
        .unwrap()
    }

    fn lead(term: u64) -> Lead {
        Lead { member: Ordinal(1), term: Term(term), repair: false }
    }

    #[test]
    fn a_changed_selector_is_put_back_whole() {
        for selector in [
            serde_json::json!(null),
            serde_json::json!({labels::POD_NAME: "shop-0"}),
            serde_json::json!({labels::POD_NAME: "shop-1", "app": "theirs"}),
            serde_json::json!({"app": "theirs"}),
        ] {
            let found = service(Some("4"), selector);
            let patch = patch("shop", &found, lead(5)).unwrap().unwrap();
            assert_eq!(patch["spec"]["selector"], serde_json::json!({labels::POD_NAME: "shop-1"}));
            assert_eq!(patch["metadata"]["annotations"][labels::TERM], "5");
            assert_eq!(patch["metadata"]["resourceVersion"], "7");
        }
    }

    #[test]
    fn what_leads_right_is_left_alone_once_it_says_its_term() {
        let right = serde_json::json!({labels::POD_NAME: "shop-1"});
        assert_eq!(patch("shop", &service(Some("5"), right.clone()), lead(5)).unwrap(), None);
        assert_eq!(patch("shop", &service(Some("3"), right.clone()), lead(5)).unwrap(), None);
        assert!(patch("shop", &service(None, right), lead(5)).unwrap().is_some(), "an earlier release wrote it");
    }

    #[test]
    fn a_term_that_no_operator_can_have_written_is_written_over() {
        let right = serde_json::json!({labels::POD_NAME: "shop-1"});
        let written =
            |found: u64, ours: u64| patch("shop", &service(Some(&found.to_string()), right.clone()), lead(ours));
        assert!(matches!(written(5 + MOST_TERMS, 5), Err(RouteError::Deposed { .. })), "a status may be that old");
        for (found, ours) in [(6 + MOST_TERMS, 5), (NO_TERM, NO_TERM - 1), (u64::MAX, 5)] {
            let patch = written(found, ours).unwrap().unwrap();
            assert_eq!(patch["metadata"]["annotations"][labels::TERM], ours.to_string(), "{found}");
        }
        assert_eq!(written(NO_TERM, NO_TERM).unwrap(), None, "its own");
    }

    #[test]
    fn a_deposed_leader_undoes_nothing() {
        let newer = service(Some("6"), serde_json::json!({labels::POD_NAME: "shop-2"}));
        let error = patch("shop", &newer, lead(5)).unwrap_err();
        assert!(matches!(error, RouteError::Deposed { found: Term(6), ours: Term(5), .. }), "{error}");
    }
}
