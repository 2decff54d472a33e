//! What strangers can do to a port that everybody in the network reaches.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use beachmaster::operator::http::serve_health;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::ports::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Connections that never finish their request.
const STRANGERS: usize = 1_500;
/// Bytes each of them sends.
const HEADER: usize = 380_000;
/// What they may cost: half of what the operator needs beside its limit of 512 MiB.
const MOST_BYTES: usize = 64 << 20;
/// A kubelet waits this long.
const PROBE: Duration = Duration::from_secs(1);

fn allow_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

async fn probe(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    told
}

/// A request whose header does not end, sent as far as the other side takes it.
async fn half_open(address: SocketAddr, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may refuse the rest, or stop reading.
    let _ = timeout(Duration::from_millis(50), stream.write_all(header)).await;
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_requests_cost_neither_memory_nor_a_probe() {
    allow_open_files();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    tokio::spawn(serve_health(address));
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).await.is_err() {
        assert!(Instant::now() < deadline, "nobody listens");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let header = [b"GET /healthz HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; HEADER]].concat();
    let before = resident();
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        strangers.push(half_open(address, &header).await);
    }
    let told = timeout(PROBE, probe(address)).await.expect("the probe was not answered in time");
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    let grown = resident().saturating_sub(before);
    assert!(grown < MOST_BYTES, "{STRANGERS} half-open requests cost {} MiB", grown >> 20);
}

#[test]
fn ports_are_not_given_twice_and_not_to_clients() {
    let ports: BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 50);
    let of_client = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    assert!(ports.iter().all(|port| *port < of_client), "{ports:?} {of_client}");
    assert!(ports.iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()));
}
