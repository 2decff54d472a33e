//! The one initialisation of a cluster: every volume blank, every member made alike, then the first promotion.

use std::cmp::Reverse;

use super::ackers;
use super::blocked::Blocked;
use super::decision::{Act, Case, Decision, order};
use super::member::volume_trouble;
use super::observation::MemberView;
use super::policy::Mode;
use super::record::{Durability, Record};
use super::transition::{Promotion, Transition};
use crate::gtid::GtidPosition;
use crate::orders::{Identity, Mariadbd, Order, Ordinal, Volume};

/// No data yet: announce the initialisation once every volume is known to be blank.
pub(super) fn begin(case: &Case<'_>) -> Decision {
    if case.policy.paused {
        return not_begun("the cluster is paused: set spec.paused to false to initialise it".to_owned());
    }
    let unready: Vec<String> = case.seen.members.iter().filter_map(|member| why_not_blank(case, member)).collect();
    if !unready.is_empty() {
        let has_data =
            |member: &MemberView| member.state().is_some_and(|state| matches!(state.volume, Volume::Recorded { .. }));
        let why = unready.join("; ");
        return match case.seen.members.iter().any(has_data) {
            true => Decision::blocked(Blocked::Adoption(why)),
            false => not_begun(why),
        };
    }
    let Some(first) = first_primary(case) else {
        return not_begun("every member's policy says neverPrimary: allow at least one to be primary".to_owned());
    };
    let record = Record {
        data_uid: Some(case.seen.fresh_uid.clone()),
        // A Service of an earlier cluster of this name may carry a term.
        term: case.record.term.max(case.seen.service_term.unwrap_or_default()).next(),
        transition: Some(Transition::Initialise { first }),
        ..Record::default()
    };
    Decision::write(record, "all volumes are blank: the cluster is initialised")
}

fn not_begun(why: String) -> Decision {
    Decision::blocked(Blocked::Initialisation(why))
}

/// Initialises every member, then promotes `first`.
pub(super) fn decide(case: &Case<'_>, first: Ordinal) -> Decision {
    let (mut acts, mut waiting, mut ready) = (Vec::new(), Vec::new(), true);
    for member in &case.seen.members {
        match next(case, member) {
            Next::Ready => continue,
            Next::Init { act, failure } => {
                acts.extend(act);
                waiting.extend(failure);
            }
            Next::Wait(why) => waiting.push(why),
        }
        ready = false;
    }
    if ready {
        return admit(case, first).unwrap_or_else(|| point_of_no_return(case, first));
    }
    Decision { acts, blocked: (!waiting.is_empty()).then(|| waiting.join("; ").into()), ..Decision::default() }
}

enum Next {
    /// Initialised, running and seen.
    Ready,
    /// To be initialised: the order, unless it is under way or rests, and how it failed last.
    Init { act: Option<Act>, failure: Option<String> },
    /// Something is missing that no order brings.
    Wait(String),
}

fn next(case: &Case<'_>, member: &MemberView) -> Next {
    let (Some(state), Some(data_uid)) = (member.state(), &case.record.data_uid) else {
        return Next::Wait(format!("{}: its agent cannot be reached yet", case.name(member.ordinal)));
    };
    if state.volume != Volume::Blank
        && let Some(trouble) = volume_trouble(case.record, &case.policy.cluster, member)
    {
        return Next::Wait(format!("{}: {}", case.name(member.ordinal), trouble.message()));
    }
    if member.progress.initialised && state.volume != Volume::Blank {
        match &state.mariadbd {
            Mariadbd::Running { .. } if member.is_running() && member.current_view().is_some() => return Next::Ready,
            Mariadbd::Running { .. } => {
                return Next::Wait(format!("{}: mariadbd is starting", case.name(member.ordinal)));
            }
            Mariadbd::Unknown { message } => return Next::Wait(format!("{}: {message}", case.name(member.ordinal))),
            Mariadbd::NotStarted | Mariadbd::Exited { .. } if case.rules.init_waits => {
                return Next::Wait(format!("{}: mariadbd does not run", case.name(member.ordinal)));
            }
            // It ended after its `init`, which starts it again: before its first `follow` no member starts by itself.
            Mariadbd::NotStarted | Mariadbd::Exited { .. } => {}
        }
    }
    let identity =
        Identity { cluster: case.policy.cluster.clone(), data_uid: data_uid.clone(), ordinal: member.ordinal };
    let failure = member.progress.failure();
    Next::Init {
        act: order(member, Order::Init { identity }),
        failure: failure.map(|failure| format!("{}: init failed: {}", case.name(member.ordinal), failure.error)),
    }
}

fn point_of_no_return(case: &Case<'_>, first: Ordinal) -> Decision {
    let chosen = case.seen.member(first).or_else(|| case.seen.member(first_primary(case)?));
    let Some(primary) = chosen else {
        return Decision::blocked("the member to be promoted first is no longer a member");
    };
    let semi_sync = case.policy.mode == Mode::SemiSync;
    let ackers = case.others(primary.ordinal).filter_map(ackers::entry_of).take(ackers::WANTED);
    let record = Record {
        primary: Some(primary.ordinal),
        promoted_in: case.record.term,
        began: Some(GtidPosition::empty()),
        durability: if semi_sync { Durability::CatchingUp } else { Durability::Async },
        ackers: if semi_sync { ackers.collect() } else { vec![] },
        transition: Some(Transition::Promoting {
            what: Promotion::Initialise,
            to: primary.ordinal,
            required: GtidPosition::empty(),
        }),
        ..case.record.clone()
    };
    Decision::write(record, "every member is initialised")
}

/// Once all are initialised the first primary lets them in, before they are told to follow it.
fn admit(case: &Case<'_>, first: Ordinal) -> Option<Decision> {
    let primary = case.seen.member(first)?;
    let shut_out = case.others(first).find(|member| ackers::is_unadmitted(member, primary))?;
    let failure = primary.progress.failure().map(|failure| format!("{}: {}", case.name(first), failure.error));
    let acts = order(primary, Order::ReadmitAcker { ordinal: shut_out.ordinal }).into_iter().collect();
    Some(Decision { acts, blocked: failure.map(Into::into), ..Decision::default() })
}

fn first_primary(case: &Case<'_>) -> Option<Ordinal> {
    let allowed = case.policy.ordinals().filter(|ordinal| !case.policy.member(*ordinal).never_primary);
    allowed.min_by_key(|ordinal| (Reverse(case.policy.member(*ordinal).priority), *ordinal))
}

fn why_not_blank(case: &Case<'_>, member: &MemberView) -> Option<String> {
    let name = case.name(member.ordinal);
    match member.state().map(|state| &state.volume) {
        Some(Volume::Blank) => None,
        Some(Volume::Recorded { record }) => Some(format!(
            "{name}: its volume already has data of {} (data {}), but this cluster's status names none: put the saved \
             status back (`kubectl replace --subresource=status -f FILE`); never empty the volumes: they hold the data",
            record.identity.cluster, record.identity.data_uid.0
        )),
        Some(Volume::Unusable { message }) => Some(format!("{name}: {message}")),
        None => Some(format!("{name}: its agent cannot be reached yet")),
    }
}

#[cfg(test)]
mod tests;
