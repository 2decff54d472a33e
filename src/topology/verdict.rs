//! What became of the primary. Total: every observation has a verdict, and doubt never leads to action.

use super::observation::{IoThread, MemberView, ServerSight};
use crate::time::Millis;

/// What became of the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It answers SQL.
    Healthy,
    /// It answers the session that was open, and takes no new ones.
    Wedged {
        /// Beginning of the first try to connect that hung.
        since: Millis,
    },
    /// It answers in a run in which it was not promoted: an order that came late has started it after the record was put
    /// together. It takes no writes, and nobody has compared its logs.
    Unpromoted,
    /// Its agent proves that mariadbd does not run.
    Dead {
        /// How it ended, in the agent's words.
        how: String,
    },
    /// It answers with errors (disk full): a condition, no failover.
    Sick {
        /// The server's words.
        message: String,
    },
    /// It refuses the operator's own account; what other clients meet is not known.
    Denied {
        /// The server's words.
        message: String,
    },
    /// A replica still receives from it: the operator's own path is broken.
    PathBroken,
    /// Anything else: said, and nothing done.
    Suspect {
        /// What is known.
        message: String,
    },
}

impl Verdict {
    /// The word used in logs, conditions and docs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Wedged { .. } => "Wedged",
            Self::Unpromoted => "Unpromoted",
            Self::Dead { .. } => "Dead",
            Self::Sick { .. } => "Sick",
            Self::Denied { .. } => "Denied",
            Self::PathBroken => "PathBroken",
            Self::Suspect { .. } => "Suspect",
        }
    }

    /// One of each, for documentation tests.
    #[must_use]
    pub fn all() -> [Self; 8] {
        let message = String::new;
        [
            Self::Healthy,
            Self::Wedged { since: Millis(0) },
            Self::Unpromoted,
            Self::Dead { how: message() },
            Self::Sick { message: message() },
            Self::Denied { message: message() },
            Self::PathBroken,
            Self::Suspect { message: message() },
        ]
    }
}

/// Judges `primary`; `host` is the name replicas know it by.
#[must_use]
pub(crate) fn verdict(primary: &MemberView, host: &str, others: &[&MemberView]) -> Verdict {
    if primary.was_only_started() {
        return Verdict::Unpromoted;
    }
    if primary.view().is_some() {
        return primary.wedged_since().map_or(Verdict::Healthy, |since| Verdict::Wedged { since });
    }
    if primary.is_proven_dead() {
        return Verdict::Dead { how: how_it_ended(primary) };
    }
    match &primary.server {
        ServerSight::Sick { message } => return Verdict::Sick { message: message.clone() },
        ServerSight::Denied { message } => return Verdict::Denied { message: message.clone() },
        _ => {}
    }
    if others.iter().any(|other| receives_from(other, host)) {
        return Verdict::PathBroken;
    }
    Verdict::Suspect { message: what_is_known(primary) }
}

fn receives_from(member: &MemberView, host: &str) -> bool {
    let slave = member.view().and_then(|view| view.slave.as_ref());
    slave.is_some_and(|slave| slave.io == IoThread::Yes && slave.host == host)
}

fn how_it_ended(primary: &MemberView) -> String {
    use crate::orders::Mariadbd;
    match primary.state().map(|state| &state.mariadbd) {
        Some(Mariadbd::Exited { status, .. }) => format!("mariadbd exited with {status}"),
        _ => "mariadbd is not running".to_owned(),
    }
}

fn what_is_known(primary: &MemberView) -> String {
    let server = match &primary.server {
        ServerSight::Refused { .. } => "mariadbd refuses connections",
        ServerSight::Silent { .. } => "SQL does not answer",
        ServerSight::Unknown => "SQL has not been tried yet",
        ServerSight::Sick { .. } | ServerSight::Denied { .. } | ServerSight::Answers { .. } => "SQL answers",
    };
    let agent = if primary.state().is_some() { "its agent answers" } else { "its agent cannot be reached" };
    format!("{server}, {agent}, and nothing proves that mariadbd is dead{}", where_to_look(primary))
}

/// Its own agent is on the same machine: whether that gets in tells a hang from a broken path.
fn where_to_look(primary: &MemberView) -> &'static str {
    use crate::orders::Mariadbd;
    let silent = matches!(primary.server, ServerSight::Silent { .. });
    let Some(state) = primary.state().filter(|_| silent) else { return "" };
    let runs = matches!(state.mariadbd, Mariadbd::Running { .. });
    match (&state.mariadbd, state.takes_connections) {
        (Mariadbd::Running { sql: true, .. }, Some(true)) => {
            "; its own agent gets in: look at the network between the operator and ports 3306 and 3308"
        }
        (_, Some(false)) | (Mariadbd::Running { sql: false, .. }, _) if runs => {
            "; its own agent does not get in either, so it hangs: if it does not come back by itself, `kill -9` its mariadbd \
             (docs/reasons.md, PrimarySuspect)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::member::samples::{dead, primary, replica, running};
    use super::super::observation::{AgentSight, NewConnection};
    use super::*;

    fn sight() -> impl Strategy<Value = ServerSight> {
        prop_oneof![
            Just(ServerSight::Unknown),
            Just(running(0).server),
            Just(ServerSight::Refused { since: Millis(1) }),
            Just(ServerSight::Silent { since: Millis(1) }),
            Just(ServerSight::Sick { message: "Too many connections".to_owned() }),
            Just(ServerSight::Denied { message: "Access denied".to_owned() }),
        ]
    }

    fn agent() -> impl Strategy<Value = AgentSight> {
        prop_oneof![
            Just(AgentSight::Unknown),
            Just(AgentSight::Away { since: Millis(1) }),
            Just(running(0).agent),
            Just(dead(0).agent),
        ]
    }

    proptest! {
        #[test]
        fn dead_only_with_the_agents_proof_and_a_silent_server(server in sight(), agent in agent()) {
            let primary = MemberView { server, agent, ..running(0) };
            let replica = replica(1, "p0");
            let verdict = verdict(&primary, "p0", &[&replica]);
            let proof = primary.state().is_some_and(|state| state.mariadbd.is_dead());
            prop_assert_eq!(matches!(verdict, Verdict::Dead { .. }), proof && primary.view().is_none());
        }
    }

    #[test]
    fn an_unreachable_primary_that_still_feeds_a_replica_is_our_own_broken_path() {
        let primary = MemberView {
            server: ServerSight::Silent { since: Millis(1) },
            agent: AgentSight::Away { since: Millis(1) },
            ..running(0)
        };
        assert_eq!(verdict(&primary, "p0", &[&replica(1, "p0")]), Verdict::PathBroken);
        assert!(matches!(verdict(&primary, "p0", &[&replica(1, "elsewhere")]), Verdict::Suspect { .. }));
    }

    #[test]
    fn a_primary_that_answers_what_was_open_and_takes_nothing_new_is_wedged() {
        let hangs = |since| NewConnection::Hangs { since: Millis(since), tried: Millis(since) };
        let judge = |new_connection| verdict(&MemberView { new_connection, ..primary() }, "p0", &[]);
        // The sample's reading began at 10.
        assert_eq!(judge(hangs(9)), Verdict::Wedged { since: Millis(9) });
        assert_eq!(judge(hangs(11)), Verdict::Healthy, "the held session has not answered since");
        assert_eq!(judge(NewConnection::Accepted), Verdict::Healthy);
        let mut got_in = MemberView { new_connection: hangs(9), ..primary() };
        if let AgentSight::Present(state) = &mut got_in.agent {
            state.takes_connections = Some(true);
        }
        assert_eq!(
            verdict(&got_in, "p0", &[]),
            Verdict::Healthy,
            "its agent gets in: only the way from here is broken"
        );
        let silent =
            MemberView { server: ServerSight::Silent { since: Millis(1) }, new_connection: hangs(9), ..running(0) };
        assert!(matches!(verdict(&silent, "p0", &[]), Verdict::Suspect { .. }), "the way to it may be broken");
    }
}
