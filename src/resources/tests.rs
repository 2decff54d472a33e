//! Whole objects, as JSON beside the code. `BEACHMASTER_BLESS=1 cargo test --lib resources` writes them anew.

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::api::validate::Cluster;

fn cluster(spec: Value) -> Cluster {
    let object = json!({
        "apiVersion": "beachmaster.dev/v1alpha1", "kind": "ReplicationCluster",
        "metadata": {"name": "shop", "namespace": "prod", "uid": "5d1f"}, "spec": spec,
    });
    Cluster::parse(&serde_json::from_value(object).unwrap()).unwrap()
}

fn minimal() -> Cluster {
    cluster(json!({"image": "docker.io/library/mariadb:11.8.6", "storage": {"size": "1Gi"}}))
}

fn maximal() -> Cluster {
    cluster(json!({
        "members": 2,
        "image": "registry.example.com/mariadb:11.8.6",
        "imagePullSecrets": [{"name": "regcred"}],
        "storage": {"size": "100Gi", "storageClassName": "fast", "pvcRetentionPolicy": {"whenDeleted": "Delete"}},
        "resources": {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        "myCnf": "innodb_buffer_pool_size = 5G",
        "bootstrap": {"database": "shop", "username": "shop", "passwordSecretKeyRef": {"name": "shop-app"}},
        "rootPasswordSecretKeyRef": {"name": "shop-root", "key": "root"},
        "encryption": {"keysSecretKeyRef": {"name": "shop-keys"}, "algorithm": "AES_CTR"},
        "replication": {"gtidDomainId": 7},
        "services": {"primary": {"type": "LoadBalancer", "annotations": {"example.com/lb": "internal"}}},
        "template": {
            "metadata": {"labels": {"team": "shop"}, "annotations": {"example.com/a": "b"}},
            "spec": {
                "nodeSelector": {"disk": "ssd"},
                "affinity": {"nodeAffinity": {}},
                "tolerations": [{"key": "db", "operator": "Exists"}],
                "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"},
                ],
                "priorityClassName": "db",
                "securityContext": {"runAsUser": 1000, "fsGroup": 1000},
                "terminationGracePeriodSeconds": 600,
                "containers": [{"name": "exporter", "image": "prom/mysqld-exporter:v0.17"}],
                "volumes": [{"name": "certs", "secret": {"secretName": "certs"}}],
            },
        },
    }))
}

fn site() -> Site {
    Site { operator_image: "example.com/beachmaster:1".to_owned(), cluster_domain: "cluster.local".to_owned() }
}

fn passwords() -> AccountPasswords {
    AccountPasswords { probe: "p".to_owned(), repl: std::array::from_fn(|ordinal| format!("r{ordinal}")) }
}

fn everything(cluster: &Cluster) -> Value {
    json!([
        stateful_set(cluster, &site()),
        config_map(cluster),
        accounts_secret(cluster, &passwords()),
        primary_service(cluster),
        replicas_service(cluster),
        members_service(cluster),
        disruption_budget(cluster),
    ])
}

#[allow(clippy::disallowed_methods, reason = "snapshots lie in files")]
fn assert_snapshot(name: &str, value: &impl Serialize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/resources/tests").join(name);
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("BEACHMASTER_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = text.lines().zip(expected.lines().chain(std::iter::repeat(""))).find(|(is, was)| is != was);
    assert!(text == expected, "{name} differs (now, before): {differs:?}");
}

#[test]
fn objects_of_the_shortest_spec() {
    assert_snapshot("minimal.json", &everything(&minimal()));
}

#[test]
fn objects_of_the_longest_spec() {
    assert_snapshot("maximal.json", &everything(&maximal()));
}

fn pod_spec(cluster: &Cluster) -> PodSpec {
    stateful_set(cluster, &site()).spec.unwrap().template.spec.unwrap()
}

fn our_containers(pod: &PodSpec) -> Vec<Container> {
    let all = pod.init_containers.iter().flatten().chain(&pod.containers);
    all.filter(|container| crate::layout::CONTAINERS.contains(&container.name.as_str())).cloned().collect()
}

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>
#[test]
fn every_container_fits_pod_security_restricted() {
    for cluster in [minimal(), maximal()] {
        let pod = pod_spec(&cluster);
        assert_eq!((pod.host_network, pod.host_pid, pod.host_ipc), (None, None, None));
        let context = pod.security_context.clone().unwrap();
        assert_eq!(context.run_as_non_root, Some(true));
        assert_ne!(context.run_as_user, Some(0));
        assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
        let containers = our_containers(&pod);
        assert_eq!(containers.len(), 3);
        for container in containers {
            let context = container.security_context.unwrap();
            assert_eq!(context.allow_privilege_escalation, Some(false), "{}", container.name);
            assert_eq!(context.run_as_non_root, Some(true), "{}", container.name);
            assert_eq!(context.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]), "{}", container.name);
            assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault", "{}", container.name);
            assert_eq!(context.read_only_root_filesystem, Some(true), "{}", container.name);
            assert_eq!(context.privileged, None, "{}", container.name);
        }
    }
}

#[test]
fn every_mount_has_its_volume_and_no_mount_lies_in_another() {
    for cluster in [minimal(), maximal()] {
        let pod = pod_spec(&cluster);
        let mut volumes: Vec<String> = pod.volumes.iter().flatten().map(|volume| volume.name.clone()).collect();
        volumes.push(crate::layout::DATA_VOLUME.to_owned());
        for container in our_containers(&pod) {
            let mounts = container.volume_mounts.unwrap();
            for mount in &mounts {
                assert!(volumes.contains(&mount.name), "{}: no volume {}", container.name, mount.name);
                let inside = |other: &str| mount.mount_path.starts_with(&format!("{other}/"));
                assert!(!mounts.iter().any(|other| inside(&other.mount_path)), "{}", mount.mount_path);
            }
        }
    }
}

#[test]
fn passwords_are_mounted_in_the_agent_only() {
    let pod = pod_spec(&maximal());
    for container in our_containers(&pod) {
        let mounts = container.volume_mounts.unwrap();
        let secret = mounts.iter().filter(|mount| ["accounts", "bootstrap", "root"].contains(&mount.name.as_str()));
        assert_eq!(secret.count(), if container.name == "agent" { 3 } else { 0 }, "{}", container.name);
    }
}

#[test]
fn keys_are_mounted_where_logs_are_written_and_read() {
    for container in our_containers(&pod_spec(&maximal())) {
        let mounts = container.volume_mounts.unwrap();
        let keys = mounts.iter().find(|mount| mount.name == "encryption");
        let expected = (container.name != "install").then_some(("/etc/beachmaster/encryption", Some(true)));
        assert_eq!(keys.map(|keys| (keys.mount_path.as_str(), keys.read_only)), expected, "{}", container.name);
    }
}

#[test]
fn the_selector_of_the_primary_is_left_to_transitions() {
    assert_eq!(primary_service(&maximal()).spec.unwrap().selector, None);
}

#[test]
fn one_member_has_no_disruption_budget() {
    let spec = json!({
        "members": 1, "image": "x:1", "storage": {"size": "1Gi"}, "replication": {"mode": "Async"},
    });
    assert_eq!(disruption_budget(&cluster(spec)), None);
}

#[test]
fn passwords_are_not_printed() {
    assert!(!format!("{:?}", passwords()).contains("r3"));
}
