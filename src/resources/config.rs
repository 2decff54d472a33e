//! my.cnf.

use k8s_openapi::api::core::v1::ConfigMap;

use super::{meta, names};
use crate::api::owned;
use crate::api::validate::{Cluster, ClusterSpec};
use crate::layout;

/// The ConfigMap with my.cnf: our defaults, then the user's options. What the operator owns stands on mariadbd's command
/// line, where no file can undo it.
#[must_use]
pub(crate) fn config_map(cluster: &Cluster) -> ConfigMap {
    ConfigMap {
        metadata: meta::owned(cluster, names::config(&cluster.name)),
        data: Some([(layout::MY_CNF_KEY.to_owned(), my_cnf(&cluster.spec))].into()),
        ..ConfigMap::default()
    }
}

fn my_cnf(spec: &ClusterSpec) -> String {
    let user = &spec.my_cnf.text;
    let with_keys = spec.encryption.iter().flat_map(|_| owned::DEFAULTS_WITH_KEYS);
    let mut text =
        "# Written by the operator: change spec.myCnf of the ReplicationCluster instead.\n[mariadbd]\n".to_owned();
    for (name, value) in owned::DEFAULTS.iter().chain(with_keys) {
        text += &format!("{name} = {value}\n");
    }
    if !user.is_empty() {
        text += "\n# spec.myCnf\n";
        text += user;
    }
    text
}
