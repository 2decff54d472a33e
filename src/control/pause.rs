//! How long a call to the API server waits after one that failed.

use super::input::CallFailed;
use crate::time::Millis;

/// Pause after a call that failed, in milliseconds: an API server in trouble is not asked more often than this.
const PAUSE_MS: u64 = 200;
/// So many conflicts in a row are followed by the next try at once: somebody else has written the object just before. More of
/// them are somebody who writes it all the time.
const AT_ONCE: u32 = 3;

/// When the next call is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pause {
    until: Millis,
    /// Conflicts in a row.
    conflicts: u32,
}

impl Pause {
    /// A call came through.
    pub(crate) fn done(&mut self) {
        self.conflicts = 0;
    }

    /// A call failed.
    pub(crate) fn failed(&mut self, failed: &CallFailed, now: Millis) {
        if !failed.conflict {
            return self.begin(now);
        }
        self.conflicts = self.conflicts.saturating_add(1);
        if self.conflicts > AT_ONCE {
            self.begin(now);
        }
    }

    /// What was found is no use: there is no hurry to see it again.
    pub(crate) fn begin(&mut self, now: Millis) {
        self.until = Millis(now.0.saturating_add(PAUSE_MS));
    }

    /// When it ends, while it lasts.
    #[must_use]
    pub(crate) fn ends_at(self, now: Millis) -> Option<Millis> {
        (now < self.until).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(conflict: bool) -> CallFailed {
        CallFailed { conflict, message: "no".to_owned() }
    }

    #[test]
    fn an_api_server_in_trouble_is_asked_five_times_a_second() {
        let mut pause = Pause::default();
        assert_eq!(pause.ends_at(Millis(0)), None);
        pause.failed(&failed(false), Millis(1_000));
        assert_eq!(pause.ends_at(Millis(1_000)), Some(Millis(1_200)));
        assert_eq!(pause.ends_at(Millis(1_200)), None);
    }

    #[test]
    fn a_conflict_is_followed_by_the_next_try_at_once_unless_there_are_many() {
        let mut pause = Pause::default();
        for _ in 0..2 {
            for at in 0..3 {
                pause.failed(&failed(true), Millis(at));
                assert_eq!(pause.ends_at(Millis(at)), None);
            }
            pause.done();
        }
        for at in 0..3 {
            pause.failed(&failed(true), Millis(at));
        }
        pause.failed(&failed(true), Millis(10));
        assert_eq!(pause.ends_at(Millis(10)), Some(Millis(210)), "somebody writes it all the time");
    }
}
