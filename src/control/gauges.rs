//! The numbers that show how a cluster is.

use crate::topology::reasons::MemberState;
use crate::topology::record::Durability;
use crate::topology::report::{MemberReport, Role};

/// The numbers that show how a cluster is now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges {
    /// The members, index = ordinal; empty before the first report.
    pub(crate) members: Vec<MemberGauges>,
    /// The death of the primary would be survived.
    pub(crate) failover_ready: bool,
    /// What an acknowledgement means; none before there is data.
    pub(crate) durability: Option<Durability>,
    /// For how long the next step has not been possible, in milliseconds; 0 when it is.
    pub(crate) blocked_ms: u64,
}

/// The same of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberGauges {
    /// It answers SQL.
    pub(crate) up: bool,
    /// Its role.
    pub(crate) role: Role,
    /// Seconds behind the primary; none when that is not known.
    pub(crate) lag_s: Option<u32>,
}

impl MemberGauges {
    /// As the newest report tells it.
    #[must_use]
    pub(crate) fn of(member: &MemberReport) -> Self {
        let lag_s = member.lag_s.and_then(|lag| u32::try_from(lag).ok());
        Self { up: member.state == MemberState::Ready, role: member.role, lag_s }
    }
}
