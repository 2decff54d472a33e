//! What is counted over a history.

/// What happened in a history, for the report.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    /// Orders refused by a pod whose volume has moved away.
    pub without_volume: u64,
    pub failovers: u64,
    pub resumes: u64,
    /// Replicas mended by their source after a crash.
    pub mended: u64,
    /// Restarted ackers that applied their kept relay logs.
    pub recovered: u64,
    /// Commits released by a pod that had been deleted by force.
    pub by_deleted_pods: u64,
    /// Commits of replicas that somebody made writable.
    pub by_strays: u64,
    pub crashes_in_failover: u64,
    /// Writes that were done and whose answer never came.
    pub lost_answers: u64,
    /// Writes that were done after their leader had given up waiting.
    pub late_writes: u64,
    /// Statuses that somebody put back.
    pub rollbacks: u64,
    pub hangs: u64,
    /// Primaries that took no new connections; those of them that an acker woke, that were reset, and that were killed for it.
    pub wedges: u64,
    pub woken: u64,
    pub reset: u64,
    pub killed_silent: u64,
    pub fenced_wedges: u64,
    pub half_open: u64,
    pub api_away: u64,
    pub disks_full: u64,
    pub disks_hanging: u64,
    /// Orders and starts that failed for want of space.
    pub without_space: u64,
    pub endpoints_late: u64,
    pub older_copies: u64,
    pub by_strangers: u64,
    /// Members that the user gave up, because the status said how.
    pub given_up: u64,
    pub edits: u64,
    pub acked: u64,
    pub orders: u64,
    pub blocked: u64,
}
