//! `beachmaster agent session`: what the operator executes in the container. It only carries bytes between its standard
//! input and output and the daemon, so its death harms nothing.

use std::io;
use std::path::Path;

use tokio::io::{AsyncWriteExt, copy, stdin, stdout};
use tokio::net::UnixStream;

/// Carries bytes until the daemon or the caller ends the stream.
///
/// # Errors
/// When the daemon cannot be reached.
pub(crate) async fn bridge(socket: &Path) -> io::Result<()> {
    let (mut from_agent, mut to_agent) = UnixStream::connect(socket).await?.into_split();
    let down = async {
        copy(&mut stdin(), &mut to_agent).await?;
        to_agent.shutdown().await
    };
    let up = async {
        copy(&mut from_agent, &mut stdout()).await?;
        stdout().flush().await
    };
    tokio::pin!(up);
    tokio::select! {
        done = &mut up => done,
        // The caller has said all; answers may still come.
        done = down => {
            done?;
            up.await
        }
    }
}
