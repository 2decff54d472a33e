//! Which order may act: one at a time, the highest token wins. No I/O: the daemon carries out what is decided here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};

use crate::orders::{Admission, BootMillis, Identity, OrderEnvelope, OrderError, Outcome, Token, admit};

/// Orders that were obeyed, as far as it matters for the next one.
#[derive(Debug, Default)]
pub(crate) struct OrderGate {
    highest: Option<(Token, String)>,
    newest: Option<Arc<AcceptedOrder>>,
}

/// One order that was admitted.
#[derive(Debug)]
pub(crate) struct AcceptedOrder {
    /// The order.
    pub(crate) order: OrderEnvelope,
    overtaken: AtomicBool,
    wake: Notify,
    outcome: watch::Sender<Option<Outcome>>,
}

/// What to do with an order.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// Carry it out; it has overtaken all before it.
    CarryOut(Arc<AcceptedOrder>),
    /// The order that runs or was carried out last, again: its outcome is the answer.
    Same(Arc<AcceptedOrder>),
}

impl OrderGate {
    /// Begins with what the volume says.
    #[must_use]
    pub(crate) fn new(highest: Option<(Token, String)>) -> Self {
        Self { highest, newest: None }
    }

    /// Takes over what the volume says, where nothing was known yet.
    pub(crate) fn learn(&mut self, highest: Option<(Token, String)>) {
        if self.highest.is_none() {
            self.highest = highest;
        }
    }

    /// Judges an order, and from now on refuses whatever it overtakes.
    ///
    /// # Errors
    /// As [`admit`].
    pub(crate) fn judge(
        &mut self,
        order: OrderEnvelope,
        identity: Option<&Identity>,
        now: BootMillis,
    ) -> Result<Accepted, OrderError> {
        let highest = self.highest.as_ref().map(|(token, id)| (token, id.as_str()));
        let admission = admit(&order, identity, highest, now)?;
        if let (Admission::Repeat, Some(case)) = (&admission, &self.newest) {
            return Ok(Accepted::Same(Arc::clone(case)));
        }
        self.highest = Some((order.token.clone(), order.id.clone()));
        let case = Arc::new(AcceptedOrder {
            order,
            overtaken: AtomicBool::new(false),
            wake: Notify::new(),
            outcome: watch::Sender::new(None),
        });
        if let Some(older) = self.newest.replace(Arc::clone(&case)) {
            older.overtake();
        }
        Ok(Accepted::CarryOut(case))
    }

    /// The order that is carried out now.
    #[must_use]
    pub(crate) fn running(&self) -> Option<&AcceptedOrder> {
        self.newest.as_deref().filter(|case| case.outcome.borrow().is_none())
    }
}

impl AcceptedOrder {
    /// True once a newer order was admitted.
    #[must_use]
    pub(crate) fn is_overtaken(&self) -> bool {
        self.overtaken.load(Ordering::SeqCst)
    }

    /// Waits until a newer order is admitted.
    pub(crate) async fn overtaken(&self) {
        while !self.is_overtaken() {
            self.wake.notified().await;
        }
    }

    /// Notes how it ended.
    pub(crate) fn close(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }

    /// Waits for how it ends.
    pub(crate) async fn outcome(&self) -> Option<Outcome> {
        let mut outcome = self.outcome.subscribe();
        outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
    }

    fn overtake(&self) {
        self.overtaken.store(true, Ordering::SeqCst);
        // Kept for a waiter that comes later.
        self.wake.notify_one();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::orders::{Answer, DataUid, Order, PROTOCOL_VERSION, Reason, Term};

    fn order(term: u64, seq: u64, id: &str) -> OrderEnvelope {
        OrderEnvelope {
            v: PROTOCOL_VERSION,
            id: id.to_owned(),
            token: Token { data_uid: DataUid("d".to_owned()), term: Term(term), seq },
            deadline: BootMillis(1000),
            order: Order::Freeze,
        }
    }

    fn carry_out(gate: &mut OrderGate, order: OrderEnvelope) -> Arc<AcceptedOrder> {
        match gate.judge(order, None, BootMillis(0)).unwrap() {
            Accepted::CarryOut(case) => case,
            Accepted::Same(_) => panic!("a new order"),
        }
    }

    #[tokio::test]
    async fn a_higher_token_overtakes_and_lower_ones_are_refused_from_then_on() {
        let mut gate = OrderGate::default();
        let first = carry_out(&mut gate, order(1, 1, "a"));
        assert!(!first.is_overtaken());
        let second = carry_out(&mut gate, order(1, 2, "b"));
        first.overtaken().await;
        assert!(first.is_overtaken() && !second.is_overtaken());
        let stale = gate.judge(order(1, 1, "a"), None, BootMillis(0)).unwrap_err();
        assert_eq!(stale.reason, Reason::StaleToken);
        assert_eq!(gate.running().unwrap().order.id, "b");
        second.close(Outcome::Ok(Answer::Done));
        assert!(gate.running().is_none());
    }

    #[tokio::test]
    async fn the_same_order_again_gets_the_first_answer() {
        let mut gate = OrderGate::default();
        let case = carry_out(&mut gate, order(1, 1, "a"));
        case.close(Outcome::Ok(Answer::Done));
        let Accepted::Same(same) = gate.judge(order(1, 1, "a"), None, BootMillis(0)).unwrap() else { panic!() };
        assert_eq!(same.outcome().await, Some(Outcome::Ok(Answer::Done)));
    }

    #[test]
    fn what_the_volume_remembers_is_stale_or_carried_out_again() {
        let highest = || Some((order(2, 5, "x").token, "x".to_owned()));
        let mut gate = OrderGate::new(highest());
        assert_eq!(gate.judge(order(2, 4, "y"), None, BootMillis(0)).unwrap_err().reason, Reason::StaleToken);
        carry_out(&mut gate, order(2, 5, "x"));
    }
}
