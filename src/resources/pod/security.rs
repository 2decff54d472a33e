//! Security contexts: every container fits Pod Security `restricted`.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};

/// Uid and gid of `mysql` in MariaDB's images; the agent logs in over the socket as that user.
const MYSQL: i64 = 999;

/// The pod's context: the user's when there is one, completed with what `restricted` asks.
pub(super) fn pod(user: Option<&PodSecurityContext>) -> PodSecurityContext {
    let base = user.cloned().unwrap_or_else(|| PodSecurityContext {
        run_as_user: Some(MYSQL),
        run_as_group: Some(MYSQL),
        fs_group: Some(MYSQL),
        // A large volume is not walked through at every start.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        ..PodSecurityContext::default()
    });
    PodSecurityContext {
        run_as_non_root: base.run_as_non_root.or(Some(true)),
        seccomp_profile: base.seccomp_profile.clone().or_else(|| Some(runtime_default())),
        ..base
    }
}

/// The context of each of our containers.
pub(super) fn container() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        seccomp_profile: Some(runtime_default()),
        ..SecurityContext::default()
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }
}
