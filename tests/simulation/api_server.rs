//! What a leader does: orders it gives, and what becomes of them.

use beachmaster::orders::{
    AgentState, BootMillis, DataUid, Mariadbd, Order, OrderError, Outcome, PROTOCOL_VERSION, Reason, SignedOrder, Token,
};
use beachmaster::topology::decide::Act;
use beachmaster::topology::observation::{AgentSight, Millis};
use beachmaster::topology::reached::is_fit_again;

use crate::leader::{ToLeader, short};
use crate::member::Reply;
use crate::world::{Event, World};

/// How long the operator waits for an answer after the agent's deadline.
const ANSWER_MARGIN_MS: u64 = 300;
/// Back-off after a failed order: doubles from the first to the last.
const BACKOFF_FIRST_MS: u64 = 100;
const BACKOFF_LAST_MS: u64 = 5_000;

/// Orders that wait, answer after [`crate::steps::LONGEST_WAIT_MS`].
pub const WAITING_ORDER_MS: u64 = 20_000;

fn limit_ms(order: &Order) -> u64 {
    match order {
        Order::Fence => 5_000,
        Order::Freeze => 4_500,
        Order::Init { .. } | Order::Recover { .. } => 120_000,
        Order::Start => 60_000,
        Order::Follow { .. } | Order::Await { .. } | Order::Promote { .. } => WAITING_ORDER_MS,
        Order::ServeBinlog { .. } | Order::Maintain(_) => 5_000,
        _ => 2_000,
    }
}

impl World {
    pub fn perform(&mut self, id: usize, act: Act) {
        match act {
            Act::Write { record, why } => {
                self.say(|| format!("leader {id}: writes {} ({why})", short(&record)));
                self.leaders[id].writing = true;
                let (version, delay) = (self.leaders[id].version, self.dice.range(2, 12));
                self.after(delay, Event::Store { leader: id, version, record });
            }
            Act::Order { member, order } => self.give(id, usize::from(member.0), order),
            Act::Route { member } => {
                self.say(|| format!("leader {id}: routes to {member}"));
                self.check_routed(id, member);
                self.leaders[id].routed = Some(member);
                let (version, delay) = (self.leaders[id].service_version, self.dice.range(2, 25));
                let term = self.leaders[id].record.term;
                self.after(delay, Event::Service { leader: id, version, to: member, term });
            }
        }
    }

    fn give(&mut self, id: usize, member: usize, order: Order) {
        let leader = &self.leaders[id];
        let sight = &leader.sights[member];
        let fences = sight.flight.as_ref().is_some_and(|flight| flight.order == Order::Fence);
        let overtakes = matches!(order, Order::Fence) && !fences;
        if (sight.flight.is_some() || sight.resting.is_some()) && !overtakes {
            return self.broken(format!("leader {id}: {} given to busy member {member}", order.name()));
        }
        let Some(link) = sight.link.clone().filter(|link| link.open) else {
            return self.order_failed(id, member, &order, lost());
        };
        let data_uid = match &order {
            Order::Init { identity } => identity.data_uid.clone(),
            _ => leader.record.data_uid.clone().unwrap_or_else(|| DataUid("none".to_owned())),
        };
        let (term, seq) = (leader.record.term, leader.seq + 1);
        let limit = limit_ms(&order);
        let order = SignedOrder {
            v: PROTOCOL_VERSION,
            id: format!("{id}-{seq}"),
            token: Token { data_uid, term, seq },
            deadline: BootMillis(link.clock.0.0 + (self.now - link.clock.1) + limit),
            order,
        };
        self.check_order_given(id, member, &order);
        self.stats.orders += 1;
        self.say(|| format!("leader {id}: orders {member}: {:?} ({term}/{seq})", order.order));
        self.leaders[id].seq = seq;
        self.leaders[id].sights[member].flight = Some(order.clone());
        let timeout = ToLeader::Timeout { member, id: order.id.clone() };
        self.after(limit + ANSWER_MARGIN_MS, Event::Leader(id, timeout));
        self.send_order(&link, Reply { leader: id, link: link.id }, order);
    }

    /// The answer to an order in flight.
    pub fn answered(&mut self, id: usize, member: usize, re: &str, outcome: Outcome) {
        let sight = &mut self.leaders[id].sights[member];
        let Some(order) = sight.flight.take_if(|order| order.id == re) else { return };
        sight.answered_at = Some(Millis(self.now));
        let current = order.token.term == self.leaders[id].record.term;
        match outcome {
            Outcome::Ok(answer) if current => {
                let now = Millis(self.now);
                let sight = &mut self.leaders[id].sights[member];
                sight.progress.note(&order.order, &answer, now);
                if let AgentSight::Present(state) = &sight.agent {
                    sight.progress.note_lock(&order.order, state.sql_notes.writes_locked.as_deref());
                }
                sight.stumbled &= !is_fit_again(&order.order, &answer);
            }
            Outcome::Error(error) if current => self.order_failed(id, member, &order.order, error),
            _ => {}
        }
    }

    /// The newest state an agent told.
    pub fn sees_state(&mut self, id: usize, member: usize, state: AgentState) {
        let now = Millis(self.now);
        let sight = &mut self.leaders[id].sights[member];
        sight.running = match state.mariadbd {
            Mariadbd::Running { incarnation, .. } => match sight.running {
                Some((known, since)) if known == incarnation => Some((known, since)),
                _ => Some((incarnation, now)),
            },
            _ => None,
        };
        sight.dead_since = state.mariadbd.is_dead().then(|| sight.dead_since.unwrap_or(now));
        sight.agent = AgentSight::Present(Box::new(state));
    }

    pub fn order_lost(&mut self, id: usize, member: usize, order: &str) {
        let sight = &mut self.leaders[id].sights[member];
        if let Some(order) = sight.flight.take_if(|flight| flight.id == order) {
            self.order_failed(id, member, &order.order, lost());
        }
    }

    pub fn order_failed(&mut self, id: usize, member: usize, order: &Order, error: OrderError) {
        let sight = &mut self.leaders[id].sights[member];
        let count = sight.progress.note_failure(order, error);
        sight.resting = Some(order.name());
        let pause = (BACKOFF_FIRST_MS << (count - 1).min(10)).min(BACKOFF_LAST_MS);
        self.after(pause, Event::Leader(id, ToLeader::Rested { member }));
    }
}

fn lost() -> OrderError {
    OrderError { reason: Reason::Superseded, message: "no answer: the outcome is unknown".to_owned() }
}
