//! Drives the machine of one cluster: takes what happens to it, and does what it says.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

use super::effects::World;
use crate::control::cluster::{Cluster, Fresh, Moment};
use crate::control::input::Input;
use crate::operator::clock::Clock;
use crate::operator::lease::Leadership;
use crate::operator::passwords;
use crate::orders::{DataUid, Secret};

/// Inputs taken in before the next turn; more than that at once would be a fault, and a turn must not wait for its end.
const INPUTS_A_TURN: usize = 256;

/// The task of one cluster.
pub(crate) struct ClusterTask {
    /// What decides.
    pub(crate) machine: Cluster,
    /// What does it.
    pub(crate) world: World,
    /// What happens.
    pub(crate) inputs: mpsc::UnboundedReceiver<Input>,
    /// Until when this process may act.
    pub(crate) leadership: Leadership,
    /// The clock.
    pub(crate) clock: Clock,
}

impl ClusterTask {
    /// Works until the machine ends.
    pub(crate) async fn run(mut self) {
        loop {
            if !self.leadership.remaining().is_zero() {
                let effects = self.machine.turn(self.moment(), fresh());
                if effects.into_iter().any(|effect| self.world.perform(effect).is_break()) {
                    return;
                }
            }
            self.wait().await;
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), wall: Timestamp::now() }
    }

    /// Waits for an input, at most until something changes by itself, and takes in what has come.
    async fn wait(&mut self) {
        let due = self.clock.until(self.machine.wakes_at(self.clock.now()));
        // A deadline that has just passed by is not waited for in a loop that never yields.
        let first = timeout(due.max(Duration::from_millis(1)), self.inputs.recv()).await.ok().flatten();
        let more = std::iter::from_fn(|| self.inputs.try_recv().ok()).take(INPUTS_A_TURN);
        let inputs: Vec<Input> = first.into_iter().chain(more).collect();
        for input in inputs {
            self.machine.handle(input, self.moment());
        }
    }
}

fn fresh() -> Fresh {
    Fresh {
        uid: DataUid(Uuid::new_v4().to_string()),
        login: (format!("beachmaster_tail_{}", passwords::random(8)), Secret(passwords::random(32))),
    }
}
