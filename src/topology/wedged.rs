//! A primary that answers open sessions and takes no new ones: found, woken, told.
//!
//! It arises in MariaDB 10.11 and 11.8 when a replica's connection breaks silently while nobody commits: the replica's next
//! connection makes the primary remove the old dump thread, that waits for the thread that collects acknowledgements, and
//! that one waits in poll() until any acker says something. Meanwhile the list of threads is locked, so no connection is
//! accepted. An acker that connects anew wakes it.

use super::ackers;
use super::decision::{Act, Case, Decision, order};
use super::observation::{IoThread, MemberView, NewConnection, ServerView};
use super::policy::Policy;
use crate::orders::{Order, Ordinal, Reason};
use crate::time::Millis;

/// Nobody can wake it, so long after the first connection hung, in milliseconds: at least two have by then, and its clients have
/// nothing left of it.
const HOPELESS_MS: u64 = 3_000;

/// What is done anyhow, and who wakes the primary meanwhile. What is recorded goes first.
pub(super) fn waking(case: &Case<'_>, primary: &MemberView, since: Millis, anyhow: Decision) -> Decision {
    if matches!(anyhow.acts.first(), Some(Act::Write { .. })) {
        return anyhow;
    }
    // Upkeep can wait, and the primary itself is given nothing that could wait for a new connection. What it may answer without an
    // acknowledgement it is to answer; that wakes it, too.
    let of_primary = |act: &Act| matches!(act, Act::Order { member, .. } if *member == primary.ordinal);
    let gives_in =
        |act: &Act| of_primary(act) && matches!(act, Act::Order { order: Order::SemiSync { on: false }, .. });
    let waits = |act: &Act| of_primary(act) || matches!(act, Act::Order { order: Order::Maintain(_), .. });
    let mut acts = anyhow.acts;
    acts.retain(|act| gives_in(act) || !waits(act));
    let name = case.policy.name(primary.ordinal);
    let seconds = case.lasted(since) / 1_000;
    let told = |what: String| format!("{name} takes no new connections (the first hung {seconds} s ago); {what}");
    let (woken, what) = match wake(case, primary) {
        Wake::By(acker) => {
            // What it has to do anyhow can wait.
            acts.retain(|act| !matches!(act, Act::Order { member, .. } if *member == acker.ordinal));
            (order(acker, reconnect(acker)), format!("{} reconnects to wake it", case.policy.name(acker.ordinal)))
        }
        Wake::Itself => {
            let what = "its semi-sync is switched off and on behind a read lock to wake it";
            (order(primary, Order::ResetSemiSync), what.to_owned())
        }
        Wake::Never if case.lasted(since) >= HOPELESS_MS && case.may_fail_over() => {
            let what = "no replica can connect and commits wait, so it cannot be woken without answering them: its mariadbd is \
                        killed, and the failover that follows loses nothing";
            (order(primary, Order::Fence), what.to_owned())
        }
        Wake::Never => (None, without_answering_the_waiting(case, primary.ordinal)),
        Wake::Waits(why) => (None, why),
    };
    let gives_in = acts.iter().any(gives_in);
    acts.extend(woken.filter(|act| !(gives_in && of_primary(act))));
    Decision { acts, ..Decision::blocked(told(what)) }
}

/// Who can wake the primary.
enum Wake<'a> {
    /// This acker, whose connection is good.
    By(&'a MemberView),
    /// Nobody is connected: the primary itself.
    Itself,
    /// Nobody, as long as commits wait: whatever wakes it would answer them.
    Never,
    /// Nobody, now.
    Waits(String),
}

fn wake<'a>(case: &Case<'a>, primary: &MemberView) -> Wake<'a> {
    // Its agent may have lost its own sessions, and get no new one.
    let settled = |view: &&ServerView| {
        let runs = primary.running_since.is_some_and(|since| view.begun > since);
        runs && primary.answered_at.is_none_or(|answered| view.begun > answered)
    };
    let (Some(now), Some(before)) = (primary.view().filter(settled), primary.before()) else {
        return Wake::Waits("its next reading decides".to_owned());
    };
    if now.binlog_position != before.binlog_position {
        // Acknowledgements come in, so the thread that collects them is awake: something else is slow.
        return Wake::Waits("its open sessions still commit, so it is busy or its host is".to_owned());
    }
    // One after the other: two that connect anew at once would leave nobody connected, should the primary hang once more.
    let is_under_way =
        |member: &&MemberView| [Order::Reconnect, Order::Unstick].iter().any(|it| member.is_doing(it.name()));
    if case.others(primary.ordinal).any(|member| is_under_way(&member)) {
        return Wake::Waits("a replica reconnects to wake it".to_owned());
    }
    // What was done before the last try did not help, or its effect was not tried yet.
    let tried_since = |member: &MemberView| {
        member.answered_at.is_none_or(|answered| match primary.new_connection {
            NewConnection::Hangs { tried, .. } => tried > answered,
            _ => false,
        })
    };
    let is_recorded = |member: &&MemberView| ackers::is_recorded(case.record, member);
    let all_tried = tried_since(primary) && case.others(primary.ordinal).filter(is_recorded).all(tried_since);
    let connected: Vec<&MemberView> = ackers::active(case.policy, case.record, case.seen).collect();
    let ready = connected.iter().filter(|acker| acker.is_free()).min_by_key(|acker| acker.answered_at);
    if let Some(acker) = ready.filter(|_| all_tried) {
        return Wake::By(acker);
    }
    if !connected.is_empty() {
        return Wake::Waits("a replica reconnects to wake it".to_owned());
    }
    // Where it is wanted, an earlier try has switched it off and was cut off.
    if !now.semi_sync.enabled && !ackers::waits(case.record.durability) {
        return Wake::Waits("semi-sync is off".to_owned());
    }
    if now.semi_sync.wait_sessions > 0 {
        let tries = case.others(primary.ordinal).any(|member| tries_to_connect(case, member, primary));
        // Commits that need not wait any more are answered by its agent, if that has a session.
        let in_vain = ackers::waits(case.record.durability) || !primary.is_running();
        let lasts = before.semi_sync.wait_sessions > 0 && in_vain;
        return if tries && all_tried && lasts {
            Wake::Never
        } else {
            Wake::Waits(without_answering_the_waiting(case, primary.ordinal))
        };
    }
    if !is_confirmed(primary) {
        return Wake::Waits("its own agent has not reported yet whether it gets in".to_owned());
    }
    // An agent without a session of its own can only kill it.
    if primary.is_free() && all_tried && (primary.is_running() || case.may_fail_over()) {
        return Wake::Itself;
    }
    Wake::Waits("its semi-sync is switched off and on to wake it".to_owned())
}

/// True when its own agent does not get in either: what touches the primary itself is not done on one finding.
fn is_confirmed(primary: &MemberView) -> bool {
    primary.state().is_some_and(|state| state.takes_connections == Some(false))
}

/// True for a replica that would acknowledge if it could connect. Where there is none, that commits wait is no sign of a wedge.
fn tries_to_connect(case: &Case<'_>, member: &MemberView, primary: &MemberView) -> bool {
    let slave = member.current_view().and_then(|view| view.slave.as_ref());
    let host = case.host(primary.ordinal);
    is_confirmed(primary)
        && ackers::is_recorded(case.record, member)
        && slave.is_some_and(|slave| slave.io == IoThread::Connecting && slave.host == host)
}

/// Switching semi-sync off would answer OK to commits that nobody else has.
fn without_answering_the_waiting(case: &Case<'_>, primary: Ordinal) -> String {
    let ends = how_to_end(case.policy, primary);
    format!("no replica is connected and commits wait, so it cannot be woken without answering them: {ends}")
}

/// The command that ends a primary whose commits wait for nobody, and what follows.
pub(super) fn how_to_end(policy: &Policy, primary: Ordinal) -> String {
    let follows = if policy.failover_enabled {
        "a failover follows that loses nothing"
    } else {
        "it is started again (spec.failover.enabled is false)"
    };
    format!(
        "when no replica comes back, end it with `{} sh -c 'kill -9 $(pidof mariadbd)'`, and {follows}",
        policy.exec(primary)
    )
}

/// An agent of an earlier release does not know the light order; what it does instead connects anew, too.
fn reconnect(acker: &MemberView) -> Order {
    let unknown = acker.progress.failure_of(&Order::Reconnect).is_some_and(|error| error.reason == Reason::Unsupported);
    if unknown { Order::Unstick } else { Order::Reconnect }
}

#[cfg(test)]
mod tests {
    use super::super::decide::decide;
    use super::super::member::samples::{acker, acking, cluster, edit, policy, primary, record};
    use super::super::observation::{AgentSight, Observation, ServerSight};
    use super::super::record::{Durability, Record};
    use super::*;
    use crate::orders::{AgentState, Incarnation, Mariadbd, OrderError, Ordinal};

    fn hanging() -> MemberView {
        let new_connection = NewConnection::Hangs { since: Millis(8), tried: Millis(9) };
        let mut member = MemberView { new_connection, ..primary() };
        state(&mut member).takes_connections = Some(false);
        member
    }

    fn asked(seen: &Observation, ackers: &[u8]) -> (Vec<Act>, String) {
        let ackers = ackers.iter().map(|ordinal| acker(*ordinal, 1)).collect();
        let decision = decide(&policy(seen.members.len()), &Record { ackers, ..record() }, seen);
        (decision.acts, decision.blocked.map(|why| why.to_string()).unwrap_or_default())
    }

    fn lost(ordinal: u8) -> MemberView {
        let mut member = acking(ordinal);
        edit(&mut member, |view| {
            view.acker_active = false;
            view.slave.as_mut().unwrap().io = super::super::observation::IoThread::Connecting;
        });
        member
    }

    fn state(member: &mut MemberView) -> &mut AgentState {
        let AgentSight::Present(state) = &mut member.agent else { panic!() };
        state
    }

    fn give(member: u8, order: Order) -> Vec<Act> {
        vec![Act::Order { member: Ordinal(member), order }]
    }

    #[test]
    fn the_acker_whose_connection_is_good_wakes_it() {
        let seen = cluster(vec![hanging(), lost(1), acking(2)]);
        let (acts, told) = asked(&seen, &[1, 2]);
        assert_eq!(acts, give(2, Order::Reconnect));
        assert!(told.contains("c-0 takes no new connections") && told.contains("c-2 reconnects"), "{told}");
    }

    #[test]
    fn another_one_is_asked_only_after_another_try_hung() {
        let mut seen = cluster(vec![hanging(), acking(1), acking(2)]);
        seen.members[1].busy = Some(Order::Reconnect.name());
        seen.members[1].resting = false;
        assert_eq!(asked(&seen, &[1, 2]).0, vec![], "somebody stays connected");
        (seen.members[1].busy, seen.members[1].answered_at) = (None, Some(Millis(9)));
        assert_eq!(asked(&seen, &[1, 2]).0, vec![]);
        seen.members[0].new_connection = NewConnection::Hangs { since: Millis(8), tried: Millis(10) };
        assert_eq!(asked(&seen, &[1, 2]).0, give(2, Order::Reconnect));
        seen.members[2].answered_at = Some(Millis(11));
        seen.members[0].new_connection = NewConnection::Hangs { since: Millis(8), tried: Millis(12) };
        assert_eq!(asked(&seen, &[1, 2]).0, give(1, Order::Reconnect));
    }

    #[test]
    fn an_agent_that_does_not_know_the_order_gets_one_it_knows() {
        let mut seen = cluster(vec![hanging(), acking(1)]);
        let error = OrderError::new(Reason::Unsupported, "unknown variant");
        seen.members[1].progress.note_failure(&Order::Reconnect, error);
        assert_eq!(asked(&seen, &[1]).0, give(1, Order::Unstick));
    }

    #[test]
    fn alone_it_is_woken_behind_a_lock_and_never_when_commits_wait() {
        let mut seen = cluster(vec![hanging(), lost(1)]);
        assert_eq!(asked(&seen, &[1]).0, give(0, Order::ResetSemiSync));
        edit(&mut seen.members[0], |view| view.semi_sync.wait_sessions = 1);
        let (acts, told) = asked(&seen, &[1]);
        assert_eq!(acts, vec![]);
        assert!(told.contains("kubectl -n ns exec c-0"), "{told}");
    }

    #[test]
    fn one_that_nobody_can_wake_is_killed_where_a_failover_is_allowed() {
        let mut seen = cluster(vec![hanging(), lost(1)]);
        edit(&mut seen.members[0], |view| view.semi_sync.wait_sessions = 1);
        seen.now = Millis(8 + HOPELESS_MS);
        state(&mut seen.members[0]).takes_connections = None;
        assert_eq!(asked(&seen, &[1]).0, vec![], "its own agent may get in");
        state(&mut seen.members[0]).takes_connections = Some(false);
        state(&mut seen.members[0]).mariadbd = Mariadbd::Running { incarnation: Incarnation(1), sql: false };
        let (acts, told) = asked(&seen, &[1]);
        assert_eq!(acts, give(0, Order::Fence));
        assert!(told.contains("its mariadbd is killed"), "{told}");
        let record = Record { ackers: vec![acker(1, 1)], ..record() };
        let disabled = super::super::policy::Policy { failover_enabled: false, ..policy(2) };
        let decision = decide(&disabled, &record, &seen);
        let told = decision.blocked.unwrap().to_string();
        assert!(
            decision.acts.is_empty() && told.contains("kubectl -n ns exec c-0") && told.contains("it is started again"),
            "{told}"
        );
        // Waiting was given up, but its agent has no session over which it could be switched off.
        let degraded = Record { durability: Durability::Degraded, ..record.clone() };
        assert_eq!(decide(&policy(2), &degraded, &seen).acts, give(0, Order::Fence));
        // Commits wait for a replica that is down: no wedge keeps it away.
        edit(&mut seen.members[1], |view| view.slave.as_mut().unwrap().io = IoThread::No);
        let (acts, told) = asked(&seen, &[1]);
        assert!(!acts.contains(&Act::Order { member: Ordinal(0), order: Order::Fence }), "{acts:?}");
        assert!(told.contains("kubectl -n ns exec c-0"), "{told}");
    }

    #[test]
    fn one_whose_agent_has_lost_its_own_sessions_is_woken_too() {
        for (replica, wakes) in [(acking(1), give(1, Order::Reconnect)), (lost(1), give(0, Order::ResetSemiSync))] {
            let mut seen = cluster(vec![hanging(), replica]);
            state(&mut seen.members[0]).mariadbd = Mariadbd::Running { incarnation: Incarnation(1), sql: false };
            assert_eq!(asked(&seen, &[1]).0, wakes);
        }
    }

    #[test]
    fn what_a_try_that_was_cut_off_has_left_is_ended_by_the_next() {
        let mut seen = cluster(vec![hanging(), lost(1)]);
        edit(&mut seen.members[0], |view| view.semi_sync.enabled = false);
        let degraded = Record { ackers: vec![acker(1, 1)], durability: Durability::Degraded, ..record() };
        let mut on = seen.clone();
        edit(&mut on.members[0], |view| (view.semi_sync.enabled, view.semi_sync.wait_sessions) = (true, 1));
        on.now = Millis(8 + HOPELESS_MS);
        assert_eq!(
            decide(&policy(2), &degraded, &on).acts,
            give(0, Order::SemiSync { on: false }),
            "commits may go on"
        );
        assert_eq!(decide(&policy(2), &degraded, &seen).acts, vec![], "it is to be off");
        let wanted = Record { durability: Durability::CatchingUp, ..degraded };
        assert_eq!(decide(&policy(2), &wanted, &seen).acts, give(0, Order::ResetSemiSync));
    }

    #[test]
    fn a_busy_primary_is_left_alone() {
        let mut seen = cluster(vec![hanging(), acking(1)]);
        if let ServerSight::Answers { view, .. } = &mut seen.members[0].server {
            view.binlog_position = "0-17-11".parse().unwrap();
        }
        let (acts, told) = asked(&seen, &[1]);
        assert!(acts.is_empty() && told.contains("busy"), "{acts:?} {told}");
    }
}
