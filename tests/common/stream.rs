//! The operator's end of a stream to an agent.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use beachmaster::orders::{
    AgentState, Answer, BootMillis, Down, Event, Order, OrderEnvelope, OrderError, Outcome, PROTOCOL_VERSION, Term,
    Token, Up,
};

use super::{LIMIT, data_uid};

/// One stream to an agent.
pub struct Stream {
    lines: BufReader<UnixStream>,
    pub state: AgentState,
}

impl Stream {
    pub fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
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
        let id = format!("{term}-{seq}-{}", order.name());
        let now = self.ping().boot_ms;
        let deadline = BootMillis(now.0 + u64::try_from(limit.as_millis()).unwrap());
        let token = Token { data_uid: data_uid(), term: Term(term), seq };
        self.write(&Down::Order(OrderEnvelope { v: PROTOCOL_VERSION, id: id.clone(), token, deadline, order }));
        id
    }

    /// Sends an order and returns its outcome.
    pub fn order(&mut self, term: u64, seq: u64, order: Order) -> Outcome {
        let began = Instant::now();
        let name = order.name();
        let id = self.send(term, seq, LIMIT, order);
        let outcome = self.outcome(&id);
        println!("{name} {term}/{seq}: {:?}: {outcome:?}", began.elapsed());
        outcome
    }

    /// Sends an order that must be carried out.
    pub fn obey(&mut self, term: u64, seq: u64, order: Order) -> Answer {
        match self.order(term, seq, order) {
            Outcome::Ok(answer) => answer,
            Outcome::Error(error) => panic!("{error:?}"),
        }
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
