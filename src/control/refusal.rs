//! What keeps a cluster's objects from being as they should be, as conditions and Events tell it.

use super::event_reason::EventReason;
use crate::api::validate::Invalid;

/// Longest message in bytes; admission webhooks say what they like.
const MAX_MESSAGE: usize = 1_024;

/// One reason with all that is to be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Reason of the conditions and of the Event.
    pub(crate) reason: EventReason,
    /// Which objects, what is wrong with them, and what to do.
    pub(crate) message: String,
}

impl Refusal {
    /// All of `told` under the first one's reason; none when there is nothing.
    #[must_use]
    pub(crate) fn of_all(told: Vec<(EventReason, String)>) -> Option<Self> {
        let reason = told.first()?.0;
        let all: Vec<String> = told.into_iter().map(|(_, message)| message).collect();
        Some(Self { reason, message: bounded(all.join("; ")) })
    }

    /// A spec that cannot be used.
    #[must_use]
    pub(crate) fn of_spec(invalid: &Invalid) -> Self {
        Self { reason: EventReason::InvalidSpec, message: bounded(invalid.to_string()) }
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
    use super::*;

    #[test]
    fn messages_are_bounded() {
        let told = Refusal::of_all(vec![(EventReason::ObjectRefused, "ä".repeat(5_000))]).unwrap();
        assert!(told.message.len() <= MAX_MESSAGE + '…'.len_utf8());
    }

    #[test]
    fn every_reason_has_a_row_in_the_docs() {
        const REASONS: &str = include_str!("../../docs/reasons.md");
        for reason in [
            EventReason::InvalidSpec,
            EventReason::NameTaken,
            EventReason::ObjectRefused,
            EventReason::SecretIncomplete,
            EventReason::RecordUnreadable,
        ] {
            assert!(REASONS.contains(&format!("\n| `{}` |", reason.as_str())), "{reason:?}");
        }
    }
}
