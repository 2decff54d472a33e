//! `await`, and the end of a `follow` that waits.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::context::OrderContext;
use super::durable;
use super::incurable::refuse_incurable;
use super::repair;
use super::sql_thread;
use crate::agent::sql_sessions::sql_error;
use crate::gtid::{GtidPosition, Shown, is_logged};
use crate::mariadb::read;
use crate::orders::{Answer, OrderError, Reason};
use crate::topology::observation::{IoThread, SlaveStatus};
use crate::topology::record::written_outside_terms;

/// First pause between two looks: a failover waits for this.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// Longest pause: a long catch-up need not be watched more closely.
const LAST_LOOK: Duration = Duration::from_millis(25);
/// Then it is answered how far the member is: whoever waits on asks again, with news in between.
const LONGEST_WAIT: Duration = Duration::from_millis(2_900);
/// A member that applies nothing for this long of what it has received is held up: another may be promoted instead.
const HELD_AFTER: Duration = Duration::from_secs(2);
/// The answer has to be on its way before the deadline.
const EARLY: Duration = Duration::from_millis(100);

/// Waits as [`until_applied_within`], as long as one order may.
pub(super) async fn until_applied(work: &mut OrderContext<'_>, position: &GtidPosition) -> Result<Answer, OrderError> {
    until_applied_within(work, position, LONGEST_WAIT, Held::Yields).await
}

/// Whether somebody else can do instead what a member is held up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It is answered what holds it up.
    Yields,
    /// So it is once the member has received all that is waited for.
    YieldsWithAll,
    /// It waits on.
    WaitsOn,
}

/// Waits until `position` is applied and the member [fit](settle) for promotion. A SQL thread that was stopped by hand is
/// started. An error of a replica thread ends it at once. At the end of `limit` it answers how far the member is, or why it comes no further.
pub(super) async fn until_applied_within(
    work: &mut OrderContext<'_>,
    position: &GtidPosition,
    limit: Duration,
    held: Held,
) -> Result<Answer, OrderError> {
    let began = Instant::now();
    let _writeback = durable::write_back(work.agent());
    let mut first = None;
    let mut moved = (GtidPosition::empty(), Instant::now());
    let mut pause = FIRST_LOOK;
    loop {
        let applied = work.globals().await?.applied();
        if applied.covers(position) {
            refuse_own_history(work, &applied, position).await?;
            settle(work).await?;
            return Ok(Answer::Applied { position: applied, reached: true, held: None });
        }
        if let Some(slave) = work.slave().await? {
            refuse_incurable(&slave.status, &applied)?;
            if sql_thread::is_stopped(&slave.status) {
                sql_thread::start(work).await?.map_err(sql_error)?;
            }
        }
        if moved.0 != applied {
            moved = (applied.clone(), Instant::now());
        }
        if held != Held::WaitsOn
            && moved.1.elapsed() >= HELD_AFTER
            && (held == Held::Yields || applied.union(&work.received().await?.unwrap_or_default()).covers(position))
            && let Some(held) = held_up(work, &applied).await?
        {
            return Ok(Answer::Applied { position: applied, reached: false, held: Some(held) });
        }
        if began.elapsed() >= limit || work.remaining() < EARLY {
            if first == Some(applied.clone()) {
                waits_for_nothing(work, &applied).await?;
            }
            return Ok(Answer::Applied { position: applied, reached: false, held: None });
        }
        first.get_or_insert(applied);
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// Numbers alone tell nothing of a member that took writes of its own, because somebody made it writable: it must have each
/// transaction by the server that wrote it, too.
pub(super) async fn refuse_own_history(
    work: &mut OrderContext<'_>,
    applied: &GtidPosition,
    position: &GtidPosition,
) -> Result<(), OrderError> {
    let Some(own) = written_outside_terms(applied) else { return Ok(()) };
    let logged = read::logged(work.sql().await?).await.map_err(sql_error)?;
    if is_logged(&logged, position) {
        return Ok(());
    }
    let message = format!(
        "the member took writes of its own up to {own}, and does not have everything up to {}",
        Shown(position)
    );
    Err(OrderError::new(Reason::MissingTransactions, message))
}

/// What is applied is made durable, and what a crash has left half done is mended: else it would show only when there is no
/// way back from the promotion.
async fn settle(work: &mut OrderContext<'_>) -> Result<(), OrderError> {
    durable::restore(work).await?;
    repair::mend(work, None).await
}

/// What keeps a member from applying what it has received, if it has received more than it has applied.
async fn held_up(work: &mut OrderContext<'_>, applied: &GtidPosition) -> Result<Option<String>, OrderError> {
    let Some(slave) = work.slave().await?.filter(|slave| !applied.covers(&slave.status.io_position)) else {
        return Ok(None);
    };
    if !slave.status.sql {
        return Ok(Some("both its replica threads were stopped by hand".to_owned()));
    }
    let own = work.agent().sessions.all_own_ids();
    read::held_by(work.sql().await?, &own).await.map(Some).map_err(sql_error)
}

/// No error, but nothing came for as long as it was waited for, and nothing is left to apply.
async fn waits_for_nothing(work: &mut OrderContext<'_>, applied: &GtidPosition) -> Result<(), OrderError> {
    let slave = work.slave().await?;
    let message = match slave.map(|slave| slave.status) {
        None => "the member has no source".to_owned(),
        Some(status) => match idle(&status, applied) {
            Some(message) => message,
            None => return Ok(()),
        },
    };
    Err(OrderError::new(Reason::Sql, message))
}

/// Why a replica that has applied so much will not apply more by itself.
fn idle(status: &SlaveStatus, applied: &GtidPosition) -> Option<String> {
    if !status.sql {
        return Some("both replica threads were stopped by hand: repeat the order".to_owned());
    }
    if status.io == IoThread::Yes || !applied.covers(&status.io_position) {
        return None;
    }
    let SlaveStatus { host, port, io_errno, io_error, .. } = status;
    let why = match (status.io, io_errno) {
        (IoThread::No, 0) => "its IO thread is stopped".to_owned(),
        _ => format!("nothing comes from {host}:{port}: error {io_errno}: {io_error}"),
    };
    Some(format!("the member has applied all that it received, and {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::incurable::incurable;
    use super::*;

    fn status(io: IoThread, io_errno: u32) -> SlaveStatus {
        SlaveStatus {
            host: "h".to_owned(),
            port: 3306,
            io,
            sql: true,
            io_position: "0-1-7".parse().unwrap(),
            io_errno,
            io_error: "words".to_owned(),
            sql_errno: 0,
            sql_error: String::new(),
            lag_s: None,
            by_gtid: true,
        }
    }

    #[test]
    fn an_io_thread_that_gave_up_is_not_waited_for_once_all_it_received_is_applied() {
        let told = |io, errno, applied: &str| incurable(&status(io, errno), &applied.parse().unwrap()).is_some();
        // Event checksum failure, seen as ER_SLAVE_RELAY_LOG_WRITE_FAILURE.
        assert!(told(IoThread::No, 1595, "0-1-7"));
        assert!(!told(IoThread::No, 1595, "0-1-6"), "the SQL thread still has something to apply");
        assert!(!told(IoThread::No, 2003, "0-1-7"), "stopped on order while its source was away");
        assert!(!told(IoThread::Connecting, 2003, "0-1-7"));
        assert!(!told(IoThread::No, 0, "0-1-7"));
        assert!(told(IoThread::No, 1236, "0-1-7"));
        assert!(!told(IoThread::No, 1236, "0-1-6"), "its source has lost what this one has received");
        let sql = SlaveStatus { sql: false, sql_errno: 1062, ..status(IoThread::Yes, 0) };
        assert!(incurable(&sql, &GtidPosition::empty()).unwrap().contains("1062"));
    }

    #[test]
    fn who_receives_nothing_and_has_applied_all_is_not_waited_for_in_silence() {
        let told = |status: SlaveStatus, applied: &str| idle(&status, &applied.parse().unwrap());
        let cut_off = || status(IoThread::Connecting, 2003);
        assert!(told(cut_off(), "0-1-7").unwrap().contains("h:3306: error 2003: words"));
        assert_eq!(told(cut_off(), "0-1-6"), None, "a long transaction is being applied");
        assert_eq!(told(status(IoThread::Yes, 0), "0-1-7"), None, "more may come");
        assert!(told(SlaveStatus { sql: false, ..status(IoThread::No, 0) }, "0-1-6").unwrap().contains("by hand"));
    }
}
