//! The search for lost rows, and the comparison of the members.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;

use super::cluster::Cluster;
use super::wait;
use crate::inside::ledger::{Ledger, Range};

/// A replica applies what it has within this time once nobody writes.
const LEVEL_LIMIT: Duration = Duration::from_secs(90);
const USER_TABLES: &str = "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables
    WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') ORDER BY 1";
const SCHEMAS: &str = "SELECT schema_name FROM information_schema.schemata ORDER BY 1";

/// What the members say when nobody writes.
#[derive(Debug, Default)]
pub struct Findings {
    /// Acknowledged rows that at least one member does not have.
    pub lost: u64,
    /// Rows that exist on the primary without having been acknowledged: outcomes that were unknown.
    pub unacknowledged_found: u64,
    /// What differs between members or is missing; empty when all is well.
    pub differences: Vec<String>,
    pub members_equal: bool,
}

/// Looks for every acknowledged row on every member, and compares the members. Writers must rest.
///
/// # Errors
/// When a member cannot be asked.
pub async fn examine(cluster: &Cluster, ledger: &Ledger) -> Result<Findings> {
    let mut findings = Findings::default();
    if let Err(error) = wait::until("all members at one position", LEVEL_LIMIT, async || level(cluster).await).await {
        findings.differences.push(format!("{error:#}"));
    }
    let members = cluster.member_names();
    let ranges: Vec<Range> = ledger.all_ranges().collect();
    let missing = try_join_all(members.iter().map(|member| missing(cluster, member, &ranges))).await?;
    for (member, missing) in members.iter().zip(&missing) {
        if *missing > 0 {
            findings.differences.push(format!("{member} lacks {missing} acknowledged rows"));
        }
    }
    findings.lost = missing.into_iter().max().unwrap_or(0);
    let prints = try_join_all(members.iter().map(|member| fingerprint(cluster, member))).await?;
    for (member, print) in members.iter().zip(&prints).skip(1) {
        findings.differences.extend(differences(&members[0], &prints[0], member, print));
    }
    let rows = prints[0].get("`e2e`.`writes`").and_then(|print| print.split(' ').next()?.parse().ok()).unwrap_or(0u64);
    findings.unacknowledged_found = (rows + findings.lost).saturating_sub(ledger.acknowledged);
    findings.members_equal = findings.differences.is_empty();
    Ok(findings)
}

/// The position of every member, when it is the same.
async fn level(cluster: &Cluster) -> Result<()> {
    let members = cluster.member_names();
    let positions =
        try_join_all(members.iter().map(|member| cluster.sql_value(member, "SELECT @@gtid_binlog_pos"))).await?;
    ensure!(positions.iter().all(|position| *position == positions[0]), "{}", pairs(&members, &positions));
    Ok(())
}

fn pairs(members: &[String], values: &[String]) -> String {
    members.iter().zip(values).map(|(member, value)| format!("{member} at {value}")).collect::<Vec<_>>().join(", ")
}

/// How many of the ids a member does not have.
async fn missing(cluster: &Cluster, member: &str, ranges: &[Range]) -> Result<u64> {
    let count = |range: &Range| {
        format!("SELECT COUNT(*) FROM e2e.writes WHERE id BETWEEN {} AND {};\n", range.first, range.last)
    };
    let script: String = ranges.iter().map(count).collect();
    let rows = cluster.sql(member, &script).await?;
    ensure!(rows.len() == ranges.len(), "{member}: {} answers to {} questions", rows.len(), ranges.len());
    let mut missing = 0;
    for (row, range) in rows.iter().zip(ranges) {
        let found: u64 = row[0].parse()?;
        missing += range.count().saturating_sub(found);
    }
    Ok(missing)
}

/// Table → "rows checksum", and the schemas.
type Fingerprint = BTreeMap<String, String>;

async fn fingerprint(cluster: &Cluster, member: &str) -> Result<Fingerprint> {
    let schemas: Vec<String> = cluster.sql(member, SCHEMAS).await?.into_iter().flatten().collect();
    let tables: Vec<String> = cluster.sql(member, USER_TABLES).await?.into_iter().flatten().collect();
    let script: String =
        tables.iter().map(|table| format!("SELECT COUNT(*) FROM {table}; CHECKSUM TABLE {table};\n")).collect();
    let answers: Vec<String> =
        cluster.sql(member, &script).await?.into_iter().filter_map(|row| row.into_iter().last()).collect();
    ensure!(answers.len() == 2 * tables.len(), "{member}: {} answers for {} tables", answers.len(), tables.len());
    let prints = answers.chunks(2).map(|pair| pair.join(" "));
    let mut print: Fingerprint = tables.into_iter().zip(prints).collect();
    print.insert("schemas".into(), schemas.join(" "));
    Ok(print)
}

fn differences(one: &str, print: &Fingerprint, other: &str, other_print: &Fingerprint) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = print.keys().chain(other_print.keys()).collect();
    keys.into_iter()
        .filter(|key| print.get(*key) != other_print.get(*key))
        .map(|key| format!("{key}: {one} has {:?}, {other} has {:?}", print.get(key), other_print.get(key)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_one_member_lacks_or_has_otherwise_is_a_difference() {
        let print =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(table, sum)| ((*table).into(), (*sum).into())).collect();
        let one: Fingerprint = print(&[("a", "1 11"), ("b", "2 22")]);
        let other: Fingerprint = print(&[("a", "1 12")]);
        assert!(differences("x", &one, "y", &one.clone()).is_empty());
        assert_eq!(differences("x", &one, "y", &other).len(), 2);
    }
}
