//! What applying a cluster's objects came to, and what keeps its task from running, as conditions and Events tell it.

use super::apply::ApplyError;
use crate::control::event_reason::EventReason;
use crate::control::record_codec::RecordError;
use crate::control::refusal::Refusal;

/// None when everything was applied, or what failed passes by itself, and the record can be read.
#[must_use]
pub(crate) fn refusal(errors: &[ApplyError], record: Option<&RecordError>) -> Option<Refusal> {
    let record = record.map(|error| (EventReason::RecordUnreadable, error.to_string()));
    let refused = errors.iter().filter_map(|error| Some((error.reason()?, error.to_string())));
    Refusal::of_all(record.into_iter().chain(refused).collect())
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::control::record_codec;
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
        let told = refusal(&errors, None).unwrap();
        assert_eq!(told.reason, EventReason::ObjectRefused);
        for part in ["StatefulSet shop", "less than or equal", "PodDisruptionBudget shop", "exceeded quota", "correct"]
        {
            assert!(told.message.contains(part), "{part}: {}", told.message);
        }
    }

    #[test]
    fn what_passes_by_itself_is_not_told() {
        assert_eq!(refusal(&[refused("Service", 409, "changed"), refused("Service", 429, "later")], None), None);
        let timeout = CallError::Timeout(std::time::Duration::from_secs(3));
        let silent = ApplyError::Call { kind: "Service".to_owned(), name: "shop".to_owned(), source: timeout };
        assert_eq!(refusal(&[silent], None), None);
        assert_eq!(refusal(&[], None), None);
    }

    #[test]
    fn names_that_are_taken_and_keys_that_are_missing_are_told() {
        let taken = ApplyError::NameTaken {
            kind: "Service".to_owned(),
            name: "shop-primary".to_owned(),
            whose: "it has no label".to_owned(),
            cluster: "shop".to_owned(),
        };
        let told = refusal(&[taken], None).unwrap();
        assert_eq!(told.reason, EventReason::NameTaken);
        assert!(told.message.contains("Service shop-primary") && told.message.contains("delete or rename"), "{told:?}");
        let keys = ApplyError::Keys { name: "shop-accounts".to_owned(), keys: vec!["probe".to_owned()] };
        assert_eq!(refusal(&[keys], None).unwrap().reason, EventReason::SecretIncomplete);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_told_first() {
        let status = serde_json::json!({"durability": "Quorum"});
        let error = record_codec::read("shop", Some(&serde_json::from_value(status).unwrap())).unwrap_err();
        let told = refusal(&[refused("StatefulSet", 403, "exceeded quota")], Some(&error)).unwrap();
        assert_eq!(told.reason, EventReason::RecordUnreadable);
        for part in ["status.durability is \"Quorum\"", "run that version", "exceeded quota"] {
            assert!(told.message.contains(part), "{part}: {}", told.message);
        }
    }
}
