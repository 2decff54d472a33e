//! Locks that keep writes waiting.

/// How to end a lock that a session holds.
pub(super) fn unlock(name: &str) -> String {
    format!(
        "let a backup end; `kubectl exec {name} -c mariadb -- mariadb -e 'KILL ID'` ends a session \
         that was forgotten (`SHOW PROCESSLIST` tells more)"
    )
}
