//! Streams by `exec` through the API server and the kubelet.

use std::io;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;

use super::transport::{Stream, Transport};
use crate::control::pod::PodTarget;
use crate::layout;

/// Reaches agents by running `beachmaster agent session` in their container.
pub(crate) struct ExecTransport {
    pods: Api<Pod>,
}

impl ExecTransport {
    /// Reaches the pods of one namespace.
    #[must_use]
    pub(crate) fn new(client: kube::Client, namespace: &str) -> Self {
        Self { pods: Api::namespaced(client, namespace) }
    }
}

impl Transport for ExecTransport {
    fn open<'a>(&'a self, pod: &'a PodTarget) -> BoxFuture<'a, io::Result<Stream>> {
        async move {
            // stderr stays off: one loop pumps all streams, and an unread one would block the others.
            let params =
                AttachParams::default().container(layout::AGENT_CONTAINER).stdin(true).stdout(true).stderr(false);
            let command = [layout::BEACHMASTER, "agent", "session"];
            let mut process = self.pods.exec(&pod.name, command, &params).await.map_err(io::Error::other)?;
            let missing = || io::Error::other("the API server opened no stream");
            let up = process.stdout().ok_or_else(missing)?;
            let down = process.stdin().ok_or_else(missing)?;
            Ok(Stream { up: Box::new(up), down: Box::new(down), guard: Box::new(process) })
        }
        .boxed()
    }
}
