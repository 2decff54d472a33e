//! What one member is, seen from the record: part of the cluster, following, errant, broken.

use super::observation::{IoThread, MemberView, ServerView, SlaveStatus};
use super::reasons::MemberReason;
use super::record::{Record, written_outside_terms};
use crate::errno;
use crate::orders::Volume;

/// Why a member takes no part in replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Its volume has no data, in a cluster that has.
    BlankVolume,
    /// Its volume has other data.
    ForeignVolume(String),
    /// Its volume cannot be used.
    UnusableVolume(String),
    /// It has transactions the primary does not have.
    Errant(String),
    /// The primary no longer has the binary logs it needs.
    PositionPurged(String),
    /// Its SQL thread stopped with an error: its number, and the server's words.
    SqlThread(u32, String),
}

impl Trouble {
    /// The reason shown in status.
    #[must_use]
    pub(crate) fn reason(&self) -> MemberReason {
        match self {
            Self::BlankVolume => MemberReason::BlankVolume,
            Self::ForeignVolume(_) => MemberReason::ForeignVolume,
            Self::UnusableVolume(_) => MemberReason::UnusableVolume,
            Self::Errant(_) => MemberReason::ErrantTransactions,
            Self::PositionPurged(_) => MemberReason::PositionPurged,
            Self::SqlThread(..) => MemberReason::SqlThreadError,
        }
    }

    /// What is wrong and what to do.
    #[must_use]
    pub(crate) fn message(&self) -> String {
        match self {
            Self::BlankVolume => {
                "the volume is empty, but the cluster has data: an empty volume is never taken for data; \
                                  give the member its own volume back; the other members go on without it"
                    .to_owned()
            }
            Self::ForeignVolume(whose) => format!(
                "the volume belongs to {whose}: give the member its own volume back, or an empty one before the first \
                 initialisation"
            ),
            Self::UnusableVolume(why) => format!("the volume cannot be used: {why}"),
            Self::Errant(what) => format!(
                "it has transactions that the primary does not have ({what}): keep its volume, compare them with \
                 `beachmaster binlog diff`; the other members go on without it"
            ),
            Self::PositionPurged(what) => {
                format!(
                    "the primary no longer has the binary logs it needs ({what}): the other members go on without it"
                )
            }
            Self::SqlThread(code, error) if *code == u32::from(errno::GTID_STRICT_OUT_OF_ORDER) => format!(
                "its SQL thread stopped: {code} {error}: somebody wrote to it while it was a replica, and START SLAVE does not \
                 help: keep its volume, compare them with `beachmaster binlog diff`; the other members go on without it"
            ),
            Self::SqlThread(code, error) => {
                format!("its SQL thread stopped: {code} {error}: mend what that names, then START SLAVE on it")
            }
        }
    }
}

/// What keeps `member` out of replication, if anything. `primary` is the healthy primary's view, when there is one.
#[must_use]
pub(crate) fn trouble(
    record: &Record,
    cluster: &str,
    member: &MemberView,
    primary: Option<&MemberView>,
) -> Option<Trouble> {
    volume_trouble(record, cluster, member)
        .or_else(|| errant(record, member, primary).map(Trouble::Errant))
        .or_else(|| refused_position(member))
        .or_else(|| sql_trouble(member))
}

/// As [`trouble`], for a member that is to follow the primary at `host`: what another source has refused, that one may have.
#[must_use]
pub(crate) fn trouble_following(
    record: &Record,
    cluster: &str,
    member: &MemberView,
    primary: &MemberView,
    host: &str,
) -> Option<Trouble> {
    if slave(member).is_none_or(|slave| slave.host == host || !is_refused(slave)) {
        return trouble(record, cluster, member, Some(primary));
    }
    sql_or_volume_trouble(record, cluster, member)
        .or_else(|| errant(record, member, Some(primary)).map(Trouble::Errant))
}

/// What keeps `member` from being promoted whatever its position: its volume or a stopped SQL thread.
#[must_use]
pub(crate) fn sql_or_volume_trouble(record: &Record, cluster: &str, member: &MemberView) -> Option<Trouble> {
    volume_trouble(record, cluster, member).or_else(|| sql_trouble(member))
}

/// What is wrong with the volume of `member`, if anything.
#[must_use]
pub(crate) fn volume_trouble(record: &Record, cluster: &str, member: &MemberView) -> Option<Trouble> {
    let state = member.state()?;
    let data_uid = record.data_uid.as_ref()?;
    match &state.volume {
        Volume::Blank => Some(Trouble::BlankVolume),
        Volume::Unusable { message } => Some(Trouble::UnusableVolume(message.clone())),
        Volume::Recorded { .. } if member.holds(cluster, data_uid) => None,
        Volume::Recorded { record } => {
            Some(Trouble::ForeignVolume(format!("{} (data {})", record.identity.member(), record.identity.data_uid.0)))
        }
    }
}

/// Transactions that `member` has and the primary lacks: written with an id no primary ever has, or beyond what the
/// primary had at a later moment.
fn errant(record: &Record, member: &MemberView, primary: Option<&MemberView>) -> Option<String> {
    let view = member.view()?;
    if record.primary == Some(member.ordinal) {
        return None;
    }
    if let Some(own) = written_outside_terms(&view.received()) {
        return Some(own);
    }
    // The earlier reading was finished before the later one began, so a primary read after that must have it all.
    let (earlier, primary) = (member.before()?, primary?.view()?);
    let ahead = primary.begun >= view.begun && !primary.binlog_position.covers(&earlier.received());
    ahead
        .then(|| crate::gtid::join_ranges(&earlier.received().beyond(&primary.binlog_position)))
        .map(|ranges| if ranges.is_empty() { "same sequence numbers from another server".to_owned() } else { ranges })
}

fn refused_position(member: &MemberView) -> Option<Trouble> {
    let slave = slave(member)?;
    if !is_refused(slave) {
        return None;
    }
    let purged = slave.io_error.contains("purged");
    Some(if purged { Trouble::PositionPurged(slave.io_error.clone()) } else { Trouble::Errant(slave.io_error.clone()) })
}

/// True when its IO thread ended its last try with this error.
pub(super) fn io_failed_with(slave: &SlaveStatus, code: u16) -> bool {
    slave.io_errno == u32::from(code)
}

/// True when its source does not have the position it asked for.
#[must_use]
pub(crate) fn is_refused(slave: &SlaveStatus) -> bool {
    io_failed_with(slave, errno::MASTER_FATAL_ERROR_READING_BINLOG) && slave.io == IoThread::No
}

fn sql_trouble(member: &MemberView) -> Option<Trouble> {
    let slave = slave(member)?;
    let stopped = !slave.sql && slave.sql_errno != 0;
    stopped.then(|| Trouble::SqlThread(slave.sql_errno, slave.sql_error.clone()))
}

/// Replica status at the last reading.
#[must_use]
pub(crate) fn slave(member: &MemberView) -> Option<&SlaveStatus> {
    member.view().and_then(|view| view.slave.as_ref())
}

/// True when its replication account is locked on its source.
#[must_use]
pub(crate) fn is_locked_out(member: &MemberView) -> bool {
    slave(member).is_some_and(|slave| io_failed_with(slave, errno::ACCOUNT_HAS_BEEN_LOCKED))
}

/// True when its source refuses the password it replicates with, and its agent has another one. While the source takes the
/// old one nothing is done: the new one may not have reached the source yet.
#[must_use]
pub(crate) fn has_old_password(member: &MemberView) -> bool {
    let failed_with = |slave: &SlaveStatus| {
        [errno::ACCESS_DENIED_ERROR, errno::USER_IS_BLOCKED].into_iter().any(|code| io_failed_with(slave, code))
    };
    let refused = |slave: &SlaveStatus| slave.io != IoThread::Yes && failed_with(slave);
    slave(member).is_some_and(refused) && member.state().is_some_and(|state| state.sql_notes.password_changed)
}

/// True when `view` replicates from `host` by GTID with both threads alive.
#[must_use]
pub(crate) fn follows(view: &ServerView, host: &str) -> bool {
    view.slave
        .as_ref()
        .is_some_and(|slave| slave.host == host && slave.by_gtid && slave.sql && slave.io != IoThread::No)
}

#[cfg(test)]
pub(crate) mod samples {
    //! Members in typical states, for tests.

    use super::super::observation::{AgentSight, Observation, PodView, ReplicatedFrom, SemiSyncSource, ServerSight};
    use super::super::policy::{MemberPolicy, Mode, Policy, Retention, WhenNoAcker};
    use super::super::record::{Acker, Durability, boot_server_id};
    use super::*;
    use crate::orders::{
        AgentState, BootMillis, DataUid, ExitStatus, Identity, Incarnation, Mariadbd, MemberRole, Ordinal, Secret,
        Term, Token, Upkeep, VolumeRecord,
    };
    use crate::time::Millis;

    pub(crate) const CLUSTER: &str = "ns/c";
    pub(crate) const DATA: &str = "data-1";

    pub(crate) fn state(ordinal: u8, mariadbd: Mariadbd) -> AgentState {
        AgentState {
            version: "0.1.0".to_owned(),
            pod_uid: format!("pod-{ordinal}"),
            boot_id: format!("boot-{ordinal}"),
            boot_ms: BootMillis(1),
            volume: Volume::Recorded {
                record: VolumeRecord {
                    identity: Identity {
                        cluster: CLUSTER.to_owned(),
                        data_uid: DataUid(DATA.to_owned()),
                        ordinal: Ordinal(ordinal),
                    },
                    token: Some(Token { data_uid: DataUid(DATA.to_owned()), term: Term(3), seq: 1 }),
                    role: MemberRole::Replica,
                    promoted_as: None,
                    ended: Vec::new(),
                    hold: false,
                    clean_stop: false,
                    incarnation: Incarnation(1),
                },
            },
            mariadbd,
            serving: None,
            running: None,
            takes_connections: None,
            extra_port: None,
            sql_notes: crate::orders::SqlNotes::default(),
            upkeep: Upkeep::default(),
        }
    }

    pub(crate) fn view(position: &str) -> ServerView {
        ServerView {
            begun: Millis(10),
            server_id: boot_server_id(Ordinal(0)),
            read_only: true,
            binlog_position: position.parse().unwrap(),
            slave_position: position.parse().unwrap(),
            semi_sync: SemiSyncSource::default(),
            acker_wanted: false,
            acker_active: false,
            slave: None,
            drift: vec![],
            logged: vec![],
        }
    }

    pub(crate) fn running(ordinal: u8) -> MemberView {
        let view = view("0-17-10");
        MemberView {
            ordinal: Ordinal(ordinal),
            pod: Some(PodView {
                uid: format!("pod-{ordinal}"),
                ip: None,
                deleting: false,
                node: Some(format!("node-{ordinal}")),
            }),
            agent: AgentSight::Present(Box::new(state(
                ordinal,
                Mariadbd::Running { incarnation: Incarnation(1), sql: true },
            ))),
            server: ServerSight::Answers {
                before: Some(Box::new(ServerView { begun: Millis(5), ..view.clone() })),
                view: Box::new(view),
            },
            running_since: Some(Millis(1)),
            ..MemberView::default()
        }
    }

    pub(crate) fn replica(ordinal: u8, host: &str) -> MemberView {
        let mut member = running(ordinal);
        edit(&mut member, |view| {
            view.slave = Some(SlaveStatus {
                host: host.to_owned(),
                port: 3306,
                io: IoThread::Yes,
                sql: true,
                io_position: view.binlog_position.clone(),
                io_errno: 0,
                io_error: String::new(),
                sql_errno: 0,
                sql_error: String::new(),
                lag_s: Some(0),
                by_gtid: true,
            });
        });
        member
    }

    /// Member 0, which takes writes and waits for acknowledgements.
    pub(crate) fn primary() -> MemberView {
        let mut primary = running(0);
        edit(&mut primary, |view| {
            (view.read_only, view.semi_sync.enabled, view.semi_sync.wait_no_slave) = (false, true, true);
        });
        primary
    }

    /// A replica of member 0 that acknowledges.
    pub(crate) fn acking(ordinal: u8) -> MemberView {
        let mut member = replica(ordinal, "p0");
        edit(&mut member, |view| (view.acker_wanted, view.acker_active) = (true, true));
        member
    }

    pub(crate) fn policy(members: usize) -> Policy {
        Policy {
            members: vec![MemberPolicy::default(); members],
            mode: Mode::SemiSync,
            when_no_acker: WhenNoAcker::Wait,
            failover_enabled: true,
            paused: false,
            max_candidate_lag_s: 10,
            retention: Retention { time_s: 604_800, bytes: 1 << 30 },
            cluster: CLUSTER.to_owned(),
            hosts: (0..members).map(|ordinal| format!("p{ordinal}")).collect(),
            given_up: None,
        }
    }

    /// A cluster at rest whose primary, member 0, was promoted in term 1 and so has the server id 17.
    pub(crate) fn record() -> Record {
        Record {
            data_uid: Some(DataUid(DATA.to_owned())),
            term: Term(3),
            primary: Some(Ordinal(0)),
            promoted_in: Term(1),
            began: None,
            durability: Durability::Enforced,
            ackers: vec![],
            transition: None,
        }
    }

    pub(crate) fn acker(ordinal: u8, incarnation: u64) -> Acker {
        Acker {
            member: Ordinal(ordinal),
            pod_uid: format!("pod-{ordinal}"),
            boot_id: format!("boot-{ordinal}"),
            incarnation: Incarnation(incarnation),
        }
    }

    pub(crate) fn cluster(members: Vec<MemberView>) -> Observation {
        Observation {
            members,
            service_member: Some(Ordinal(0)),
            service_term: Some(Term(1)),
            service_by_name_alone: false,
            now: Millis(100),
            no_acker_since: None,
            status_since: None,
            my_term: Some(Term(3)),
            fresh_uid: DataUid("fresh".to_owned()),
            fresh_login: ("u".to_owned(), Secret("p".to_owned())),
        }
    }

    pub(crate) fn edit(member: &mut MemberView, change: impl Fn(&mut ServerView)) {
        if let ServerSight::Answers { view, before } = &mut member.server {
            change(view);
            before.iter_mut().for_each(|before| change(before));
            member.replicated = ReplicatedFrom::after(member.replicated.take(), view);
        }
    }

    pub(crate) fn dead(ordinal: u8) -> MemberView {
        let exited = Mariadbd::Exited {
            incarnation: Incarnation(1),
            status: ExitStatus { code: None, signal: Some(9) },
            message: String::new(),
            at: None,
        };
        MemberView {
            agent: AgentSight::Present(Box::new(state(ordinal, exited))),
            server: ServerSight::Refused { since: Millis(9) },
            ..running(ordinal)
        }
    }
}
