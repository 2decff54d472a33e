//! Where NAME-primary leads: its selector, written by transitions and put back when somebody else changed it.
//!
//! The Service carries the term in which its selector was written (annotation `beachmaster.dev/term`). An operator that
//! finds a higher one than its own was deposed, and writes nothing. The selector is applied whole, by a field manager of
//! its own, with the resourceVersion that was read just before: a write that arrives late undoes no newer one.

use k8s_openapi::api::core::v1::Service;
use thiserror::Error;

use super::effect::{Effect, ServicePatch};
use super::input::CallFailed;
use crate::api::ClusterStatus;
use crate::api::validate::{member_name, member_ordinal};
use crate::orders::{Ordinal, Term};
use crate::resources::{labels, names};
use crate::topology::observation::Millis;

/// So many terms no cluster passes through while a status is out of date (four years of a failover every two minutes): a term
/// that is further above the record's was written by hand.
const MOST_TERMS: u64 = 1 << 20;

/// And so many none passes through in fifty years: however often somebody writes a higher one by hand, the record's term stays
/// where a server id has room for it.
const NO_TERM: u64 = 1 << 24;

/// Pause before a read or write that failed is tried again.
const PAUSE_MS: u64 = 200;

/// Why the Service was not written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServiceError {
    /// The API server.
    #[error("Service {name}: {message}")]
    Call {
        /// The Service.
        name: String,
        /// What happened.
        message: String,
    },
    /// It does not exist: the controller makes it again.
    #[error("Service {name} does not exist")]
    Missing {
        /// The Service.
        name: String,
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

/// What the Service said when it was read or written last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Led {
    /// The one member that it selects, and nothing else.
    pub to: Option<Ordinal>,
    /// The term in which that was written.
    pub term: Option<Term>,
}

/// The call under way: one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Look,
    CheckStatus(Lead),
    Read(Lead),
    Write(Lead),
}

/// A selector that can be written, should clients still be led there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Prepared {
    lead: Lead,
    patch: ServicePatch,
}

/// What is known of NAME-primary, and the one call that reads or writes it.
#[derive(Debug)]
pub struct PrimaryService {
    cluster: String,
    led: Led,
    /// It was read at least once.
    known: bool,
    call: Option<Call>,
    prepared: Option<Prepared>,
    /// It changed, or what became of a write is not known.
    look_again: bool,
    /// After a failure nothing is tried before.
    paused_until: Millis,
}

impl PrimaryService {
    /// Nothing is known yet: it is to be read first.
    #[must_use]
    pub fn new(cluster: String) -> Self {
        let (call, paused_until) = (None, Millis::default());
        Self { cluster, led: Led::default(), known: false, call, prepared: None, look_again: true, paused_until }
    }

    /// True once it was read.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
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

    /// It changed, or was deleted: it is read, because what a watch shows may be old.
    pub fn changed(&mut self) {
        self.look_again = true;
    }

    /// When it may be tried again.
    #[must_use]
    pub fn wakes_at(&self, now: Millis) -> Option<Millis> {
        (self.call.is_none() && now < self.paused_until).then_some(self.paused_until)
    }

    fn is_idle(&self, now: Millis) -> bool {
        self.call.is_none() && now >= self.paused_until
    }

    /// Reads it, when that is due.
    pub fn poll(&mut self, now: Millis) -> Option<Effect> {
        if !self.is_idle(now) || self.prepared.is_some() || !std::mem::take(&mut self.look_again) {
            return None;
        }
        self.call = Some(Call::Look);
        Some(Effect::ReadService)
    }

    /// Leads clients to a member, one call after the other: it is asked again with every decision until they are led there.
    /// None while a call is on its way.
    pub fn lead_to(&mut self, lead: Lead, now: Millis) -> Option<Effect> {
        if !self.is_idle(now) {
            return None;
        }
        if let Some(Prepared { patch, .. }) = self.prepared.take_if(|prepared| prepared.lead == lead) {
            self.call = Some(Call::Write(lead));
            return Some(Effect::WriteService(patch));
        }
        self.prepared = None;
        let (call, effect) = match lead.repair {
            true => (Call::CheckStatus(lead), Effect::CheckStatus),
            false => (Call::Read(lead), Effect::ReadService),
        };
        self.call = Some(call);
        Some(effect)
    }

    /// Clients are not to be led anywhere else any more: what was read for that is forgotten.
    pub fn stay(&mut self) {
        self.prepared = None;
    }

    /// The status was read. A leader that was deposed without knowing must not undo what its successor wrote.
    ///
    /// # Errors
    /// When the record no longer says what the Service is to be put back to, or cannot be read.
    pub fn checked(
        &mut self,
        found: Result<Option<&ClusterStatus>, CallFailed>,
        now: Millis,
    ) -> Result<Option<Effect>, ServiceError> {
        let Some(Call::CheckStatus(lead)) = self.call else { return Ok(None) };
        let status = match found {
            Ok(status) => status,
            Err(error) => return Err(self.failed(error, now)),
        };
        let primary = member_name(&self.cluster, lead.member);
        let says = |status: &&ClusterStatus| {
            status.term == Some(lead.term) && status.current_primary.as_ref() == Some(&primary)
        };
        if status.filter(says).is_none() {
            self.give_up(now);
            let (name, cluster) = (self.name(), self.cluster.clone());
            return Err(ServiceError::Outdated { name, cluster, ours: lead.term });
        }
        self.call = Some(Call::Read(lead));
        Ok(Some(Effect::ReadService))
    }

    /// The Service was read. Where it does not lead right, the next [`Self::lead_to`] writes it: what the members have told
    /// meanwhile counts.
    ///
    /// # Errors
    /// When clients were to be led to a member and cannot be.
    pub fn read(&mut self, found: Result<Option<&Service>, CallFailed>, now: Millis) -> Result<Step, ServiceError> {
        match self.call {
            Some(Call::Look) => {
                match found {
                    Ok(service) => {
                        self.led = service.map(|service| led(&self.cluster, service)).unwrap_or_default();
                        (self.known, self.call) = (true, None);
                    }
                    Err(_) => self.give_up(now),
                }
                Ok(Step::Nothing)
            }
            Some(Call::Read(lead)) => self.read_to_lead(lead, found, now),
            _ => Ok(Step::Nothing),
        }
    }

    fn read_to_lead(
        &mut self,
        lead: Lead,
        found: Result<Option<&Service>, CallFailed>,
        now: Millis,
    ) -> Result<Step, ServiceError> {
        let service = match found {
            Ok(Some(service)) => service,
            Ok(None) => {
                self.give_up(now);
                return Err(ServiceError::Missing { name: self.name() });
            }
            Err(error) => return Err(self.failed(error, now)),
        };
        match patch(&self.cluster, service, lead) {
            Ok(Some(patch)) => {
                (self.call, self.prepared) = (None, Some(Prepared { lead, patch }));
                Ok(Step::Nothing)
            }
            Ok(None) => Ok(self.leads(lead)),
            Err(error) => {
                self.give_up(now);
                Err(error)
            }
        }
    }

    /// The Service was written, or perhaps not: what became of a write that failed is not known, so it is read again.
    ///
    /// # Errors
    /// When it did not clearly succeed.
    pub fn written(&mut self, result: Result<(), CallFailed>, now: Millis) -> Result<Step, ServiceError> {
        let Some(Call::Write(lead)) = self.call else { return Ok(Step::Nothing) };
        match result {
            Ok(()) => Ok(self.leads(lead)),
            Err(error) => Err(self.failed(error, now)),
        }
    }

    fn leads(&mut self, lead: Lead) -> Step {
        self.call = None;
        self.led = Led { to: Some(lead.member), term: Some(lead.term) };
        Step::Leads
    }

    fn failed(&mut self, error: CallFailed, now: Millis) -> ServiceError {
        self.give_up(now);
        ServiceError::Call { name: self.name(), message: error.message }
    }

    fn give_up(&mut self, now: Millis) {
        (self.call, self.look_again) = (None, true);
        self.paused_until = Millis(now.0.saturating_add(PAUSE_MS));
    }

    fn name(&self) -> String {
        names::primary(&self.cluster)
    }
}

/// What follows from the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing by itself.
    Nothing,
    /// The Service leads where it was to lead.
    Leads,
}

/// The change that leads `service` to a member; none when it does already and says so.
fn patch(cluster: &str, service: &Service, lead: Lead) -> Result<Option<ServicePatch>, ServiceError> {
    let Lead { member, term, .. } = lead;
    let now = led(cluster, service);
    let written_in = now.term.filter(|found| may_be_written(*found, term));
    if let Some(found) = written_in.filter(|found| *found > term) {
        return Err(ServiceError::Deposed { name: names::primary(cluster), found, ours: term });
    }
    if now.to == Some(member) && written_in.is_some() {
        return Ok(None);
    }
    Ok(Some(ServicePatch { member, term, resource_version: service.metadata.resource_version.clone() }))
}

/// A patch as server-side apply takes it.
#[must_use]
pub fn applied(cluster: &str, patch: &ServicePatch) -> serde_json::Value {
    let ServicePatch { member, term, resource_version } = patch;
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": names::primary(cluster),
            "resourceVersion": resource_version,
            "annotations": {labels::TERM: term.to_string()},
        },
        "spec": {"selector": labels::primary_selector(&member_name(cluster, *member))},
    })
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
            let patch = applied("shop", &patch("shop", &found, lead(5)).unwrap().unwrap());
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
        assert!(matches!(written(5 + MOST_TERMS, 5), Err(ServiceError::Deposed { .. })), "a status may be that old");
        for (found, ours) in [(6 + MOST_TERMS, 5), (NO_TERM, NO_TERM - 1), (u64::MAX, 5)] {
            let patch = written(found, ours).unwrap().unwrap();
            assert_eq!(patch.term, Term(ours), "{found}");
        }
        assert_eq!(written(NO_TERM, NO_TERM).unwrap(), None, "its own");
    }

    #[test]
    fn a_deposed_leader_undoes_nothing() {
        let newer = service(Some("6"), serde_json::json!({labels::POD_NAME: "shop-2"}));
        let error = patch("shop", &newer, lead(5)).unwrap_err();
        assert!(matches!(error, ServiceError::Deposed { found: Term(6), ours: Term(5), .. }), "{error}");
    }

    fn idle() -> PrimaryService {
        let mut service = PrimaryService::new("shop".to_owned());
        assert!(matches!(service.poll(Millis(0)), Some(Effect::ReadService)));
        service
    }

    fn failure() -> CallFailed {
        CallFailed { conflict: false, message: "no answer".to_owned() }
    }

    #[test]
    fn it_is_read_before_anything_else_and_again_after_a_failure() {
        let mut it = idle();
        assert!(!it.is_known() && it.poll(Millis(0)).is_none(), "one call at a time");
        it.read(Err(failure()), Millis(10)).unwrap();
        assert!(!it.is_known() && it.poll(Millis(11)).is_none());
        assert_eq!(it.wakes_at(Millis(11)), Some(Millis(210)));
        assert!(matches!(it.poll(Millis(210)), Some(Effect::ReadService)));
        it.read(Ok(Some(&service(Some("4"), serde_json::json!({labels::POD_NAME: "shop-0"})))), Millis(211)).unwrap();
        assert!(it.is_known());
        assert_eq!((it.routed(), it.routed_in(Term(4))), (Some(Ordinal(0)), Some(Term(4))));
        assert!(it.poll(Millis(900)).is_none());
    }

    #[test]
    fn a_change_that_comes_during_a_call_is_looked_at_afterwards() {
        let mut it = idle();
        it.changed();
        assert!(it.poll(Millis(1)).is_none());
        it.read(Ok(None), Millis(2)).unwrap();
        assert_eq!(it.routed(), None);
        assert!(matches!(it.poll(Millis(2)), Some(Effect::ReadService)));
    }

    #[test]
    fn a_lead_reads_and_writes_and_a_lost_answer_is_read_again() {
        let mut it = idle();
        it.read(Ok(None), Millis(1)).unwrap();
        assert!(matches!(it.lead_to(lead(5), Millis(2)), Some(Effect::ReadService)));
        assert!(it.lead_to(lead(5), Millis(2)).is_none(), "one call at a time");
        let found = service(Some("4"), serde_json::json!({labels::POD_NAME: "shop-0"}));
        assert_eq!(it.read(Ok(Some(&found)), Millis(3)), Ok(Step::Nothing));
        assert!(matches!(it.lead_to(lead(5), Millis(3)), Some(Effect::WriteService(_))));
        assert!(it.written(Err(failure()), Millis(4)).is_err());
        assert!(it.lead_to(lead(5), Millis(5)).is_none(), "a pause after a failure");
        assert!(matches!(it.poll(Millis(204)), Some(Effect::ReadService)), "what became of it is read");
        it.read(Ok(Some(&found)), Millis(205)).unwrap();
        assert_eq!(it.routed(), Some(Ordinal(0)));
        it.lead_to(lead(5), Millis(206)).unwrap();
        it.read(Ok(Some(&found)), Millis(207)).unwrap();
        it.lead_to(lead(5), Millis(207)).unwrap();
        assert_eq!(it.written(Ok(()), Millis(208)), Ok(Step::Leads));
        assert_eq!((it.routed(), it.routed_in(Term(5))), (Some(Ordinal(1)), Some(Term(5))));
    }

    #[test]
    fn a_lead_that_is_taken_back_writes_nothing() {
        let mut it = idle();
        it.read(Ok(None), Millis(1)).unwrap();
        let found = service(Some("4"), serde_json::json!({labels::POD_NAME: "shop-0"}));
        it.lead_to(lead(5), Millis(2)).unwrap();
        it.read(Ok(Some(&found)), Millis(3)).unwrap();
        it.stay();
        assert!(it.poll(Millis(3)).is_none());
        assert!(matches!(it.lead_to(lead(5), Millis(4)), Some(Effect::ReadService)), "it is read anew");
        it.read(Ok(Some(&found)), Millis(5)).unwrap();
        assert!(matches!(it.lead_to(lead(6), Millis(6)), Some(Effect::ReadService)), "in another term, too");
    }

    #[test]
    fn a_repair_asks_the_status_first() {
        let status = |term, primary: &str| ClusterStatus {
            term: Some(Term(term)),
            current_primary: Some(primary.to_owned()),
            ..ClusterStatus::default()
        };
        for (found, right) in [(status(5, "shop-1"), true), (status(6, "shop-1"), false), (status(5, "shop-0"), false)]
        {
            let mut it = idle();
            it.read(Ok(None), Millis(1)).unwrap();
            let repair = Lead { repair: true, ..lead(5) };
            assert!(matches!(it.lead_to(repair, Millis(2)), Some(Effect::CheckStatus)));
            match it.checked(Ok(Some(&found)), Millis(3)) {
                Ok(next) => assert!(right && matches!(next, Some(Effect::ReadService))),
                Err(error) => assert!(!right && matches!(error, ServiceError::Outdated { .. }), "{error}"),
            }
        }
    }
}
