//! What was seen of a cluster at one moment: plain values, put together by the operator's shell.

mod maintained;
mod server;

pub(crate) use self::maintained::{Drift, Maintained};
pub use self::server::{IoThread, SemiSyncSource, ServerView, SlaveStatus};
use super::member_progress::MemberProgress;
use crate::api::owned::boot_server_id;
use crate::gtid::GtidPosition;
use crate::layout::MARIADB_PORT;
use crate::orders::{AgentState, DataUid, Frozen, Incarnation, Mariadbd, Ordinal, Secret, Term, Token, Volume};
use crate::time::Millis;

/// What the SQL probe saw of a member last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ServerSight {
    /// Not tried yet since this leader began.
    #[default]
    Unknown,
    /// It answered.
    Answers {
        /// The last reading.
        view: Box<ServerView>,
        /// The reading before it, of the same connection.
        before: Option<Box<ServerView>>,
    },
    /// The connection was refused or closed: nobody listens.
    Refused {
        /// Since when.
        since: Millis,
    },
    /// No answer within the limit, or no way there.
    Silent {
        /// Since when.
        since: Millis,
    },
    /// It answered with an error (connections used up, disk full).
    Sick {
        /// The server's words.
        message: String,
    },
    /// It refused the operator's own account: that says nothing about what other clients meet.
    Denied {
        /// The server's words.
        message: String,
    },
}

/// What the last try to open a new connection showed. Clients need new ones, and a server may answer a held session while it
/// accepts none: it is wedged then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum NewConnection {
    /// Not tried in this run of mariadbd.
    #[default]
    Unknown,
    /// The server accepted it.
    Accepted,
    /// The server took no notice of it within the limit.
    Hangs {
        /// Beginning of the first of the tries in a row that hung.
        since: Millis,
        /// Beginning of the last one.
        tried: Millis,
    },
    /// The server turned it away with an error (connections used up).
    TurnedAway {
        /// The server's words.
        message: String,
    },
}

/// What is known of a member's agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum AgentSight {
    /// Not tried yet since this leader began.
    #[default]
    Unknown,
    /// No stream. Never evidence of death.
    Away {
        /// Since when.
        since: Millis,
    },
    /// A stream is open; the newest state it told.
    Present(Box<AgentState>),
}

/// Where a member replicated from, and how far behind it was. A reading that fails takes nothing back of it; and whoever loses
/// its source, or stops a thread, no longer tells its lag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplicatedFrom {
    /// Host of its source.
    pub(crate) host: String,
    /// `Seconds_Behind_Master` when it was told last.
    pub(crate) lag_s: Option<u64>,
}

impl ReplicatedFrom {
    /// What is known after one more reading.
    #[must_use]
    pub(crate) fn after(known: Option<Self>, view: &ServerView) -> Option<Self> {
        let slave = view.slave.as_ref()?;
        let before = known.filter(|known| known.host == slave.host).and_then(|known| known.lag_s);
        Some(Self { host: slave.host.clone(), lag_s: slave.lag_s.or(before) })
    }
}

/// A member's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodView {
    /// metadata.uid.
    pub(crate) uid: String,
    /// status.podIP, once it has one.
    pub(crate) ip: Option<String>,
    /// It has a deletionTimestamp.
    pub(crate) deleting: bool,
    /// Name of its node, once it has one.
    pub(crate) node: Option<String>,
}

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberView {
    /// Its number.
    pub(crate) ordinal: Ordinal,
    /// Its pod, when there is one.
    pub(crate) pod: Option<PodView>,
    /// Its agent.
    pub(crate) agent: AgentSight,
    /// Its mariadbd over SQL, on a held session.
    pub server: ServerSight,
    /// Whether its mariadbd takes new connections.
    pub(crate) new_connection: NewConnection,
    /// Port of its mariadbd for members and the operator, as its agent told last.
    pub(crate) extra_port: Option<u16>,
    /// What readings of this run have shown last of where it replicates from.
    pub(crate) replicated: Option<ReplicatedFrom>,
    /// When this observer first heard that the present incarnation runs (from the agent).
    pub running_since: Option<Millis>,
    /// When this observer first heard that mariadbd does not run (from the agent), while it does not.
    pub(crate) dead_since: Option<Millis>,
    /// Why its acknowledgements did not mean what `Enforced` says in some reading since that was recorded.
    pub(crate) weakened: Option<String>,
    /// When its agent told its state last.
    pub(crate) heard_at: Option<Millis>,
    /// When the last answer to an order of it came in: readings begun before say nothing about what that order did.
    pub(crate) answered_at: Option<Millis>,
    /// An order is in flight, or a failed one waits for its next try.
    pub(crate) busy: Option<&'static str>,
    /// It is the latter.
    pub(crate) resting: bool,
    /// It was passed over in an earlier term because its orders failed, and has not applied what it was asked to since.
    pub(crate) stumbled: bool,
    /// What was reached in this term.
    pub(crate) progress: MemberProgress,
    /// When its upkeep was ordered last.
    pub(crate) maintained: Maintained,
    /// The highest tokens its volumes have told, one for each data, also while its agent is away or after the volume is gone.
    pub(crate) obeyed: Vec<Token>,
}

impl MemberView {
    /// The agent's state, while a stream is open.
    #[must_use]
    pub(crate) fn state(&self) -> Option<&AgentState> {
        match &self.agent {
            AgentSight::Present(state) => Some(state),
            AgentSight::Unknown | AgentSight::Away { .. } => None,
        }
    }

    /// Where other members reach its mariadbd.
    #[must_use]
    pub(crate) fn port_for_members(&self) -> u16 {
        self.extra_port.unwrap_or(MARIADB_PORT)
    }

    /// The reading before the last one: finished before the last one began.
    #[must_use]
    pub(crate) fn before(&self) -> Option<&ServerView> {
        match &self.server {
            ServerSight::Answers { before, .. } => before.as_deref(),
            _ => None,
        }
    }

    /// The last reading, when it certainly shows the incarnation the agent speaks of.
    #[must_use]
    pub(crate) fn current_view(&self) -> Option<&ServerView> {
        let since = self.running_since?;
        self.view().filter(|view| self.is_running() && view.begun > since)
    }

    /// The last reading, when it also shows what the last order did: what new orders are derived from.
    #[must_use]
    pub(crate) fn settled_view(&self) -> Option<&ServerView> {
        self.current_view().filter(|view| self.answered_at.is_none_or(|answered| view.begun > answered))
    }

    /// True when no order is in flight and none waits for its next try.
    #[must_use]
    pub(crate) fn is_free(&self) -> bool {
        self.busy.is_none()
    }

    /// True while an order of this name is in flight.
    #[must_use]
    pub(crate) fn is_doing(&self, order: &str) -> bool {
        self.busy == Some(order) && !self.resting
    }

    /// The freeze of this term, while the frozen incarnation still runs.
    #[must_use]
    pub(crate) fn frozen(&self) -> Option<&Frozen> {
        let frozen = self.progress.frozen.as_ref()?;
        let same = self.incarnation() == Some(frozen.incarnation);
        (same || frozen.killed).then_some(frozen)
    }

    /// About how many bytes of binary log it serves that the candidate lacked.
    #[must_use]
    pub(crate) fn tail_bytes(&self) -> Option<u64> {
        self.progress.serving.as_ref()?.bytes
    }

    /// True when it has everything up to `target`, durably, and nothing is left to be mended: fit to be promoted.
    #[must_use]
    pub(crate) fn is_settled_at(&self, target: &GtidPosition) -> bool {
        let Some(frozen) = self.frozen() else { return false };
        match &self.progress.applied {
            Some(applied) => self.progress.settled && applied.covers(target),
            None => frozen.settled && frozen.applied.covers(target),
        }
    }

    /// True when its last reading certainly shows a run in which it was not promoted: a promotion gives it another id than the
    /// one it booted with.
    #[must_use]
    pub(crate) fn was_only_started(&self) -> bool {
        self.settled_view().is_some_and(|view| view.read_only && view.server_id == boot_server_id(self.ordinal))
    }

    /// True when all that is known of it was told, or asked for, after `since`.
    #[must_use]
    pub(crate) fn is_newer_than(&self, since: Millis) -> bool {
        let told = self.state().is_none() || self.heard_at.is_some_and(|at| at > since);
        told && self.view().is_none_or(|view| view.begun > since)
    }

    /// The last reading over SQL, while it answers.
    #[must_use]
    pub(crate) fn view(&self) -> Option<&ServerView> {
        match &self.server {
            ServerSight::Answers { view, .. } => Some(view),
            _ => None,
        }
    }

    /// The run of its mariadbd, while it runs.
    #[must_use]
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        match self.state()?.mariadbd {
            Mariadbd::Running { incarnation, .. } => Some(incarnation),
            _ => None,
        }
    }

    /// True when both roads to it were tried at least once.
    #[must_use]
    pub(crate) fn is_sighted(&self) -> bool {
        self.agent != AgentSight::Unknown && self.server != ServerSight::Unknown
    }

    /// Since when it takes no new connections, while it answers the held session: the way to it is good, the server is not.
    /// Where the member's own agent gets in, something between here and there drops new connections.
    #[must_use]
    pub(crate) fn wedged_since(&self) -> Option<Millis> {
        self.new_connections_hang().filter(|_| !self.takes_local_connections())
    }

    /// Since when the operator's new connections hang, while the held session answers.
    #[must_use]
    pub(crate) fn new_connections_hang(&self) -> Option<Millis> {
        let NewConnection::Hangs { since, .. } = self.new_connection else { return None };
        self.view().filter(|view| view.begun >= since).map(|_| since)
    }

    /// What keeps its writes waiting for a lock, while something does: clients on a primary, the SQL thread on a replica.
    #[must_use]
    pub(crate) fn writes_locked(&self) -> Option<&str> {
        self.state().and_then(|state| state.sql_notes.writes_locked.as_deref())
    }

    fn takes_local_connections(&self) -> bool {
        self.state().is_some_and(|state| state.takes_connections == Some(true))
    }

    /// True when its agent proves that mariadbd does not run, and nothing else answers in its name.
    #[must_use]
    pub(crate) fn is_proven_dead(&self) -> bool {
        self.state().is_some_and(|state| state.mariadbd.is_dead()) && self.view().is_none()
    }

    /// True when its agent answers and its mariadbd runs and answers SQL to the agent.
    #[must_use]
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state().map(|state| &state.mariadbd), Some(Mariadbd::Running { sql: true, .. }))
    }

    /// True when the volume is that of this member of this data.
    #[must_use]
    pub(crate) fn holds(&self, cluster: &str, data_uid: &DataUid) -> bool {
        match self.state().map(|state| &state.volume) {
            Some(Volume::Recorded { record }) => {
                record.identity.cluster == cluster
                    && record.identity.data_uid == *data_uid
                    && record.identity.ordinal == self.ordinal
            }
            _ => false,
        }
    }
}

/// What was seen of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Every member of the spec, index = ordinal.
    pub(crate) members: Vec<MemberView>,
    /// The member NAME-primary selects.
    pub(crate) service_member: Option<Ordinal>,
    /// The term in which NAME-primary was written last, as it says itself.
    pub(crate) service_term: Option<Term>,
    /// True when NAME-primary selects by the pod's name alone, as an earlier release wrote it.
    pub(crate) service_by_name_alone: bool,
    /// Now.
    pub(crate) now: Millis,
    /// Since when no live acker has been connected ([`super::ackers::any_active`]), tracked by the observer.
    pub(crate) no_acker_since: Option<Millis>,
    /// When the status was read first after somebody else may have written it; none before that. What was known before may be
    /// from before that somebody's time.
    pub(crate) status_since: Option<Millis>,
    /// The term this leader has written; none before its first write.
    pub(crate) my_term: Option<Term>,
    /// An unused identity for the data, should it be needed.
    pub(crate) fresh_uid: DataUid,
    /// The one-time login for binlog servers of this term: random, and the same until the term changes.
    pub(crate) fresh_login: (String, Secret),
}

impl Observation {
    /// True when NAME-primary leads to `member` alone and says since which term: without one it does not fence late writes, by a
    /// name alone it may lead to a pod of somebody else, too. Then it is written once more.
    #[must_use]
    pub(crate) fn service_selects(&self, member: Ordinal) -> bool {
        self.service_member == Some(member) && self.service_term.is_some() && !self.service_by_name_alone
    }

    /// One member.
    #[must_use]
    pub(crate) fn member(&self, ordinal: Ordinal) -> Option<&MemberView> {
        self.members.iter().find(|member| member.ordinal == ordinal)
    }
}
