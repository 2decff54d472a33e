//! What is known of one member, put together from what its agent, its mariadbd and its pod tell. No I/O.

mod readings;
#[cfg(test)]
mod tests;

use super::input::LinkEvent;
use super::limits;
use super::mistakes::Mistakes;
use super::pod::{PodFacts, Trouble};
use crate::orders::{
    AgentState, Answer, Event, ExitStatus, Incarnation, Mariadbd, Order, OrderError, Ordinal, Outcome, Reason, Term,
    Token, Up,
};
use crate::time::Millis;
use crate::topology::member_progress::{MemberProgress, is_fit_again};
use crate::topology::observation::{
    AgentSight, Maintained, MemberView, NewConnection, PodView, ReplicatedFrom, ServerSight,
};

/// An order that was given and not yet answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flight {
    id: String,
    order: Order,
    sent: Millis,
    give_up: Millis,
}

/// What a piece of news meant, for timeline, Events and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// An order was carried out.
    Done { order: Order, answer: Answer, ms: u64 },
    /// An order failed, for the `count`th time in a row.
    Failed { order: &'static str, error: OrderError, count: u32 },
    /// mariadbd ended.
    Exited { status: ExitStatus, message: String },
    /// Its readings over SQL should be renewed now: something changed.
    Look,
}

/// One member.
#[derive(Debug, Default)]
pub(crate) struct Member {
    ordinal: Ordinal,
    pod: Option<PodFacts>,
    agent: AgentSight,
    server: ServerSight,
    new_connection: NewConnection,
    replicated: Option<ReplicatedFrom>,
    extra_port: Option<u16>,
    progress: MemberProgress,
    flight: Option<Flight>,
    pause: Option<(&'static str, Millis)>,
    runs: Option<(Incarnation, Millis)>,
    absent: Option<Trouble>,
    troubled_since: Option<Millis>,
    weakened: Option<String>,
    heard_at: Option<Millis>,
    answered_at: Option<Millis>,
    dead_since: Option<Millis>,
    died: Option<(Incarnation, Millis)>,
    answered_last: Option<Millis>,
    stumbled: bool,
    maintained: Maintained,
    obeyed: Vec<Token>,
    mistakes: Mistakes,
}

/// What the length of an outage is told from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// Its mariadbd runs, as far as anybody can tell.
    pub(crate) good: bool,
    /// When its parent process reaped it, where that is known.
    pub(crate) died: Option<Millis>,
    /// When the last reading that it answered was begun.
    pub(crate) answered: Option<Millis>,
}

/// A pod's trouble counts when it lasts: volumes and images take their time at every start.
const TROUBLE_LASTS_MS: u64 = 3_000;

impl Member {
    /// A member of which nothing is known yet.
    #[must_use]
    pub(crate) fn new(ordinal: Ordinal) -> Self {
        Self { ordinal, ..Self::default() }
    }

    /// What decisions see of it.
    #[must_use]
    pub(crate) fn view(&self, now: Millis) -> MemberView {
        MemberView {
            ordinal: self.ordinal,
            pod: self.pod.as_ref().map(|pod| PodView {
                uid: pod.uid.clone(),
                ip: pod.ip.map(|ip| ip.to_string()),
                deleting: pod.deleting,
                node: pod.node.clone(),
            }),
            agent: self.agent.clone(),
            server: self.server.clone(),
            new_connection: self.new_connection.clone(),
            replicated: self.replicated.clone(),
            extra_port: self.extra_port,
            running_since: self.runs.map(|(_, since)| since),
            dead_since: self.dead_since,
            weakened: self.weakened.clone(),
            heard_at: self.heard_at,
            answered_at: self.answered_at,
            busy: self.busy(now),
            resting: self.flight.is_none(),
            stumbled: self.stumbled,
            progress: self.progress.clone(),
            maintained: self.maintained,
            obeyed: if self.mistakes.term_forgotten { Vec::new() } else { self.obeyed.clone() },
        }
    }

    /// How it is and was. A probe that finds no way while the agent sees its mariadbd answer is trouble of the probe's.
    #[must_use]
    pub(crate) fn health(&self) -> Health {
        let runs = match &self.agent {
            AgentSight::Present(state) => matches!(state.mariadbd, Mariadbd::Running { sql: true, .. }),
            AgentSight::Unknown | AgentSight::Away { .. } => false,
        };
        let good = runs || matches!(self.server, ServerSight::Answers { .. });
        Health { good, died: self.died.map(|(_, at)| at), answered: self.answered_last }
    }

    /// True when its mariadbd does not answer as it should: whether its agent does matters now.
    #[must_use]
    pub(crate) fn is_in_doubt(&self) -> bool {
        let hangs = matches!(self.new_connection, NewConnection::Hangs { .. });
        hangs || self.runs.is_some() && !matches!(self.server, ServerSight::Answers { .. })
    }

    /// Makes mistakes from now on; only for tests that prove that they are noticed.
    pub(super) fn err(&mut self, mistakes: Mistakes) {
        self.mistakes = mistakes;
    }

    fn busy(&self, now: Millis) -> Option<&'static str> {
        if self.mistakes.orders_while_busy {
            return None;
        }
        let paused = self.pause.filter(|(_, until)| now < *until).map(|(order, _)| order);
        self.flight.as_ref().map(|flight| flight.order.name()).or(paused)
    }

    /// When this member changes by the mere passing of time.
    #[must_use]
    pub(crate) fn wakes_at(&self, now: Millis) -> Option<Millis> {
        let pause = self.pause.map(|(_, until)| until).filter(|until| now < *until);
        self.flight.as_ref().map(|flight| flight.give_up).into_iter().chain(pause).min()
    }

    /// Its pod, when there is one.
    #[must_use]
    pub(crate) fn pod(&self) -> Option<&PodFacts> {
        self.pod.as_ref()
    }

    /// Its number.
    #[must_use]
    pub(crate) fn ordinal(&self) -> Ordinal {
        self.ordinal
    }

    /// What has kept its pod from running, or from being there, for a while.
    #[must_use]
    pub(crate) fn trouble(&self, now: Millis) -> Option<&Trouble> {
        let since = self.troubled_since?;
        self.present_trouble().filter(|_| now.since(since) >= TROUBLE_LASTS_MS)
    }

    fn present_trouble(&self) -> Option<&Trouble> {
        match &self.pod {
            Some(pod) => pod.trouble.as_ref(),
            None => self.absent.as_ref(),
        }
    }

    /// A new term: what was reached in the old one no longer counts, and its orders are superseded.
    pub(crate) fn enter_term(&mut self) {
        self.stumbled |= self.progress.is_passed_over();
        self.progress = MemberProgress::default();
        self.flight = None;
        self.pause = None;
    }

    /// Where its mariadbd takes the operator and other members, when that is no client's port. While its agent is away, as told
    /// last; once it is dead none: what answers in its name then answers to clients.
    #[must_use]
    pub(crate) fn extra_port(&self) -> Option<u16> {
        self.extra_port
    }

    /// The pod as Kubernetes tells it now.
    pub(crate) fn pod_seen(&mut self, pod: Option<PodFacts>, now: Millis) {
        let uid = |pod: &Option<PodFacts>| pod.as_ref().map(|pod| pod.uid.clone());
        if uid(&pod) != uid(&self.pod) {
            // Another pod may be of another release.
            self.extra_port = None;
        }
        self.pod = pod;
        self.note_trouble(now);
    }

    /// Why it has no pod, when that is known.
    pub(crate) fn absent_seen(&mut self, why: Option<Trouble>, now: Millis) {
        self.absent = why;
        self.note_trouble(now);
    }

    fn note_trouble(&mut self, now: Millis) {
        let troubled = self.present_trouble().is_some();
        self.troubled_since = troubled.then(|| self.troubled_since.unwrap_or(now));
    }

    /// An order was given.
    pub(crate) fn ordered(&mut self, id: String, order: Order, now: Millis) {
        let give_up = limits::give_up(&order, now);
        self.flight = Some(Flight { id, order, sent: now, give_up });
    }

    /// Gives up what was not answered in time.
    pub(crate) fn tick(&mut self, now: Millis) -> Option<News> {
        let late = self.flight.as_ref().is_some_and(|flight| now >= flight.give_up);
        if late { self.unanswered("the agent did not answer in time", now) } else { None }
    }

    /// What the link tells.
    pub(crate) fn heard(&mut self, event: LinkEvent, now: Millis) -> Vec<News> {
        match event {
            LinkEvent::Greeted { state } => {
                // A new stream does not answer the old one's orders; the first answer is given again on repetition.
                let lost = self.unanswered("the stream to the agent was reopened", now);
                self.present(*state, now).into_iter().chain(lost).chain([News::Look]).collect()
            }
            LinkEvent::Told { up } => self.told(*up, now),
            LinkEvent::Away { why } => {
                if !matches!(self.agent, AgentSight::Away { .. }) {
                    self.agent = AgentSight::Away { since: now };
                }
                self.unanswered(&format!("the stream to the agent ended ({why})"), now).into_iter().collect()
            }
        }
    }

    fn told(&mut self, up: Up, now: Millis) -> Vec<News> {
        match up {
            Up::Hello { state, .. } | Up::Pong { state, .. } => self.present(state, now).into_iter().collect(),
            Up::Event { event, state } => {
                let exited = self.present(state, now);
                let look = matches!(event, Event::Exited | Event::Answers).then_some(News::Look);
                exited.into_iter().chain(look).collect()
            }
            Up::Answer { re, outcome, state } => {
                let exited = self.present(state, now);
                let answered = self.answered(&re, outcome, now);
                exited.into_iter().chain(answered).collect()
            }
        }
    }

    /// Takes over what the agent says of its member; tells when mariadbd has ended since.
    fn present(&mut self, state: AgentState, now: Millis) -> Option<News> {
        let ran = match &self.agent {
            AgentSight::Present(before) => matches!(before.mariadbd, Mariadbd::Running { .. }),
            AgentSight::Unknown | AgentSight::Away { .. } => false,
        };
        if state.serving.is_none() {
            self.progress.serving = None;
        }
        state.record().and_then(|volume| volume.token.clone()).into_iter().for_each(|it| it.remember(&mut self.obeyed));
        let run = self.runs.map(|(run, _)| run);
        self.runs = match state.mariadbd {
            Mariadbd::Running { incarnation, .. } => {
                let known = self.runs.filter(|(known, _)| *known == incarnation);
                Some((incarnation, known.map_or(now, |(_, since)| since)))
            }
            _ => None,
        };
        if self.runs.map(|(run, _)| run) != run {
            self.new_connection = NewConnection::Unknown;
            self.replicated = None;
        }
        let news = match &state.mariadbd {
            Mariadbd::Exited { status, message, .. } if ran => {
                Some(News::Exited { status: *status, message: message.clone() })
            }
            _ => None,
        };
        self.died = match &state.mariadbd {
            Mariadbd::Exited { incarnation, at: Some(at), .. } => {
                // Both are times of the agent's clock; of several messages the fastest tells best.
                let told = Millis(now.0.saturating_sub(state.boot_ms.0.saturating_sub(at.0)));
                let known = self.died.filter(|(known, _)| known == incarnation);
                Some((*incarnation, known.map_or(told, |(_, known)| known.min(told))))
            }
            _ => None,
        };
        self.extra_port = state.extra_port.filter(|_| !state.mariadbd.is_dead());
        if state.mariadbd.is_dead() {
            self.dead_since.get_or_insert(now);
            // Whoever is proven dead does not listen; whatever does in its name is seen by the next look.
            if matches!(self.server, ServerSight::Answers { .. }) {
                self.server = ServerSight::Refused { since: now };
            }
        } else {
            self.dead_since = None;
        }
        self.agent = AgentSight::Present(Box::new(state));
        self.heard_at = Some(now);
        news
    }

    fn answered(&mut self, re: &str, outcome: Outcome, now: Millis) -> Option<News> {
        let any = self.mistakes.any_answer_taken;
        let flight = self.flight.take_if(|flight| flight.id == re || any)?;
        self.answered_at = Some(now);
        self.maintained.note(&flight.order, now);
        match outcome {
            Outcome::Ok(answer) => {
                self.pause = None;
                self.reached(&flight.order, &answer, now);
                Some(News::Done { order: flight.order, answer, ms: now.since(flight.sent) })
            }
            Outcome::Error(error) => Some(self.failed(&flight.order, error, now)),
        }
    }

    fn reached(&mut self, order: &Order, answer: &Answer, now: Millis) {
        self.progress.note(order, answer, now);
        if let AgentSight::Present(state) = &self.agent {
            self.progress.note_lock(order, state.sql_notes.writes_locked.as_deref());
        }
        self.stumbled &= !is_fit_again(order, answer);
    }

    fn unanswered(&mut self, why: &str, now: Millis) -> Option<News> {
        let flight = self.flight.take()?;
        self.answered_at = Some(now);
        self.maintained.note(&flight.order, now);
        let message = format!(
            "{why}: whether {} was carried out is unknown; it is given again, which does no harm",
            flight.order.name()
        );
        Some(self.failed(&flight.order, OrderError::new(Reason::Expired, message), now))
    }

    fn failed(&mut self, order: &Order, error: OrderError, now: Millis) -> News {
        let count = self.progress.note_failure(order, error.clone());
        self.pause = Some((order.name(), limits::retry_at(count, now)));
        News::Failed { order: order.name(), error, count }
    }
}

/// Name of an order: unique among all orders of all leaders to one member.
#[must_use]
pub(crate) fn order_id(term: Term, seq: u64, leader: &str) -> String {
    format!("{term}-{seq}-{leader}")
}
