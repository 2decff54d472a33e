//! Looks at one member's mariadbd over a held SQL connection. Only reads.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::control::input::{Input, Reading};
use crate::layout::MARIADB_PORT;
use crate::mariadb::{Session, SqlError, probe};
use crate::operator::clock::Clock;
use crate::orders::{Ordinal, Secret};

/// Time between two looks while something is going on: a step that waits for a reading waits for half of it on average.
const EAGER: Duration = Duration::from_millis(50);

/// Two of the clock's milliseconds are surely apart after this.
const CLOCK_UNIT: Duration = Duration::from_millis(2);

/// Where and how to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeTarget {
    /// The pod's address, once it has one.
    pub(crate) ip: Option<IpAddr>,
    /// Where its mariadbd takes the operator; new connections are tried where clients come in.
    pub(crate) port: u16,
    /// Look often.
    pub(crate) eager: bool,
    /// Raised to ask for a look at once.
    pub(crate) looks: u64,
}

/// What stays the same for all looks of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeSettings {
    /// Of the account `beachmaster_probe`.
    pub(crate) password: Secret,
    /// The cluster's replication domain.
    pub(crate) gtid_domain: u32,
    /// Time between two looks.
    pub(crate) interval: Duration,
    /// Limit of connecting, and of each statement.
    pub(crate) limit: Duration,
    /// For the time at which a reading began.
    pub(crate) clock: Clock,
}

/// Looks at one member again and again.
pub(crate) struct Probe {
    ordinal: Ordinal,
    settings: ProbeSettings,
    target: watch::Receiver<ProbeTarget>,
    inputs: mpsc::UnboundedSender<Input>,
    session: Option<(SocketAddr, Session)>,
}

impl Probe {
    /// A probe that tells `inputs` what it reads, and the sender that directs it.
    #[must_use]
    pub(crate) fn new(
        ordinal: Ordinal,
        settings: ProbeSettings,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> (Self, watch::Sender<ProbeTarget>) {
        let (sender, target) = watch::channel(ProbeTarget { ip: None, port: MARIADB_PORT, eager: false, looks: 0 });
        (Self { ordinal, settings, target, inputs, session: None }, sender)
    }

    /// Works until its director is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let ProbeTarget { ip, port, eager, looks: _ } = self.target.borrow_and_update().clone();
            let reading = match ip {
                Some(ip) => self.look(SocketAddr::new(ip, port)).await,
                None => Reading::Silent,
            };
            if self.inputs.send(Input::Probe { ordinal: self.ordinal, reading }).is_err() {
                return;
            }
            let pause = if eager { EAGER.min(self.settings.interval) } else { self.settings.interval };
            tokio::select! {
                () = sleep(pause) => {}
                changed = self.target.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // A look that was asked for because of an answer must begin after it in the clock's own unit.
                    sleep(CLOCK_UNIT).await;
                }
            }
        }
    }

    /// One look. A held connection that turns out to be closed is opened again at once: only then it is known whether
    /// somebody listens.
    async fn look(&mut self, at: SocketAddr) -> Reading {
        if let Some((_, session)) = self.session.take_if(|(held, _)| *held == at)
            && let Some(reading) = self.read(at, session, false).await
        {
            return reading;
        }
        self.session = None;
        let ProbeSettings { password, limit, .. } = &self.settings;
        let connected = probe::connect(&at.ip().to_string(), at.port(), password.clone(), *limit).await;
        match connected {
            Ok(session) => self.read(at, session, true).await.unwrap_or(Reading::Refused),
            Err(error) => failed(&error),
        }
    }

    /// Reads over a connection and keeps it when it is still good; none when it was closed.
    async fn read(&mut self, at: SocketAddr, mut session: Session, first: bool) -> Option<Reading> {
        let begun = self.settings.clock.now();
        match probe::read(&mut session, begun, self.settings.gtid_domain).await {
            Ok(view) => {
                self.session = Some((at, session));
                Some(Reading::Answers { view: Box::new(view), first })
            }
            Err(error) if error.is_gone() => None,
            Err(error) => Some(failed(&error)),
        }
    }
}

fn failed(error: &SqlError) -> Reading {
    match error {
        SqlError::Refused { .. } | SqlError::Closed { .. } => Reading::Refused,
        SqlError::Silent { .. } | SqlError::Unreachable { .. } => Reading::Silent,
        _ if error.is_denied() => Reading::Denied { message: error.to_string() },
        _ => Reading::Sick { message: error.to_string() },
    }
}
