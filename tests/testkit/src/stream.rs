//! The operator's end of a stream to an agent.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use beachmaster::orders::{
    AgentState, Answer, BootMillis, DataUid, Down, Event, Order, OrderEnvelope, OrderError, Outcome, PROTOCOL_VERSION,
    Term, Token, Up,
};

/// Starting a server on a busy machine takes seconds.
pub const LIMIT: Duration = Duration::from_secs(60);

/// That of the cluster that all members are of.
pub fn data_uid() -> DataUid {
    DataUid("5ea1".to_owned())
}

/// How often an order is given to a server that is slow.
const ATTEMPTS: u64 = 4;

/// One stream to an agent.
pub struct Stream {
    lines: BufReader<UnixStream>,
    pub state: AgentState,
}

impl Stream {
    pub fn open(socket: &Path) -> Self {
        let deadline = Instant::now() + LIMIT;
        // Another agent may be about to take this one's place.
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{}: {error}", socket.display()),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut lines = BufReader::new(stream);
        match read_line(&mut lines) {
            Up::Hello { v, state } => {
                assert_eq!(v, PROTOCOL_VERSION);
                Self { lines, state }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Sends an order that has `limit` and does not wait for the answer.
    pub fn send(&mut self, term: u64, seq: u64, limit: Duration, order: Order) -> String {
        self.send_again(term, seq, 0, limit, order)
    }

    fn send_again(&mut self, term: u64, seq: u64, attempt: u64, limit: Duration, order: Order) -> String {
        let seq = seq * ATTEMPTS + attempt;
        let id = format!("{term}-{seq}-{}", order.name());
        let now = self.ping().boot_ms;
        let deadline = BootMillis(now.0 + u64::try_from(limit.as_millis()).unwrap());
        let token = Token { data_uid: data_uid(), term: Term(term), seq };
        self.write(&Down::Order(OrderEnvelope { v: PROTOCOL_VERSION, id: id.clone(), token, deadline, order }));
        id
    }

    /// Sends an order and returns its outcome.
    pub fn order(&mut self, term: u64, seq: u64, order: Order) -> Outcome {
        self.order_again(term, seq, 0, order)
    }

    fn order_again(&mut self, term: u64, seq: u64, attempt: u64, order: Order) -> Outcome {
        let began = Instant::now();
        let name = order.name();
        let id = self.send_again(term, seq, attempt, LIMIT, order);
        let outcome = self.outcome(&id);
        println!("{name} {term}/{seq}: {:?}: {outcome:?}", began.elapsed());
        outcome
    }

    /// Sends an order that must be carried out. As an operator does, it gives it again when the server was slow just then.
    pub fn obey(&mut self, term: u64, seq: u64, order: Order) -> Answer {
        let slow = ["no answer within", "does not answer yet", "was silent for a moment"];
        for attempt in 0..ATTEMPTS {
            match self.order_again(term, seq, attempt, order.clone()) {
                Outcome::Ok(answer) => return answer,
                Outcome::Error(error) if slow.iter().any(|text| error.message.contains(text)) => {}
                Outcome::Error(error) => panic!("{error:?}"),
            }
        }
        panic!("{order:?}: the server answers too slowly")
    }

    /// Sends an order that must be refused.
    pub fn refuse(&mut self, term: u64, seq: u64, order: Order) -> OrderError {
        match self.order(term, seq, order) {
            Outcome::Error(error) => error,
            Outcome::Ok(answer) => panic!("{answer:?}"),
        }
    }

    /// Waits for the outcome of an order.
    pub fn outcome(&mut self, id: &str) -> Outcome {
        loop {
            if let Up::Answer { re, outcome, state } = read_line(&mut self.lines) {
                self.state = state;
                if re == id {
                    return outcome;
                }
            }
        }
    }

    /// Waits for an event.
    pub fn event(&mut self, wanted: Event) -> AgentState {
        loop {
            if let Up::Event { event, state } = read_line(&mut self.lines)
                && event == wanted
            {
                return state;
            }
        }
    }

    pub fn ping(&mut self) -> AgentState {
        self.write(&Down::Ping { n: 7 });
        loop {
            if let Up::Pong { n: 7, state } = read_line(&mut self.lines) {
                return state;
            }
        }
    }

    fn write(&mut self, line: &Down) {
        let mut text = serde_json::to_vec(line).unwrap();
        text.push(b'\n');
        self.lines.get_mut().write_all(&text).unwrap();
    }
}

fn read_line(lines: &mut BufReader<UnixStream>) -> Up {
    let mut line = String::new();
    assert!(lines.read_line(&mut line).unwrap() > 0, "the agent ended the stream");
    serde_json::from_str(&line).unwrap()
}
