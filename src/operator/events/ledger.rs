//! Which Events were written, so that a repeated one counts instead of filling the list. No I/O.
//!
//! They are core/v1 Events without `eventTime`, as client-go writes them: those have a `lastTimestamp` to sort by, and
//! their message may change. In events.k8s.io the API server refuses both.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

use crate::control::event_reason::EventReason;

/// Name under which Events are reported.
const CONTROLLER: &str = "beachmaster";
/// What has not happened for this long begins a new count, as with kubectl's own idea of a series.
const SERIES: SignedDuration = SignedDuration::from_mins(10);
/// Most series remembered; beyond it the oldest is forgotten and would begin a new count.
const MOST: usize = 1_024;

/// Something to tell.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(crate) about: ObjectReference,
    pub(crate) reason: EventReason,
    /// What tells this Event from another one of the same reason: term and member.
    pub(crate) subject: String,
    pub(crate) note: String,
    pub(crate) at: Timestamp,
}

/// A write to the API server.
#[derive(Debug)]
pub(super) enum Write {
    /// It happened for the first time.
    Create(Box<Event>),
    /// It happened again.
    Again {
        /// metadata.name of the Event.
        name: String,
        /// What changes.
        change: Value,
        /// The whole Event, when it is no longer there.
        whole: Box<Event>,
    },
}

/// One series.
#[derive(Debug)]
struct Series {
    uid: Option<String>,
    reason: EventReason,
    subject: String,
    event: Event,
    last: Timestamp,
}

impl Series {
    fn is_of(&self, told: &Told) -> bool {
        self.uid == told.about.uid && self.reason == told.reason && self.subject == told.subject
    }
}

/// What was written, oldest first.
#[derive(Debug)]
pub(super) struct Ledger {
    instance: String,
    series: Vec<Series>,
}

impl Ledger {
    pub(super) fn new(instance: String) -> Self {
        Self { instance, series: Vec::new() }
    }

    /// What to write for something that happened.
    pub(super) fn enter(&mut self, told: &Told) -> Write {
        self.series.retain(|series| told.at.duration_since(series.last) < SERIES);
        if let Some(index) = self.series.iter().position(|series| series.is_of(told)) {
            let mut series = self.series.remove(index);
            let again = again(&mut series, told);
            self.series.push(series);
            return again;
        }
        if self.series.len() >= MOST {
            self.series.remove(0);
        }
        let event = event(told, &self.instance);
        let Told { about, reason, subject, at, .. } = told;
        self.series.push(Series {
            uid: about.uid.clone(),
            reason: *reason,
            subject: subject.clone(),
            event: event.clone(),
            last: *at,
        });
        Write::Create(Box::new(event))
    }

    /// The write failed: the next of its kind begins a new count.
    pub(super) fn forget(&mut self, told: &Told) {
        self.series.retain(|series| !series.is_of(told));
    }
}

fn again(series: &mut Series, told: &Told) -> Write {
    let count = series.event.count.unwrap_or(1).saturating_add(1);
    series.last = told.at;
    series.event.count = Some(count);
    series.event.message = Some(told.note.clone());
    series.event.last_timestamp = Some(Time(told.at));
    let change = json!({"count": count, "message": told.note, "lastTimestamp": Time(told.at)});
    let name = series.event.metadata.name.clone().unwrap_or_default();
    Write::Again { name, change, whole: Box::new(series.event.clone()) }
}

fn event(told: &Told, instance: &str) -> Event {
    let Told { about, reason, subject, note, at } = told;
    // Nanoseconds tell two Events apart, as everywhere in Kubernetes.
    let name = format!("{}.{:x}", about.name.as_deref().unwrap_or(CONTROLLER), at.as_nanosecond());
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: about.namespace.clone(), ..ObjectMeta::default() },
        involved_object: about.clone(),
        type_: Some(reason.event_type().to_owned()),
        reason: Some(reason.as_str().to_owned()),
        message: Some(note.clone()),
        action: Some(subject.clone()),
        count: Some(1),
        first_timestamp: Some(Time(*at)),
        last_timestamp: Some(Time(*at)),
        source: Some(EventSource { component: Some(CONTROLLER.to_owned()), host: None }),
        reporting_component: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::*;

    fn told(reason: EventReason, note: &str, second: i64) -> Told {
        Told {
            about: ObjectReference {
                name: Some("shop".to_owned()),
                namespace: Some("prod".to_owned()),
                uid: Some("u".to_owned()),
                ..ObjectReference::default()
            },
            reason,
            subject: "Term7 shop-1".to_owned(),
            note: note.to_owned(),
            at: Timestamp::from_second(second).unwrap(),
        }
    }

    fn created(write: Write) -> Event {
        match write {
            Write::Create(event) => *event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_carries_times_to_sort_by() {
        let mut ledger = Ledger::new("pod-1".to_owned());
        let event = created(ledger.enter(&told(EventReason::MariadbdExited, "signal 9", 60)));
        let event = serde_json::to_value(event).unwrap();
        assert_eq!(event["lastTimestamp"], "1970-01-01T00:01:00Z");
        assert_eq!(event["firstTimestamp"], event["lastTimestamp"]);
        assert_eq!(event.get("eventTime"), None, "it makes an Event one of events.k8s.io");
        assert_eq!((&event["type"], &event["count"]), (&json!("Warning"), &json!(1)));
    }

    #[test]
    fn a_repeated_event_says_what_happened_this_time() {
        let mut ledger = Ledger::new("pod-1".to_owned());
        let first = created(ledger.enter(&told(EventReason::MariadbdExited, "exit code 0", 60)));
        let Write::Again { name, change, whole } = ledger.enter(&told(EventReason::MariadbdExited, "exit code 7", 90))
        else {
            panic!()
        };
        assert_eq!(Some(name), first.metadata.name);
        assert_eq!(change, json!({"count": 2, "message": "exit code 7", "lastTimestamp": "1970-01-01T00:01:30Z"}));
        assert_eq!(whole.first_timestamp, first.first_timestamp);
        let other = created(ledger.enter(&told(EventReason::Blocked, "exit code 7", 91)));
        assert_ne!(other.metadata.name, first.metadata.name);
    }

    #[test]
    fn a_series_ends_and_so_does_one_that_was_not_written() {
        let mut ledger = Ledger::new("pod-1".to_owned());
        ledger.enter(&told(EventReason::Blocked, "a", 0));
        created(ledger.enter(&told(EventReason::Blocked, "a", SERIES.as_secs())));
        ledger.forget(&told(EventReason::Blocked, "a", 601));
        created(ledger.enter(&told(EventReason::Blocked, "a", 602)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut ledger = Ledger::new("pod-1".to_owned());
        for number in 0..MOST + 10 {
            let subject = format!("Term{number}");
            ledger.enter(&Told { subject, ..told(EventReason::Blocked, "a", 0) });
        }
        assert_eq!(ledger.series.len(), MOST);
    }
}
