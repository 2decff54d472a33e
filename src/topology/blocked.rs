//! What stands in the way of the next step.

use std::fmt;

use super::reasons::Reason;

/// An obstacle, by its kind, and in words for people: what is missing, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// Volumes hold data that the status does not know.
    Adoption(String),
    /// The initialisation cannot begin yet.
    Initialisation(String),
    /// The status is from the past.
    RecordOutdated(String),
    /// The next step needs something that is missing.
    Step(String),
}

impl Blocked {
    /// What is missing, in words.
    #[must_use]
    pub(crate) fn message(&self) -> &str {
        let (Self::Adoption(why) | Self::Initialisation(why) | Self::RecordOutdated(why) | Self::Step(why)) = self;
        why
    }

    /// The reason of the condition `Stalled`.
    #[must_use]
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Adoption(_) => Reason::AdoptionBlocked,
            Self::Initialisation(_) => Reason::WaitingForMembers,
            Self::RecordOutdated(_) => Reason::RecordOutdated,
            Self::Step(_) => Reason::Blocked,
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl From<String> for Blocked {
    fn from(why: String) -> Self {
        Self::Step(why)
    }
}

impl From<&str> for Blocked {
    fn from(why: &str) -> Self {
        Self::Step(why.to_owned())
    }
}
