//! Members that one node takes along.

use std::collections::BTreeMap;

use super::super::observation::Observation;
use super::super::policy::Policy;
use crate::orders::Ordinal;

/// Which members run on one node, and what losing it would take. The death of a mariadbd is survived all the same, so
/// this is a warning and no blocker.
pub(super) fn shared(policy: &Policy, seen: &Observation, primary: Ordinal) -> Option<String> {
    let mut nodes: BTreeMap<&str, Vec<Ordinal>> = BTreeMap::new();
    for member in &seen.members {
        if let Some(node) = member.pod.as_ref().and_then(|pod| pod.node.as_deref()) {
            nodes.entry(node).or_default().push(member.ordinal);
        }
    }
    let told = |(node, members): (&str, Vec<Ordinal>)| {
        let names: Vec<String> = members.iter().map(|member| policy.name(*member)).collect();
        let with = if members.contains(&primary) { ", the primary among them" } else { "" };
        let names = names.join(" and ");
        format!("{names} share node {node}: losing it takes them all{with}; give the cluster more nodes")
    };
    let shared: Vec<String> = nodes.into_iter().filter(|(_, members)| members.len() > 1).map(told).collect();
    (!shared.is_empty()).then(|| shared.join("; "))
}
