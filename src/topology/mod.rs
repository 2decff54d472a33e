//! What the operator knows, what that means, and what to do next: pure and synchronous.
//!
//! [`record`] is what the status records as done, [`transition`] what it records as under way, [`observation`] what was seen, [`policy`] what the user wants.
//! [`verdict`] says what became of the primary, [`safety`] whether a promotion can lose anything, [`candidate`] who
//! should be promoted, [`ackers`] who may acknowledge and what that means, [`decide`](fn@decide::decide) the one next
//! step, [`report`] what people are told. No I/O, no clock, no randomness: time and fresh identifiers come in as values.

pub(crate) mod ackers;
mod announce;
pub mod blocked;
pub(crate) mod candidate;
pub(crate) mod catch_up;
pub mod decide;
mod decision;
mod failover;
mod held;
mod initialise;
pub(crate) mod last_error_line;
#[cfg(test)]
mod logins;
pub(crate) mod maintain;
pub(crate) mod member;
pub(crate) mod member_progress;
pub mod observation;
pub(crate) mod outdated;
pub mod policy;
mod promoting;
pub mod reasons;
pub mod record;
pub(crate) mod report;
mod resume;
pub mod rules;
pub mod safety;
mod steady;
#[cfg(test)]
mod transcripts;
pub mod transition;
pub mod verdict;
mod wedged;
mod writable_replicas;
