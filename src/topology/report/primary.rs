//! Whether the primary is healthy.

use super::super::observation::{MemberView, Observation};
use super::super::policy::Policy;
use super::super::reasons::Reason;
use super::super::verdict::{Verdict, verdict};

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
