//! Every example is a cluster that the operator takes.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use beachmaster::api::ReplicationCluster;
use beachmaster::api::validate::Cluster;
use serde_json::Value;

#[test]
fn every_example_is_taken() {
    let mut clusters = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for document in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            if document["kind"] != "ReplicationCluster" {
                continue;
            }
            let mut raw: ReplicationCluster = serde_json::from_value(document).unwrap();
            raw.metadata.namespace = Some("default".to_owned());
            raw.metadata.uid = Some("given by the API server".to_owned());
            Cluster::parse(&raw).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            clusters += 1;
        }
    }
    assert_eq!(clusters, 5);
}
