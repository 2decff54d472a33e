//! Behind the point of no return: the Service flips, the new primary is promoted and the others follow, side by side.

use super::ackers::{self, recorded_run, waits};
use super::announce;
use super::candidate::rank;
use super::decision::{Act, Case, Decision, order};
use super::failover;
use super::member::sql_or_volume_trouble;
use super::observation::MemberView;
use super::record::{Record, server_id};
use crate::gtid::GtidPosition;
use crate::orders::{Order, Source};

/// `required` is what the new primary must have.
pub(super) fn decide(case: &Case<'_>, required: &GtidPosition) -> Decision {
    let Some(primary) = case.primary() else {
        return Decision::blocked(
            "the member being promoted is not among spec.members: put back the spec or the status that was changed",
        );
    };
    if primary.is_proven_dead() {
        return failover::after_promotion_failed(case, primary);
    }
    if let Some(decision) = without_source(case, primary, required) {
        return decision;
    }
    let selected = case.seen.service_selects(primary.ordinal);
    if selected && primary.progress.promoted.is_some() {
        let record = Record { transition: None, ..case.record.clone() };
        return Decision::write(record, "the new primary takes writes");
    }
    let mut acts = Vec::new();
    if !selected {
        acts.push(Act::SwitchService { member: primary.ordinal });
    }
    acts.extend(promote(case, primary, required));
    acts.extend(case.others(primary.ordinal).filter_map(|member| follow(case, member, primary)));
    Decision { blocked: obstacle(case, primary).map(Into::into), acts, ..Decision::default() }
}

/// What keeps `primary` from being promoted.
fn obstacle(case: &Case<'_>, primary: &MemberView) -> Option<String> {
    let name = case.name(primary.ordinal);
    match primary.progress.failure() {
        Some(failure) => Some(format!("{name}: {} failed: {}", failure.order, failure.error)),
        None if primary.state().is_none() && primary.progress.promoted.is_none() => {
            Some(format!("{name} is to be promoted, and its agent cannot be reached"))
        }
        None => None,
    }
}

/// The member crashed on its way, and what that left half done only a source can mend: it gives what it has to another one and
/// follows that.
fn without_source(case: &Case<'_>, primary: &MemberView, required: &GtidPosition) -> Option<Decision> {
    let stuck = primary.progress.needs_a_source && primary.progress.given_up().is_some();
    if !stuck || !case.may_fail_over() {
        return None;
    }
    let ranking = rank(case.policy, case.record, case.seen, primary.ordinal, None);
    let why = primary.progress.failure().map(|failure| failure.error.to_string()).unwrap_or_default();
    let why = format!("{} cannot be promoted: {why}", case.name(primary.ordinal));
    let decision = match ranking.best() {
        Some(_) => announce::failover(case, primary.ordinal, why),
        // One that is down may do; meanwhile it is tried again.
        None => Decision {
            acts: announce::start_idle(case, primary.ordinal)
                .into_iter()
                .chain(promote(case, primary, required))
                .collect(),
            ..Decision::blocked(why)
        },
    };
    Some(decision.rejecting(ranking.rejected))
}

fn promote(case: &Case<'_>, primary: &MemberView, required: &GtidPosition) -> Option<Act> {
    if primary.progress.promoted.is_some() || primary.state().is_none() {
        return None;
    }
    if let Some(ordinal) = ackers::to_shut_out(case.record, case.seen, primary) {
        return order(primary, Order::EvictAcker { ordinal });
    }
    // A candidate that was hardly a member itself may not have let its ackers in yet: commits would wait for that.
    let shut = |other: &&MemberView| {
        let acks = recorded_run(case.record, other).is_some() && ackers::is_unadmitted(other, primary);
        acks && ackers::may_return(case.policy, case.record, other)
    };
    let readmit = case.others(primary.ordinal).find(shut).map(|other| Order::ReadmitAcker { ordinal: other.ordinal });
    if let Some(readmit) = readmit.filter(|readmit| !primary.progress.has_failed(readmit)) {
        return order(primary, readmit);
    }
    order(
        primary,
        Order::Promote {
            required: required.clone(),
            server_id: server_id(case.record.promoted_in, primary.ordinal),
            semi_sync: waits(case.record.durability),
        },
    )
}

/// `member` follows `primary`, as an acker when it is recorded as one.
fn follow(case: &Case<'_>, member: &MemberView, primary: &MemberView) -> Option<Act> {
    let host = case.host(primary.ordinal);
    let fit = member.is_running()
        && case.is_ours(member)
        && member.progress.following.as_deref() != Some(host.as_str())
        && sql_or_volume_trouble(case.record, &case.policy.cluster, member).is_none();
    if !fit {
        return None;
    }
    let source = Source::Member { host, port: primary.port_for_members() };
    let acker = recorded_run(case.record, member);
    order(member, Order::Follow { source, acker, wait: None })
}

#[cfg(test)]
mod tests {
    use super::super::decide::decide;
    use super::super::member::samples::{cluster, policy, record, replica, running};
    use super::super::observation::AgentSight;
    use super::super::transition::{Promotion, Transition};
    use super::*;
    use crate::orders::Ordinal;

    #[test]
    fn a_member_that_cannot_be_promoted_because_nobody_reaches_it_is_named() {
        let what = Promotion::Failover { from: Ordinal(1) };
        let promoting = Transition::Promoting { what, to: Ordinal(0), required: GtidPosition::empty() };
        let record = Record { transition: Some(promoting), ..record() };
        let mut seen = cluster(vec![running(0), replica(1, "p0")]);
        assert_eq!(decide(&policy(2), &record, &seen).obstacle(), None);
        seen.members[0].agent = AgentSight::Away { since: seen.now };
        let obstacle = decide(&policy(2), &record, &seen).obstacle().unwrap_or_default();
        assert!(obstacle.contains("c-0 is to be promoted"), "{obstacle}");
    }
}
