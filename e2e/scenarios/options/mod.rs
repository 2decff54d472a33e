//! Options that administrators bring: password policies, audits, limits, and lines that are harmless.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::harness::cluster::Cluster;
use crate::harness::failover::Watch;
use crate::harness::kube::Kube;
use crate::harness::pods::{self, Load};
use crate::harness::stage::Stage;
use crate::harness::wait;

/// Deaths, unless asked otherwise.
pub const RUNS: u32 = 1;
/// The agents look at the accounts every 5 s; a replica tries to connect once a second.
const REPAIR_LIMIT: Duration = Duration::from_secs(40);
/// An Event comes with the first reconcile.
const EVENT_LIMIT: Duration = Duration::from_secs(30);

const MY_CNF: &str = "\
plugin_load_add = simple_password_check
strict_password_validation = ON
init_connect = 'INSERT INTO audit.logins VALUES (NOW(), USER())'
default_password_lifetime = 1
max_password_errors = 3
max_user_connections = 20
skip-name-resolve
bind-address = *
sync_binlog = 1
innodb_flush_log_at_trx_commit = 1
log_slave_updates
innodb_flush_method = O_DIRECT
tmpdir = /somewhere
pid-file = /somewhere/mysqld.pid
expire_logs_days = 7
";
/// Lines of it that have no effect.
const IGNORED: [&str; 3] = ["tmpdir", "pid-file", "expire_logs_days"];

/// Runs it.
///
/// # Errors
/// When it cannot go on.
pub async fn run(stage: &mut Stage, runs: u32) -> Result<()> {
    let cluster = stage.cluster(json!({"members": 3, "myCnf": MY_CNF})).await?;
    let told = ignored_lines(&cluster).await;
    stage.report.check("lines without effect are named", told)?;
    audit(&cluster).await?;
    let mut watch = Watch::start(stage, cluster.clone(), Load::default(), false).await?;
    for _ in 0..runs {
        stage.report.add(watch.crash().await?)?;
    }
    let repaired = expired(&cluster).await;
    stage.report.check("accounts that expire are repaired", repaired)
}

/// The table of the audit, which the application's account may write to.
async fn audit(cluster: &Cluster) -> Result<()> {
    pods::prepare(cluster).await?;
    let primary = cluster.status().await?.current_primary.context("no primary")?;
    let script = "CREATE DATABASE audit; CREATE TABLE audit.logins (at DATETIME, who VARCHAR(200)) ENGINE=InnoDB;
         GRANT INSERT ON audit.logins TO e2e@'%';";
    cluster.sql(&primary, script).await.map(drop)
}

async fn ignored_lines(cluster: &Cluster) -> Result<String> {
    let name = cluster.name.clone();
    wait::until("an Event names the lines without effect", EVENT_LIMIT, async || {
        let events = cluster.kube.list("v1", "Event").await?;
        let told = events.iter().filter(|event| of(event, &name)).find_map(|event| event["message"].as_str());
        let told = told.context("no Event OptionIgnored")?;
        ensure!(IGNORED.iter().all(|line| told.contains(line)), "{told}");
        Ok(())
    })
    .await?;
    let config = my_cnf(&cluster.kube, &cluster.name).await?;
    let effective = |line: &str| config.lines().any(|found| found.trim_start().starts_with(line));
    ensure!(!IGNORED.iter().any(|line| effective(line)), "{config}");
    ensure!(effective("innodb_flush_method") && effective("init_connect"), "{config}");
    Ok(format!("{} lines are left out of my.cnf, and an Event says so", IGNORED.len()))
}

fn of(event: &Value, cluster: &str) -> bool {
    event["reason"] == "OptionIgnored" && event["involvedObject"]["name"] == cluster
}

async fn my_cnf(kube: &Kube, cluster: &str) -> Result<String> {
    let config = kube.get("v1", "ConfigMap", &format!("{cluster}-config")).await?;
    config["data"]["my.cnf"].as_str().map(str::to_owned).context("no my.cnf")
}

/// Somebody lets a replication account and the probe's expire; connections made anew are refused until they are repaired.
async fn expired(cluster: &Cluster) -> Result<String> {
    let status = cluster.wait_settled(0).await?;
    let primary = status.current_primary.context("no primary")?;
    let expire = (0..cluster.members).map(|ordinal| format!("beachmaster_repl_{ordinal}"));
    let expire = expire.chain(["beachmaster_probe".to_owned()]);
    let mut script = "SET sql_log_bin=0;".to_owned();
    expire.for_each(|user| script += &format!("ALTER USER {user}@'%' PASSWORD EXPIRE;"));
    cluster.sql(&primary, &script).await?;
    let left =
        "SELECT COUNT(*) FROM mysql.global_priv WHERE User LIKE 'beachmaster%' AND Priv LIKE '%last_changed\":0%'";
    wait::until("the accounts are repaired", REPAIR_LIMIT, async || {
        let left = cluster.sql_value(&primary, left).await?;
        ensure!(left == "0", "{left} accounts are still expired");
        Ok(())
    })
    .await?;
    cluster.wait_settled(0).await?;
    Ok("they are repaired on the running primary, and the cluster stays whole".to_owned())
}
