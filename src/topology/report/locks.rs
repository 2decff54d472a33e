//! Locks that keep writes waiting.

use super::super::policy::Policy;
use crate::orders::Ordinal;

/// How to end a lock that a session holds.
pub(super) fn unlock(policy: &Policy, member: Ordinal) -> String {
    format!(
        "let a backup end; `{} mariadb -e 'KILL ID'` ends a session that was forgotten (`SHOW PROCESSLIST` shows more)",
        policy.exec(member)
    )
}
