//! What may go wrong in a history, and when: chosen by the seed before it begins.

use beachmaster::topology::policy::{MemberPolicy, Mode, Policy, Retention, WhenNoAcker};

use crate::dice::Dice;
pub use crate::fault::{Edit, Fault, Heal, Who};
use crate::member::At;

/// When the primary of [`Plan::of_a_locked_candidate`] or [`Plan::of_a_half_open_stream`] is killed, at the earliest.
pub const LOCKED_KILL_MS: u64 = 9_000;
/// How long faults may begin.
const FAULTS_FOR_MS: u64 = 12_000;

/// Everything that will go wrong in a history.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub timed: Vec<(At, Fault)>,
    /// Before the n-th act inside a failover (counted over the history).
    pub at_act: Vec<(u64, Fault)>,
    pub acts: u64,
    pub late_percent: u64,
    pub twice_percent: u64,
    /// Readings over SQL that are 50 to 900 ms old when they come.
    pub late_readings_percent: u64,
    /// Answers of the API server that never come, to writes it has done.
    pub lost_answers_percent: u64,
    /// Damaged volumes are whole again when the faults stop.
    pub volumes_heal: bool,
    /// Operators try whether members take new connections. Only where one may not: every try costs time.
    pub knocks: bool,
    pub heals: Vec<Heal>,
}

impl Plan {
    /// The member that is being promoted gets a second pod while `promote` is late.
    pub fn of_a_second_candidate(seed: u64) -> Self {
        let who = Who::Candidate;
        let second = Fault::SecondPod { who, with_primary: false, blank: false, heals: 1_200 };
        Self {
            timed: vec![(3_000 + seed, Fault::Kill(Who::Primary))],
            at_act: vec![(5 + seed % 6, second)],
            late_percent: 60,
            ..Self::default()
        }
    }
}

impl Plan {
    /// The preferred candidate cannot apply what it has received, for much longer than a failover may take. It is locked so many
    /// milliseconds before the primary is killed.
    pub fn of_a_locked_candidate(seed: u64, candidate: u8, before: u64) -> Self {
        let killed = LOCKED_KILL_MS + seed;
        Self {
            timed: vec![
                (killed - before, Fault::Locked(Who::Any(candidate), 60_000)),
                (killed, Fault::Kill(Who::Primary)),
            ],
            ..Self::default()
        }
    }

    /// While no operator runs and no replica goes on, semi-sync is off for a moment; then the primary is lost (docs/known-gaps.md).
    pub fn of_semi_sync_switched_off(seed: u64) -> Self {
        let at = 6_000 + seed % 1_000;
        let hang = |member| (at, Fault::Hang(Who::Any(member), 4_000));
        let last = [
            (at, Fault::CrashLeader),
            (at + 100, Fault::SemiSyncOff(Who::Primary, 300)),
            (at + 3_000 + seed % 700, Fault::IndexLost(Who::Primary, 60_000)),
        ];
        Self { timed: (1..3).map(hang).chain(last).collect(), ..Self::default() }
    }

    /// The old primary has a branch of its own when it comes back; it is started once more, and then the new one is lost
    /// (docs/known-gaps.md).
    pub fn of_a_branch(seed: u64) -> Self {
        let lost = 4_000 + seed % 1_000;
        let again = lost + 8_000 + seed % 300;
        Self {
            timed: vec![
                (lost, Fault::Unreadable(Who::Primary, 3_000)),
                (again, Fault::Kill(Who::Any(0))),
                (again + seed % 400, Fault::Unreadable(Who::Primary, 60_000)),
                (again + 1_000, Fault::Kill(Who::Any(0))),
            ],
            volumes_heal: true,
            ..Self::default()
        }
    }

    /// The stream to the primary's agent carries nothing, and a second later the primary is killed.
    pub fn of_a_half_open_stream(seed: u64) -> Self {
        let killed = LOCKED_KILL_MS + seed;
        let timed = vec![(killed - 1_000, Fault::HalfOpen(Who::Primary)), (killed, Fault::Kill(Who::Primary))];
        Self { timed, ..Self::default() }
    }

    /// Every pod of a replica is drained, again and again.
    pub fn of_a_drained_replica(seed: u64) -> Self {
        let drained = [3_000, 12_000, 14_000].map(|at| (at + seed, Fault::Drained(Who::Any(1))));
        // Time for the last one to come back.
        let last = (24_000, Fault::SlowMember(Who::Any(1), 1));
        Self { timed: drained.into_iter().chain([last]).collect(), ..Self::default() }
    }

    /// Replicas that apply slowly have received what they have not applied; the old primary's agent goes away when the best of
    /// them is told to follow it, and throws that away.
    pub fn of_a_lost_donor(seed: u64, members: usize) -> Self {
        // Before it: the announcement, a fence, a freeze of each other member, the Service, serve-binlog.
        let follow = members as u64 + 4;
        let slow = |member| (2_000, Fault::SlowMember(Who::Any(member), 400));
        let members = u8::try_from(members).expect("at most 9 members");
        Self {
            timed: (0..members).map(slow).chain([(3_000 + seed, Fault::Kill(Who::Primary))]).collect(),
            at_act: vec![(follow, Fault::AgentAway(Who::Primary, 60_000))],
            ..Self::default()
        }
    }
}

/// Any member.
fn anyone(dice: &mut Dice, members: usize) -> Who {
    Who::Any(u8::try_from(dice.index(members)).unwrap_or(0))
}

/// The faults of a history without those of which only the newest status knows: where logs ended that are gone, and a run whose
/// pod was deleted by force and lives on.
fn plan_for_an_older_status(dice: &mut Dice, members: usize) -> Plan {
    let mut plan = plan(dice, members);
    let unknowable = |fault: &Fault| matches!(fault, Fault::IndexLost(..) | Fault::SecondPod { .. });
    plan.timed.retain(|(_, fault)| !unknowable(fault));
    plan.at_act.retain(|(_, fault)| !unknowable(fault));
    plan
}

/// The faults of a history, and a status that is put back once or twice.
pub fn with_a_status_rolled_back(dice: &mut Dice, members: usize) -> Plan {
    let mut plan = plan_for_an_older_status(dice, members);
    for _ in 0..dice.range(1, 2) {
        let fault = Fault::StatusRolledBack { writes: dice.range(1, 20), crash: dice.chance(50), within: false };
        plan.timed.push((dice.range(1_500, 16_000), fault));
    }
    plan
}

/// A status that is put back while no operator runs, and the first agent that answers the next one has an empty volume.
pub fn with_an_empty_volume(dice: &mut Dice, members: usize) -> Plan {
    let mut plan = plan_for_an_older_status(dice, members);
    let at = dice.range(4_000, 12_000);
    let blank = anyone(dice, members);
    plan.timed.push((at, Fault::PodBlank(blank)));
    let cut = at + dice.range(100, 4_500);
    plan.timed.push((cut, Fault::PowerCutAll));
    plan.timed.push((
        cut + dice.range(0, 100),
        Fault::StatusRolledBack { writes: dice.range(1, 20), crash: true, within: false },
    ));
    plan
}

/// The faults of a history, and replicas that somebody makes writable, also right after the primary has died.
pub fn with_replicas_made_writable(dice: &mut Dice, members: usize) -> Plan {
    let mut plan = plan(dice, members);
    for _ in 0..dice.range(1, 3) {
        let any = anyone(dice, members);
        plan.timed.push((dice.range(1_500, 16_000), Fault::MadeWritable(any)));
    }
    let killed = plan.timed.iter().find_map(|(at, fault)| matches!(fault, Fault::Kill(Who::Primary)).then_some(*at));
    let soon = killed.unwrap_or(3_000) + dice.range(0, 400);
    for member in 0..u8::try_from(members).unwrap_or(0) {
        plan.timed.push((soon, Fault::MadeWritable(Who::Any(member))));
    }
    for _ in 0..dice.range(0, 2) {
        let any = anyone(dice, members);
        plan.at_act.push((dice.range(1, 12), Fault::MadeWritable(any)));
    }
    plan
}

/// A member is lost with its volume, and then the status is put back while no operator runs: the volumes alone do not tell what
/// the lost one had, so that the user must give it up.
pub fn with_a_member_given_up(dice: &mut Dice, members: usize) -> Plan {
    let mut plan = plan_for_an_older_status(dice, members);
    let at = dice.range(4_000, 12_000);
    let who = match dice.range(0, 2) {
        0 | 1 => Who::Primary,
        _ => anyone(dice, members),
    };
    plan.timed.push((at, Fault::LostForGood(who)));
    let fault = Fault::StatusRolledBack { writes: dice.range(1, 20), crash: true, within: false };
    plan.timed.push((at + dice.range(0, 3_000), fault));
    plan
}

/// A status that is put back, and no volume knows a later term (docs/known-gaps.md).
pub fn with_a_status_of_the_term(dice: &mut Dice, members: usize) -> Plan {
    let mut plan = plan_for_an_older_status(dice, members);
    let fault = Fault::StatusRolledBack { writes: dice.range(1, 6), crash: dice.chance(50), within: true };
    plan.timed.push((dice.range(1_500, 16_000), fault));
    plan
}

/// A volume that is replaced by an older copy of itself (docs/known-gaps.md).
pub fn with_an_older_copy(dice: &mut Dice, members: usize) -> Plan {
    let mut plan = plan(dice, members);
    let at = dice.range(2_000, 8_000);
    let who = anyone(dice, members);
    plan.timed.push((at, Fault::VolumeCopied(who)));
    plan.timed.push((at + dice.range(500, 8_000), Fault::OlderCopy(who)));
    plan
}

/// A foreign replica acknowledges for some time (docs/known-gaps.md).
pub fn with_a_stranger(dice: &mut Dice, members: usize) -> Plan {
    let mut plan = plan(dice, members);
    plan.timed.push((dice.range(2_000, 8_000), Fault::Stranger(dice.range(500, 10_000))));
    plan
}

/// One history of `EVERY` has disks without space, disks that hang, and nodes that learn late what the Service selects. Dice of
/// their own choose them: every other history stays as it is.
pub fn add_troubles_around(plan: &mut Plan, seed: u64, members: usize) {
    const EVERY: u64 = 4;
    if seed % EVERY != EVERY - 1 {
        return;
    }
    let mut dice = Dice::new(!seed);
    for _ in 0..dice.range(1, 3) {
        let who = match dice.range(0, 3) {
            0 => Who::Primary,
            1 => Who::Candidate,
            _ => anyone(&mut dice, members),
        };
        let fault = match dice.range(0, 4) {
            0 | 1 => Fault::DiskFull(who, dice.range(500, 20_000)),
            2 | 3 => Fault::DiskHangs(who, dice.range(200, 15_000)),
            _ => Fault::EndpointsLate(dice.range(200, 8_000)),
        };
        if dice.chance(30) {
            plan.at_act.push((dice.range(1, 14), fault));
        } else {
            plan.timed.push((dice.range(1_500, 16_000), fault));
        }
    }
}

/// The user's wishes of a history.
pub fn policy(dice: &mut Dice) -> Policy {
    let members = [1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 5][dice.index(12)];
    let mode = if members == 1 || dice.chance(20) { Mode::Async } else { Mode::SemiSync };
    let when_no_acker =
        if dice.chance(60) { WhenNoAcker::Wait } else { WhenNoAcker::Degrade { after_ms: dice.range(300, 4_000) } };
    let mut wishes: Vec<MemberPolicy> = (0..members)
        .map(|_| MemberPolicy { priority: u32::try_from(dice.range(0, 2)).unwrap_or(0), never_primary: false })
        .collect();
    if members > 2 && dice.chance(15) {
        wishes[dice.index(members)].never_primary = true;
    }
    Policy {
        members: wishes,
        mode,
        when_no_acker,
        failover_enabled: true,
        paused: false,
        max_candidate_lag_s: 10,
        retention: Retention { time_s: 604_800, bytes: 1 << 30 },
        cluster: "sim/shop".to_owned(),
        hosts: (0..members).map(|member| format!("m{member}")).collect(),
        given_up: None,
    }
}

/// The faults of a history.
pub fn plan(dice: &mut Dice, members: usize) -> Plan {
    let begin = if dice.chance(10) { 0 } else { dice.range(2_500, 4_000) };
    let mut plan = Plan {
        late_percent: if dice.chance(40) { dice.range(1, 15) } else { 0 },
        twice_percent: if dice.chance(40) { dice.range(1, 25) } else { 0 },
        late_readings_percent: if dice.chance(25) { dice.range(5, 40) } else { 3 },
        lost_answers_percent: if dice.chance(30) { dice.range(1, 15) } else { 0 },
        volumes_heal: dice.chance(60),
        ..Plan::default()
    };
    for _ in 0..dice.range(1, 5) {
        let at = begin + dice.range(0, FAULTS_FOR_MS);
        plan.timed.push((at, fault(dice, members)));
    }
    let first = begin + dice.range(500, 5_000);
    plan.timed.push((first, Fault::Kill(Who::Primary)));
    if dice.chance(40) {
        plan.timed.push((first + dice.range(0, 3_000), fault(dice, members)));
    }
    if dice.chance(30) {
        plan.timed.push((first + dice.range(500, 6_000), Fault::Kill(Who::Primary)));
    }
    for _ in 0..[0, 1, 1, 1, 2, 3][dice.index(6)] {
        plan.at_act.push((dice.range(1, 14), Fault::CrashLeader));
    }
    if dice.chance(15) {
        // While the cluster is initialised.
        let any = anyone(dice, members);
        let fault = if dice.chance(70) { Fault::Kill(any) } else { Fault::PodReplaced(any) };
        plan.timed.push((dice.range(50, 1_500), fault));
    }
    for _ in 0..[0, 0, 0, 1, 3][dice.index(5)] {
        plan.at_act.push((dice.range(1, 14), Fault::ObjectTouched));
    }
    for _ in 0..[0, 0, 1, 2][dice.index(4)] {
        let fault = if dice.chance(50) { Fault::Kill(Who::Candidate) } else { fault(dice, members) };
        plan.at_act.push((dice.range(1, 16), fault));
    }
    plan
}

fn edit(dice: &mut Dice, members: usize) -> Edit {
    match dice.range(0, 4) {
        0 => Edit::Paused(dice.chance(60)),
        1 => Edit::FailoverEnabled(dice.chance(40)),
        2 if members > 1 => Edit::Mode(if dice.chance(50) { Mode::Async } else { Mode::SemiSync }),
        3 if dice.chance(50) => Edit::WhenNoAcker(WhenNoAcker::Wait),
        2 | 3 => Edit::WhenNoAcker(WhenNoAcker::Degrade { after_ms: dice.range(300, 4_000) }),
        _ => {
            let member = u8::try_from(dice.index(members)).unwrap_or(0);
            Edit::Priority { member, priority: u32::try_from(dice.range(0, 2)).unwrap_or(0) }
        }
    }
}

fn fault(dice: &mut Dice, members: usize) -> Fault {
    let who = match dice.range(0, 3) {
        0 | 1 => Who::Primary,
        2 => Who::Candidate,
        _ => anyone(dice, members),
    };
    let any = anyone(dice, members);
    let short = dice.range(50, 6_000);
    match dice.range(0, 42) {
        0..=3 => Fault::Kill(who),
        4..=7 => Fault::Kill(any),
        8 => Fault::KillAll,
        9 => Fault::AgentAway(who, short),
        10 => Fault::AgentAway(any, short),
        11 | 12 => Fault::Unreadable(Who::Primary, dice.range(1_000, 60_000)),
        13 => Fault::PodReplaced(who),
        14 => Fault::PodReplaced(any),
        15 => Fault::PodBlank(any),
        16 | 17 => Fault::SecondPod {
            who: any,
            with_primary: dice.chance(60),
            blank: dice.chance(30),
            heals: dice.range(1_000, 12_000),
        },
        18 => Fault::PowerCut(who),
        19 => Fault::PowerCut(any),
        20 => Fault::PowerCutAll,
        21..=23 => Fault::Partition {
            mask: u8::try_from(dice.range(1, (1 << members) - 1)).unwrap_or(1),
            clients: u8::try_from(dice.range(0, 255)).unwrap_or(0),
            leader: dice.chance(30),
            heals: dice.range(500, 10_000),
        },
        24 => Fault::CrashLeader,
        25 => Fault::StallLeader { wakes: dice.range(300, 6_000), elects: dice.range(100, 2_500) },
        26 => Fault::StallLeader { wakes: dice.range(300, 20_000), elects: dice.range(100, 2_500) },
        27 => Fault::AgentAway(any, dice.range(12_000, 25_000)),
        28 => Fault::IndexLost(Who::Primary, dice.range(500, 30_000)),
        29 => Fault::Locked(any, dice.range(500, 20_000)),
        30 => Fault::SlowMember(any, dice.range(20, 400)),
        31 => Fault::ServiceDeleted,
        32 | 33 => Fault::ObjectTouched,
        34 => Fault::Hang(who, dice.range(200, 15_000)),
        35 => Fault::Hang(any, dice.range(200, 15_000)),
        36 => Fault::HalfOpen(who),
        37 => Fault::HalfOpen(any),
        38 => Fault::ApiAway(dice.range(100, 9_000)),
        39..=41 => Fault::SpecEdited(edit(dice, members)),
        _ => Fault::ServiceEdited(dice.chance(50).then(|| u8::try_from(dice.index(members)).unwrap_or(0))),
    }
}
