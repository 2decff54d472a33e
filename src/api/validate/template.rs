//! What users add to the pods, read into Kubernetes' types.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Affinity, Container, PodSecurityContext, Toleration, TopologySpreadConstraint, Volume,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::invalid::Invalid;
use crate::api::template::{PodMetadata, PodSettings, PodTemplate};
use crate::layout;

/// Labels and annotations under this belong to the operator.
const OURS: &str = "beachmaster.dev/";

/// What users add to the pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Template {
    /// Further labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Further annotations.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Labels a node must have.
    pub(crate) node_selector: BTreeMap<String, String>,
    /// Instead of the default.
    pub(crate) affinity: Option<Affinity>,
    /// Tolerated taints.
    pub(crate) tolerations: Vec<Toleration>,
    /// Instead of the default, when not empty.
    pub(crate) topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Priority class.
    pub(crate) priority_class_name: Option<String>,
    /// Instead of user and group 999.
    pub(crate) security_context: Option<PodSecurityContext>,
    /// Instead of 3600.
    pub(crate) termination_grace_period_seconds: Option<i64>,
    /// Further containers.
    pub(crate) containers: Vec<Container>,
    /// Further volumes.
    pub(crate) volumes: Vec<Volume>,
}

impl Template {
    pub(super) fn parse(raw: Option<&PodTemplate>) -> Result<Self, Invalid> {
        let PodTemplate { metadata, spec } = raw.cloned().unwrap_or_default();
        let PodMetadata { labels, annotations } = metadata.unwrap_or_default();
        let PodSettings {
            node_selector,
            affinity,
            tolerations,
            topology_spread_constraints,
            priority_class_name,
            security_context,
            termination_grace_period_seconds,
            containers,
            volumes,
        } = spec.unwrap_or_default();
        not_ours("labels", &labels)?;
        not_ours("annotations", &annotations)?;
        let containers: Vec<Container> = read_all("containers", containers)?;
        free_names("containers", containers.iter().map(|container| container.name.as_str()), &layout::CONTAINERS)?;
        let volumes: Vec<Volume> = read_all("volumes", volumes)?;
        free_names("volumes", volumes.iter().map(|volume| volume.name.as_str()), &layout::VOLUMES)?;
        Ok(Self {
            labels,
            annotations,
            node_selector,
            affinity: affinity.map(|raw| read("spec.template.spec.affinity".to_owned(), raw)).transpose()?,
            tolerations,
            topology_spread_constraints: read_all("topologySpreadConstraints", topology_spread_constraints)?,
            priority_class_name,
            security_context,
            termination_grace_period_seconds,
            containers,
            volumes,
        })
    }
}

fn not_ours(map: &str, entries: &BTreeMap<String, String>) -> Result<(), Invalid> {
    match entries.keys().find(|key| key.starts_with(OURS)) {
        None => Ok(()),
        Some(key) => {
            let problem = format!("{key} belongs to the operator");
            Err(Invalid::new(format!("spec.template.metadata.{map}"), problem, "remove it"))
        }
    }
}

fn read_all<T: DeserializeOwned>(list: &str, raw: Vec<Map<String, Value>>) -> Result<Vec<T>, Invalid> {
    raw.into_iter().enumerate().map(|(index, raw)| read(format!("spec.template.spec.{list}[{index}]"), raw)).collect()
}

fn read<T: DeserializeOwned>(field: String, raw: Map<String, Value>) -> Result<T, Invalid> {
    serde_json::from_value(Value::Object(raw))
        .map_err(|error| Invalid::new(field, error.to_string(), "write it as in a pod"))
}

fn free_names<'a>(list: &str, names: impl Iterator<Item = &'a str>, taken: &[&str]) -> Result<(), Invalid> {
    let mut seen: BTreeSet<&str> = taken.iter().copied().collect();
    for (index, name) in names.enumerate() {
        if name.is_empty() || !seen.insert(name) {
            let field = format!("spec.template.spec.{list}[{index}].name");
            return Err(Invalid::new(field, format!("{name:?} is empty or taken"), "choose another name"));
        }
    }
    Ok(())
}
