//! The link against an agent of a few lines, over in-process pipes.

use std::io;
use std::sync::Mutex;

use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex, split};

use super::transport::Stream;
use super::*;
use crate::orders::{
    AgentState, Answer, BootMillis, DataUid, Down, Mariadbd, Order, OrderEnvelope, Outcome, PROTOCOL_VERSION, Term,
    Token, Up, Volume,
};

/// Long enough for any machine; nothing waits for it when all is well.
const DEADLINE: Duration = Duration::from_secs(30);

/// Hands the other end of each stream it opens to the test.
struct Pipes {
    opened: mpsc::UnboundedSender<DuplexStream>,
    refuse: Mutex<u32>,
}

impl Transport for Pipes {
    fn open<'a>(&'a self, _: &'a PodTarget) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let mut refuse = self.refuse.lock().unwrap();
            if *refuse > 0 {
                *refuse -= 1;
                return Err(io::Error::other("no container yet"));
            }
            let (ours, theirs) = duplex(64 * 1024);
            let (up, down) = split(ours);
            self.opened.send(theirs).unwrap();
            Ok(Stream { up: Box::new(up), down: Box::new(down), guard: Box::new(()) })
        })
    }
}

struct Bench {
    handle: LinkHandle,
    inputs: mpsc::UnboundedReceiver<Input>,
    streams: mpsc::UnboundedReceiver<DuplexStream>,
    pipes: Arc<Pipes>,
}

fn bench() -> Bench {
    let (opened, streams) = mpsc::unbounded_channel();
    let (sender, inputs) = mpsc::unbounded_channel();
    let pipes = Arc::new(Pipes { opened, refuse: Mutex::new(0) });
    let (link, handle) = Link::new(Ordinal(1), Arc::clone(&pipes) as Arc<dyn Transport>, sender);
    tokio::spawn(link.run());
    Bench { handle, inputs, streams, pipes }
}

impl Bench {
    fn pod(&self, uid: &str, version: &str) {
        let target = PodTarget { name: "shop-1".to_owned(), uid: uid.to_owned(), version: version.to_owned() };
        self.handle.pod.send_replace(Some(target));
    }

    async fn event(&mut self) -> LinkEvent {
        match timeout(DEADLINE, self.inputs.recv()).await.unwrap().unwrap() {
            Input::Link { ordinal: Ordinal(1), event } => event,
            other => panic!("{other:?}"),
        }
    }

    /// Skips what comes before a greeting.
    async fn greeted(&mut self) {
        while !matches!(self.event().await, LinkEvent::Greeted { .. }) {}
    }

    async fn agent(&mut self) -> Agent {
        let stream = timeout(DEADLINE, self.streams.recv()).await.unwrap().unwrap();
        Agent(BufReader::new(stream))
    }
}

struct Agent(BufReader<DuplexStream>);

impl Agent {
    async fn say(&mut self, up: &Up) {
        let line = serde_json::to_string(up).unwrap() + "\n";
        self.0.write_all(line.as_bytes()).await.unwrap();
    }

    async fn greet(&mut self, pod_uid: &str) {
        self.say(&Up::Hello { v: PROTOCOL_VERSION, state: state(pod_uid, 1_000_000) }).await;
    }

    async fn next_order(&mut self) -> OrderEnvelope {
        loop {
            let mut line = String::new();
            timeout(DEADLINE, self.0.read_line(&mut line)).await.unwrap().unwrap();
            match serde_json::from_str(&line).unwrap() {
                Down::Order(order) => return order,
                Down::Ping { n } => self.say(&Up::Pong { n, state: state("p", 1_000_000) }).await,
            }
        }
    }
}

impl Agent {
    async fn answer_ping(&mut self) {
        let mut line = String::new();
        timeout(DEADLINE, self.0.read_line(&mut line)).await.unwrap().unwrap();
        let Ok(Down::Ping { n }) = serde_json::from_str(&line) else { panic!("{line}") };
        self.say(&Up::Pong { n, state: state("p", 1_000_000) }).await;
    }
}

fn state(pod_uid: &str, boot_ms: u64) -> AgentState {
    AgentState {
        version: "0.1.0".to_owned(),
        pod_uid: pod_uid.to_owned(),
        boot_id: "b".to_owned(),
        boot_ms: BootMillis(boot_ms),
        volume: Volume::Blank,
        mariadbd: Mariadbd::NotStarted,
        serving: None,
        running: None,
        takes_connections: None,
        extra_port: None,
        sql_notes: crate::orders::SqlNotes::default(),
        upkeep: crate::orders::Upkeep::default(),
    }
}

fn command(id: &str) -> Command {
    let token = Token { data_uid: DataUid("d".to_owned()), term: Term(3), seq: 1 };
    Command { id: id.to_owned(), token, order: Order::Fence, limit: Duration::from_secs(5) }
}

#[tokio::test]
async fn orders_carry_a_deadline_in_the_agents_clock_and_answers_come_back() {
    let mut bench = bench();
    bench.handle.pod.send_replace(None);
    assert!(matches!(bench.event().await, LinkEvent::Away { .. }), "no pod yet");
    bench.pod("p", "1");
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
    bench.handle.orders.send(command("x")).unwrap();
    let order = agent.next_order().await;
    assert_eq!((order.id.as_str(), &order.order), ("x", &Order::Fence));
    let left = order.deadline.0 - 1_000_000;
    assert!((5_000..5_000 + 20_000).contains(&left), "{left} ms");
    let outcome = Outcome::Ok(Answer::Done);
    let up = Up::Answer { re: order.id, outcome, state: state("p", 1_000_001) };
    agent.say(&up).await;
    let told = loop {
        match bench.event().await {
            LinkEvent::Told { up } if matches!(*up, Up::Answer { .. }) => break *up,
            _ => {}
        }
    };
    assert_eq!(told, up);
}

#[tokio::test]
async fn a_lost_stream_is_told_and_opened_again_and_old_orders_are_not_sent_on_it() {
    let mut bench = bench();
    bench.pod("p", "1");
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
    drop(agent);
    loop {
        if matches!(bench.event().await, LinkEvent::Away { .. }) {
            break;
        }
    }
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
    bench.handle.orders.send(command("new")).unwrap();
    assert_eq!(agent.next_order().await.id, "new");
}

#[tokio::test]
async fn a_refused_stream_is_tried_again_until_it_opens() {
    let mut bench = bench();
    *bench.pipes.refuse.lock().unwrap() = 3;
    bench.pod("p", "1");
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
}

#[tokio::test]
async fn an_answer_from_another_pod_of_that_name_is_not_believed() {
    let mut bench = bench();
    bench.pod("new", "1");
    let mut agent = bench.agent().await;
    agent.greet("old").await;
    loop {
        match bench.event().await {
            LinkEvent::Away { why } if why.contains("another pod answered") => break,
            LinkEvent::Away { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn garbage_and_other_versions_end_the_stream_with_the_reason() {
    let mut bench = bench();
    bench.pod("p", "1");
    let mut agent = bench.agent().await;
    agent.say(&Up::Hello { v: PROTOCOL_VERSION + 1, state: state("p", 1) }).await;
    loop {
        match bench.event().await {
            LinkEvent::Away { why } if why.contains("protocol version") => break,
            LinkEvent::Away { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
    agent.0.write_all(b"{nonsense}\n").await.unwrap();
    assert!(matches!(bench.event().await, LinkEvent::Away { .. }));
}

#[tokio::test]
async fn a_pod_that_was_replaced_ends_the_stream() {
    let mut bench = bench();
    bench.pod("p", "1");
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
    bench.pod("p", "2");
    bench.pod("q", "3");
    loop {
        if let LinkEvent::Away { why } = bench.event().await {
            break assert_eq!(why, "the pod is gone");
        }
    }
}

/// In real time (6 s): the clock of the pings is the thing under test.
#[tokio::test]
async fn three_unanswered_pings_end_the_stream() {
    let mut bench = bench();
    bench.pod("p", "1");
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
    loop {
        if let LinkEvent::Away { why } = bench.event().await {
            break assert_eq!(why, "three pings were not answered");
        }
    }
}

/// The other end is there and says nothing, as a process that was stopped.
#[tokio::test]
async fn a_stream_to_a_member_in_doubt_that_says_nothing_is_given_up_within_two_seconds() {
    /// At rest it takes 6 s.
    const LIMIT: Duration = Duration::from_millis(5_500);
    let mut bench = bench();
    bench.pod("p", "1");
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
    bench.handle.doubt.send_replace(true);
    let ended = timeout(LIMIT, bench.event()).await.expect("the stream is still held");
    assert!(matches!(ended, LinkEvent::Away { .. }), "{ended:?}");
}

#[tokio::test]
async fn a_stream_to_a_member_in_doubt_that_answers_is_kept() {
    let mut bench = bench();
    bench.pod("p", "1");
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
    bench.handle.doubt.send_replace(true);
    for _ in 0..5 {
        agent.answer_ping().await;
        assert!(matches!(bench.event().await, LinkEvent::Told { .. }));
    }
}

/// An operator that stood still, as one that waits for a processor, finds all its streams whole.
#[tokio::test]
async fn an_operator_that_stood_still_does_not_blame_the_agents() {
    let mut bench = bench();
    bench.pod("p", "1");
    let mut agent = bench.agent().await;
    agent.greet("p").await;
    bench.greeted().await;
    bench.handle.doubt.send_replace(true);
    for _ in 0..2 {
        agent.answer_ping().await;
        assert!(matches!(bench.event().await, LinkEvent::Told { .. }));
        // The link runs on this thread, too. Longer than three pings.
        std::thread::sleep(Duration::from_secs(2));
    }
    for _ in 0..3 {
        agent.answer_ping().await;
        let event = bench.event().await;
        assert!(matches!(event, LinkEvent::Told { .. }), "{event:?}");
    }
}
