//! Whether the primary is healthy.

use super::super::observation::{MemberView, Observation};
use super::super::policy::{Policy, WhenNoAcker};
use super::super::reasons::Reason;
use super::super::verdict::{Verdict, verdict};
use crate::orders::Ordinal;

/// What became of the primary.
pub(super) fn judge(policy: &Policy, seen: &Observation, primary: &MemberView) -> Verdict {
    let others: Vec<&MemberView> = seen.members.iter().filter(|member| member.ordinal != primary.ordinal).collect();
    let host = policy.hosts.get(usize::from(primary.ordinal.0)).map_or("", String::as_str);
    verdict(primary, host, &others)
}

/// True when a Service that leads elsewhere is put back to a primary of this verdict: of any that is not about to be replaced.
pub(super) fn is_led_back_to(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::Dead { .. } | Verdict::Unpromoted)
}

/// True when clients of an unhealthy primary may write all the same: it is only the operator that does not get in.
pub(super) fn may_take_writes(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Denied { .. } | Verdict::PathBroken)
}

/// What ends the wait of writes that nobody acknowledges.
pub(super) fn no_acker(policy: &Policy) -> String {
    let wait = "writes wait until a replica acknowledges them, and none does: bring one back";
    match policy.when_no_acker {
        WhenNoAcker::Wait => format!("{wait}, or set spec.replication.whenNoAcker to Degrade"),
        WhenNoAcker::Degrade { .. } if policy.paused => {
            format!("{wait}; spec.paused is true, so whenNoAcker has no effect: set it to false")
        }
        // Without the time that is left: the status would change with every second.
        WhenNoAcker::Degrade { after_ms } => format!(
            "{wait}; otherwise they go on without one once there has been none for {} s (spec.replication.degradeAfter)",
            after_ms.div_ceil(1_000)
        ),
    }
}

/// What helps when clients have used up all connections. Administrators have one place more, over the socket.
pub(super) fn more_connections(policy: &Policy, primary: Ordinal) -> String {
    format!(
        "when they are used up, `{} mariadb -e 'SET GLOBAL max_connections=2*@@max_connections'` makes room at once (repeat it \
         when it is turned away, too); set it in spec.myCnf as well, or close what holds them",
        policy.exec(primary)
    )
}

/// The reason a verdict gives; none for a healthy primary.
pub(super) fn unhealthy(verdict: &Verdict) -> Option<Reason> {
    match verdict {
        Verdict::Healthy => None,
        Verdict::Wedged { .. } => Some(Reason::PrimaryWedged),
        Verdict::Unpromoted => Some(Reason::PrimaryReadOnly),
        Verdict::Dead { .. } => Some(Reason::PrimaryDead),
        Verdict::Sick { .. } => Some(Reason::PrimarySick),
        Verdict::Denied { .. } => Some(Reason::ProbeDenied),
        Verdict::PathBroken => Some(Reason::PathBroken),
        Verdict::Suspect { .. } => Some(Reason::PrimarySuspect),
    }
}
