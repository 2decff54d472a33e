//! The words of status and docs, as closed sets: the same in code, conditions, events and documentation.

use std::fmt;

macro_rules! closed_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)*
        }

        impl $name {
            /// Every word of the set.
            pub const ALL: &'static [Self] = &[$(Self::$word,)*];

            /// The word itself.
            #[must_use]
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

closed_words! {
    /// Why a condition is as it is.
    Reason {
        /// Ready.
        PrimaryAcceptsWrites,
        /// A transition is under way.
        InTransition,
        /// No data yet.
        NotInitialised,
        /// Its agent proves that the primary's mariadbd does not run.
        PrimaryDead,
        /// The primary answers with an error.
        PrimarySick,
        /// The members have obeyed a later term than the status records.
        RecordOutdated,
        /// The primary answers sessions that are open and takes no new ones.
        PrimaryWedged,
        /// The primary refuses the operator's own account.
        ProbeDenied,
        /// NAME-primary does not lead to the primary.
        ServiceMisdirected,
        /// The primary's agent cannot be reached: nobody could prove that its mariadbd died.
        AgentUnreachable,
        /// The primary's binary logs no longer hold what its term began with, and no acker could prove the rest.
        BinaryLogsReset,
        /// The member that would be promoted does not receive from the primary.
        CandidateNotReceiving,
        /// The operator's way to the primary is broken, the replicas' is not.
        PathBroken,
        /// The primary does not answer, and nothing proves anything.
        PrimarySuspect,
        /// A lock that somebody holds keeps writes waiting.
        WritesLocked,
        /// Somebody set read_only on the primary.
        PrimaryReadOnly,
        /// Commits wait, and no acker is connected.
        NoAcker,
        /// FailoverReady.
        CandidateReady,
        /// `spec.failover.enabled` is false.
        FailoverDisabled,
        /// One member only.
        NoReplica,
        /// No replica is fit to be promoted.
        NoCandidate,
        /// No acker has proved yet to have everything.
        CatchingUp,
        /// Commits do not wait, on purpose.
        Degraded,
        /// A recorded acker cannot prove what it has: without the primary's files nothing could be promoted.
        AckerUnproven,
        /// No volume is almost full.
        VolumesHaveSpace,
        /// A volume is almost full.
        VolumeFilling,
        /// A setting the operator owns was changed by hand.
        OwnedSettingChanged,
        /// A member is out of replication: its own reason says why.
        MemberUnfit,
        /// The one initialisation.
        Initialise,
        /// A failover.
        Failover,
        /// The old primary becomes primary again.
        Resume,
        /// Nothing is under way.
        AtRest,
        /// The next step needs something that is missing.
        Blocked,
        /// Volumes have data but the status does not know it.
        AdoptionBlocked,
        /// Not every member can be reached yet.
        WaitingForMembers,
        /// Nothing is stalled.
        Progressing,
        /// `spec.paused` is true.
        SpecPaused,
        /// `spec.paused` is false.
        NotPaused,
    }
}

closed_words! {
    /// How a member is.
    MemberState {
        /// It does its part.
        Ready,
        /// No pod or no agent yet.
        Pending,
        /// On its way to doing its part.
        Starting,
        /// Its mariadbd does not run.
        Down,
        /// Its volume is held.
        Held,
        /// Its volume is not taken for data.
        Refused,
        /// It takes no part in replication and keeps what it has.
        Quarantined,
    }
}

closed_words! {
    /// Why a member is not ready.
    MemberReason {
        /// No pod.
        NoPod,
        /// Its agent cannot be reached.
        AgentUnreachable,
        /// mariadbd ended.
        MariadbdExited,
        /// Nobody can tell whether mariadbd runs.
        MariadbdUnknown,
        /// Held until it is ordered to start.
        VolumeHeld,
        /// mariadbd was not started yet.
        NotStarted,
        /// mariadbd does not answer its agent yet.
        SqlNotReady,
        /// mariadbd refuses the agent's own login.
        LoginRefused,
        /// The operator's accounts are not as they must be.
        AccountsWrong,
        /// mariadbd does not answer the operator.
        SqlUnreachable,
        /// mariadbd refuses the operator's own account.
        ProbeDenied,
        /// mariadbd answers the session that is open and takes no new ones.
        NoNewConnections,
        /// A lock that somebody holds keeps writes waiting.
        WritesLocked,
        /// The primary is not writable yet.
        ReadOnly,
        /// Its replica threads are not both connected and running.
        NotReplicating,
        /// No data on the volume.
        BlankVolume,
        /// Other data on the volume.
        ForeignVolume,
        /// The volume cannot be used.
        UnusableVolume,
        /// It has transactions the primary lacks.
        ErrantTransactions,
        /// The primary no longer has what it needs.
        PositionPurged,
        /// Its SQL thread stopped with an error.
        SqlThreadError,
    }
}
