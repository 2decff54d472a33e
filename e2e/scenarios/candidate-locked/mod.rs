//! The preferred candidate cannot apply what it has received when the primary dies: the next one is promoted within
//! seconds, and what held the first one is named. A SQL thread that was only stopped is started instead.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::harness::cluster::{API_VERSION, Cluster};
use crate::harness::failover::{Before, Watch};
use crate::harness::install;
use crate::harness::pods::Load;
use crate::harness::report::Run;
use crate::harness::stage::Stage;
use crate::harness::wait;

/// From the kill to the new primary: 2 s in which the preferred one applies nothing, or 6 s in which its orders hang, and a
/// failover on a busy machine.
const PROMOTED_WITHIN: Duration = Duration::from_secs(15);
/// How long the promotion is waited for before the scenario breaks off.
const PROMOTED_LIMIT: Duration = Duration::from_secs(60);
/// A session has its lock, and the SQL thread waits for it, within this time.
const LOCKED_LIMIT: Duration = Duration::from_secs(20);
/// An Event is written within this time.
const TOLD_LIMIT: Duration = Duration::from_secs(15);
/// Rows that the member has received and cannot apply when the primary dies.
const RECEIVED: u64 = 20;
/// What must be named: the account of the session, or the statement that waits for it.
const SIGNS: [&str; 2] = [HOLDER, "STOP SLAVE"];
const LOAD: Load = Load { workers: 4, payload_bytes: 100, pause_ms: 10 };
/// Whose session holds the locks; the primary's grants reach every member.
const HOLDER: &str = "backup";
const HOLDER_PASSWORD: &str = "Only-for-1-backup-and-no-longer";
/// A lock ends with its session, so the session stays until somebody ends it, and by itself after ten minutes.
const STAY: &str = "SELECT SLEEP(600)";

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage) -> Result<()> {
    // shop-0 becomes the first primary; of two replicas the lower number is always preferred.
    let priorities = json!([{"ordinal": 0, "priority": 2}, {"ordinal": 1, "priority": 1}]);
    let spec = json!({"members": 3, "replication": {"mode": "SemiSync"}, "memberPolicies": priorities});
    let cluster = stage.cluster(spec).await?;
    let mut watch = Watch::start(stage, cluster, LOAD, false).await?;
    holder(&watch.cluster).await?;
    let cluster = watch.cluster.clone();
    stage.report.check("a read lock on every replica is told", locked_replicas(&cluster).await)?;
    stage.report.check("a read lock on the primary is told", locked_primary(&cluster).await)?;
    stage
        .report
        .check("a replica that takes writes is killed, and it is said why", writable_replica(&cluster).await)?;
    for hold in Hold::ALL {
        let before = watch.before().await?;
        let (preferred, other) = replicas(&watch.cluster, &before.primary)?;
        let outcome = passed_over(&mut watch, hold, before, (&preferred, &other)).await?;
        stage.report.check(&format!("{}: who can apply is promoted", hold.name()), outcome.promoted)?;
        if let Some(named) = outcome.named {
            stage.report.check(&format!("{}: it is named", hold.name()), named)?;
        }
        stage.report.add(outcome.run)?;
    }
    Ok(())
}

/// What keeps the preferred candidate from applying.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Backup,
    LockedTable,
    StoppedThread,
    /// No lock, and worse: clients that are led to it before it is promoted could write.
    MadeWritable,
}

struct Outcome {
    promoted: Result<String>,
    named: Option<Result<String>>,
    run: Run,
}

impl Hold {
    const ALL: [Self; 4] = [Self::Backup, Self::LockedTable, Self::StoppedThread, Self::MadeWritable];

    fn name(self) -> &'static str {
        match self {
            Self::Backup => "FLUSH TABLES WITH READ LOCK",
            Self::LockedTable => "LOCK TABLES",
            Self::StoppedThread => "STOP SLAVE SQL_THREAD",
            Self::MadeWritable => "SET GLOBAL read_only=OFF",
        }
    }

    /// The statement of the session that holds it; none when no session does.
    fn lock(self) -> Option<&'static str> {
        match self {
            Self::Backup => Some("FLUSH TABLES WITH READ LOCK"),
            Self::LockedTable => Some("LOCK TABLES e2e.writes READ"),
            Self::StoppedThread | Self::MadeWritable => None,
        }
    }

    /// Who is promoted: a stopped thread is started, and nothing else keeps the preferred one.
    fn promoted<'a>(self, preferred: &'a str, other: &'a str) -> &'a str {
        if matches!(self, Self::StoppedThread) { preferred } else { other }
    }

    async fn begin(self, watch: &Watch, member: &str) -> Result<()> {
        let cluster = &watch.cluster;
        if matches!(self, Self::MadeWritable) {
            return cluster.sql(member, "SET GLOBAL read_only=OFF").await.map(drop);
        }
        let Some(lock) = self.lock() else {
            cluster.sql(member, "STOP SLAVE SQL_THREAD").await?;
            let count = watch.writer.count().await?;
            watch.writer.wait_for(count + RECEIVED).await?;
            // Everything written is received everywhere: a member that must be given a tail has its thread started with it.
            watch.writer.pause().await?;
            let threads = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Slave_SQL'";
            ensure!(cluster.sql_value(member, threads).await? == "0", "somebody has started the SQL thread");
            return Ok(());
        };
        let (session, name) = (cluster.clone(), member.to_owned());
        tokio::spawn(async move { session.sql_as(HOLDER, HOLDER_PASSWORD, &name, &format!("{lock}; {STAY}")).await });
        let waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST
             WHERE COMMAND IN ('Slave_SQL', 'Slave_worker') AND STATE LIKE 'Waiting for %lock%'";
        wait::until(&format!("{member}'s SQL thread waits for a lock"), LOCKED_LIMIT, async || {
            ensure!(cluster.sql_value(member, waiting).await? != "0", "it does not wait");
            Ok(())
        })
        .await
    }

    /// The session ends; a stopped thread is started by the operator.
    async fn end(self, cluster: &Cluster, member: &str) -> Result<()> {
        if self.lock().is_some() {
            cluster.sql(member, &format!("KILL USER {HOLDER}@localhost")).await?;
        }
        Ok(())
    }
}

async fn holder(cluster: &Cluster) -> Result<()> {
    let primary = cluster.status().await?.current_primary.context("no primary")?;
    let script = format!(
        "CREATE USER {HOLDER}@localhost IDENTIFIED BY '{HOLDER_PASSWORD}';
         GRANT RELOAD, LOCK TABLES, SELECT, INSERT ON *.* TO {HOLDER}@localhost;"
    );
    cluster.sql(&primary, &script).await.map(drop)
}

fn replicas(cluster: &Cluster, primary: &str) -> Result<(String, String)> {
    let replicas = cluster.member_names().into_iter().filter(|member| member != primary);
    match &replicas.collect::<Vec<_>>()[..] {
        [preferred, other] => Ok((preferred.clone(), other.clone())),
        others => bail!("not two replicas: {others:?}"),
    }
}

/// A session of the administrator, as a backup's, until it is killed.
async fn read_lock(cluster: &Cluster, member: &str) -> Result<()> {
    let (session, name) = (cluster.clone(), member.to_owned());
    let lock = format!("FLUSH TABLES WITH READ LOCK; {STAY}");
    tokio::spawn(async move { session.sql(&name, &lock).await });
    wait::until(&format!("{member} is locked"), LOCKED_LIMIT, async || sleeper(cluster, member).await.map(drop)).await
}

/// The session that holds the lock.
async fn sleeper(cluster: &Cluster, member: &str) -> Result<String> {
    cluster.sql_value(member, "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'").await
}

async fn unlock(cluster: &Cluster, member: &str) -> Result<()> {
    let session = sleeper(cluster, member).await?;
    cluster.sql(member, &format!("KILL {session}")).await.map(drop)
}

/// A condition is False for a lock, and its message names the session.
async fn locked(cluster: &Cluster, kind: &str, member: &str) -> Result<String> {
    let session = sleeper(cluster, member).await?;
    wait::until(&format!("{kind} ends for the lock on {member}"), TOLD_LIMIT, async || {
        let status = cluster.status().await?;
        let told = status.condition(kind).with_context(|| format!("no condition {kind}"))?;
        let named = told.message.contains(&format!("{session} (mysql@localhost"));
        ensure!(told.status == "False" && told.reason == "WritesLocked" && named, "{told:?}");
        Ok(told.message.clone())
    })
    .await
}

async fn locked_replicas(cluster: &Cluster) -> Result<String> {
    let primary = cluster.status().await?.current_primary.context("no primary")?;
    let (first, second) = replicas(cluster, &primary)?;
    read_lock(cluster, &first).await?;
    read_lock(cluster, &second).await?;
    let told = locked(cluster, "FailoverReady", &second).await?;
    let ready = cluster.status().await?.condition("Ready").is_some_and(|ready| ready.status == "True");
    ensure!(ready, "writes go on all the while");
    unlock(cluster, &first).await?;
    unlock(cluster, &second).await?;
    cluster.wait_ready().await?;
    Ok(told)
}

async fn locked_primary(cluster: &Cluster) -> Result<String> {
    let primary = cluster.status().await?.current_primary.context("no primary")?;
    read_lock(cluster, &primary).await?;
    let told = locked(cluster, "Ready", &primary).await?;
    unlock(cluster, &primary).await?;
    let status = cluster.wait_ready().await?;
    ensure!(status.current_primary == Some(primary), "a lock is no reason for a failover");
    Ok(told)
}

async fn writable_replica(cluster: &Cluster) -> Result<String> {
    let primary = cluster.status().await?.current_primary.context("no primary")?;
    let (_, replica) = replicas(cluster, &primary)?;
    cluster.sql(&replica, "SET GLOBAL read_only=OFF").await?;
    let told = wait::until("an Event MemberFenced", TOLD_LIMIT, async || {
        let events = cluster.kube.list("v1", "Event").await?;
        let told = events.iter().find(|event| event["reason"] == "MemberFenced").context("no Event MemberFenced")?;
        Ok(told["message"].as_str().unwrap_or_default().to_owned())
    })
    .await?;
    ensure!(told.starts_with(&format!("{replica} could take writes")), "{told}");
    wait::until(&format!("{replica} is a replica again"), TOLD_LIMIT, async || {
        let read_only = cluster.sql_value(&replica, "SELECT @@read_only").await?;
        ensure!(read_only == "1", "it still takes writes");
        Ok(())
    })
    .await?;
    cluster.wait_ready().await?;
    Ok(told)
}

async fn passed_over(
    watch: &mut Watch,
    hold: Hold,
    before: Before,
    (preferred, other): (&str, &str),
) -> Result<Outcome> {
    let cluster = watch.cluster.clone();
    // At rest the operator mends this within a second: it must not see it before the primary is dead.
    let leader = match hold {
        Hold::StoppedThread | Hold::MadeWritable => Some(install::stop_leader(&cluster.kube).await?),
        Hold::Backup | Hold::LockedTable => None,
    };
    hold.begin(watch, preferred).await?;
    let killed = cluster.kill_mariadbd(&before.primary).await?;
    let began = Instant::now();
    drop(leader);
    watch.writer.resume().await?;
    let failed_over = cluster.wait_failed_over(&before.primary, PROMOTED_LIMIT).await;
    let took = began.elapsed();
    let expected = hold.promoted(preferred, other);
    let promoted = failed_over.and_then(|status| {
        let primary = status.current_primary.unwrap_or_default();
        ensure!(primary == expected, "{primary} was promoted, not {expected}");
        ensure!(took <= PROMOTED_WITHIN, "only after {} ms", took.as_millis());
        Ok(format!("{preferred} was held up, {expected} was promoted after {} ms", took.as_millis()))
    });
    let named = match hold.lock() {
        Some(_) => Some(named(&cluster, preferred, before.term).await),
        None => None,
    };
    hold.end(&cluster, preferred).await?;
    let run = watch.after(before, killed).await?;
    Ok(Outcome { promoted, named, run })
}

/// The Failover record of this term says what held the member.
async fn named(cluster: &Cluster, member: &str, after: u64) -> Result<String> {
    let ordinal = member.rsplit('-').next().unwrap_or_default();
    let of_member = |text: &str| text.contains(member) || text.contains(&format!("member {ordinal}"));
    wait::until(&format!("what holds {member} is named"), TOLD_LIMIT, async || {
        let records = cluster.kube.list(API_VERSION, "Failover").await?;
        let newer = records.iter().filter(|record| record["status"]["term"].as_u64() > Some(after));
        let evidence = newer.filter_map(|record| record["status"]["evidence"].as_array()).flatten();
        let evidence: Vec<&str> = evidence.filter_map(|sentence| sentence.as_str()).collect();
        let mut told = evidence.iter().copied();
        let found = told.find(|text| of_member(text) && SIGNS.iter().any(|sign| text.contains(sign)));
        found.map(str::to_owned).with_context(|| format!("evidence: {evidence:?}"))
    })
    .await
}
