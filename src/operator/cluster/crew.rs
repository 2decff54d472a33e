//! The members of one cluster with the tasks that watch them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::input::{Input, LinkEvent};
use super::limits;
use super::link::{Command, Link, LinkHandle, Transport};
use super::member::{Member, News};
use super::newcomer::{Newcomer, Try};
use super::pods::{PodFacts, Trouble};
use super::probe::{Probe, ProbeSettings, ProbeTarget, Reading};
use crate::orders::{Order, Ordinal, Token};
use crate::topology::observation::{MemberView, Millis};

struct Seat {
    member: Member,
    /// The link has heard whether there is a pod.
    told: bool,
    link: LinkHandle,
    probe: watch::Sender<ProbeTarget>,
}

/// All members. Dropping it ends their links and probes.
pub struct Crew {
    seats: Vec<Seat>,
    _tasks: JoinSet<()>,
}

impl Crew {
    /// Begins to watch `size` members.
    #[must_use]
    pub fn gather(
        size: u8,
        transport: &Arc<dyn Transport>,
        probes: &ProbeSettings,
        inputs: &mpsc::UnboundedSender<Input>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let seats = (0..size).map(Ordinal).map(|ordinal| {
            let (link, handle) = Link::new(ordinal, Arc::clone(transport), inputs.clone());
            let (probe, target) = Probe::new(ordinal, probes.clone(), inputs.clone());
            let newcomer = Newcomer::new(ordinal, probes.clone(), target.subscribe(), inputs.clone());
            tasks.spawn(link.run());
            tasks.spawn(newcomer.run());
            tasks.spawn(probe.run());
            Seat { member: Member::new(ordinal), told: false, link: handle, probe: target }
        });
        Self { seats: seats.collect(), _tasks: tasks }
    }

    fn seat(&mut self, ordinal: Ordinal) -> Option<&mut Seat> {
        self.seats.get_mut(usize::from(ordinal.0))
    }

    /// One member.
    #[must_use]
    pub fn member(&self, ordinal: Ordinal) -> Option<&Member> {
        self.seats.get(usize::from(ordinal.0)).map(|seat| &seat.member)
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.seats.iter().map(|seat| &seat.member)
    }

    /// What decisions see of them.
    #[must_use]
    pub fn views(&self, now: Millis) -> Vec<MemberView> {
        self.members().map(|member| member.view(now)).collect()
    }

    /// When a member changes by the mere passing of time.
    #[must_use]
    pub fn wakes_at(&self, now: Millis) -> Option<Millis> {
        self.members().filter_map(|member| member.wakes_at(now)).min()
    }

    /// What a link tells, and what that means.
    pub fn heard(&mut self, ordinal: Ordinal, event: LinkEvent, now: Millis) -> Vec<News> {
        let Some(seat) = self.seat(ordinal) else { return Vec::new() };
        let news = seat.member.heard(event, now);
        if news.iter().any(|news| matches!(news, News::Look | News::Exited { .. } | News::Done { .. })) {
            seat.probe.send_modify(|target| target.looks += 1);
        }
        news
    }

    /// What a probe tells.
    pub fn probed(&mut self, ordinal: Ordinal, reading: Reading, now: Millis) {
        if let Some(seat) = self.seat(ordinal) {
            seat.member.probed(reading, now);
        }
    }

    /// How a try to open a new connection ended.
    pub fn newcomer(&mut self, ordinal: Ordinal, begun: Millis, outcome: Try) {
        if let Some(seat) = self.seat(ordinal) {
            seat.member.newcomer(begun, outcome);
        }
    }

    /// The cluster's pods as Kubernetes tells them now.
    pub fn pods_seen(&mut self, pods: &[PodFacts], now: Millis) {
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let pod = pods.iter().find(|pod| usize::from(pod.ordinal.0) == index).cloned();
            let target = pod.as_ref().and_then(PodFacts::target);
            let first = !std::mem::replace(&mut seat.told, true);
            seat.link.pod.send_if_modified(|known| std::mem::replace(known, target.clone()) != target || first);
            let ip = pod.as_ref().and_then(|pod| pod.ip);
            seat.probe.send_if_modified(|known| std::mem::replace(&mut known.ip, ip) != ip);
            seat.member.pod_seen(pod, now);
        }
    }

    /// Why members have no pod, as far as it is known.
    pub fn absent_seen(&mut self, why: &BTreeMap<Ordinal, Trouble>, now: Millis) {
        for seat in &mut self.seats {
            let why = why.get(&seat.member.ordinal()).cloned();
            seat.member.absent_seen(why, now);
        }
    }

    /// Looks often, or as usual. Streams to members in doubt are pinged often in any case.
    pub fn watch_closely(&self, eager: bool) {
        for seat in &self.seats {
            seat.probe.send_if_modified(|target| std::mem::replace(&mut target.eager, eager) != eager);
            let doubt = eager || seat.member.is_in_doubt();
            seat.link.doubt.send_if_modified(|known| std::mem::replace(known, doubt) != doubt);
        }
    }

    /// Gives an order.
    pub fn order(&mut self, ordinal: Ordinal, id: String, token: Token, order: Order, now: Millis) {
        let Some(seat) = self.seat(ordinal) else { return };
        let limit = limits::work_limit(&order);
        seat.member.ordered(id.clone(), order.clone(), now);
        // A link that has ended answers nothing; the order is then given up like any unanswered one.
        let _ = seat.link.orders.send(Command { id, token, order, limit });
    }

    /// A new term began.
    pub fn enter_term(&mut self) {
        self.seats.iter_mut().for_each(|seat| seat.member.enter_term());
    }

    /// Gives up orders that were not answered in time.
    pub fn tick(&mut self, now: Millis) -> Vec<(Ordinal, News)> {
        let late = |(index, seat): (usize, &mut Seat)| {
            let ordinal = Ordinal(u8::try_from(index).unwrap_or(u8::MAX));
            seat.member.tick(now).map(|news| (ordinal, news))
        };
        self.seats.iter_mut().enumerate().filter_map(late).collect()
    }
}
