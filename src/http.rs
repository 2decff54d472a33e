//! The one HTTP server: readiness, health and metrics. Anybody in the network can reach these ports, so what a caller can
//! make us hold is bounded in connections, bytes and time.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a root of the parts that touch the world")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// Connections at a time. A kubelet and two Prometheus use three; at the cap the oldest is dropped, so that a newcomer
/// with an honest request gets in however many idle ones there are.
pub(crate) const MAX_CONNECTIONS: usize = 32;
/// Bytes of a request's header, the least hyper accepts. A kubelet's has 150.
const MAX_HEADER: usize = 8 * 1024;
/// Time for a request's header. The senders are machines in the same cluster.
const HEADER_LIMIT: Duration = Duration::from_secs(2);
/// Time for a whole connection: the header, and the answer to a slow reader.
const CONNECTION_LIMIT: Duration = Duration::from_secs(5);
/// Pause when a connection cannot be accepted: the process is short of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Value of `Content-Type`.
    pub(crate) content_type: &'static str,
    /// The text.
    pub(crate) body: String,
}

impl Reply {
    /// A line of plain text.
    #[must_use]
    pub(crate) fn text(status: StatusCode, line: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{line}\n") }
    }
}

/// Answers GET requests on `listener` until the future is dropped; `answer` maps a path to a reply, none to 404.
pub(crate) async fn serve(
    listener: TcpListener,
    answer: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static,
) -> Infallible {
    let answer = Arc::new(answer);
    let mut open = Open::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.make_room().await;
                open.0.push_back(tokio::spawn(talk(stream, Arc::clone(&answer))));
            }
            Err(error) => {
                debug!(%error, "a connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The open connections, oldest first. They end with the server.
#[derive(Default)]
struct Open(VecDeque<JoinHandle<()>>);

impl Open {
    /// Forgets what has ended and drops the oldest until one more fits. It waits for the drop: a connection that is
    /// only marked still holds its memory.
    async fn make_room(&mut self) {
        self.0.retain(|connection| !connection.is_finished());
        while self.0.len() >= MAX_CONNECTIONS {
            if let Some(oldest) = self.0.pop_front() {
                oldest.abort();
                // An aborted task always ends as cancelled or done.
                let _ = oldest.await;
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// One connection carries one request.
async fn talk<A>(stream: TcpStream, answer: Arc<A>)
where
    A: Fn(&str) -> Option<Reply> + Send + Sync + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(&request, answer.as_ref());
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_buf_size(MAX_HEADER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an HTTP connection ended early"),
        Err(_) => debug!("an HTTP connection took too long"),
    }
}

fn respond(request: &Request<Incoming>, answer: &impl Fn(&str) -> Option<Reply>) -> Response<Full<Bytes>> {
    let reply = match *request.method() {
        Method::GET | Method::HEAD => answer(request.uri().path()),
        _ => Some(Reply::text(StatusCode::METHOD_NOT_ALLOWED, "only GET")),
    };
    let Reply { status, content_type, body } =
        reply.unwrap_or_else(|| Reply::text(StatusCode::NOT_FOUND, "no such page"));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let page = |path: &str| (path == "/page").then(|| Reply::text(StatusCode::OK, "yes"));
        tokio::spawn(serve(listener, page));
        address
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        told
    }

    #[tokio::test]
    async fn pages_are_answered_and_nothing_else() {
        let address = server().await;
        for (request, status) in [
            ("GET /page HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
            ("GET /other HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
            ("POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405"),
        ] {
            let told = ask(address, request).await;
            assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {told}");
        }
        assert!(ask(address, "GET /page HTTP/1.0\r\n\r\n").await.ends_with("\r\n\r\nyes\n"));
    }

    #[tokio::test]
    async fn a_long_header_is_refused() {
        let address = server().await;
        let request = format!("GET /page HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(MAX_HEADER));
        let told = ask(address, &request).await;
        assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
    }

    #[tokio::test]
    async fn a_header_that_does_not_end_is_waited_for_2_seconds() {
        let address = server().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /page HTTP/1.1\r\n").await.unwrap();
        let mut told = Vec::new();
        timeout(CONNECTION_LIMIT, stream.read_to_end(&mut told)).await.unwrap().unwrap();
    }
}
