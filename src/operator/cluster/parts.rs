//! What a cluster task is put together from.

use super::book::Book;
use super::crew::Crew;
use super::failover_record::FailoverRecords;
use super::narrator::Narrator;
use super::pod_labels::PodLabels;
use super::router::Router;
use crate::operator::clock::Clock;
use crate::operator::lease::Leadership;

/// What the loop works with.
pub struct Parts {
    /// The members.
    pub crew: Crew,
    /// The record.
    pub book: Book,
    /// The primary's Service.
    pub router: Router,
    /// The pods' labels.
    pub labels: PodLabels,
    /// Logs, Events, metrics.
    pub narrator: Narrator,
    /// Where failovers are recorded.
    pub failovers: FailoverRecords,
}

/// Facts about this leader.
#[derive(Clone)]
pub struct Leader {
    /// Its name, unique among all processes that ever ran.
    pub identity: String,
    /// Its Lease.
    pub manager: String,
    /// Until when it may act.
    pub leadership: Leadership,
    /// Its clock.
    pub clock: Clock,
}
