//! What a report is made of.

use super::super::reasons::{MemberReason, MemberState, Reason};
use crate::orders::Ordinal;

/// One condition, without its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// A condition of the API, such as `Ready`.
    pub kind: &'static str,
    /// True, False or Unknown.
    pub status: bool,
    /// Why.
    pub reason: Reason,
    /// What is so and what to do about it.
    pub message: String,
}

/// Role of a member as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is the recorded primary.
    Primary,
    /// Any other.
    Replica,
}

/// One member as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReport {
    /// Its number.
    pub ordinal: Ordinal,
    /// Its role.
    pub role: Role,
    /// How it is.
    pub state: MemberState,
    /// Why, when not ready.
    pub reason: Option<MemberReason>,
    /// What is wrong and what to do.
    pub message: Option<String>,
    /// Seconds behind the primary.
    pub lag_s: Option<u64>,
}

/// Everything shown in the status besides the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In a fixed order.
    pub conditions: Vec<Condition>,
    /// One for each member.
    pub members: Vec<MemberReport>,
}

/// Puts a condition together.
pub(super) fn condition(kind: &'static str, status: bool, reason: Reason, message: impl Into<String>) -> Condition {
    Condition { kind, status, reason, message: message.into() }
}
