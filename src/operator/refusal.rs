//! What keeps a cluster's objects from being as they should be, as conditions and Events tell it. No I/O.

use super::apply::ApplyError;
use super::events::Reason;
use crate::api::validate::Invalid;

/// Longest message; admission webhooks say what they like.
const MAX_MESSAGE: usize = 1_024;

/// One reason with all that is to be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Reason of the conditions and of the Event.
    pub reason: Reason,
    /// Which objects, what is wrong with them, and what to do.
    pub message: String,
}

impl Refusal {
    /// What applying a cluster's objects came to; none when everything was applied, or what failed passes by itself.
    #[must_use]
    pub fn of(errors: &[ApplyError]) -> Option<Self> {
        let told: Vec<(Reason, String)> =
            errors.iter().filter_map(|error| Some((error.reason()?, error.to_string()))).collect();
        let reason = told.first()?.0;
        let all: Vec<String> = told.into_iter().map(|(_, message)| message).collect();
        Some(Self { reason, message: bounded(all.join("; ")) })
    }

    /// A spec that cannot be used.
    #[must_use]
    pub fn of_spec(invalid: &Invalid) -> Self {
        Self { reason: Reason::InvalidSpec, message: bounded(invalid.to_string()) }
    }
}

fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::operator::clients::CallError;

    fn refused(kind: &str, code: u16, message: &str) -> ApplyError {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        let source = CallError::Kube(kube::Error::Api(status.boxed()));
        ApplyError::Call { kind: kind.to_owned(), name: "shop".to_owned(), source }
    }

    #[test]
    fn what_the_api_server_refuses_is_told_with_the_object_and_the_remedy() {
        let errors = [
            refused("StatefulSet", 422, "requests must be less than or equal to memory limit of 1Gi"),
            refused("PodDisruptionBudget", 403, "exceeded quota"),
        ];
        let told = Refusal::of(&errors).unwrap();
        assert_eq!(told.reason, Reason::ObjectRefused);
        for part in ["StatefulSet shop", "less than or equal", "PodDisruptionBudget shop", "exceeded quota", "correct"]
        {
            assert!(told.message.contains(part), "{part}: {}", told.message);
        }
    }

    #[test]
    fn what_passes_by_itself_is_not_told() {
        assert_eq!(Refusal::of(&[refused("Service", 409, "changed"), refused("Service", 429, "later")]), None);
        let timeout = CallError::Timeout(std::time::Duration::from_secs(3));
        let silent = ApplyError::Call { kind: "Service".to_owned(), name: "shop".to_owned(), source: timeout };
        assert_eq!(Refusal::of(&[silent]), None);
        assert_eq!(Refusal::of(&[]), None);
    }

    #[test]
    fn names_that_are_taken_and_keys_that_are_missing_are_told() {
        let taken = ApplyError::NameTaken {
            kind: "Service".to_owned(),
            name: "shop-primary".to_owned(),
            whose: "it has no label".to_owned(),
            cluster: "shop".to_owned(),
        };
        let told = Refusal::of(&[taken]).unwrap();
        assert_eq!(told.reason, Reason::NameTaken);
        assert!(told.message.contains("Service shop-primary") && told.message.contains("delete or rename"), "{told:?}");
        let keys = ApplyError::Keys { name: "shop-accounts".to_owned(), keys: vec!["probe".to_owned()] };
        assert_eq!(Refusal::of(&[keys]).unwrap().reason, Reason::SecretIncomplete);
    }

    #[test]
    fn messages_are_bounded() {
        let told = Refusal::of(&[refused("Service", 500, &"ä".repeat(5_000))]).unwrap();
        assert!(told.message.len() <= MAX_MESSAGE + '…'.len_utf8());
    }
}
