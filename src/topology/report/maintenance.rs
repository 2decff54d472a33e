//! What people are told of owned settings that were changed, and of volumes that fill.

use super::super::maintain::{FULL_PERCENT, RESTORE_EVERY_MS};
use super::super::member_progress::MAINTAIN;
use super::super::observation::{MemberView, Observation};
use super::super::policy::Policy;
use super::super::reasons::Reason;
use super::shown::{Condition, condition};
use crate::api::status::ConditionType;

/// Owned settings of a member that somebody changed.
pub(super) fn drift(policy: &Policy, seen: &Observation, member: &MemberView) -> Option<(Reason, String)> {
    let drift = member.view().map(|view| view.drift.as_slice()).filter(|drift| !drift.is_empty())?;
    let drift: Vec<&str> = drift.iter().map(|drift| drift.text.as_str()).collect();
    let name = policy.name(member.ordinal);
    let message =
        format!("{name}: owned settings were changed: {}; {}", drift.join(", "), what_follows(policy, seen, member));
    Some((Reason::OwnedSettingChanged, message))
}

fn what_follows(policy: &Policy, seen: &Observation, member: &MemberView) -> &'static str {
    let lately = member.maintained.restored.is_some_and(|at| seen.now.since(at) < RESTORE_EVERY_MS);
    if policy.paused || !member.state().is_some_and(|state| state.knows(MAINTAIN)) {
        "put them back with SET GLOBAL"
    } else if lately {
        "some were put back less than a minute ago, these follow within a minute: if they are the same, find who \
         changes them"
    } else {
        "they are put back"
    }
}

/// Why nobody can write on the primary, when it is because of a setting.
pub(super) fn writes_stopped(policy: &Policy, primary: &MemberView) -> Option<String> {
    let stops = primary.view()?.drift.iter().find(|drift| drift.stops_writes)?;
    Some(format!(
        "{}: every write of a new session fails with error 1792 ({stops}): somebody set it by hand, and it is put back once a \
         minute at most, unless spec.paused is true; `{} mariadb -e 'SET GLOBAL tx_read_only=OFF'` does it at once; sessions \
         that began meanwhile have to connect again",
        policy.name(primary.ordinal),
        policy.exec(primary.ordinal)
    ))
}

pub(super) fn storage(policy: &Policy, seen: &Observation) -> Condition {
    let filling: Vec<String> = seen.members.iter().filter_map(|member| filling(policy, member)).collect();
    let reason = if filling.is_empty() { Reason::VolumesHaveSpace } else { Reason::VolumeFilling };
    condition(ConditionType::StorageLow, !filling.is_empty(), reason, filling.join("; "))
}

fn filling(policy: &Policy, member: &MemberView) -> Option<String> {
    let percent = member.state()?.upkeep.volume_use?.percent();
    // In steps, so that the status changes with the situation and not with every file.
    let step = [FULL_PERCENT, 90, 95, 98].into_iter().rev().find(|step| percent >= *step)?;
    Some(format!(
        "{}: its volume is {step} % full or more: raise the size of its PersistentVolumeClaim, delete data, or lower \
         spec.replication.binlogRetention",
        policy.name(member.ordinal)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::super::decide::Decision;
    use super::super::super::member::samples::{cluster, edit, policy, primary, record, replica, running};
    use super::super::super::observation::{AgentSight, Drift, Maintained};
    use super::super::super::reasons::MemberReason;
    use super::super::super::record::{Durability, Record};
    use super::super::report;
    use super::*;
    use crate::orders::{AgentState, VolumeUse};
    use crate::time::Millis;

    fn told(record: &Record, seen: &Observation, kind: &str) -> Condition {
        let report = report(&policy(2), record, seen, &Decision::default());
        report.conditions.into_iter().find(|condition| condition.kind == kind).unwrap()
    }

    fn state_of(member: &mut MemberView) -> &mut AgentState {
        let AgentSight::Present(state) = &mut member.agent else { panic!() };
        state
    }

    fn changed(member: &mut MemberView, text: &str, durability: bool) {
        let drift = Drift { text: text.to_owned(), durability, stops_writes: text.starts_with("tx_read_only") };
        edit(member, |view| view.drift = vec![drift.clone()]);
    }

    #[test]
    fn a_changed_setting_is_named_before_what_follows_from_it() {
        let mut seen = cluster(vec![running(0), replica(1, "p0")]);
        state_of(&mut seen.members[0]).upkeep.knows = vec![MAINTAIN.to_owned()];
        changed(&mut seen.members[0], "sync_binlog=0 (must be 1)", true);
        let record = Record { durability: Durability::CatchingUp, ..record() };
        let Condition { status, reason, message, .. } = told(&record, &seen, "FailoverReady");
        assert_eq!((status, reason), (false, Reason::OwnedSettingChanged));
        assert!(message.starts_with("c-0: owned settings were changed: sync_binlog=0"), "{message}");
        assert!(message.contains("they are put back"), "{message}");
    }

    #[test]
    fn a_setting_that_stops_writes_ends_ready_on_the_primary_and_on_no_replica() {
        let mut seen = cluster(vec![primary(), replica(1, "p0")]);
        let record = Record { durability: Durability::Async, ..record() };
        changed(&mut seen.members[1], "tx_read_only=ON (must be OFF)", false);
        assert!(told(&record, &seen, "Ready").status);
        assert_eq!(told(&record, &seen, "FailoverReady").reason, Reason::OwnedSettingChanged);
        changed(&mut seen.members[0], "tx_read_only=ON (must be OFF)", false);
        let Condition { status, reason, message, .. } = told(&record, &seen, "Ready");
        assert_eq!((status, reason), (false, Reason::PrimaryReadOnly));
        assert!(message.contains("1792") && message.contains("SET GLOBAL tx_read_only=OFF"), "{message}");
        let row = report(&policy(2), &record, &seen, &Decision::default()).members[0].clone();
        assert_eq!(row.reason, Some(MemberReason::ReadOnly));
        changed(&mut seen.members[0], "sql_select_limit=0 (must be 18446744073709551615)", false);
        assert!(told(&record, &seen, "Ready").status);
    }

    #[test]
    fn a_setting_of_a_replica_is_named_and_who_insists_is_told_so() {
        let mut seen = cluster(vec![running(0), replica(1, "p0")]);
        changed(&mut seen.members[1], "slave_net_timeout=60 (must be 2)", false);
        let condition = |seen: &Observation| told(&record(), seen, "FailoverReady");
        assert!(condition(&seen).message.contains("SET GLOBAL"), "an agent of the first release puts nothing back");
        state_of(&mut seen.members[1]).upkeep.knows = vec![MAINTAIN.to_owned()];
        seen.members[1].maintained = Maintained { restored: Some(Millis(90)), ..Maintained::default() };
        assert_eq!(condition(&seen).reason, Reason::OwnedSettingChanged);
        assert!(condition(&seen).message.contains("c-1") && condition(&seen).message.contains("find who changes them"));
    }

    #[test]
    fn a_filling_volume_is_a_condition_that_names_the_member() {
        let mut seen = cluster(vec![running(0), replica(1, "p0")]);
        assert!(!told(&record(), &seen, "StorageLow").status);
        let mut full = |free_bytes| {
            state_of(&mut seen.members[1]).upkeep.volume_use = Some(VolumeUse { total_bytes: 100, free_bytes });
            told(&record(), &seen, "StorageLow")
        };
        assert!(!full(16).status);
        let condition = full(15);
        assert_eq!((condition.status, condition.reason), (true, Reason::VolumeFilling));
        assert!(condition.message.starts_with("c-1: its volume is 85 % full or more"), "{}", condition.message);
    }
}
