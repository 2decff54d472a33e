//! The reasons of the Events that users read in `kubectl describe`.

/// What an Event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventReason {
    /// The one initialisation is done.
    Initialised,
    /// A failover was announced.
    FailoverStarted,
    /// The dead primary's unsent transactions were brought to the candidate.
    TailSalvaged,
    /// The candidate has a long tail to apply.
    CatchingUp,
    /// A member became primary.
    Promoted,
    /// A failover is done.
    FailoverComplete,
    /// The old primary became primary again.
    Resumed,
    /// The next step is not possible.
    Blocked,
    /// A member's mariadbd ended.
    MariadbdExited,
    /// A member that is not the primary took writes: its mariadbd is ended.
    MemberFenced,
    /// A member follows the primary again.
    MemberRejoined,
    /// A member has transactions the primary does not have, or foreign data.
    MemberQuarantined,
    /// An acknowledgement now means something else.
    DurabilityChanged,
    /// The spec cannot be used.
    InvalidSpec,
    /// A pod of the cluster does not start, or may not exist.
    MemberPending,
    /// An object of that name belongs to somebody else.
    NameTaken,
    /// The API server refused an object of the cluster.
    ObjectRefused,
    /// The Secret with the passwords of our accounts lacks one.
    SecretIncomplete,
    /// The object is not one that this version can read.
    Unreadable,
    /// The record in the status is not one that this version can continue from.
    RecordUnreadable,
    /// Lines of myCnf have no effect.
    OptionIgnored,
    /// Somebody else wrote the status of a cluster.
    StatusOverwritten,
}

impl EventReason {
    /// The Event's reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initialised => "Initialised",
            Self::FailoverStarted => "FailoverStarted",
            Self::TailSalvaged => "TailSalvaged",
            Self::CatchingUp => "CatchingUp",
            Self::Promoted => "Promoted",
            Self::FailoverComplete => "FailoverComplete",
            Self::Resumed => "Resumed",
            Self::Blocked => "Blocked",
            Self::MariadbdExited => "MariadbdExited",
            Self::MemberFenced => "MemberFenced",
            Self::MemberRejoined => "MemberRejoined",
            Self::MemberQuarantined => "MemberQuarantined",
            Self::DurabilityChanged => "DurabilityChanged",
            Self::InvalidSpec => "InvalidSpec",
            Self::MemberPending => "MemberPending",
            Self::NameTaken => "NameTaken",
            Self::ObjectRefused => "ObjectRefused",
            Self::SecretIncomplete => "SecretIncomplete",
            Self::Unreadable => "Unreadable",
            Self::RecordUnreadable => "RecordUnreadable",
            Self::OptionIgnored => "OptionIgnored",
            Self::StatusOverwritten => "StatusOverwritten",
        }
    }

    /// Normal or Warning.
    #[must_use]
    pub(crate) fn event_type(self) -> &'static str {
        match self {
            Self::FailoverStarted
            | Self::Blocked
            | Self::MariadbdExited
            | Self::MemberFenced
            | Self::MemberQuarantined
            | Self::InvalidSpec
            | Self::MemberPending
            | Self::NameTaken
            | Self::ObjectRefused
            | Self::SecretIncomplete
            | Self::Unreadable
            | Self::RecordUnreadable
            | Self::StatusOverwritten => "Warning",
            _ => "Normal",
        }
    }
}
