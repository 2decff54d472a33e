//! A client that opens HTTP connections and never finishes a request, as an attacker inside the cluster's network does.
//! Every connection that the server drops is opened again.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep, timeout};

use super::clock::Stamp;
use super::control::{self, Commanded};

/// Bytes of a header that does not end. A connection sends as many of them as the server takes.
const HEADER_BYTES: usize = 380_000;
/// Every other connection begins with this much: a server with a limit of 8 kB for a header waits for the rest.
const SMALL_BYTES: usize = 7_000;
/// It sends the rest this much later.
const SMALL_FOR: Duration = Duration::from_secs(1);
/// Between two connections to a target, once the first ones are made. The client shares its machine with the servers:
/// at full speed it would measure the processors.
const PACE: Duration = Duration::from_millis(5);
/// A connection that is not made within this time has failed.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// A failed connection keeps its place for this time.
const FAILED_PAUSE: Duration = Duration::from_millis(100);
/// File descriptors beside those of the connections.
const OTHER_FILES: u64 = 100;

static HEADER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut header = b"GET /readyz HTTP/1.1\r\nX: ".to_vec();
    header.resize(HEADER_BYTES, b'a');
    header
});

/// Where to hang, and how often.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// ADDRESS:PORT; more than one may be given.
    #[arg(long = "target", required = true)]
    targets: Vec<SocketAddr>,
    /// Connections to each target at a time.
    #[arg(long, default_value_t = 1_500)]
    connections: usize,
    #[arg(long, default_value = "/run/e2e/control.sock")]
    socket: PathBuf,
}

/// What happened to the connections to one target between two times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Connections made.
    pub opened: usize,
    /// Connections refused, or not made in time.
    pub failed: usize,
    /// Connections that the server ended.
    pub dropped: usize,
    /// Connections open at the end of that time.
    pub hanging: usize,
}

/// A tally for each target.
pub type Tallies = BTreeMap<SocketAddr, Tally>;

/// Times in microseconds of `CLOCK_REALTIME`.
#[derive(Debug, Default)]
struct Log {
    opened: Vec<u64>,
    failed: Vec<u64>,
    dropped: Vec<u64>,
}

impl Log {
    fn between(&self, from_us: u64, to_us: u64) -> Tally {
        let before = |times: &[u64], end: u64| times.iter().filter(|time| **time < end).count();
        let within = |times: &[u64]| before(times, to_us) - before(times, from_us.min(to_us));
        Tally {
            opened: within(&self.opened),
            failed: within(&self.failed),
            dropped: within(&self.dropped),
            hanging: before(&self.opened, to_us).saturating_sub(before(&self.dropped, to_us)),
        }
    }
}

struct Target {
    address: SocketAddr,
    log: Mutex<Log>,
}

struct HalfOpen(Vec<Arc<Target>>);

/// Opens connections until the pod ends.
///
/// # Errors
/// When the limit of file descriptors is too low, or the socket cannot be made.
pub async fn run(options: Options) -> Result<()> {
    allow_open_files(options.targets.len() * options.connections)?;
    let target = |address: &SocketAddr| Arc::new(Target { address: *address, log: Mutex::default() });
    let targets: Vec<_> = options.targets.iter().map(target).collect();
    for target in &targets {
        tokio::spawn(Arc::clone(target).fill(options.connections));
    }
    control::serve(&options.socket, Arc::new(HalfOpen(targets))).await
}

fn allow_open_files(connections: usize) -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let needed = u64::try_from(connections)? + OTHER_FILES;
    ensure!(maximum.is_none_or(|most| most >= needed), "{needed} file descriptors are needed, {maximum:?} allowed");
    setrlimit(Resource::Nofile, Rlimit { current: maximum.or(Some(needed)), maximum })?;
    Ok(())
}

impl Target {
    /// Keeps `most` connections open: the first ones as fast as they are made, those after a drop at [`PACE`].
    async fn fill(self: Arc<Self>, most: usize) {
        let places = Arc::new(Semaphore::new(most));
        let mut pace = None;
        for number in 0_usize.. {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let target = Arc::clone(&self);
            let first = if number.is_multiple_of(2) { HEADER_BYTES } else { SMALL_BYTES };
            tokio::spawn(async move {
                target.hang(first).await;
                drop(place);
            });
            if number >= most {
                pace.get_or_insert_with(|| interval(PACE)).tick().await;
            }
        }
    }

    /// One connection, from its beginning until the server ends it.
    async fn hang(&self, first: usize) {
        if let Ok(Ok(stream)) = timeout(CONNECT_LIMIT, TcpStream::connect(self.address)).await {
            self.note(|log| &mut log.opened);
            // An error is the server's way to end it, too.
            let _ = until_dropped(stream, first).await;
            self.note(|log| &mut log.dropped);
        } else {
            self.note(|log| &mut log.failed);
            sleep(FAILED_PAUSE).await;
        }
    }

    fn note(&self, list: impl FnOnce(&mut Log) -> &mut Vec<u64>) {
        let now = Stamp::now().realtime_us;
        list(&mut self.log()).push(now);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends `first` bytes of the header, the rest later, and then nothing. Returns when the server ends the connection.
async fn until_dropped(mut stream: TcpStream, first: usize) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    let send = async {
        write.write_all(&HEADER[..first]).await?;
        sleep(SMALL_FOR).await;
        write.write_all(&HEADER[first..]).await?;
        pending().await
    };
    let receive = async {
        let mut answer = [0; 512];
        while read.read(&mut answer).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        sent = send => sent,
        received = receive => received,
    }
}

impl Commanded for HalfOpen {
    async fn command(&self, words: &[&str]) -> Result<Value> {
        match words {
            ["tallies", from_us, to_us] => {
                let (from_us, to_us) = (from_us.parse()?, to_us.parse()?);
                let tally = |target: &Arc<Target>| (target.address, target.log().between(from_us, to_us));
                Ok(serde_json::to_value(self.0.iter().map(tally).collect::<Tallies>())?)
            }
            other => bail!("unknown command {other:?}: tallies FROM_US TO_US"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_tally_counts_what_happened_between_two_times() {
        let log = Log { opened: vec![1, 2, 5, 9], failed: vec![3], dropped: vec![4, 6] };
        assert_eq!(log.between(2, 6), Tally { opened: 2, failed: 1, dropped: 1, hanging: 2 });
        assert_eq!(log.between(0, u64::MAX), Tally { opened: 4, failed: 1, dropped: 2, hanging: 2 });
        assert_eq!(log.between(6, 2), Tally { opened: 0, failed: 0, dropped: 0, hanging: 1 });
    }

    #[tokio::test]
    async fn what_is_dropped_is_opened_again_and_what_is_kept_hangs() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Target { address, log: Mutex::default() });
        tokio::spawn(Arc::clone(&target).fill(4));
        for _ in 0..12 {
            drop(listener.accept().await.unwrap());
        }
        let mut kept = Vec::new();
        for _ in 0..4 {
            kept.push(listener.accept().await.unwrap());
        }
        // The client also notes its last connection in this time.
        let more = timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(more.is_err(), "more than four at a time");
        let tally = target.log().between(0, u64::MAX);
        assert_eq!(tally, Tally { opened: 16, failed: 0, dropped: 12, hanging: 4 });
    }
}
