//! What stands in the way of the agent's own SQL, for its state; and how long it waits after a refused login.

use std::sync::Mutex;
use std::time::Duration;

use super::accounts::AccountError;
use crate::errno;
use crate::mariadb::SqlError;
use crate::orders::{Ordinal, SqlNotes};
use crate::sync::locked;

/// Between two tries to connect to a starting server, which does not listen yet.
const RETRY: Duration = Duration::from_millis(10);
/// After the first refusal. A server that refuses our login goes on refusing it until a human acts.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Doubled until it is this long: a human's repair is noticed within half a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// That ends by itself, so it is tried every [`FIRST_PAUSE`].
const USED_UP: [u16; 2] = [errno::CON_COUNT_ERROR, errno::TOO_MANY_USER_CONNECTIONS];

/// The notes of one agent.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<SqlNotes>);

impl Notes {
    /// All of them.
    #[must_use]
    pub(crate) fn get(&self) -> SqlNotes {
        locked(&self.0).clone()
    }

    fn change(&self, change: impl FnOnce(&mut SqlNotes)) {
        change(&mut locked(&self.0));
    }

    /// Nothing is known of a mariadbd that does not run.
    pub(crate) fn clear(&self) {
        self.change(|notes| *notes = SqlNotes::default());
    }

    /// How a login ended.
    pub(crate) fn login(&self, done: Result<(), &SqlError>) {
        let refused = done.err().filter(|error| is_refusal(error)).map(ToString::to_string);
        self.change(|notes| notes.login_refused = refused);
    }

    /// How a look at the accounts ended, and which members were never let in.
    pub(crate) fn accounts(&self, done: &Result<Vec<Ordinal>, AccountError>) {
        let wrong = done.as_ref().err().map(ToString::to_string);
        self.change(|notes| {
            notes.accounts_wrong = wrong;
            if let Ok(unadmitted) = done {
                notes.unadmitted.clone_from(unadmitted);
            }
        });
    }

    /// A member was let in.
    pub(crate) fn admitted(&self, member: Ordinal) {
        self.change(|notes| notes.unadmitted.retain(|ordinal| *ordinal != member));
    }

    /// What keeps writes waiting for a lock.
    pub(crate) fn writes_locked(&self, by: Option<String>) {
        self.change(|notes| notes.writes_locked = by);
    }

    /// Whether the member replicates with another password than the mounted one.
    pub(crate) fn password(&self, changed: bool) {
        self.change(|notes| notes.password_changed = changed);
    }
}

/// True for an answer of the server: silence and nobody listening are none.
#[must_use]
pub(crate) fn is_refusal(error: &SqlError) -> bool {
    error.code().is_some() || error.is_denied()
}

/// How long to wait before the next login, after `refusals` refusals in a row of which `error` is the last.
#[must_use]
pub(crate) fn pause(error: &SqlError, refusals: u32) -> Duration {
    match error.code() {
        None if !error.is_denied() => RETRY,
        Some(code) if USED_UP.contains(&code) => FIRST_PAUSE,
        _ => FIRST_PAUSE
            .saturating_mul(1_u32.checked_shl(refusals.saturating_sub(1)).unwrap_or(u32::MAX))
            .min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16) -> SqlError {
        SqlError::Server { what: "mysql@/s".to_owned(), code, message: "no".to_owned() }
    }

    #[test]
    fn a_refused_login_is_tried_ever_more_slowly() {
        let pauses: Vec<u64> = (1..=8).map(|refusals| pause(&server(1698), refusals).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause(&server(1698), u32::MAX), LONGEST_PAUSE);
        assert_eq!(pause(&server(1040), 9), FIRST_PAUSE);
        let plugin = SqlError::Plugin { what: "mysql@/s".to_owned(), message: "ed25519".to_owned() };
        assert_eq!(pause(&plugin, 3).as_secs(), 4);
        let starting = SqlError::Refused { address: "s".to_owned(), message: "m".to_owned() };
        assert_eq!(pause(&starting, 1), RETRY);
    }

    #[test]
    fn only_an_answer_of_the_server_is_a_refusal() {
        let notes = Notes::default();
        notes.login(Err(&server(1862)));
        assert_eq!(notes.get().login_refused.as_deref(), Some("mysql@/s: error 1862: no"));
        notes.login(Err(&SqlError::Plugin { what: "mysql@/s".to_owned(), message: "ed25519".to_owned() }));
        assert!(notes.get().login_refused.unwrap().contains("ed25519"));
        notes.login(Err(&SqlError::Silent { what: "w".to_owned(), limit: RETRY }));
        assert_eq!(notes.get().login_refused, None);
        notes.password(true);
        notes.clear();
        assert_eq!(notes.get(), SqlNotes::default());
    }
}
