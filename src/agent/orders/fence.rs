//! `fence`: SIGKILL first, then the hold on the volume, then where the binary logs end.
//!
//! SIGKILL because every gentler way answers waiting clients or commits what waits.

use super::context::OrderContext;
use crate::orders::{Answer, LogEvidence, OrderError};

pub(super) async fn kill(work: &OrderContext<'_>) -> Result<(), OrderError> {
    let supervisor = &work.agent().supervisor;
    supervisor.fence();
    supervisor.kill(work.remaining()).await
}

pub(super) async fn hold_and_read(work: &mut OrderContext<'_>) -> Result<Answer, OrderError> {
    let agent = work.agent();
    // Dead already, so the logs may be read while the disk takes the hold.
    let (held, read) = tokio::join!(work.persist(|stored| stored.record.hold = true), agent.read_logs());
    held?;
    let logs = match read {
        Ok(server) => {
            let end = server.end();
            agent.keep_read(server);
            LogEvidence::Readable { end: end.position, torn: end.torn.map(|torn| torn.to_string()) }
        }
        Err(error) => LogEvidence::Unreadable { message: error.to_string() },
    };
    Ok(Answer::Fenced { logs })
}
