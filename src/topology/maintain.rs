//! The upkeep of members at rest: settings that somebody changed are put back, replicas know which events are disabled on the
//! primary, and binary logs that nobody needs go.
//!
//! A file of binary logs goes when every member that answers has all of it in its own binary log, so that nothing unique is ever
//! deleted (invariant 7). A member that is away, or takes no part, may need it: then age alone is no reason, but size is, once it has
//! been away for a while.

use super::decision::{Act, Case, order};
use super::member::trouble;
use super::member_progress::MAINTAIN;
use super::observation::{AgentSight, MemberView, ServerSight, ServerView};
use crate::gtid::GtidPosition;
use crate::orders::{Maintenance, Order, Purge};
use crate::time::Millis;

/// Between two purges of a member, in milliseconds: logs grow by a fraction of a volume meanwhile.
const PURGE_EVERY_MS: u64 = 60_000;
/// Between two orders because events differ, in milliseconds: a replica that lags learns of them when it has caught up.
const EVENTS_EVERY_MS: u64 = 2_000;
/// A setting that is changed again and again is put back this often at most, in milliseconds. What is found meanwhile is told.
pub(crate) const RESTORE_EVERY_MS: u64 = 60_000;
/// From here on, in percent, a volume is told to be filling, and members that are away hold no binary logs on it any more.
pub(crate) const FULL_PERCENT: u64 = 85;

/// A member that restarts, or that a new leader has not read yet, may lag, and nobody knows how far: nothing goes for so long, in
/// milliseconds, except from a volume that fills.
const GONE_MS: u64 = 600_000;

/// The order `maintain` for `member`, when there is something to do.
pub(super) fn maintain(case: &Case<'_>, member: &MemberView, primary: &MemberView) -> Option<Act> {
    let view = member.settled_view()?;
    let able = member.state()?.knows(MAINTAIN) && case.is_ours(member);
    if !able || case.rests_paused() {
        return None;
    }
    let due = |last: Option<_>, pause| last.is_none_or(|last| case.lasted(last) >= pause);
    // Also of a member that takes no part: that may be because of the setting.
    let restore = !view.drift.is_empty() && due(member.maintained.restored, RESTORE_EVERY_MS);
    let is_part = trouble(case.record, &case.policy.cluster, member, Some(primary)).is_none();
    let disabled_events =
        events_that_differ(member, primary).filter(|_| is_part && due(member.maintained.at, EVENTS_EVERY_MS));
    let purge = purge(case, member, primary).filter(|_| is_part && due(member.maintained.purged, PURGE_EVERY_MS));
    let something = restore || disabled_events.is_some() || purge.is_some();
    something.then(|| order(member, Order::Maintain(Maintenance { restore, disabled_events, purge }))).flatten()
}

/// The events disabled on the primary, when they are others on `member`.
fn events_that_differ(member: &MemberView, primary: &MemberView) -> Option<Vec<crate::orders::EventName>> {
    if member.ordinal == primary.ordinal {
        return None;
    }
    let wanted = primary.state()?.upkeep.disabled_events.as_ref()?;
    let here = member.state()?.upkeep.disabled_events.as_ref()?;
    (wanted != here).then(|| wanted.clone())
}

fn purge(case: &Case<'_>, member: &MemberView, primary: &MemberView) -> Option<Purge> {
    let retention = case.policy.retention;
    let is_here = |other| counts(case, other, primary).is_some_and(is_durable);
    let all_here = case.seen.members.iter().all(is_here);
    let is_filling = member.state()?.upkeep.volume_use.is_some_and(|used| used.percent() >= FULL_PERCENT);
    if !is_filling && case.seen.members.iter().any(|other| may_be_back(case, other, primary)) {
        return None;
    }
    Some(Purge {
        covered: covered(case, primary)?,
        older_than_s: (all_here || is_filling).then_some(retention.time_s),
        above_bytes: retention.bytes,
    })
}

/// True for a member that takes part and is not read, or was not until a short while ago.
fn may_be_back(case: &Case<'_>, member: &MemberView, primary: &MemberView) -> bool {
    let is_out = trouble(case.record, &case.policy.cluster, member, Some(primary)).is_some();
    let is_short = |since: Option<Millis>| since.is_none_or(|since| case.lasted(since) < GONE_MS);
    !is_out && counts(case, member, primary).is_none() && is_short(unread_since(member))
}

/// Since when nothing is read of a member, as far as it is known.
fn unread_since(member: &MemberView) -> Option<Millis> {
    match (&member.agent, &member.server) {
        (AgentSight::Unknown, _) => None,
        (AgentSight::Away { since }, _)
        | (AgentSight::Present(_), ServerSight::Refused { since } | ServerSight::Silent { since }) => Some(*since),
        (AgentSight::Present(_), _) => member.dead_since.or(member.running_since),
    }
}

/// A member that does not sync what it logs may lose the end of it, and need that once more.
fn is_durable(view: &ServerView) -> bool {
    view.drift.iter().all(|drift| !drift.durability)
}

/// What every member that answers has in its own binary log.
fn covered(case: &Case<'_>, primary: &MemberView) -> Option<GtidPosition> {
    let views = case.seen.members.iter().filter_map(|member| counts(case, member, primary));
    views.map(|view| view.binlog_position.clone()).reduce(|all, one| all.common(&one))
}

/// The reading of a member that takes part.
fn counts<'a>(case: &Case<'_>, member: &'a MemberView, primary: &MemberView) -> Option<&'a ServerView> {
    let view = member.current_view().filter(|_| case.is_ours(member))?;
    trouble(case.record, &case.policy.cluster, member, Some(primary)).is_none().then_some(view)
}

#[cfg(test)]
mod tests {
    use super::super::decide::decide;
    use super::super::member::samples::*;
    use super::super::observation::{Drift, Maintained, Observation};
    use super::super::record::Record;
    use super::*;
    use crate::orders::{EventName, Ordinal, Upkeep, VolumeUse};
    use crate::time::Millis;

    fn able(mut member: MemberView, disabled: &[&str]) -> MemberView {
        let super::super::observation::AgentSight::Present(state) = &mut member.agent else { panic!() };
        let events = disabled.iter().map(|name| EventName { schema: "d".to_owned(), name: (*name).to_owned() });
        state.upkeep =
            Upkeep { knows: vec![MAINTAIN.to_owned()], disabled_events: Some(events.collect()), ..Upkeep::default() };
        member
    }

    /// A primary and two ackers at rest.
    fn at_rest() -> (Record, Observation) {
        let mut primary = able(running(0), &[]);
        edit(&mut primary, |view| {
            view.read_only = false;
            view.semi_sync.enabled = true;
            view.semi_sync.wait_no_slave = true;
        });
        let mut replicas = [1, 2].map(|ordinal| able(replica(ordinal, "p0"), &[]));
        replicas.iter_mut().for_each(|member| {
            edit(member, |view| (view.acker_wanted, view.acker_active) = (true, true));
        });
        let [first, second] = replicas;
        let record = Record { ackers: vec![acker(1, 1), acker(2, 1)], ..record() };
        (record, Observation { now: Millis(GONE_MS + 100_000), ..cluster(vec![primary, first, second]) })
    }

    fn orders(record: &Record, seen: &Observation) -> Vec<(Ordinal, Maintenance)> {
        let acts = decide(&policy(3), record, seen).acts;
        let maintained = |act: Act| match act {
            Act::Order { member, order: Order::Maintain(maintenance) } => Some((member, maintenance)),
            _ => None,
        };
        acts.into_iter().filter_map(maintained).collect()
    }

    fn done(seen: &mut Observation, ms_ago: u64) {
        let at = Some(Millis(seen.now.0 - ms_ago));
        seen.members.iter_mut().for_each(|member| member.maintained = Maintained { at, restored: at, purged: at });
    }

    fn drift(text: &str, durability: bool) -> Drift {
        Drift { text: text.to_owned(), durability, stops_writes: false }
    }

    fn use_of(member: &mut MemberView, percent_free: u64) {
        let super::super::observation::AgentSight::Present(state) = &mut member.agent else { panic!() };
        state.upkeep.volume_use = Some(VolumeUse { total_bytes: 100, free_bytes: percent_free });
    }

    #[test]
    fn what_all_members_have_may_go_once_a_minute() {
        let (record, mut seen) = at_rest();
        edit(&mut seen.members[0], |view| view.binlog_position = "0-17-30".parse().unwrap());
        edit(&mut seen.members[2], |view| view.binlog_position = "0-17-20".parse().unwrap());
        let given = orders(&record, &seen);
        assert_eq!(given.len(), 3, "{given:?}");
        for (_, maintenance) in given {
            let purge = maintenance.purge.unwrap();
            assert_eq!(purge.covered, "0-17-10".parse().unwrap(), "what the member that has least has");
            assert_eq!((purge.older_than_s, purge.above_bytes), (Some(604_800), 1 << 30));
        }
        done(&mut seen, PURGE_EVERY_MS - 1);
        assert_eq!(orders(&record, &seen), vec![]);
    }

    #[test]
    fn for_a_member_that_is_away_logs_are_kept_up_to_their_size_or_a_filling_volume() {
        let (record, mut seen) = at_rest();
        let record = Record { ackers: vec![acker(1, 1)], ..record };
        seen.members[2] = MemberView { pod: None, ..dead(2) };
        use_of(&mut seen.members[0], 16);
        use_of(&mut seen.members[1], 15);
        let ages: Vec<_> =
            orders(&record, &seen).into_iter().map(|(_, order)| order.purge.unwrap().older_than_s).collect();
        assert_eq!(ages, [None, Some(604_800)], "84 % and 85 %");
    }

    #[test]
    fn nothing_goes_while_a_member_may_come_back_at_once() {
        let (record, mut seen) = at_rest();
        let record = Record { ackers: vec![acker(1, 1)], ..record };
        let since = Millis(seen.now.0 - GONE_MS + 1);
        for agent in [AgentSight::Unknown, AgentSight::Away { since }] {
            seen.members[2] = MemberView { agent, ..dead(2) };
            assert_eq!(orders(&record, &seen), vec![]);
        }
        use_of(&mut seen.members[0], 15);
        assert_eq!(orders(&record, &seen).iter().map(|(member, _)| member.0).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn what_a_member_has_not_synced_is_kept_by_the_others() {
        let (record, mut seen) = at_rest();
        let drift = drift("sync_binlog=0 (must be 1)", true);
        edit(&mut seen.members[2], |view| view.drift = vec![drift.clone()]);
        let given = orders(&record, &seen);
        assert_eq!(given.len(), 3);
        assert!(given.iter().all(|(_, order)| order.purge.as_ref().unwrap().older_than_s.is_none()), "{given:?}");
    }

    #[test]
    fn a_paused_cluster_and_a_wedged_primary_get_no_upkeep() {
        use super::super::observation::NewConnection;
        let (record, mut seen) = at_rest();
        let paused = super::super::policy::Policy { paused: true, ..policy(3) };
        assert_eq!(decide(&paused, &record, &seen).acts, vec![]);
        seen.members[0].new_connection = NewConnection::Hangs { since: Millis(8), tried: Millis(9) };
        assert_eq!(orders(&record, &seen), vec![]);
    }

    #[test]
    fn nothing_of_a_member_with_transactions_of_its_own_goes() {
        let (record, mut seen) = at_rest();
        edit(&mut seen.members[1], |view| view.binlog_position = "0-2147483650-11".parse().unwrap());
        let given = orders(&record, &seen);
        assert_eq!(given.iter().map(|(member, _)| member.0).collect::<Vec<_>>(), [0, 2]);
        assert!(given.iter().all(|(_, order)| order.purge.as_ref().unwrap().older_than_s.is_none()));
    }

    #[test]
    fn a_setting_that_stopped_the_sql_thread_is_put_back_all_the_same() {
        let (record, mut seen) = at_rest();
        edit(&mut seen.members[1], |view| {
            view.drift = vec![drift("tx_read_only=ON (must be OFF)", false)];
            let slave = view.slave.as_mut().unwrap();
            (slave.sql, slave.sql_errno, slave.sql_error) = (false, 1792, "READ ONLY transaction".to_owned());
        });
        let given = orders(&record, &seen);
        let (_, order) = given.iter().find(|(member, _)| *member == Ordinal(1)).unwrap();
        assert_eq!((order.restore, &order.purge), (true, &None));
    }

    #[test]
    fn agents_of_the_first_release_get_no_such_order() {
        let (record, mut seen) = at_rest();
        seen.members[0] = able(seen.members[0].clone(), &["e"]);
        let super::super::observation::AgentSight::Present(state) = &mut seen.members[1].agent else { panic!() };
        state.upkeep = Upkeep::default();
        assert_eq!(orders(&record, &seen).iter().map(|(member, _)| member.0).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn replicas_learn_which_events_are_disabled() {
        let (record, mut seen) = at_rest();
        done(&mut seen, EVENTS_EVERY_MS);
        seen.members[0] = able(seen.members[0].clone(), &["e"]);
        seen.members[2] = able(seen.members[2].clone(), &["e"]);
        let given = orders(&record, &seen);
        assert_eq!(given.len(), 1);
        assert_eq!((given[0].0, given[0].1.disabled_events.as_ref().unwrap().len()), (Ordinal(1), 1));
    }

    #[test]
    fn a_setting_is_put_back_once_a_minute() {
        let (record, mut seen) = at_rest();
        done(&mut seen, RESTORE_EVERY_MS - 1);
        let drift = drift("slave_net_timeout=60 (must be 2)", false);
        edit(&mut seen.members[1], |view| view.drift = vec![drift.clone()]);
        assert_eq!(orders(&record, &seen), vec![], "somebody insists: it is told instead");
        seen.members[1].maintained.restored = None;
        assert!(matches!(orders(&record, &seen).as_slice(), [(Ordinal(1), order)] if order.restore));
    }
}
