//! Random words for accounts.

use rand::distr::{Alphanumeric, SampleString};

use crate::resources::AccountPasswords;

/// Length of an account's password: 190 bits.
const LENGTH: usize = 32;

/// `length` random letters and digits.
#[must_use]
pub(crate) fn random(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}

/// New passwords for all accounts of a cluster.
#[must_use]
pub(crate) fn accounts() -> AccountPasswords {
    AccountPasswords { probe: random(LENGTH), repl: std::array::from_fn(|_| random(LENGTH)) }
}
