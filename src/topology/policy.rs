//! The user's wishes, already validated. Safety never reads them; preferences do.

use crate::orders::{Ordinal, Term};

/// What writes wait for, as wished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A commit waits until an acker has received it.
    SemiSync,
    /// A commit waits for nobody.
    Async,
}

/// What a primary without any acker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenNoAcker {
    /// Commits wait until one returns.
    Wait,
    /// After this many milliseconds commits go on unacknowledged; the status says so.
    Degrade { after_ms: u64 },
}

/// Wishes for one member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct MemberPolicy {
    /// Higher is preferred; 0 by default.
    pub priority: u32,
    /// Never a candidate.
    pub never_primary: bool,
}

/// How much binary log members keep that all of them have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retention {
    /// Seconds since a file was written last.
    pub time_s: u64,
    /// Bytes of all files of a member together.
    pub bytes: u64,
}

/// Members without which a cluster goes on from what the others prove ([`super::outdated`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The members.
    pub members: Vec<Ordinal>,
    /// The term that the others prove: the wish holds for this one time.
    pub term: Term,
}

/// Wishes for one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// One entry for each member, index = ordinal.
    pub members: Vec<MemberPolicy>,
    /// Wished replication mode.
    pub mode: Mode,
    /// What to do without ackers.
    pub when_no_acker: WhenNoAcker,
    /// False: a failover is announced, not done. The same primary may still be resumed.
    pub failover_enabled: bool,
    /// True: members are watched and left alone; only a transition that has begun is brought to its end.
    pub paused: bool,
    /// A preferred member may be this many seconds behind and still be chosen.
    pub max_candidate_lag_s: u64,
    /// How long and how much binary log is kept when every member has it.
    pub retention: Retention,
    /// `namespace/name`, the cluster part of a volume's identity.
    pub cluster: String,
    /// Absolute DNS name of each member, index = ordinal.
    pub hosts: Vec<String>,
    /// Members whose data the user gives up, should the status turn out to be older than the members.
    pub given_up: Option<GivenUp>,
}

impl Policy {
    /// The wishes for one member; defaults when it has none.
    #[must_use]
    pub fn member(&self, ordinal: Ordinal) -> MemberPolicy {
        self.members.get(usize::from(ordinal.0)).copied().unwrap_or_default()
    }

    /// The member's name as people know it, `shop-0`.
    #[must_use]
    pub(crate) fn name(&self, ordinal: Ordinal) -> String {
        format!("{}-{ordinal}", self.short_name())
    }

    /// What comes before a command in a member's container of mariadbd, wherever the reader's kubectl points to.
    #[must_use]
    pub(crate) fn exec(&self, ordinal: Ordinal) -> String {
        let namespace = self.cluster.split_once('/').map_or("default", |(namespace, _)| namespace);
        format!("kubectl -n {namespace} exec {} -c mariadb --", self.name(ordinal))
    }

    /// The cluster's name without its namespace.
    #[must_use]
    pub(crate) fn short_name(&self) -> &str {
        self.cluster.rsplit('/').next().unwrap_or_default()
    }

    /// All ordinals of the cluster.
    pub(crate) fn ordinals(&self) -> impl Iterator<Item = Ordinal> + use<> {
        (0..u8::try_from(self.members.len()).unwrap_or(u8::MAX)).map(Ordinal)
    }
}
