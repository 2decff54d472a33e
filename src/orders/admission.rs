//! The rule that decides which order an agent may still obey.

use super::{BootMillis, Identity, OrderEnvelope, OrderError, PROTOCOL_VERSION, Reason, Token};

/// What an agent may do with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// New: store its token, end what runs, carry it out.
    Obey,
    /// The order with the highest token again: give its first answer, or carry it out again when that is not known.
    Repeat,
}

/// Decides whether an order may be obeyed on a volume whose highest token is `highest` (invariant 5).
///
/// # Errors
/// [`Reason::Unsupported`], [`Reason::ForeignCluster`], [`Reason::StaleToken`] or [`Reason::Expired`], in that order.
pub fn admit(
    order: &OrderEnvelope,
    identity: Option<&Identity>,
    highest: Option<(&Token, &str)>,
    now: BootMillis,
) -> Result<Admission, OrderError> {
    let refuse = |reason, message: String| Err(OrderError::new(reason, message));
    if order.v != PROTOCOL_VERSION {
        return refuse(
            Reason::Unsupported,
            format!("order of protocol version {}; this agent speaks {PROTOCOL_VERSION}: upgrade it", order.v),
        );
    }
    if identity.is_some_and(|identity| identity.data_uid != order.token.data_uid) {
        return refuse(
            Reason::ForeignCluster,
            format!(
                "the volume does not hold the data {}: give the member a volume of this cluster",
                order.token.data_uid.0
            ),
        );
    }
    if let Some((token, id)) = highest.filter(|(token, _)| token.data_uid == order.token.data_uid) {
        if token.rank() == order.token.rank() && id == order.id {
            return Ok(Admission::Repeat);
        }
        if token.rank() >= order.token.rank() {
            return refuse(
                Reason::StaleToken,
                format!(
                    "token {}/{} is not above {}/{}, obeyed before: a newer leader has taken over",
                    order.token.term, order.token.seq, token.term, token.seq
                ),
            );
        }
    }
    if now > order.deadline {
        return refuse(Reason::Expired, "the order arrived after its deadline: give it again".to_owned());
    }
    Ok(Admission::Obey)
}

#[cfg(test)]
mod tests {
    use super::super::{DataUid, Order, Ordinal, Term};
    use super::*;

    fn order(term: u64, seq: u64, id: &str) -> OrderEnvelope {
        OrderEnvelope {
            v: PROTOCOL_VERSION,
            id: id.to_owned(),
            token: token(term, seq),
            deadline: BootMillis(100),
            order: Order::Fence,
        }
    }

    fn token(term: u64, seq: u64) -> Token {
        Token { data_uid: DataUid("a".to_owned()), term: Term(term), seq }
    }

    fn reason(result: Result<Admission, OrderError>) -> Reason {
        result.unwrap_err().reason
    }

    #[test]
    fn obeys_only_what_is_higher() {
        let highest = token(3, 5);
        let seen = Some((&highest, "x"));
        assert_eq!(admit(&order(3, 6, "y"), None, seen, BootMillis(0)), Ok(Admission::Obey));
        assert_eq!(admit(&order(4, 1, "y"), None, seen, BootMillis(0)), Ok(Admission::Obey));
        assert_eq!(admit(&order(3, 5, "x"), None, seen, BootMillis(0)), Ok(Admission::Repeat));
        for stale in [order(3, 5, "other"), order(3, 4, "y"), order(2, 99, "y")] {
            assert_eq!(reason(admit(&stale, None, seen, BootMillis(0))), Reason::StaleToken);
        }
    }

    #[test]
    fn refuses_other_data_late_orders_and_other_versions() {
        let theirs = Identity { cluster: "n/c".to_owned(), data_uid: DataUid("b".to_owned()), ordinal: Ordinal(0) };
        assert_eq!(reason(admit(&order(1, 1, "x"), Some(&theirs), None, BootMillis(0))), Reason::ForeignCluster);
        assert_eq!(reason(admit(&order(1, 1, "x"), None, None, BootMillis(101))), Reason::Expired);
        let newer = OrderEnvelope { v: PROTOCOL_VERSION + 1, ..order(1, 1, "x") };
        assert_eq!(reason(admit(&newer, None, None, BootMillis(0))), Reason::Unsupported);
    }
}
