//! The transitions of a cluster, as the status records them. A new kind begins here; the compiler names most of what follows
//! (docs/architecture.md, "A new kind of transition").

use crate::gtid::GtidPosition;
use crate::orders::Ordinal;

/// Kind of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransitionKind {
    /// The one creation of the data.
    Initialise,
    /// Another member becomes primary because the old one died.
    Failover,
    /// The old primary becomes primary again because nobody else can.
    Resume,
}

impl TransitionKind {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Initialise, Self::Failover, Self::Resume];
}

/// Step of a transition as recorded. Each step between them may be repeated by whoever continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Announced. Nothing is promoted; everything may still be given up.
    Decided,
    /// The point of no return: `primary` names the new one already, later trouble is a new failover from it.
    Promoting,
}

impl Step {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Decided, Self::Promoting];
}

/// A transition under way. Each state has what its next step needs, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// Announced: every volume is initialised, then `first` is promoted, or another one when that is no member any more.
    Initialise {
        /// The member chosen.
        first: Ordinal,
    },
    /// Announced: another member is to be promoted in the place of `from`.
    Failover {
        /// The primary that is being replaced.
        from: Ordinal,
        /// Where its binary logs ended, once they were read: what is missing later was lost since.
        logs_end: Option<GtidPosition>,
    },
    /// Announced: `from` is to be promoted again.
    Resume {
        /// The primary that stopped.
        from: Ordinal,
        /// Where its binary logs ended before its mariadbd was started: it must come up with all of that.
        logs_end: Option<GtidPosition>,
    },
    /// The point of no return is passed: `to` is the recorded primary.
    Promoting {
        /// What the promotion is for.
        what: Promotion,
        /// The member that is promoted.
        to: Ordinal,
        /// What it must have: less would lose what was acknowledged.
        required: GtidPosition,
    },
}

/// What a promotion is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promotion {
    /// The first term: nobody was primary before.
    Initialise,
    /// The member takes the place of another one.
    Failover {
        /// The primary that is being replaced.
        from: Ordinal,
    },
    /// The old primary becomes primary again.
    Resume,
}

impl Transition {
    /// What is being done.
    #[must_use]
    pub fn kind(&self) -> TransitionKind {
        match self {
            Self::Initialise { .. } | Self::Promoting { what: Promotion::Initialise, .. } => TransitionKind::Initialise,
            Self::Failover { .. } | Self::Promoting { what: Promotion::Failover { .. }, .. } => {
                TransitionKind::Failover
            }
            Self::Resume { .. } | Self::Promoting { what: Promotion::Resume, .. } => TransitionKind::Resume,
        }
    }

    /// How far it has come.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::Initialise { .. } | Self::Failover { .. } | Self::Resume { .. } => Step::Decided,
            Self::Promoting { .. } => Step::Promoting,
        }
    }

    /// The primary before; none in an initialisation.
    #[must_use]
    pub fn from(&self) -> Option<Ordinal> {
        match self {
            Self::Initialise { .. } | Self::Promoting { what: Promotion::Initialise, .. } => None,
            Self::Failover { from, .. }
            | Self::Resume { from, .. }
            | Self::Promoting { what: Promotion::Failover { from }, .. }
            | Self::Promoting { what: Promotion::Resume, to: from, .. } => Some(*from),
        }
    }

    /// The primary after, once it is chosen.
    #[must_use]
    pub fn to(&self) -> Option<Ordinal> {
        match self {
            Self::Initialise { first: to } | Self::Promoting { to, .. } => Some(*to),
            Self::Failover { .. } | Self::Resume { .. } => None,
        }
    }
}
