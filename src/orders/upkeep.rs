//! What keeps a member fit besides its role: the order `maintain`, and what an agent tells of it.
//!
//! Agents and operators of the first release know none of this. An agent that does says so in [`Upkeep::knows`], and only then
//! is the order given.

use serde::{Deserialize, Serialize};

use crate::gtid::GtidPosition;

/// Most disabled events an agent tells by name.
pub const MOST_EVENTS: usize = 200;
/// Most bytes of their names: a state stays far below [`super::MAX_LINE`], also when each byte is escaped in JSON.
pub const MOST_EVENT_BYTES: usize = 16 * 1024;

/// What has to be done for a member so that it stays as it is. Each part is done for itself; one that fails is tried again by the
/// next order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// Owned settings that somebody changed are put back.
    #[serde(default)]
    pub restore: bool,
    /// On a replica: these events are disabled on the primary by a user or by their schedule, all others are not.
    #[serde(default)]
    pub disabled_events: Option<Vec<EventName>>,
    /// Binary logs that may go.
    #[serde(default)]
    pub purge: Option<Purge>,
}

/// Which binary logs a member may delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purge {
    /// What every member that counts has in its own binary log: a file with anything beyond it stays.
    pub covered: GtidPosition,
    /// Files last written longer ago than this go, in seconds; none when age is no reason.
    #[serde(default)]
    pub older_than_s: Option<u64>,
    /// The oldest files go while all together have more bytes than this.
    pub above_bytes: u64,
}

/// An event of MariaDB's event scheduler.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventName {
    /// Its database.
    pub schema: String,
    /// Its name there.
    pub name: String,
}

/// What an agent tells of its member's upkeep. All of it may be absent: an agent of the first release tells nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upkeep {
    /// Names of orders it knows that the first release did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) knows: Vec<String>,
    /// Events that are disabled here, sorted; none while nobody knows, or when they are more than
    /// [`MOST_EVENTS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_events: Option<Vec<EventName>>,
    /// How full the volume is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_use: Option<VolumeUse>,
}

/// How full a volume is, as `statvfs` tells it to those who are not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeUse {
    /// Bytes that can be used in all.
    pub total_bytes: u64,
    /// Bytes that can still be written.
    pub free_bytes: u64,
}

impl VolumeUse {
    /// How much of the volume is used, 0 to 100, rounded down.
    #[must_use]
    pub(crate) fn percent(self) -> u64 {
        let used = self.total_bytes.saturating_sub(self.free_bytes);
        let percent = u128::from(used) * 100 / u128::from(self.total_bytes.max(1));
        u64::try_from(percent).unwrap_or(100).min(100)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AgentState, Order};
    use super::*;

    #[test]
    fn a_volume_is_as_full_as_df_says() {
        let of = |total_bytes, free_bytes| VolumeUse { total_bytes, free_bytes }.percent();
        assert_eq!([of(100, 15), of(1000, 144), of(0, 0), of(10, 20), of(u64::MAX, 0)], [85, 85, 0, 0, 100]);
    }

    #[test]
    fn a_state_of_the_first_release_is_read() {
        let state = serde_json::json!({
            "version": "0.1.0", "podUid": "p", "bootId": "b", "bootMs": 7, "volume": {"kind": "blank"},
            "mariadbd": {"kind": "not-started"}, "serving": null, "running": null,
        });
        let state: AgentState = serde_json::from_value(state).unwrap();
        assert_eq!(state.upkeep, Upkeep::default());
        assert!(!state.knows("maintain"));
    }

    #[test]
    fn maintain_is_one_flat_object() {
        let order = Order::Maintain(Maintenance { restore: true, ..Maintenance::default() });
        let json = serde_json::to_value(&order).unwrap();
        assert_eq!((json["order"].as_str(), json["restore"].as_bool()), (Some("maintain"), Some(true)));
        assert_eq!(serde_json::from_value::<Order>(json).unwrap(), order);
        // A newer operator's further parts are not for this agent.
        let newer = serde_json::json!({"order": "maintain", "purge": null, "more": 1});
        assert_eq!(serde_json::from_value::<Order>(newer).unwrap(), Order::Maintain(Maintenance::default()));
    }
}
