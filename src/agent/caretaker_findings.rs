//! What the agent's caretaker has found last.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::orders::Upkeep;
use crate::sync::locked;

/// Orders of this version that the first release did not know.
const KNOWN: [&str; 1] = ["maintain"];

/// What was found last.
#[derive(Debug)]
pub(crate) struct Keeper {
    told: Mutex<Upkeep>,
    pub(super) soon: Notify,
}

impl Default for Keeper {
    fn default() -> Self {
        let knows = KNOWN.map(str::to_owned).to_vec();
        let told = Mutex::new(Upkeep { knows, ..Upkeep::default() });
        Self { told, soon: Notify::new() }
    }
}

impl Keeper {
    /// What is told of it.
    #[must_use]
    pub(crate) fn told(&self) -> Upkeep {
        self.locked().clone()
    }

    /// Asks for a look at once: the member became primary, or its events changed.
    pub(crate) fn look_soon(&self) {
        self.soon.notify_one();
    }

    /// Every change is one assignment, so a panic elsewhere left the value whole.
    pub(super) fn locked(&self) -> MutexGuard<'_, Upkeep> {
        locked(&self.told)
    }
}
