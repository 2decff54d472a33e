//! `serve-binlog`: the binlog server over a dead, held mariadbd's files, until the next order of another kind.

use tokio::net::TcpListener;

use super::context::OrderContext;
use crate::agent::serving::Serving;
use crate::gtid::GtidPosition;
use crate::listen::on_all_addresses;
use crate::orders::{Answer, LONG_TAIL, OrderError, Reason, Secret};
use crate::protocol::Login;

pub(super) async fn serve(
    work: &mut OrderContext<'_>,
    user: String,
    password: Secret,
    after: &GtidPosition,
) -> Result<Answer, OrderError> {
    let agent = work.agent();
    let view = agent.supervisor.view();
    if !view.is_dead() {
        return Err(OrderError::new(
            Reason::StillRunning,
            format!("mariadbd is not proven dead ({view:?}): fence it first"),
        ));
    }
    let stored = work.persist(|_| {}).await?;
    if !stored.record.hold {
        return Err(OrderError::new(Reason::Unsupported, "the volume is not held: give `fence` first"));
    }
    if let Some(answer) = agent.serving_to(&user, &password) {
        return Ok(answer);
    }
    let read = agent.take_read();
    agent.stop_serving();
    let login = Login::new(user.clone(), password.0.clone());
    let login = login.ok_or_else(|| OrderError::new(Reason::Unsupported, "the login has no password"))?;
    let server = match read {
        Some(server) => server,
        None => agent.read_logs().await.map_err(|error| OrderError::new(Reason::Volume, error.to_string()))?,
    };
    let end = server.end().position;
    // A short tail is there before anybody could read of it.
    let bytes = if end.distance(after) > LONG_TAIL { server.bytes_after(after).await } else { None };
    let (listener, port) = listen(agent.config.binlog_port).await?;
    work.check()?;
    let task = tokio::spawn(async move { server.serve(listener, login, std::future::pending()).await });
    agent.set_serving(Serving { port, user, password, end: end.clone(), bytes, task });
    Ok(Answer::Serving { port, end, bytes })
}

async fn listen(port: u16) -> Result<(TcpListener, u16), OrderError> {
    let failed = |error| OrderError::new(Reason::Unsupported, format!("port {port} of the binlog server: {error}"));
    let listener = on_all_addresses(port).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}
