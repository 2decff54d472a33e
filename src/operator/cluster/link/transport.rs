//! A way to reach agents, and the streams it opens.

use std::io;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::control::pod::PodTarget;

/// One open stream. Dropping it closes it.
pub(crate) struct Stream {
    /// What the agent says.
    pub(crate) up: Box<dyn AsyncRead + Send + Unpin>,
    /// What it is told.
    pub(crate) down: Box<dyn AsyncWrite + Send + Unpin>,
    /// Whatever must live as long as the stream.
    pub(crate) guard: Box<dyn Send>,
}

/// A way to reach agents.
pub(crate) trait Transport: Send + Sync {
    /// Opens a stream to the agent in a pod.
    fn open<'a>(&'a self, pod: &'a PodTarget) -> BoxFuture<'a, io::Result<Stream>>;
}
