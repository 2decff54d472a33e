//! Deliberate mistakes of the machine; only for tests that prove that they are noticed.

/// All false in an operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mistakes {
    /// A reading is taken to show what holds when it comes, not when it was begun.
    pub stale_reading_believed: bool,
    /// A status write without an answer counts as done.
    pub lost_write_believed: bool,
    /// A member is given orders while it works on one.
    pub orders_while_busy: bool,
    /// NAME-primary is not looked at again when somebody changes it.
    pub service_unchecked: bool,
    /// Any answer is taken for that to the order that was given last.
    pub any_answer_taken: bool,
    /// Streams are pinged as at rest while their members are in trouble.
    pub never_in_doubt: bool,
    /// What a member told of its term is forgotten when its agent is away.
    pub term_forgotten: bool,
}
