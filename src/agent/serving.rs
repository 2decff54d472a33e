//! A binlog server that serves, as the agent keeps it.

use tokio::task::JoinHandle;

use crate::gtid::GtidPosition;
use crate::orders::{Answer, Secret};

/// A binlog server that serves; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Its port.
    pub(crate) port: u16,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) end: GtidPosition,
    pub(super) bytes: Option<u64>,
    pub(super) task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Serving {
    /// The first answer again, when it serves the same login.
    #[must_use]
    pub(crate) fn answer_to(&self, user: &str, password: &Secret) -> Option<Answer> {
        let same = self.user == user && self.password == *password && !self.task.is_finished();
        same.then(|| Answer::Serving { port: self.port, end: self.end.clone(), bytes: self.bytes })
    }
}
