//! Global transaction ids and positions, as MariaDB writes them.
//!
//! Source of the formats: MariaDB Knowledge Base, "Global Transaction ID". A position names, for each replication
//! domain, the last transaction of that domain. The operator keeps `gtid_strict_mode` on, so within one domain sequence
//! numbers only rise; and `server_id` is new at every promotion, so two terms never write the same GTID.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

/// One global transaction id, `domain-server-sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Gtid {
    /// Replication domain (`gtid_domain_id`).
    pub domain: u32,
    /// `server_id` of the server that first wrote the transaction.
    pub server: u32,
    /// Sequence number, rising within the domain. 0 is never written.
    pub sequence: u64,
}

/// A text that is no GTID or no GTID position.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a GTID position: {expected}")]
pub struct GtidError {
    /// The part that could not be read.
    pub(crate) text: String,
    /// What should have stood there.
    pub(crate) expected: &'static str,
}

impl FromStr for Gtid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let error = || GtidError { text: text.to_owned(), expected: "expected DOMAIN-SERVER-SEQUENCE" };
        let mut parts = text.trim().split('-');
        let (Some(domain), Some(server), Some(sequence), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(error());
        };
        Ok(Self {
            domain: domain.parse().map_err(|_| error())?,
            server: server.parse().map_err(|_| error())?,
            sequence: sequence.parse().map_err(|_| error())?,
        })
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl From<Gtid> for String {
    fn from(gtid: Gtid) -> Self {
        gtid.to_string()
    }
}

impl TryFrom<String> for Gtid {
    type Error = GtidError;

    fn try_from(text: String) -> Result<Self, GtidError> {
        text.parse()
    }
}

/// The last transaction of each domain, for example `0-17-42,1-3-7`; empty when nothing was ever written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct GtidPosition(BTreeMap<u32, Gtid>);

impl GtidPosition {
    /// The position before the first transaction.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// True when no transaction is named.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last transaction of `domain`.
    #[must_use]
    pub fn get(&self, domain: u32) -> Option<Gtid> {
        self.0.get(&domain).copied()
    }

    /// All domains' last transactions, by rising domain.
    pub fn iter(&self) -> impl Iterator<Item = Gtid> + '_ {
        self.0.values().copied()
    }

    /// Number of domains.
    #[must_use]
    pub(crate) fn domains(&self) -> usize {
        self.0.len()
    }

    /// Makes `gtid` the last transaction of its domain, whatever stood there.
    pub fn set(&mut self, gtid: Gtid) {
        self.0.insert(gtid.domain, gtid);
    }

    /// What both positions have: of each domain the earlier transaction; none of a domain that only one of them has, or where
    /// they name different transactions with the same number.
    #[must_use]
    pub(crate) fn common(&self, other: &Self) -> Self {
        let earlier = |ours: Gtid| {
            let theirs = other.get(ours.domain)?;
            match ours.sequence.cmp(&theirs.sequence) {
                std::cmp::Ordering::Less => Some(ours),
                std::cmp::Ordering::Greater => Some(theirs),
                std::cmp::Ordering::Equal => (ours == theirs).then_some(ours),
            }
        };
        self.iter().filter_map(earlier).collect()
    }

    /// True when each transaction named by `other` is at or before this position. Equal sequence numbers of different
    /// servers are two different transactions and cover neither.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|theirs| self.reaches(theirs))
    }

    /// True when `gtid` is at or before this position.
    #[must_use]
    pub(crate) fn reaches(&self, gtid: Gtid) -> bool {
        self.get(gtid.domain).is_some_and(|ours| ours.sequence > gtid.sequence || ours == gtid)
    }

    /// The greater transaction of each domain. Where two servers wrote the same sequence number the position of `self`
    /// stays: call [`Self::conflict`] first where that matters.
    #[must_use]
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for theirs in other.iter() {
            if both.get(theirs.domain).is_none_or(|ours| ours.sequence < theirs.sequence) {
                both.set(theirs);
            }
        }
        both
    }

    /// The first domain in which both positions end at the same sequence number written by two servers: the histories
    /// have diverged.
    #[must_use]
    pub(crate) fn conflict(&self, other: &Self) -> Option<(Gtid, Gtid)> {
        other.iter().find_map(|theirs| {
            let ours = self.get(theirs.domain)?;
            (ours.sequence == theirs.sequence && ours.server != theirs.server).then_some((ours, theirs))
        })
    }

    /// What this position has beyond `base`, one range a domain. The server named is that of the last transaction.
    #[must_use]
    pub(crate) fn beyond(&self, base: &Self) -> Vec<GtidRange> {
        self.iter()
            .filter_map(|last| {
                let done = base.get(last.domain).map_or(0, |gtid| gtid.sequence);
                (last.sequence > done).then(|| GtidRange {
                    domain: last.domain,
                    server: last.server,
                    first: done + 1,
                    last: last.sequence,
                })
            })
            .collect()
    }

    /// Number of sequence numbers beyond `base`, an upper bound of the number of transactions.
    #[must_use]
    pub(crate) fn distance(&self, base: &Self) -> u64 {
        self.beyond(base).iter().map(GtidRange::count).sum()
    }
}

impl FromStr for GtidPosition {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut position = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let gtid: Gtid = part.parse()?;
            if position.0.insert(gtid.domain, gtid).is_some() {
                return Err(GtidError { text: text.to_owned(), expected: "each domain may occur only once" });
            }
        }
        Ok(position)
    }
}

impl fmt::Display for GtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gtid) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{gtid}")?;
        }
        Ok(())
    }
}

/// True when `logged`, the last transaction of each server in each domain (`gtid_binlog_state`), has each transaction that
/// `position` names, by number and server.
#[must_use]
pub fn is_logged(logged: &[Gtid], position: &GtidPosition) -> bool {
    let found = |gtid: Gtid| {
        let mut same = logged.iter().filter(|known| (known.domain, known.server) == (gtid.domain, gtid.server));
        same.any(|known| known.sequence >= gtid.sequence)
    };
    position.iter().all(found)
}

/// A [`GtidPosition`] as people read it: one without any transaction is a word, not a gap in the sentence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a>(pub(crate) &'a GtidPosition);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.iter().next().is_none() { f.write_str("(empty)") } else { self.0.fmt(f) }
    }
}

impl From<GtidPosition> for String {
    fn from(position: GtidPosition) -> Self {
        position.to_string()
    }
}

impl TryFrom<String> for GtidPosition {
    type Error = GtidError;

    fn try_from(text: String) -> Result<Self, GtidError> {
        text.parse()
    }
}

impl FromIterator<Gtid> for GtidPosition {
    fn from_iter<I: IntoIterator<Item = Gtid>>(gtids: I) -> Self {
        let mut position = Self::default();
        gtids.into_iter().for_each(|gtid| position.set(gtid));
        position
    }
}

/// Consecutive sequence numbers of one domain, written `0-17-5001..5007`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GtidRange {
    /// Replication domain.
    pub(crate) domain: u32,
    /// Server of the last transaction; earlier ones may have another.
    pub(crate) server: u32,
    /// First sequence number of the range.
    pub first: u64,
    /// Last sequence number, not below `first`.
    pub last: u64,
}

impl GtidRange {
    /// Number of sequence numbers in the range.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.last - self.first + 1
    }

    /// A transaction of the range.
    #[must_use]
    pub(crate) fn gtid(&self, sequence: u64) -> Gtid {
        Gtid { domain: self.domain, server: self.server, sequence }
    }
}

/// As `{"first": GTID, "last": GTID, "count": n}`.
impl Serialize for GtidRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("GtidRange", 3)?;
        fields.serialize_field("first", &self.gtid(self.first))?;
        fields.serialize_field("last", &self.gtid(self.last))?;
        fields.serialize_field("count", &self.count())?;
        fields.end()
    }
}

impl fmt::Display for GtidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.first)?;
        if self.last > self.first { write!(f, "..{}", self.last) } else { Ok(()) }
    }
}

/// Ranges as people read them: comma separated.
#[must_use]
pub(crate) fn join_ranges(ranges: &[GtidRange]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> GtidPosition {
        text.parse().unwrap()
    }

    #[test]
    fn reads_and_writes_what_mariadb_prints() {
        for text in ["", "0-1-5", "0-1-5,7-2147483649-18446744073709551615"] {
            assert_eq!(at(text).to_string(), text);
        }
        assert_eq!(at(" 1-1-1,\n0-2-2 ").to_string(), "0-2-2,1-1-1");
    }

    #[test]
    fn refuses_other_texts_and_names_them() {
        for text in ["x", "0-1", "0-1-2-3", "0--2", "4294967296-1-1", "0-1-5,0-1-6"] {
            let error = text.parse::<GtidPosition>().unwrap_err();
            assert!(error.to_string().contains("is not a GTID position"), "{error}");
        }
    }

    #[test]
    fn covers_by_domain() {
        assert!(at("0-1-5").covers(&at("0-2-4")));
        assert!(at("0-1-5").covers(&at("")));
        assert!(!at("0-1-5").covers(&at("0-1-6")));
        assert!(!at("0-1-5").covers(&at("1-1-1")));
        assert!(!at("0-1-5").covers(&at("0-2-5")), "same number, other server: another transaction");
    }

    #[test]
    fn union_takes_the_greater_of_each_domain_and_conflict_shows_divergence() {
        assert_eq!(at("0-1-5,1-1-9").union(&at("0-2-7,2-1-1")), at("0-2-7,1-1-9,2-1-1"));
        assert!(at("0-1-5").conflict(&at("0-2-5")).is_some());
        assert!(at("0-1-5").conflict(&at("0-2-6")).is_none());
    }

    #[test]
    fn an_empty_position_is_shown_as_a_word() {
        assert_eq!(Shown(&GtidPosition::empty()).to_string(), "(empty)");
        assert_eq!(Shown(&"0-17-11,1-17-3".parse().unwrap()).to_string(), "0-17-11,1-17-3");
    }

    #[test]
    fn beyond_names_the_missing_ranges() {
        let ranges = at("0-17-5007,1-1-3").beyond(&at("0-17-5000,1-1-3"));
        assert_eq!(join_ranges(&ranges), "0-17-5001..5007");
        assert_eq!(at("0-1-1").beyond(&at(""))[0].to_string(), "0-1-1");
        assert_eq!(at("0-17-5007").distance(&at("0-17-5000")), 7);
    }
}
