//! `start`: lifts the hold and starts mariadbd, read-only and quiet (its command line says so).

use super::context::OrderContext;
use crate::orders::{Answer, Incarnation, Mariadbd, OrderError, Reason};

pub(super) async fn start(work: &mut OrderContext<'_>) -> Result<Answer, OrderError> {
    work.persist(|stored| stored.record.hold = false).await?;
    run_mariadbd(work).await?;
    Ok(Answer::Done)
}

/// Starts mariadbd unless it runs, and waits until it answers.
pub(super) async fn run_mariadbd(work: &OrderContext<'_>) -> Result<(), OrderError> {
    work.check()?;
    let supervisor = &work.agent().supervisor;
    supervisor.lift_fence();
    let run = supervisor.start(Some(&work.order().token)).await?;
    until_it_answers(work, run).await
}

/// Ends mariadbd and starts it again with further options, and waits until it answers.
pub(super) async fn restart_mariadbd(work: &mut OrderContext<'_>, options: &[&str]) -> Result<(), OrderError> {
    work.check()?;
    work.drop_session();
    let run = work.agent().supervisor.restart(&work.order().token, options).await?;
    until_it_answers(work, run).await
}

async fn until_it_answers(work: &OrderContext<'_>, run: Incarnation) -> Result<(), OrderError> {
    let mut view = work.agent().supervisor.subscribe();
    let settled = view.wait_for(|view| match view {
        Mariadbd::Running { incarnation, sql } => *incarnation != run || *sql,
        _ => true,
    });
    match settled.await.map(|view| view.clone()) {
        Ok(Mariadbd::Running { incarnation, .. }) if incarnation == run => Ok(()),
        Ok(Mariadbd::Exited { status, message, .. }) => Err(OrderError::new(
            Reason::NotRunning,
            format!("mariadbd ended with {status} while it started; its last output:\n{message}"),
        )),
        other => {
            Err(OrderError::new(Reason::NotRunning, format!("mariadbd was started and no longer runs: {other:?}")))
        }
    }
}
