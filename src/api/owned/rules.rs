//! What the API server says of `spec.myCnf`: one rule for each reason, so that the message names line and reason, and no rule
//! costs much (facts of CEL: the cost of a pattern grows with its length and with the text's).

use super::{
    DANGER, DIFFER, FILTER, LOGIN, OWNED, Owned, PLACE, POD, RETENTION, ROLE, SAFETY, UNUSABLE, WITH_KEYS, pattern,
};

/// Why owned options are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// [`ROLE`].
    Role,
    /// [`SAFETY`].
    Safety,
    /// [`PLACE`].
    Place,
    /// [`FILTER`].
    Filter,
    /// [`POD`].
    Pod,
    /// [`LOGIN`].
    Login,
    /// [`DANGER`].
    Danger,
    /// [`DIFFER`].
    Differ,
    /// [`RETENTION`].
    Retention,
    /// [`UNUSABLE`].
    Unusable,
    /// Every other reason: the operator's own check names it.
    Other,
}

/// What the rule for [`Refusal::Other`] says.
const OTHER: &str = "docs/operations.md says what to set instead";

impl Refusal {
    /// Every one.
    pub(crate) const ALL: [Self; 11] = [
        Self::Role,
        Self::Safety,
        Self::Place,
        Self::Filter,
        Self::Pod,
        Self::Login,
        Self::Danger,
        Self::Differ,
        Self::Retention,
        Self::Unusable,
        Self::Other,
    ];

    fn of(owned: &Owned) -> Self {
        let known = Self::ALL.into_iter().find(|refusal| refusal.why() == owned.why);
        known.unwrap_or(Self::Other)
    }

    fn why(self) -> &'static str {
        match self {
            Self::Role => ROLE,
            Self::Safety => SAFETY,
            Self::Place => PLACE,
            Self::Filter => FILTER,
            Self::Pod => POD,
            Self::Login => LOGIN,
            Self::Danger => DANGER,
            Self::Differ => DIFFER,
            Self::Retention => RETENTION,
            Self::Unusable => UNUSABLE,
            Self::Other => OTHER,
        }
    }

    /// Finds a line that is refused for this reason.
    #[must_use]
    pub(crate) fn pattern(self) -> String {
        pattern::regex(OWNED.iter().filter(|owned| Self::of(owned) == self))
    }

    /// The CEL rule of `spec.myCnf`.
    #[must_use]
    pub(crate) fn rule(self) -> String {
        lacks(&self.pattern())
    }

    /// The CEL expression of its message.
    #[must_use]
    pub(crate) fn message(self) -> String {
        let why = self.why();
        names(&self.pattern(), &format!("myCnf has an option that belongs to the operator, remove it ({why})"))
    }
}

/// The CEL rule of `spec.myCnf` against values that lead out of the datadir.
#[must_use]
pub(crate) fn paths_rule() -> (String, String) {
    let text =
        "myCnf names a file outside the datadir or among the operator's own files, where the agent's record lies";
    (lacks(pattern::OUTSIDE), names(pattern::OUTSIDE, text))
}

/// The CEL rule of `spec.myCnf` against sections, and its message.
#[must_use]
pub(crate) fn sections_rule() -> (String, String) {
    let text = "myCnf has no sections: every line is an option of [mariadbd]";
    (lacks(pattern::SECTION), names(pattern::SECTION, text))
}

/// The CEL rule of `spec.myCnf` against includes, and its message.
#[must_use]
pub(crate) fn includes_rule() -> (String, String) {
    (lacks(pattern::INCLUDE), names(pattern::INCLUDE, "myCnf cannot include files"))
}

/// The CEL rule of `spec` that lets [`WITH_KEYS`] in only when there are keys.
#[must_use]
pub(crate) fn keys_rule() -> String {
    let pattern = pattern::regex(WITH_KEYS.iter());
    format!("has(self.encryption) || !has(self.myCnf) || !self.myCnf.matches(r'{pattern}')")
}

/// What the API server says when `myCnf` has one of [`WITH_KEYS`] and there are no keys.
pub(crate) const KEYS_MESSAGE: &str = "encrypt_binlog in myCnf needs encryption with the keys: without them the agent could not read \
     a dead primary's binary log";

fn lacks(pattern: &str) -> String {
    format!("!self.matches(r'{pattern}')")
}

/// An expression for `text` and the line that `pattern` finds.
fn names(pattern: &str, text: &str) -> String {
    format!("\"{text}: \" + self.find(r'{pattern}').trim()")
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;

    /// The API server's cost of a pattern grows with its length; the limit of one call is a million
    /// (k8s.io/apiserver/pkg/cel PerCallLimit), and matching costs a tenth of the text times a quarter of the pattern.
    #[test]
    fn a_full_text_stays_below_the_limit_of_a_call() {
        const LONGEST: usize = 16_384;
        for refusal in Refusal::ALL {
            let length = refusal.pattern().len();
            assert!(LONGEST / 10 * length / 4 < 1_000_000, "{refusal:?}: {length}");
        }
    }

    #[test]
    fn the_api_server_has_a_rule_for_each_reason() {
        let definition = serde_json::to_string(&crate::api::ReplicationCluster::crd()).unwrap();
        for refusal in Refusal::ALL {
            let rule = serde_json::to_string(&refusal.rule()).unwrap();
            assert!(definition.contains(&rule), "{refusal:?}");
        }
    }

    #[test]
    fn texts_fit_into_the_expressions() {
        for refusal in Refusal::ALL {
            assert!(!refusal.why().contains(['"', '\\', '\n']), "{refusal:?}");
            assert!(!refusal.pattern().contains('\''), "{refusal:?}");
        }
        let role = OWNED.iter().find(|owned| owned.name == "read_only").map(Refusal::of);
        assert_eq!(role, Some(Refusal::Role));
        let other = OWNED.iter().find(|owned| owned.name == "gtid_domain_id").map(Refusal::of);
        assert_eq!(other, Some(Refusal::Other));
    }
}
