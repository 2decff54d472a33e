//! The part of the status that people read: conditions and members. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::desired::Desired;
use super::pod::{PodFacts, Trouble, with_remedy};
use super::refusal::Refusal;
use crate::api::ClusterStatus;
use crate::api::status::{ConditionType, MemberStatus};
use crate::orders::{Mariadbd, member_name};
use crate::resources::labels;
use crate::topology::observation::MemberView;
use crate::topology::reasons::MemberState;
use crate::topology::report::{self, MemberReport, Report, Role};

/// Lags are told in these steps, so that the status changes with the situation and not with every transaction.
const LAG_STEPS_S: [u64; 7] = [0, 10, 30, 60, 300, 3_600, 86_400];

/// What a report is made of besides itself.
pub(crate) struct Scene<'a> {
    /// The spec in force.
    pub(crate) desired: &'a Desired,
    /// Lease of this operator.
    pub(crate) manager: &'a str,
    /// What was seen of the members, index = ordinal.
    pub(crate) members: &'a [MemberView],
    /// Their pods, index = ordinal.
    pub(crate) pods: Vec<Option<&'a PodFacts>>,
    /// What has kept a pod from running for a while, index = ordinal.
    pub(crate) troubles: Vec<Option<&'a Trouble>>,
    /// Now.
    pub(crate) now: Timestamp,
}

/// Puts a report into a status; the record in it stays as it is.
pub(crate) fn compose(status: &mut ClusterStatus, report: &Report, scene: &Scene<'_>) {
    let cluster = &scene.desired.cluster;
    status.observed_generation = Some(scene.desired.generation);
    status.managed_by = Some(scene.manager.to_owned());
    status.member_count = Some(cluster.spec.members.into());
    status.selector = Some(labels::selector_text(&cluster.name));
    let before = std::mem::take(&mut status.members);
    status.members = report.members.iter().map(|member| self::member(member, scene, &before)).collect();
    let ready = report.members.iter().filter(|member| member.state == MemberState::Ready).count();
    status.ready_members = i32::try_from(ready).ok();
    let conditions = report.conditions.iter().map(|wanted| self::condition(wanted, status, scene)).collect();
    status.conditions = conditions;
}

fn member(report: &MemberReport, scene: &Scene<'_>, before: &[MemberStatus]) -> MemberStatus {
    let MemberReport { ordinal, role, state, reason, message, lag_s } = report;
    let index = usize::from(ordinal.0);
    let pod = scene.pods.get(index).copied().flatten();
    let agent = scene.members.get(index).and_then(MemberView::state);
    let name = member_name(&scene.desired.cluster.name, *ordinal);
    let same = before.iter().find(|before| before.name == name);
    let mut told = MemberStatus {
        unknown: same.map(|same| same.unknown.clone()).unwrap_or_default(),
        name,
        role: Some(role_word(*role).to_owned()),
        state: state.to_string(),
        reason: reason.map(|reason| reason.to_string()),
        message: message.clone(),
        node: pod.and_then(|pod| pod.node.clone()),
        lag: lag_s.map(lag),
        version: None,
        agent: agent.map(|state| state.version.clone()),
    };
    let runs = agent.is_some_and(|state| matches!(state.mariadbd, Mariadbd::Running { .. }));
    let absent = scene.troubles.get(index).copied().flatten().filter(|_| pod.is_none());
    if let Some(trouble) = pod.and_then(|pod| pod.trouble.as_ref()).or(absent).filter(|_| !runs) {
        told.state = MemberState::Pending.to_string();
        told.reason = Some(trouble.reason.clone());
        told.message = Some(with_remedy(trouble));
    }
    told
}

/// True when `status` says of the cluster that it is ready and `report` that it is not, or the other way round.
#[must_use]
pub(crate) fn turns(report: &Report, status: Option<&ClusterStatus>) -> bool {
    let ready = ConditionType::Ready.as_str();
    let now = report.conditions.iter().any(|condition| condition.kind == ready && condition.status);
    now != is_ready(status)
}

/// True when `status` says of the cluster that it is ready.
#[must_use]
pub(crate) fn is_ready(status: Option<&ClusterStatus>) -> bool {
    let ready = ConditionType::Ready.as_str();
    status
        .into_iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| condition.type_ == ready && condition.status == "True")
}

/// The word for a role in status, labels and metrics.
#[must_use]
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Primary => "Primary",
        Role::Replica => "Replica",
    }
}

fn lag(seconds: u64) -> String {
    let step = LAG_STEPS_S.into_iter().rev().find(|step| seconds >= *step).unwrap_or_default();
    format!("{step}s")
}

fn condition(wanted: &report::Condition, status: &ClusterStatus, scene: &Scene<'_>) -> Condition {
    let mut told = Condition {
        type_: wanted.kind.to_owned(),
        status: if wanted.status { "True" } else { "False" }.to_owned(),
        reason: wanted.reason.to_string(),
        message: wanted.message.clone(),
        observed_generation: Some(scene.desired.generation),
        last_transition_time: Time(scene.now),
    };
    if wanted.kind == ConditionType::Stalled.as_str() {
        stall(&mut told, scene);
    }
    // A cluster that never was is not ready for the reason for which it is not made.
    let unmade = wanted.kind == ConditionType::Ready.as_str() && !wanted.status && status.data_uid.is_none();
    if let Some(refusal) = scene.desired.refusal.as_ref().filter(|_| unmade) {
        (told.reason, told.message) = (refusal.reason.as_str().to_owned(), refusal.message.clone());
    }
    since(&mut told, &status.conditions);
    told
}

/// What only Kubernetes or the spec knows and a human must mend.
fn stall(condition: &mut Condition, scene: &Scene<'_>) {
    if let Some(refusal) = &scene.desired.refusal {
        (condition.status, condition.reason, condition.message) =
            ("True".to_owned(), refusal.reason.as_str().to_owned(), refusal.message.clone());
        return;
    }
    let troubles = scene.troubles.iter().enumerate();
    let troubled = troubles.filter_map(|(index, trouble)| trouble.map(|trouble| (index, trouble))).next();
    // Why a member has not come is known better here than by the decision that waits for it. A running cluster whose
    // member is in trouble goes on: the member's own line says so.
    if let Some((index, trouble)) = troubled.filter(|_| condition.status == "True") {
        let message = format!("{}-{index}: {}", scene.desired.cluster.name, with_remedy(trouble));
        (condition.status, condition.reason, condition.message) = ("True".to_owned(), trouble.reason.clone(), message);
    }
}

/// Conditions of a cluster that no task looks after, because of `refusal`. Whether a cluster that has data accepts writes
/// is then not known.
pub(crate) fn stand_still(status: &mut ClusterStatus, refusal: &Refusal, generation: Option<i64>, now: Timestamp) {
    let ready = if status.data_uid.is_some() { "Unknown" } else { "False" };
    let before = std::mem::take(&mut status.conditions);
    let wanted =
        [(ConditionType::Ready, ready), (ConditionType::FailoverReady, "False"), (ConditionType::Stalled, "True")];
    let told = wanted.map(|(kind, value)| {
        let mut told = Condition {
            type_: kind.as_str().to_owned(),
            status: value.to_owned(),
            reason: refusal.reason.as_str().to_owned(),
            message: refusal.message.clone(),
            observed_generation: generation,
            last_transition_time: Time(now),
        };
        since(&mut told, &before);
        told
    });
    let rest = before.into_iter().filter(|condition| told.iter().all(|told| told.type_ != condition.type_));
    status.conditions = told.iter().cloned().chain(rest).collect();
    status.observed_generation = generation;
}

/// Keeps the time of the last change of `status`.
fn since(condition: &mut Condition, before: &[Condition]) {
    let same = before.iter().find(|before| before.type_ == condition.type_ && before.status == condition.status);
    if let Some(same) = same {
        condition.last_transition_time = same.last_transition_time.clone();
    }
}

#[cfg(test)]
mod tests;
