//! The scenarios, each in its own folder, and what is the same around all of them.

#[path = "../scenarios/agent-away/mod.rs"]
mod agent_away;
#[path = "../scenarios/bad-input/mod.rs"]
mod bad_input;
#[path = "../scenarios/candidate-locked/mod.rs"]
mod candidate_locked;
#[path = "../scenarios/connections-used-up/mod.rs"]
mod connections_used_up;
#[path = "../scenarios/crash/mod.rs"]
mod crash;
#[path = "../scenarios/events/mod.rs"]
mod events;
#[path = "../scenarios/half-open/mod.rs"]
mod half_open;
#[path = "../scenarios/init-interrupted/mod.rs"]
mod init_interrupted;
#[path = "../scenarios/operator-down/mod.rs"]
mod operator_down;
#[path = "../scenarios/options/mod.rs"]
mod options;
#[path = "../scenarios/paused/mod.rs"]
mod paused;
#[path = "../scenarios/service-deleted/mod.rs"]
mod service_deleted;
#[path = "../scenarios/status-restored/mod.rs"]
mod status_restored;
#[path = "../scenarios/survive/mod.rs"]
mod survive;
#[path = "../scenarios/tail/mod.rs"]
mod tail;
#[path = "../scenarios/two-members/mod.rs"]
mod two_members;
#[path = "../scenarios/upgrade/mod.rs"]
mod upgrade;
#[path = "../scenarios/wedge/mod.rs"]
mod wedge;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::Value;

use crate::harness::dump;
use crate::harness::stage::Stage;
use tail::Variant;

/// A scenario by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The primary's mariadbd is killed again and again
    Crash,
    /// The primary dies with transactions in its binary logs that no replica has
    Tail,
    /// The same with encrypted binary logs
    TailEncrypted,
    /// The same with compressed binary logs
    TailCompressed,
    /// The same with MariaDB 11.8
    #[value(name = "tail-11-8")]
    Tail11_8,
    /// The primary dies while no operator runs
    OperatorDown,
    /// The primary of two members dies, again and again
    TwoMembers,
    /// Events run on the primary only, whoever that is
    Events,
    /// Agent, launch, operator leader and replicas are killed: nothing is lost
    Survive,
    /// What users may get wrong is refused or shown with its remedy
    BadInput,
    /// A replica's connection is cut silently while nobody commits: the primary takes new connections again within seconds
    Wedge,
    /// Commits that wait for cut off replicas use up all connections: the replicas get in when the network is back
    ConnectionsUsedUp,
    /// Somebody edits or deletes NAME-primary and other objects of the cluster
    ServiceDeleted,
    /// A paused cluster is watched and left alone
    Paused,
    /// Password policies, audits, limits and harmless lines of administrators
    Options,
    /// The preferred candidate cannot apply what it has received when the primary dies
    CandidateLocked,
    /// Agents are stopped while their mariadbds are healthy
    AgentAway,
    /// Everything that takes part in an initialisation is killed during it
    InitInterrupted,
    /// A status from before a failover is put back
    StatusRestored,
    /// The primary dies while half-open HTTP requests hang on every agent and operator
    HalfOpen,
    /// The operator is upgraded under load from an earlier commit (BEFORE), and taken back
    Upgrade,
}

/// Names of the scenarios that `make e2e` runs, or of `all`.
pub fn names(all: bool) -> impl Iterator<Item = String> {
    let scenarios = Scenario::value_variants().iter();
    scenarios.filter(move |scenario| all || !scenario.is_only_in_acceptance()).map(|scenario| scenario.name())
}

impl Scenario {
    /// CI does not run it: it judges times, and a busy machine changes them; or it compiles another commit; or what is special
    /// about it, compressed events, is in the tests of agents and binary logs, too.
    fn is_only_in_acceptance(self) -> bool {
        matches!(self, Self::HalfOpen | Self::Upgrade | Self::TailCompressed)
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Runs a scenario to its end, keeps what explains a failure, and says whether it passed.
///
/// # Errors
/// When the stage cannot be set.
pub async fn run(scenario: Scenario, runs: Option<u32>) -> Result<bool> {
    let name = scenario.name();
    println!("{name}");
    let mut stage = Stage::set(&name, &format!("e2e-{name}")).await?;
    let outcome = match scenario {
        Scenario::Crash => crash::run(&mut stage, runs.unwrap_or(crash::RUNS)).await,
        Scenario::Tail => tail(&mut stage, Variant::Plain, runs).await,
        Scenario::TailEncrypted => tail(&mut stage, Variant::Encrypted, runs).await,
        Scenario::TailCompressed => tail(&mut stage, Variant::Compressed, runs).await,
        Scenario::Tail11_8 => tail(&mut stage, Variant::Mariadb11_8, runs).await,
        Scenario::OperatorDown => operator_down::run(&mut stage, runs.unwrap_or(operator_down::RUNS)).await,
        Scenario::TwoMembers => two_members::run(&mut stage, runs.unwrap_or(two_members::RUNS)).await,
        Scenario::Events => events::run(&mut stage, runs.unwrap_or(events::RUNS)).await,
        Scenario::Survive => survive::run(&mut stage).await,
        Scenario::BadInput => bad_input::run(&mut stage).await,
        Scenario::Wedge => wedge::run(&mut stage, runs.unwrap_or(wedge::RUNS)).await,
        Scenario::ConnectionsUsedUp => connections_used_up::run(&mut stage).await,
        Scenario::ServiceDeleted => service_deleted::run(&mut stage).await,
        Scenario::Paused => paused::run(&mut stage).await,
        Scenario::Options => options::run(&mut stage, runs.unwrap_or(options::RUNS)).await,
        Scenario::CandidateLocked => candidate_locked::run(&mut stage).await,
        Scenario::AgentAway => agent_away::run(&mut stage).await,
        Scenario::InitInterrupted => init_interrupted::run(&mut stage).await,
        Scenario::StatusRestored => status_restored::run(&mut stage).await,
        Scenario::HalfOpen => half_open::run(&mut stage).await,
        Scenario::Upgrade => upgrade::run(&mut stage).await,
    };
    stage.report.error = outcome.err().map(|error| format!("{error:#}"));
    stage.report.save()?;
    if stage.report.passed {
        stage.clear().await?;
    } else {
        dump::write(&stage.kube, &stage.report.folder()).await?;
    }
    conclude(&stage);
    Ok(stage.report.passed)
}

async fn tail(stage: &mut Stage, variant: Variant, runs: Option<u32>) -> Result<()> {
    tail::run(stage, variant, runs.unwrap_or(tail::RUNS)).await
}

fn conclude(stage: &Stage) {
    let report = &stage.report;
    let lost = report.runs.iter().map(|run| run.lost).max().unwrap_or(0);
    let acknowledged: u64 = report.runs.iter().map(|run| run.acknowledged).sum();
    if let Some(error) = &report.error {
        println!("  broke off: {error}");
    }
    if let Some(outage) = &report.outage {
        println!("  outage p50 {} ms, p90 {} ms, max {} ms", outage.p50_ms, outage.p90_ms, outage.max_ms);
    }
    for row in report.series.get("steps").and_then(Value::as_array).into_iter().flatten() {
        let step = row["step"].as_str().unwrap_or_default();
        println!(
            "  p50 {:>6} ms, p90 {:>6} ms after the kill: {step}",
            row["p50_ms"].to_string(),
            row["p90_ms"].to_string()
        );
    }
    if !report.runs.is_empty() {
        println!("  {} kills, {acknowledged} rows acknowledged, {lost} lost", report.runs.len());
    }
    println!("{} {}", report.scenario, if report.passed { "passed" } else { "FAILED" });
}
