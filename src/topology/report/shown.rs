//! What a report is made of.

use super::super::reasons::{MemberReason, MemberState, Reason};
use crate::api::status::ConditionType;
use crate::orders::Ordinal;

/// One condition, without its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// A condition of the API, such as `Ready`.
    pub(crate) kind: &'static str,
    /// True, False or Unknown.
    pub(crate) status: bool,
    /// Why.
    pub(crate) reason: Reason,
    /// What is so and what to do about it.
    pub(crate) message: String,
}

/// Role of a member as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is the recorded primary.
    Primary,
    /// Any other.
    Replica,
}

/// One member as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberReport {
    /// Its number.
    pub(crate) ordinal: Ordinal,
    /// Its role.
    pub(crate) role: Role,
    /// How it is.
    pub(crate) state: MemberState,
    /// Why, when not ready.
    pub(crate) reason: Option<MemberReason>,
    /// What is wrong and what to do.
    pub(crate) message: Option<String>,
    /// Seconds behind the primary.
    pub(crate) lag_s: Option<u64>,
}

/// Everything shown in the status besides the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// In a fixed order.
    pub(crate) conditions: Vec<Condition>,
    /// One for each member.
    pub(crate) members: Vec<MemberReport>,
}

/// Puts a condition together.
pub(super) fn condition(kind: ConditionType, status: bool, reason: Reason, message: impl Into<String>) -> Condition {
    Condition { kind: kind.as_str(), status, reason, message: message.into() }
}
