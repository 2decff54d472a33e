//! A member as values: its volume, its mariadbd, the connections between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use beachmaster::gtid::{Gtid, GtidPosition, is_logged};
use beachmaster::orders::{ExitStatus, Incarnation, OrderEnvelope, Ordinal, Outcome, Term, Token, VolumeRecord};
use beachmaster::topology::record::written_outside_terms;

use crate::disks::Disk;

/// Virtual time in milliseconds.
pub type At = u64;
/// Index of a pod in the world; a member may have had several.
pub type HostId = usize;

/// One transaction; its place in a binary log is its sequence number - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tx {
    pub gtid: Gtid,
}

/// The position after the last of `txs`.
pub fn position_of(last: Option<&Tx>) -> GtidPosition {
    last.map(|tx| tx.gtid).into_iter().collect()
}

/// Relay logs of a run, and the member they came from.
#[derive(Debug, Clone)]
pub struct Kept {
    pub of: Incarnation,
    pub source: Option<u8>,
    pub txs: Vec<Tx>,
}

/// What outlives a pod. `binlog` is durable (sync_binlog=1); relay logs live in [`Server`], because what is left of them
/// after an exit is only the agent's links.
#[derive(Debug, Clone)]
pub struct Volume {
    pub record: Option<VolumeRecord>,
    /// Highest token, its order's id, and the answer it got.
    pub highest: Option<(Token, String, Option<Outcome>)>,
    pub binlog: Vec<Tx>,
    /// Linked relay logs that were not applied.
    pub kept: Vec<Kept>,
    /// Members whose replication account is locked here.
    pub locked: BTreeSet<u8>,
    /// Members that were never let in.
    pub unadmitted: BTreeSet<u8>,
    /// False: the datadir cannot be read.
    pub readable: bool,
    /// The index of the binary logs was moved away: they cannot be read, but mariadbd starts, with a history of its own.
    pub index_lost: bool,
    /// mariadbd began anew in that state, and has not got its history back from anybody.
    pub history_lost: bool,
    /// A crash left a group in the binary log that is not in the tables: only a source has it.
    pub half_done: bool,
    /// It took writes while somebody had made it writable: it has a branch of its own.
    pub strayed: bool,
    pub disk: Disk,
}

impl Volume {
    pub fn blank() -> Self {
        Self {
            record: None,
            highest: None,
            binlog: Vec::new(),
            kept: Vec::new(),
            locked: BTreeSet::new(),
            unadmitted: BTreeSet::new(),
            readable: true,
            index_lost: false,
            history_lost: false,
            half_done: false,
            strayed: false,
            disk: Disk::default(),
        }
    }

    pub fn position(&self) -> GtidPosition {
        position_of(self.binlog.last())
    }

    /// As `gtid_binlog_state`, when the last transaction is of no primary.
    pub fn logged(&self) -> Vec<Gtid> {
        if written_outside_terms(&self.position()).is_none() {
            return Vec::new();
        }
        let last: BTreeMap<u32, Gtid> = self.binlog.iter().map(|tx| (tx.gtid.server, tx.gtid)).collect();
        last.into_values().collect()
    }

    /// False when it took writes of its own in place of what `position` names.
    pub fn has_up_to(&self, position: &GtidPosition) -> bool {
        written_outside_terms(&self.position()).is_none() || is_logged(&self.logged(), position)
    }

    /// Applies what of `txs` is missing; false when they are not of the same history, or begin too late.
    pub fn extend(&mut self, txs: &[Tx]) -> bool {
        for tx in txs {
            let index = usize::try_from(tx.gtid.sequence).unwrap() - 1;
            match self.binlog.get(index) {
                Some(known) if known.gtid != tx.gtid => return false,
                Some(_) => {}
                None if index == self.binlog.len() => self.binlog.push(*tx),
                None => return false,
            }
        }
        true
    }

    /// True when relay logs that a run threw away, or one after it, are kept and have it.
    pub fn has_kept(&self, of: Incarnation, gtid: Gtid) -> bool {
        self.kept.iter().any(|kept| kept.of >= of && kept.txs.iter().any(|tx| tx.gtid == gtid))
    }

    pub fn has(&self, index: usize, gtid: Gtid) -> bool {
        self.binlog.get(index).is_some_and(|tx| tx.gtid == gtid)
    }
}

/// Where a replica was told to get transactions from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Member(u8),
    /// A binlog server, by the address of its pod.
    Donor(HostId),
}

/// An IO thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    Stopped,
    Connecting,
    Connected(u64),
}

/// The replica side of a mariadbd.
#[derive(Debug, Clone)]
pub struct Slave {
    pub from: From,
    pub io: Io,
    pub sql: bool,
    pub io_errno: u32,
}

/// A commit of a client.
#[derive(Debug, Clone, Copy)]
pub struct Commit {
    pub client: usize,
    pub attempt: u64,
    pub begun: At,
}

/// A running mariadbd.
#[derive(Debug, Clone)]
pub struct Server {
    pub incarnation: Incarnation,
    /// It answers SQL.
    pub sql: bool,
    pub read_only: bool,
    /// Somebody has made it writable by hand.
    pub stray: bool,
    pub server_id: u32,
    /// Term in which it was promoted.
    pub term: Term,
    pub semi_master: bool,
    pub slave_enabled: bool,
    pub slave: Option<Slave>,
    /// Received, not applied.
    pub relay: VecDeque<Tx>,
    pub applying: bool,
    /// In the binlog, waiting for an acknowledgement; with the index of the transaction.
    pub waiting: VecDeque<(Commit, usize)>,
    /// Not yet in the binlog: behind at most two waiting groups (facts/semi-sync.md).
    pub queue: VecDeque<Commit>,
}

impl Server {
    pub fn boot(incarnation: Incarnation, server_id: u32) -> Self {
        Self {
            incarnation,
            sql: false,
            read_only: true,
            stray: false,
            server_id,
            term: Term(0),
            semi_master: false,
            slave_enabled: false,
            slave: None,
            relay: VecDeque::new(),
            applying: false,
            waiting: VecDeque::new(),
            queue: VecDeque::new(),
        }
    }
}

/// An order being carried out.
#[derive(Debug, Clone)]
pub struct Run {
    pub id: u64,
    pub order: OrderEnvelope,
    pub step: u32,
    pub reply: Reply,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    pub leader: usize,
    pub link: u64,
}

/// The agent's process.
#[derive(Debug, Clone)]
pub struct Agent {
    pub up: bool,
    pub run: Option<Run>,
    pub serving: bool,
    /// It was started anew when its mariadbd took no new connections.
    pub shut_out: bool,
}

/// What becomes of a wedged primary whose semi-sync is switched off and on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wedge {
    /// It wakes.
    Wakes,
    /// It falls silent.
    FallsSilent,
    /// It is silent: semi-sync is off, and nothing commits behind the lock.
    Silent,
}

/// A pod of a member with its volume.
#[derive(Debug, Clone)]
pub struct Host {
    pub ordinal: Ordinal,
    pub pod_uid: String,
    pub boot_id: String,
    pub boot_at: At,
    /// False after the pod ended.
    pub alive: bool,
    pub volume: Volume,
    pub server: Option<Server>,
    pub exited: Option<(Incarnation, ExitStatus)>,
    pub agent: Agent,
    /// Time to apply a batch, and to receive one.
    pub apply_ms: u64,
    pub link_ms: u64,
    /// Somebody's session holds a lock that the SQL thread waits for until then.
    pub locked_until: At,
    /// From then on the agent tells of it.
    pub lock_told_from: At,
    /// mariadbd stands still until then.
    pub hung_until: At,
    /// It takes no new connections.
    pub wedged: Option<Wedge>,
    /// Side of the network partition it is on.
    pub side: u8,
    /// Its volume was attached elsewhere: it can write nothing more, but still receive and acknowledge.
    pub detached: bool,
}

impl Host {
    /// Number of transactions in the binary log or received.
    pub fn received_len(&self) -> usize {
        self.volume.binlog.len() + self.server.as_ref().map_or(0, |server| server.relay.len())
    }

    pub fn received_last(&self) -> Option<&Tx> {
        self.server.as_ref().and_then(|server| server.relay.back()).or(self.volume.binlog.last())
    }

    pub fn received(&self) -> GtidPosition {
        position_of(self.received_last())
    }

    /// True when the transaction is in its binary log or its live relay log.
    pub fn has_received(&self, index: usize, gtid: Gtid) -> bool {
        let applied = self.volume.binlog.len();
        if index < applied {
            return self.volume.has(index, gtid);
        }
        let relayed = self.server.as_ref().and_then(|server| server.relay.get(index - applied));
        relayed.is_some_and(|tx| tx.gtid == gtid)
    }

    /// True while mariadbd stands still.
    pub fn is_hung(&self, now: At) -> bool {
        self.hung_until > now
    }

    pub fn answering(&self) -> Option<&Server> {
        self.server.as_ref().filter(|server| server.sql && self.alive)
    }

    pub fn is_writable(&self) -> bool {
        self.answering().is_some_and(|server| !server.read_only)
    }
}

/// A replication connection.
#[derive(Debug, Clone)]
pub struct Conn {
    pub replica: HostId,
    pub source: HostId,
    pub donor: bool,
    pub semi: bool,
    /// Index of the next transaction to send.
    pub next: usize,
    pub pumping: bool,
    pub cut_since: Option<At>,
}
