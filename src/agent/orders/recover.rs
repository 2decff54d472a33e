//! `recover`: what the member acknowledged in an earlier run and did not apply, from its kept relay logs.
//!
//! MariaDB would throw these relay logs away at START SLAVE. A binlog server of the member's own serves them to it instead,
//! so that they are applied like any other source's transactions; others get them from its binary log afterwards.

use std::net::Ipv4Addr;
use std::path::Path;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::durable;
use super::follow::{Login, refuse_a_primary, switch};
use super::freeze::frozen;
use super::repair;
use super::wait::until_applied;
use super::work::Work;
use crate::agent::binlog_files::BinlogError;
use crate::agent::binlog_server::BinlogServer;
use crate::gtid::GtidPosition;
use crate::orders::{Answer, Incarnation, OrderError, Reason, Secret};
use crate::protocol;

pub(super) async fn recover(work: &mut Work<'_>, of: Incarnation, server_id: u32) -> Result<Answer, OrderError> {
    refuse_a_primary(&work.globals().await?)?;
    work.persist(|_| {}).await?;
    let folders = work.agent().supervisor.relay_logs().folders_of(of);
    for folder in folders.map_err(|error| unreadable(&format!("kept relay logs of run {of}: {error}")))? {
        if let Some(server) = open(work, &folder).await? {
            let end = server.end().position;
            // Who acknowledged to this primary has something of its own writing. What came from an earlier one only may
            // have been given up since.
            let is_wanted = end.iter().any(|gtid| gtid.server == server_id);
            if is_wanted && !work.globals().await?.applied().covers(&end) {
                apply(work, server, &end).await?;
            }
        }
    }
    Ok(Answer::Recovered { of, frozen: frozen(work).await? })
}

/// `None` when there is no complete transaction.
async fn open(work: &Work<'_>, folder: &Path) -> Result<Option<BinlogServer>, OrderError> {
    match BinlogServer::open_relay_logs(folder, work.agent().config.log_keys()).await {
        Ok(server) => Ok(Some(server)),
        Err(BinlogError::NoHead { .. }) => Ok(None),
        Err(error) => Err(unreadable(&error.to_string())),
    }
}

async fn apply(work: &mut Work<'_>, server: BinlogServer, end: &GtidPosition) -> Result<(), OrderError> {
    let failed =
        |error| OrderError { reason: Reason::Unsupported, message: format!("a port for the relay logs: {error}") };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let login = Login {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port: listener.local_addr().map_err(failed)?.port(),
        user: "relay".to_owned(),
        password: Secret(Uuid::new_v4().simple().to_string()),
    };
    let admitted = protocol::Login::new(login.user.clone(), login.password.0.clone());
    let admitted = admitted.ok_or_else(|| unreadable("a login without password"))?;
    // Ends with this order, however that ends.
    let mut serving = JoinSet::new();
    serving.spawn(async move { server.serve(listener, admitted, std::future::pending()).await });
    repair::mend(work, Some(&login)).await?;
    durable::relax(work, end).await?;
    switch(work, &login, false).await?;
    let applied = until_applied(work, end).await?;
    work.stop_replication().await?;
    match applied {
        Answer::Applied { reached: true, .. } => Ok(()),
        _ => {
            let message = format!("the kept relay logs are not applied up to {end} yet: give `recover` again");
            Err(OrderError { reason: Reason::Expired, message })
        }
    }
}

fn unreadable(message: &str) -> OrderError {
    OrderError { reason: Reason::Volume, message: message.to_owned() }
}
