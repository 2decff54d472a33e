//! Opens a new connection to one member's mariadbd again and again, as clients do: a server may answer the probe's held
//! session and take no new ones. One try at a time, and nothing is asked over it but whether others would have got in.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::probe::{ProbeSettings, ProbeTarget};
use crate::control::input::{Input, Try};
use crate::layout::MARIADB_PORT;
use crate::mariadb::{SqlError, probe};
use crate::orders::Ordinal;
use crate::time::Millis;

/// Between two tries: with [`HANGS`] a server that takes no connections is found within 3 s.
const PERIOD: Duration = Duration::from_secs(2);
/// The same while something is going on, or the last try hung.
const EAGER_PERIOD: Duration = Duration::from_millis(500);
/// A try that takes longer hangs. On a busy machine a login takes a few hundred milliseconds.
const HANGS: Duration = Duration::from_secs(1);
/// A try that ended this much later than its limit says nothing: this process did not run meanwhile.
const LATE: Duration = Duration::from_millis(250);

/// Tries to connect to one member.
pub(crate) struct NewConnections {
    ordinal: Ordinal,
    settings: ProbeSettings,
    target: watch::Receiver<ProbeTarget>,
    inputs: mpsc::UnboundedSender<Input>,
}

impl NewConnections {
    /// Goes where the probe goes that `target` directs, and tells `inputs`.
    #[must_use]
    pub(crate) fn new(
        ordinal: Ordinal,
        settings: ProbeSettings,
        target: watch::Receiver<ProbeTarget>,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> Self {
        Self { ordinal, settings, target, inputs }
    }

    /// Works until its director is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let ProbeTarget { ip, port, eager, .. } = self.target.borrow_and_update().clone();
            let mut hung = false;
            if let Some(ip) = ip {
                let begun = self.settings.clock.now();
                if let Some(outcome) = self.try_ports(ip, port).await {
                    hung = outcome == Try::Hung;
                    if !self.tell(begun, outcome) {
                        return;
                    }
                }
            }
            let pause = if eager || hung { EAGER_PERIOD } else { PERIOD };
            if self.rest(pause, ip).await.is_err() {
                return;
            }
        }
    }

    /// Where clients come in; when those have used up all connections, a server that hangs turns them away all the same, and its
    /// other port tells.
    async fn try_ports(&self, ip: IpAddr, extra: u16) -> Option<Try> {
        let outcome = self.try_once(ip, MARIADB_PORT).await?;
        if !matches!(outcome, Try::TurnedAway { .. }) || extra == MARIADB_PORT {
            return Some(outcome);
        }
        Some(self.try_once(ip, extra).await.filter(|other| *other == Try::Hung).unwrap_or(outcome))
    }

    async fn try_once(&self, ip: IpAddr, port: u16) -> Option<Try> {
        let began = Instant::now();
        let connected = probe::connect(&ip.to_string(), port, self.settings.password.clone(), HANGS).await;
        let took = began.elapsed();
        let mut session = match connected {
            Ok(session) => session,
            Err(error) => return judge(Err(error), took),
        };
        // A question that is not answered says nothing about connections.
        let used_up = probe::used_up(&mut session).await.ok().flatten();
        judge(Ok(used_up), took)
    }

    fn tell(&self, begun: Millis, outcome: Try) -> bool {
        self.inputs.send(Input::NewConnection { ordinal: self.ordinal, begun, outcome }).is_ok()
    }

    /// Waits; a change of the address or of the pace ends the wait.
    async fn rest(&mut self, pause: Duration, ip: Option<IpAddr>) -> Result<(), watch::error::RecvError> {
        let until = sleep(pause);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return Ok(()),
                changed = self.target.changed() => {
                    changed?;
                    let ProbeTarget { ip: now, eager, .. } = *self.target.borrow_and_update();
                    if now != ip || eager && pause > EAGER_PERIOD {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// What a try shows; none when this process was late itself.
fn judge(connected: Result<Option<u64>, SqlError>, took: Duration) -> Option<Try> {
    match connected {
        Ok(None) => Some(Try::Accepted),
        Ok(Some(most)) => Some(Try::TurnedAway { message: format!("all {most} connections are used") }),
        Err(SqlError::Silent { .. }) => (took <= HANGS + LATE).then_some(Try::Hung),
        Err(error) if error.is_denied() => Some(Try::Unknown),
        Err(error @ SqlError::Server { .. }) => Some(Try::TurnedAway { message: error.to_string() }),
        Err(_) => Some(Try::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16) -> SqlError {
        SqlError::Server { what: "probe@10.0.0.1:3306".to_owned(), code, message: "no".to_owned() }
    }

    #[test]
    fn a_try_is_judged_by_what_other_clients_meet() {
        let silent = || Err(SqlError::Silent { what: "p".to_owned(), limit: HANGS });
        assert_eq!(judge(Ok(None), HANGS), Some(Try::Accepted));
        assert!(matches!(judge(Ok(Some(151)), HANGS), Some(Try::TurnedAway { .. })), "only the operator got in");
        assert_eq!(judge(silent(), HANGS + Duration::from_millis(3)), Some(Try::Hung));
        assert_eq!(judge(silent(), HANGS * 3), None, "a stopped operator proves nothing");
        assert!(matches!(judge(Err(server(1040)), HANGS), Some(Try::TurnedAway { .. })));
        assert_eq!(judge(Err(server(1045)), HANGS), Some(Try::Unknown));
        let refused = SqlError::Refused { address: "a".to_owned(), message: "m".to_owned() };
        assert_eq!(judge(Err(refused), HANGS), Some(Try::Unknown));
    }
}
