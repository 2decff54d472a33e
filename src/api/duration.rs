//! Durations as users write them: `500ms`, `30s`, `1m30s`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a duration looks like; CEL's `duration()` reads everything that matches.
const PATTERN: &str = "^([0-9]{1,6}(ms|s|m|h))+$";
/// Longest text of a duration; bounds the cost of CEL rules.
const MAX_LENGTH: usize = 16;

/// The same with days, which CEL's `duration()` does not read.
const PERIOD_PATTERN: &str = "^([0-9]{1,6}(ms|s|m|h|d))+$";

/// A duration that may be given in days, as it stands in a spec, not yet read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PeriodText(pub(crate) String);

/// A duration as it stands in a spec, not yet read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DurationText(pub(crate) String);

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a duration: write a number with ms, s, m or h, for example 500ms or 1m30s")]
pub(crate) struct DurationError(pub(crate) String);

impl DurationText {
    /// Reads the text.
    ///
    /// # Errors
    /// When the text is longer than 16 bytes or no sequence of numbers with units.
    pub(crate) fn parse(&self) -> Result<Duration, DurationError> {
        read(&self.0, &UNITS)
    }
}

impl PeriodText {
    /// Reads the text.
    ///
    /// # Errors
    /// When the text is longer than 16 bytes or no sequence of numbers with units.
    pub(crate) fn parse(&self) -> Result<Duration, DurationError> {
        read(&self.0, &[UNITS.as_slice(), &[DAY]].concat())
    }
}

/// Name of a unit and its milliseconds.
type Unit = (&'static str, u64);
const UNITS: [Unit; 4] = [("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 60 * 60 * 1000)];
const DAY: Unit = ("d", 24 * 60 * 60 * 1000);

fn read(text: &str, units: &[Unit]) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    if text.is_empty() || text.len() > MAX_LENGTH {
        return Err(error());
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let number: u32 = rest[..digits].parse().map_err(|_| error())?;
        let (unit, length) = unit(&rest[digits..], units).ok_or_else(error)?;
        total = total.checked_add(unit.saturating_mul(number)).ok_or_else(error)?;
        rest = &rest[digits + length..];
    }
    Ok(total)
}

/// The unit at the beginning of `text` and the length of its name.
fn unit(text: &str, units: &[Unit]) -> Option<(Duration, usize)> {
    units.iter().find(|(name, _)| text.starts_with(name)).map(|(name, ms)| (Duration::from_millis(*ms), name.len()))
}

impl From<&str> for PeriodText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for PeriodText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": MAX_LENGTH, "pattern": PERIOD_PATTERN})
    }
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": MAX_LENGTH, "pattern": PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_users_write() {
        for (text, ms) in [("500ms", 500), ("0s", 0), ("30s", 30_000), ("1m30s", 90_000), ("1h", 3_600_000)] {
            assert_eq!(DurationText::from(text).parse(), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn periods_may_have_days() {
        assert_eq!(PeriodText::from("7d12h").parse(), Ok(Duration::from_secs(7 * 86_400 + 12 * 3_600)));
        assert!(PeriodText::from("7w").parse().is_err());
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "5", "s", "-1s", "1.5s", "1 s", "1d", "5µs", "99999999999s", "1s1s1s1s1s1s1s1s1s"] {
            assert!(DurationText::from(text).parse().is_err(), "{text}");
        }
    }
}
