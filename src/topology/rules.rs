//! The rules that decisions keep, each of which a test can break.

/// The rules in force. Always the default, except in tests that prove that the simulation notices a broken rule.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// Mutant: an acker leaves the list as soon as it is not seen running.
    pub acker_leaves_at_once: bool,
    /// Mutant: any incarnation of an acker counts as the one recorded.
    pub ignore_incarnations: bool,
    /// Mutant: relay logs that a member has thrown away in its present run do not count.
    pub ignore_dropped: bool,
    /// Mutant: the old primary is promoted again although nobody knows where its binary logs ended.
    pub resumes_unread: bool,
    /// Mutant: any pod of an acker's name, also elsewhere or with another volume, proves that the run recorded is over.
    pub any_pod_ends_a_run: bool,
    /// Mutant: a status that was put back is followed as if it were the newest.
    pub believes_the_past: bool,
    /// Mutant: what a status that was put back says of acknowledgements is believed.
    pub past_acknowledgements: bool,
    /// Mutant: in a transition a member that takes writes and is not the primary is treated like any other.
    pub ignore_strays: bool,
    /// Mutant: an agent with an empty volume is enough for a new leader to take over a cluster that has data.
    pub any_agent_will_do: bool,
    /// Mutant: what members have told before a status from the past was read proves what it lacks.
    pub old_proofs: bool,
    /// Mutant: an acker whose agent is away for long is shut out though it is seen to acknowledge and nobody else does.
    pub away_is_gone: bool,
    /// Mutant: only a later run in the same pod ends an acker's entry.
    pub entries_stay: bool,
    /// Mutant: a member whose mariadbd ends after its `init` is waited for.
    pub init_waits: bool,
    /// Mutant: what an earlier term gave up is a reason to go back to it.
    pub given_up_counts: bool,
}
