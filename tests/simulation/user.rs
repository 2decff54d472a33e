//! The user does what a message says: a member that never comes back is given up, so that a cluster whose status was put back
//! goes on without it.

use std::ops::Range;

use beachmaster::orders::{Ordinal, Term};
use beachmaster::topology::blocked::Blocked;
use beachmaster::topology::policy::GivenUp;

use crate::api_server::NAME;
use crate::member::HostId;
use crate::number;
use crate::plan;
use crate::special_plans::of_a_plan;
use crate::stats::Stats;
use crate::world::{Mutant, World};

/// Histories in which a member is lost for good, and then the status is put back.
const GIVEN_UP: u64 = 500;
const ANNOTATION: &str = "beachmaster.dev/given-up=";

impl World {
    /// The pod is gone with its volume.
    pub fn lost_for_good(&mut self, host: HostId) {
        if self.store.record.primary.is_none() {
            // There is nothing to lose yet.
            return;
        }
        self.end_pod(host);
        let ordinal = self.hosts[host].ordinal;
        self.current[usize::from(ordinal.0)] = None;
        self.lost.insert(ordinal);
        self.show_pods();
    }

    /// Gives up the members that the message of the present leader names, when they are those that are lost.
    pub fn user_follows_advice(&mut self) {
        let leader = self.leaders.iter().rfind(|leader| leader.alive && !leader.deposed);
        let Some(Blocked::RecordOutdated(message)) = leader.and_then(|it| it.machine.decision().blocked.as_ref())
        else {
            return;
        };
        let Some(wish) = advice(message).filter(|wish| wish.members.iter().all(|it| self.lost.contains(it))) else {
            return;
        };
        if self.policy.given_up.as_ref() == Some(&wish) {
            return;
        }
        self.say(|| format!("the user gives up {wish:?}"));
        self.stats.given_up += 1;
        self.policy.given_up = Some(wish);
        self.lost_by_the_users_word();
        self.object_touched();
    }

    /// What only a lost member had.
    fn lost_by_the_users_word(&mut self) {
        let has = |host: &HostId, index: usize, gtid| {
            let there = &self.hosts[*host];
            there.has_received(index, gtid) || there.volume.has_kept(beachmaster::orders::Incarnation(0), gtid)
        };
        let mut acked = std::mem::take(&mut self.acked);
        acked.retain(|it| self.current.iter().flatten().any(|host| has(host, it.index, it.gtid)));
        self.acked = acked;
    }
}

/// The annotation in a message.
fn advice(message: &str) -> Option<GivenUp> {
    let (_, rest) = message.split_once(ANNOTATION)?;
    let (names, term) = rest.split('`').next()?.split_once('@')?;
    let ordinal = |name: &str| name.strip_prefix(NAME)?.strip_prefix('-')?.parse().ok().map(Ordinal);
    let members = names.split(',').map(ordinal).collect::<Option<Vec<_>>>()?;
    Some(GivenUp { members, term: Term(term.parse().ok()?) })
}

pub fn of_a_member_given_up(seed: u64, mutant: Option<Mutant>, trace: bool) -> World {
    of_a_plan(seed, plan::with_a_member_given_up, (mutant, trace))
}

/// The first of these plans in which something breaks, and what happened until then.
fn of_members_given_up(plans: Range<u64>) -> (Stats, Option<String>) {
    let mut sum = Stats::default();
    for seed in plans {
        let mut world = of_a_member_given_up(seed, None, false);
        world.run();
        sum.given_up += world.stats.given_up;
        sum.blocked += world.stats.blocked * u64::from(world.stats.given_up > 0);
        if let Some(broken) = world.violation {
            return (sum, Some(format!("plan {seed}: {broken}: SEED={seed} PLAN=given-up")));
        }
    }
    (sum, None)
}

/// The advice can be followed, and leads on.
#[test]
fn a_cluster_goes_on_without_a_member_that_was_given_up() {
    let (sum, broken) = of_members_given_up(0..number("HISTORIES").unwrap_or(GIVEN_UP));
    println!("{} members given up, {} histories rest blocked all the same", sum.given_up, sum.blocked);
    assert_eq!(broken, None);
    // In the others more is lost than the member that was given up.
    assert!(sum.given_up > 10 * sum.blocked, "the advice leads nowhere");
}
