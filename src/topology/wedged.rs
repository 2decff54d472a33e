//! A primary that answers open sessions and takes no new ones: found, woken, told.
//!
//! It arises in MariaDB 10.11 and 11.8 when a replica's connection breaks silently while nobody commits: the replica's next
//! connection makes the primary remove the old dump thread, that waits for the thread that collects acknowledgements, and
//! that one waits in poll() until any acker says something. Meanwhile the list of threads is locked, so no connection is
//! accepted. An acker that connects anew wakes it.

use super::ackers;
use super::decision::{Act, Case, Decision, order};
use super::observation::{MemberView, NewConnection};
use crate::orders::{Order, Reason};
use crate::time::Millis;

/// What is done anyhow, and who wakes the primary meanwhile. What is recorded goes first.
pub(super) fn waking(case: &Case<'_>, primary: &MemberView, since: Millis, anyhow: Decision) -> Decision {
    if matches!(anyhow.acts.first(), Some(Act::Write { .. })) {
        return anyhow;
    }
    // Upkeep can wait, and the primary itself is given nothing that could wait for a new connection.
    let waits = |act: &Act| matches!(act, Act::Order { member, order } if *member == primary.ordinal || matches!(order, Order::Maintain(_)));
    let mut acts = anyhow.acts;
    acts.retain(|act| !waits(act));
    let name = case.policy.name(primary.ordinal);
    let seconds = case.lasted(since) / 1_000;
    let told = |what: String| format!("{name} takes no new connections (the first hung {seconds} s ago); {what}");
    let (woken, what) = match wake(case, primary) {
        Wake::By(acker) => {
            // What it has to do anyhow can wait.
            acts.retain(|act| !matches!(act, Act::Order { member, .. } if *member == acker.ordinal));
            (order(acker, reconnect(acker)), format!("{} connects anew to wake it", case.policy.name(acker.ordinal)))
        }
        Wake::Itself => {
            let what = "its semi-sync is switched off and on behind a read lock to wake it";
            (order(primary, Order::ResetSemiSync), what.to_owned())
        }
        Wake::Waits(why) => (None, why),
    };
    acts.extend(woken);
    Decision { acts, ..Decision::blocked(told(what)) }
}

/// Who can wake the primary.
enum Wake<'a> {
    /// This acker, whose connection is good.
    By(&'a MemberView),
    /// Nobody is connected: the primary itself.
    Itself,
    /// Nobody, now.
    Waits(String),
}

fn wake<'a>(case: &Case<'a>, primary: &MemberView) -> Wake<'a> {
    let (Some(now), Some(before)) = (primary.settled_view(), primary.before()) else {
        return Wake::Waits("it is looked at once more".to_owned());
    };
    if now.binlog_position != before.binlog_position {
        // Acknowledgements come in, so the thread that collects them is awake: something else is slow.
        return Wake::Waits("it commits what its open sessions ask for, so it is busy or its host is".to_owned());
    }
    // What was done before the last try did not help, or its effect was not tried yet.
    let tried_since = |member: &MemberView| {
        member.answered_at.is_none_or(|answered| match primary.new_connection {
            NewConnection::Hangs { tried, .. } => tried > answered,
            _ => false,
        })
    };
    let connected: Vec<&MemberView> = ackers::active(case.policy, case.record, case.seen).collect();
    let ready = connected.iter().filter(|acker| acker.is_free() && tried_since(acker));
    if let Some(acker) = ready.min_by_key(|acker| acker.answered_at) {
        return Wake::By(acker);
    }
    if !connected.is_empty() {
        return Wake::Waits("a replica connects anew to wake it".to_owned());
    }
    if !now.semi_sync.enabled {
        return Wake::Waits("semi-sync is off".to_owned());
    }
    if now.semi_sync.wait_sessions > 0 {
        return Wake::Waits(without_answering_the_waiting(&case.policy.name(primary.ordinal)));
    }
    if primary.is_free() && tried_since(primary) {
        return Wake::Itself;
    }
    Wake::Waits("its semi-sync is switched off and on to wake it".to_owned())
}

/// Switching semi-sync off would answer OK to commits that nobody else has.
fn without_answering_the_waiting(name: &str) -> String {
    format!(
        "no replica is connected and commits wait, so it cannot be woken without answering them: when no replica comes back, \
         end it with `kubectl exec {name} -c mariadb -- sh -c 'kill -9 $(pidof mariadbd)'`, and a failover follows that loses \
         nothing"
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
    use super::super::observation::{Observation, ServerSight};
    use super::super::record::Record;
    use super::*;
    use crate::orders::{OrderError, Ordinal};

    fn hanging() -> MemberView {
        let new_connection = NewConnection::Hangs { since: Millis(8), tried: Millis(9) };
        MemberView { new_connection, ..primary() }
    }

    fn asked(seen: &Observation, ackers: &[u8]) -> (Vec<Act>, String) {
        let ackers = ackers.iter().map(|ordinal| acker(*ordinal, 1)).collect();
        let decision = decide(&policy(seen.members.len()), &Record { ackers, ..record() }, seen);
        (decision.acts, decision.blocked.unwrap_or_default())
    }

    fn lost(ordinal: u8) -> MemberView {
        let mut member = acking(ordinal);
        edit(&mut member, |view| {
            view.acker_active = false;
            view.slave.as_mut().unwrap().io = super::super::observation::IoThread::Connecting;
        });
        member
    }

    fn give(member: u8, order: Order) -> Vec<Act> {
        vec![Act::Order { member: Ordinal(member), order }]
    }

    #[test]
    fn the_acker_whose_connection_is_good_wakes_it() {
        let seen = cluster(vec![hanging(), lost(1), acking(2)]);
        let (acts, told) = asked(&seen, &[1, 2]);
        assert_eq!(acts, give(2, Order::Reconnect));
        assert!(told.contains("c-0 takes no new connections") && told.contains("c-2 connects anew"), "{told}");
    }

    #[test]
    fn another_one_is_asked_only_after_another_try_hung() {
        let mut seen = cluster(vec![hanging(), acking(1), acking(2)]);
        seen.members[1].answered_at = Some(Millis(9));
        assert_eq!(asked(&seen, &[1, 2]).0, give(2, Order::Reconnect));
        seen.members[2].answered_at = Some(Millis(9));
        assert_eq!(asked(&seen, &[1, 2]).0, vec![]);
        seen.members[0].new_connection = NewConnection::Hangs { since: Millis(8), tried: Millis(10) };
        assert_eq!(asked(&seen, &[1, 2]).0, give(1, Order::Reconnect));
    }

    #[test]
    fn an_agent_that_does_not_know_the_order_gets_one_it_knows() {
        let mut seen = cluster(vec![hanging(), acking(1)]);
        let error = OrderError { reason: Reason::Unsupported, message: "unknown variant".to_owned() };
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
        assert!(told.contains("kubectl exec c-0"), "{told}");
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
