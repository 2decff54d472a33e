//! One death of a primary, watched: what was before, what is after, how long nobody could write, and whether anything is lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::check::{self, Findings};
use super::cluster::{Cluster, MARIADB, Status};
use super::host;
use super::pods::{self, Load, Observer, Writer};
use super::report::Run;
use super::stage::Stage;
use crate::inside::ledger::{Gap, Ledger};
use crate::inside::observer::Verdict;

/// Rows that must flow before the next kill: a kill of an idle cluster proves nothing.
const ROWS_BEFORE: u64 = 200;
/// Rows that show that writes flow again.
const ROWS_AFTER: u64 = 50;
/// From the kill to a new primary. Generous: times are reported, not judged, and a long tail is applied at the pace of the
/// candidate's disk.
pub const FAILOVER_LIMIT: Duration = Duration::from_secs(240);

/// A cluster with a writer and perhaps an observer.
pub struct Watch {
    pub cluster: Cluster,
    pub writer: Writer,
    observer: Option<Observer>,
    /// Rows acknowledged when the last run was judged.
    counted: u64,
    /// Pairs of writes that two members acknowledged, over the whole series.
    pub violations: usize,
}

/// The state before a kill.
pub struct Before {
    pub primary: String,
    pub term: u64,
    datadir: String,
    observer_us: u64,
    load_average: String,
}

impl Watch {
    /// Starts writing, and observing when asked to.
    ///
    /// # Errors
    /// When the pods do not start.
    pub async fn start(stage: &Stage, cluster: Cluster, load: Load, observed: bool) -> Result<Self> {
        pods::prepare(&cluster).await?;
        let writer = Writer::start(&cluster, &stage.settings, load).await?;
        let observer = if observed { Some(Observer::start(&cluster, &stage.settings).await?) } else { None };
        Ok(Self { cluster, writer, observer, counted: 0, violations: 0 })
    }

    /// Observes the members at the addresses that they have now: a pod that is deleted comes back with another one.
    ///
    /// # Errors
    /// When nobody observes, or the observer's pod does not go or start.
    pub async fn observe_anew(&mut self, stage: &Stage) -> Result<()> {
        self.observer.take().context("nobody observes")?.end().await?;
        self.observer = Some(Observer::start(&self.cluster, &stage.settings).await?);
        Ok(())
    }

    /// Waits until the cluster may lose its primary, with writes under way.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn before(&self) -> Result<Before> {
        self.writer.wait_for(self.counted + ROWS_BEFORE).await?;
        let status = self.cluster.wait_settled(0).await?;
        let primary = status.current_primary.context("no primary")?;
        Ok(Before {
            term: status.term.unwrap_or(0),
            datadir: self.datadir(&primary).await?,
            observer_us: match &self.observer {
                Some(observer) => observer.now().await?,
                None => 0,
            },
            load_average: host::load_average(),
            primary,
        })
    }

    /// Waits until everything is whole again and judges.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn after(&mut self, before: Before, killed_us: u64) -> Result<Run> {
        let status = self.cluster.wait_failed_over(&before.primary, FAILOVER_LIMIT).await?;
        let status = self.cluster.wait_settled(status.term.unwrap_or(0)).await?;
        let acknowledged = self.writer.count().await?;
        self.writer.wait_for(acknowledged + ROWS_BEFORE).await?;
        let ledger = self.rest().await?;
        let mut findings = check::examine(&self.cluster, &ledger).await?;
        if self.datadir(&before.primary).await? != before.datadir {
            findings.differences.push(format!("{} came back with another datadir", before.primary));
            findings.members_equal = false;
        }
        let run = self.judge(&before, killed_us, &status, &ledger, findings).await?;
        self.counted = ledger.acknowledged;
        self.writer.resume().await?;
        if let Some(observer) = &self.observer {
            observer.resume().await?;
        }
        Ok(run)
    }

    /// Kills the primary's mariadbd and judges what comes of it.
    ///
    /// # Errors
    /// As `before` and `after`, and when it cannot be killed.
    pub async fn crash(&mut self) -> Result<Run> {
        let before = self.before().await?;
        let killed_us = self.cluster.kill_mariadbd(&before.primary).await?;
        self.after(before, killed_us).await
    }

    /// Waits until the cluster is whole and writes flow, then looks for every acknowledged row on every member.
    ///
    /// # Errors
    /// When it does not come to that, when a row is missing, or when members differ.
    pub async fn nothing_lost(&self) -> Result<String> {
        self.cluster.wait_settled(0).await?;
        let count = self.writer.count().await?;
        self.writer.wait_for(count + ROWS_AFTER).await?;
        let ledger = self.rest().await?;
        let findings = check::examine(&self.cluster, &ledger).await?;
        self.writer.resume().await?;
        if let Some(observer) = &self.observer {
            observer.resume().await?;
        }
        ensure!(findings.lost == 0 && findings.members_equal, "{} lost; {:?}", findings.lost, findings.differences);
        Ok(format!("{} rows acknowledged, 0 lost, members equal", ledger.acknowledged))
    }

    /// The observer's clock now.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub async fn observed_now(&self) -> Result<u64> {
        self.observer.as_ref().context("nobody observes")?.now().await
    }

    /// What the observer saw since then, when `primary` alone should take writes.
    ///
    /// # Errors
    /// As `observed_now`.
    pub async fn observed_since(&self, primary: &str, since_us: u64) -> Result<Verdict> {
        self.observer.as_ref().context("nobody observes")?.judge(primary, since_us).await
    }

    /// Everybody stops writing; what was acknowledged until then.
    async fn rest(&self) -> Result<Ledger> {
        if let Some(observer) = &self.observer {
            observer.pause().await?;
        }
        self.writer.pause().await
    }

    async fn judge(
        &mut self,
        before: &Before,
        killed_us: u64,
        status: &Status,
        ledger: &Ledger,
        findings: Findings,
    ) -> Result<Run> {
        let to = status.current_primary.clone().unwrap_or_default();
        let milliseconds = |gap: Gap| gap.micros() / 1_000;
        let mut more = Map::new();
        let mut note = |name: &str, value: Value| more.insert(name.into(), value);
        note("term", json!(status.term));
        note("killed_us", json!(killed_us));
        note("load_average", json!(before.load_average));
        note("unknown_outcomes", json!(ledger.unknown));
        note("unacknowledged_found", json!(findings.unacknowledged_found));
        note("longest_gap_ms", json!(ledger.longest_after(killed_us).map(milliseconds)));
        note("first_ack_us", json!(ledger.outage_of(killed_us).map(|gap| gap.to.realtime_us)));
        if !findings.differences.is_empty() {
            note("differences", json!(findings.differences));
        }
        if let Some(observer) = &self.observer {
            let verdict = observer.judge(&to, before.observer_us).await?;
            self.violations += verdict.violations.len();
            note("first_direct_ack_us", json!(verdict.first_by_new_us));
            note("observer", serde_json::to_value(verdict)?);
        }
        note("failover", self.record(before, status).await);
        Ok(Run {
            acknowledged: ledger.acknowledged - self.counted,
            lost: findings.lost,
            outage_ms: ledger.outage_of(killed_us).map(milliseconds),
            members_equal: findings.members_equal,
            from: before.primary.clone(),
            to,
            more,
        })
    }

    /// The Failover object of the newest term since the kill. A take-over of leadership may have raised the term since.
    async fn record(&self, before: &Before, status: &Status) -> Value {
        let newest = status.term.unwrap_or(before.term);
        for term in (before.term + 1..=newest).rev() {
            if let Ok(record) = self.cluster.failover_record(term).await {
                return record;
            }
        }
        Value::Null
    }

    /// Identity of a member's datadir: a clone would be another directory.
    async fn datadir(&self, member: &str) -> Result<String> {
        self.cluster.kube.exec(member, MARIADB, &["stat", "-c", "%d:%i", "/var/lib/mysql/data"], "").await
    }
}
