//! The members of one cluster, and how each of them is to be watched.

use std::collections::BTreeMap;

use super::effect::{Command, Effect, Watching};
use super::input::{LinkEvent, Reading, Try};
use super::limits;
use super::member::{Member, News};
use super::mistakes::Mistakes;
use super::pod::{PodFacts, Trouble};
use crate::orders::{Order, Ordinal, Token};
use crate::time::Millis;
use crate::topology::observation::MemberView;

#[derive(Debug)]
struct WatchedMember {
    member: Member,
    wanted: Watching,
    /// What was asked for last.
    asked: Watching,
}

/// All members.
#[derive(Debug)]
pub(crate) struct Members(Vec<WatchedMember>);

impl Members {
    /// So many members, of which nothing is known yet.
    #[must_use]
    pub(crate) fn new(size: u8) -> Self {
        let member = |ordinal| WatchedMember {
            member: Member::new(ordinal),
            wanted: Watching::default(),
            asked: Watching::default(),
        };
        Self((0..size).map(Ordinal).map(member).collect())
    }

    /// Makes mistakes from now on; only for tests that prove that they are noticed.
    pub(super) fn err(&mut self, mistakes: Mistakes) {
        self.0.iter_mut().for_each(|watched| watched.member.err(mistakes));
    }

    fn watched(&mut self, ordinal: Ordinal) -> Option<&mut WatchedMember> {
        self.0.get_mut(usize::from(ordinal.0))
    }

    /// One member.
    #[must_use]
    pub(crate) fn get(&self, ordinal: Ordinal) -> Option<&Member> {
        self.0.get(usize::from(ordinal.0)).map(|watched| &watched.member)
    }

    /// All members, index = ordinal.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter().map(|watched| &watched.member)
    }

    /// What decisions see of them.
    #[must_use]
    pub(crate) fn views(&self, now: Millis) -> Vec<MemberView> {
        self.iter().map(|member| member.view(now)).collect()
    }

    /// When a member changes by the mere passing of time.
    #[must_use]
    pub(crate) fn wakes_at(&self, now: Millis) -> Option<Millis> {
        self.iter().filter_map(|member| member.wakes_at(now)).min()
    }

    /// What a stream tells, and what that means. After what changes a member it is looked at again at once.
    pub(crate) fn heard(&mut self, ordinal: Ordinal, event: LinkEvent, now: Millis) -> Vec<News> {
        let Some(watched) = self.watched(ordinal) else { return Vec::new() };
        let news = watched.member.heard(event, now);
        watched.wanted.extra_port = watched.member.extra_port();
        if news.iter().any(|news| matches!(news, News::Look | News::Exited { .. } | News::Done { .. })) {
            watched.wanted.looks += 1;
        }
        news
    }

    /// What a probe tells.
    pub(crate) fn probed(&mut self, ordinal: Ordinal, reading: Reading, now: Millis) {
        if let Some(watched) = self.watched(ordinal) {
            watched.member.probed(reading, now);
        }
    }

    /// How a try to open a new connection ended that began at `begun`.
    pub(crate) fn connection_tried(&mut self, ordinal: Ordinal, begun: Millis, outcome: Try) {
        if let Some(watched) = self.watched(ordinal) {
            watched.member.connection_tried(begun, outcome);
        }
    }

    /// The cluster's pods as Kubernetes tells them now.
    pub(crate) fn pods_seen(&mut self, pods: &[PodFacts], now: Millis) {
        for watched in &mut self.0 {
            let pod = pods.iter().find(|pod| pod.ordinal == watched.member.ordinal()).cloned();
            let Watching { known, pod: target, ip, .. } = &mut watched.wanted;
            *known = true;
            *target = pod.as_ref().and_then(PodFacts::target);
            *ip = pod.as_ref().and_then(|pod| pod.ip);
            watched.member.pod_seen(pod, now);
            watched.wanted.extra_port = watched.member.extra_port();
        }
    }

    /// Why members have no pod, as far as it is known.
    pub(crate) fn absent_seen(&mut self, why: &BTreeMap<Ordinal, Trouble>, now: Millis) {
        for watched in &mut self.0 {
            let why = why.get(&watched.member.ordinal()).cloned();
            watched.member.absent_seen(why, now);
        }
    }

    /// Looks often, or as usual. Streams to members in doubt are pinged often in any case.
    pub(crate) fn watch_closely(&mut self, eager: bool) {
        for watched in &mut self.0 {
            watched.wanted.eager = eager;
            watched.wanted.doubt = eager || watched.member.is_in_doubt();
        }
    }

    /// Pings as at rest whatever is the matter; only for a test that proves that this is noticed.
    pub(super) fn doubt_nobody(&mut self) {
        self.0.iter_mut().for_each(|watched| watched.wanted.doubt = false);
    }

    /// What has changed in how members are to be watched.
    pub(crate) fn changes(&mut self) -> Vec<Effect> {
        let changed = |watched: &mut WatchedMember| {
            let WatchedMember { member, wanted, asked } = watched;
            (*wanted != *asked).then(|| {
                asked.clone_from(wanted);
                Effect::Watch { ordinal: member.ordinal(), how: wanted.clone() }
            })
        };
        self.0.iter_mut().filter_map(changed).collect()
    }

    /// Gives an order; nothing for a member that does not exist.
    pub(crate) fn order(
        &mut self,
        ordinal: Ordinal,
        id: String,
        token: Token,
        order: Order,
        now: Millis,
    ) -> Option<Effect> {
        let watched = self.watched(ordinal)?;
        let limit = limits::work_limit(&order);
        watched.member.ordered(id.clone(), order.clone(), now);
        Some(Effect::Order { ordinal, command: Command { id, token, order, limit } })
    }

    /// Nobody's acknowledgements are relied upon now.
    pub(crate) fn forget_weakness(&mut self) {
        self.0.iter_mut().for_each(|watched| watched.member.forget_weakness());
    }

    /// A new term began.
    pub(crate) fn enter_term(&mut self) {
        self.0.iter_mut().for_each(|watched| watched.member.enter_term());
    }

    /// Gives up orders that were not answered in time.
    pub(crate) fn tick(&mut self, now: Millis) -> Vec<(Ordinal, News)> {
        let late = |watched: &mut WatchedMember| watched.member.tick(now).map(|news| (watched.member.ordinal(), news));
        self.0.iter_mut().filter_map(late).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ordinal: u8) -> PodFacts {
        PodFacts {
            ordinal: Ordinal(ordinal),
            name: format!("shop-{ordinal}"),
            uid: format!("u{ordinal}"),
            version: "1".to_owned(),
            ip: Some([10, 0, 0, ordinal].into()),
            deleting: false,
            node: Some("n1".to_owned()),
            trouble: None,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn how_a_member_is_watched_is_asked_for_once() {
        let mut members = Members::new(2);
        assert!(members.changes().is_empty());
        members.pods_seen(&[pod(1)], Millis(1));
        let asked = members.changes();
        let told: Vec<_> = asked
            .iter()
            .map(|effect| match effect {
                Effect::Watch { ordinal, how } => (ordinal.0, how.known, how.pod.is_some(), how.ip.is_some()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [(0, true, false, false), (1, true, true, true)], "that there is no pod is news, too");
        assert!(members.changes().is_empty());
        members.watch_closely(true);
        assert_eq!(members.changes().len(), 2);
    }
}
