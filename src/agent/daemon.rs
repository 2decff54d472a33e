//! The daemon: what runs beside each other in it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::UnixListener;
use tracing::{info, warn};

use super::config::Config;
use super::state::Agent;
use super::{caretaker, new_connections, readyz, shutdown, stream};

/// The daemon cannot begin.
#[derive(Debug, Error)]
pub(crate) enum AgentError {
    /// Its socket cannot be opened.
    #[error("the agent's socket {path}: {source}; is the folder mounted and writable for this user?")]
    Socket { path: String, source: io::Error },
}

/// Runs the daemon, until SIGTERM: whatever goes wrong is an answer or an event.
///
/// # Errors
/// When its socket cannot be opened.
pub(crate) async fn run(config: Config) -> Result<(), AgentError> {
    let agent = Arc::new(Agent::new(config));
    let path = agent.config.agent_socket();
    let listener = listen(&path).map_err(|source| AgentError::Socket { path: path.display().to_string(), source })?;
    info!(member = %agent.config.ordinal, cluster = agent.config.cluster, "agent runs");
    let parts = Arc::clone(&agent);
    tokio::spawn(async move { parts.launcher.watch().await });
    let parts = Arc::clone(&agent);
    tokio::spawn(async move {
        // While another agent has the volume, mariadbd and its files are that agent's, too.
        parts.volume.ours().await;
        parts.supervisor.watch().await;
    });
    let parts = Arc::clone(&agent);
    tokio::spawn(async move { parts.sessions.keep().await });
    let parts = Arc::clone(&agent);
    tokio::spawn(async move {
        let Agent { config, supervisor, sessions, new_connections, .. } = &*parts;
        new_connections::watch(config, supervisor, sessions, new_connections).await;
    });
    tokio::spawn(caretaker::keep(Arc::clone(&agent)));
    tokio::spawn(readyz::serve(Arc::clone(&agent)));
    tokio::select! {
        () = accept(&agent, &listener) => Ok(()),
        () = shutdown::wait(&agent) => Ok(()),
    }
}

async fn accept(agent: &Arc<Agent>, listener: &UnixListener) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => drop(tokio::spawn(stream::serve(Arc::clone(agent), connection))),
            Err(error) => {
                warn!(%error, "a stream cannot be accepted");
                // Out of descriptors: the next try would fail at once, too.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

fn listen(path: &std::path::Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
