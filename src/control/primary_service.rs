//! Where NAME-primary leads: its selector, written by transitions and put back when somebody else changed it.
//!
//! The Service carries the term in which its selector was written (annotation `beachmaster.dev/term`). An operator that
//! finds a higher one than its own was deposed, and writes nothing. The selector is applied whole, by a field manager of
//! its own, with the resourceVersion that was read just before: a write that arrives late undoes no newer one.

use k8s_openapi::api::core::v1::Service;
use thiserror::Error;

use super::effect::{Effect, ServicePatch};
use super::input::CallFailed;
use super::pause::Pause;
use crate::api::ClusterStatus;
use crate::api::validate::member_ordinal;
use crate::orders::{Ordinal, Term, member_name};
use crate::resources::{labels, names};
use crate::time::Millis;

/// So many terms no cluster passes through while a status is out of date (four years of a failover every two minutes): a term
/// that is further above the record's was written by hand.
const MOST_TERMS: u64 = 1 << 20;

/// And so many none passes through in fifty years: however often somebody writes a higher one by hand, the record's term stays
/// where a server id has room for it.
const NO_TERM: u64 = 1 << 24;

/// Why the Service was not written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ServiceError {
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
pub(crate) struct Lead {
    /// The member.
    pub(crate) member: Ordinal,
    /// The record's term.
    pub(crate) term: Term,
    /// No status write just before says so: the record is read again first.
    pub(crate) repair: bool,
}

/// What the Service said when it was read or written last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Led {
    /// The one member that it selects, and nothing else.
    pub(crate) to: Option<Ordinal>,
    /// The term in which that was written.
    pub(crate) term: Option<Term>,
    /// True: an earlier release has written it, which selected by the pod's name alone.
    pub(crate) by_name_alone: bool,
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
pub(crate) struct PrimaryService {
    cluster: String,
    led: Led,
    /// It was read at least once.
    known: bool,
    call: Option<Call>,
    prepared: Option<Prepared>,
    /// It changed, or what became of a write is not known.
    look_again: bool,
    pause: Pause,
}

impl PrimaryService {
    /// Nothing is known yet: it is to be read first.
    #[must_use]
    pub(crate) fn new(cluster: String) -> Self {
        let (led, pause) = (Led::default(), Pause::default());
        Self { cluster, led, known: false, call: None, prepared: None, look_again: true, pause }
    }

    /// True once it was read.
    #[must_use]
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// The member clients are led to.
    #[must_use]
    pub(crate) fn selected(&self) -> Option<Ordinal> {
        self.led.to
    }

    /// The term in which that was written; none when the Service does not say (an earlier release wrote it, or somebody took
    /// the annotation away), or what no operator wrote that knew a record of the term `ours`.
    #[must_use]
    pub(crate) fn service_term(&self, ours: Term) -> Option<Term> {
        self.led.term.filter(|found| may_be_written(*found, ours))
    }

    /// True when an earlier release has written it: it leads right, and is written once more.
    #[must_use]
    pub(crate) fn selects_by_name_alone(&self) -> bool {
        self.led.by_name_alone
    }

    /// It changed, or was deleted: it is read, because what a watch shows may be old.
    pub(crate) fn changed(&mut self) {
        self.look_again = true;
    }

    /// When it may be tried again.
    #[must_use]
    pub(crate) fn wakes_at(&self, now: Millis) -> Option<Millis> {
        self.pause.ends_at(now).filter(|_| self.call.is_none())
    }

    /// True while clients are being led somewhere: the next decision goes on with that.
    #[must_use]
    pub(crate) fn is_leading(&self) -> bool {
        self.prepared.is_some() || self.call.is_some_and(|call| call != Call::Look)
    }

    fn is_idle(&self, now: Millis) -> bool {
        self.call.is_none() && self.pause.ends_at(now).is_none()
    }

    /// Reads it, when that is due.
    pub(crate) fn poll(&mut self, now: Millis) -> Option<Effect> {
        if !self.is_idle(now) || self.prepared.is_some() || !std::mem::take(&mut self.look_again) {
            return None;
        }
        self.call = Some(Call::Look);
        Some(Effect::ReadService)
    }

    /// Leads clients to a member, one call after the other: it is asked again with every decision until they are led there.
    /// None while a call is on its way.
    pub(crate) fn lead_to(&mut self, lead: Lead, now: Millis) -> Option<Effect> {
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
    pub(crate) fn stay(&mut self) {
        self.prepared = None;
    }

    /// The status was read. A leader that was deposed without knowing must not undo what its successor wrote.
    ///
    /// # Errors
    /// When the record no longer says what the Service is to be put back to, or cannot be read.
    pub(crate) fn checked(
        &mut self,
        found: Result<Option<&ClusterStatus>, CallFailed>,
        now: Millis,
    ) -> Result<Option<Effect>, ServiceError> {
        let Some(Call::CheckStatus(lead)) = self.call else { return Ok(None) };
        let status = match found {
            Ok(status) => status,
            Err(error) => return Err(self.failed(&error, now)),
        };
        let primary = member_name(&self.cluster, lead.member);
        let says = |status: &&ClusterStatus| {
            status.term == Some(lead.term) && status.current_primary.as_ref() == Some(&primary)
        };
        if status.filter(says).is_none() {
            self.useless(now);
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
    pub(crate) fn read(
        &mut self,
        found: Result<Option<&Service>, CallFailed>,
        now: Millis,
    ) -> Result<Step, ServiceError> {
        match self.call {
            Some(Call::Look) => {
                match found {
                    Ok(service) => {
                        self.led = service.map(|service| led(&self.cluster, service)).unwrap_or_default();
                        (self.known, self.call) = (true, None);
                    }
                    Err(error) => return Err(self.failed(&error, now)),
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
                self.useless(now);
                return Err(ServiceError::Missing { name: self.name() });
            }
            Err(error) => return Err(self.failed(&error, now)),
        };
        match patch(&self.cluster, service, lead) {
            Ok(Some(patch)) => {
                (self.call, self.prepared) = (None, Some(Prepared { lead, patch }));
                Ok(Step::Nothing)
            }
            Ok(None) => Ok(self.switched(lead)),
            Err(error) => {
                self.useless(now);
                Err(error)
            }
        }
    }

    /// The Service was written, or perhaps not: what became of a write that failed is not known, so it is read again.
    ///
    /// # Errors
    /// When it did not clearly succeed.
    pub(crate) fn written(&mut self, result: Result<(), CallFailed>, now: Millis) -> Result<Step, ServiceError> {
        let Some(Call::Write(lead)) = self.call else { return Ok(Step::Nothing) };
        match result {
            Ok(()) => Ok(self.switched(lead)),
            Err(error) => Err(self.failed(&error, now)),
        }
    }

    fn switched(&mut self, lead: Lead) -> Step {
        self.call = None;
        self.pause.done();
        self.led = Led { to: Some(lead.member), term: Some(lead.term), by_name_alone: false };
        Step::Leads
    }

    /// It is read again.
    fn failed(&mut self, error: &CallFailed, now: Millis) -> ServiceError {
        (self.call, self.look_again) = (None, true);
        self.pause.failed(error, now);
        ServiceError::Call { name: self.name(), message: error.message.clone() }
    }

    fn useless(&mut self, now: Millis) {
        (self.call, self.look_again) = (None, true);
        self.pause.begin(now);
    }

    fn name(&self) -> String {
        names::primary(&self.cluster)
    }
}

/// What follows from the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
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
    if now.to == Some(member) && written_in.is_some() && !now.by_name_alone {
        return Ok(None);
    }
    Ok(Some(ServicePatch { member, term, resource_version: service.metadata.resource_version.clone() }))
}

/// A patch as server-side apply takes it.
#[must_use]
pub(crate) fn applied(cluster: &str, patch: &ServicePatch) -> serde_json::Value {
    let ServicePatch { member, term, resource_version } = patch;
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": names::primary(cluster),
            "resourceVersion": resource_version,
            "annotations": {labels::TERM: term.to_string()},
        },
        "spec": {"selector": labels::primary_selector(cluster, &member_name(cluster, *member))},
    })
}

/// True when an operator may have written the term `found`, for all that one knows whose record says `ours`.
fn may_be_written(found: Term, ours: Term) -> bool {
    found <= ours || found.0 <= ours.0.saturating_add(MOST_TERMS) && found.0 < NO_TERM
}

/// Where a Service leads. A selector with other things in it than ours leads nowhere.
fn led(cluster: &str, service: &Service) -> Led {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let pod = selector.and_then(|selector| selector.get(labels::POD_NAME));
    let by_name_alone = selector.is_some_and(|selector| selector.len() == 1) && pod.is_some();
    let only = pod.filter(|pod| by_name_alone || selector == Some(&labels::primary_selector(cluster, pod)));
    let term = service.metadata.annotations.as_ref().and_then(|annotations| annotations.get(labels::TERM));
    Led {
        to: only.and_then(|pod| member_ordinal(cluster, pod)),
        term: term.and_then(|term| term.parse().ok()).map(Term),
        by_name_alone,
    }
}

#[cfg(test)]
mod tests;
