use serde_json::{Value, json};

use super::*;

fn raw(change: impl FnOnce(&mut Value)) -> ReplicationCluster {
    let mut object = json!({
        "apiVersion": "beachmaster.dev/v1alpha1", "kind": "ReplicationCluster",
        "metadata": {"name": "shop", "namespace": "prod", "uid": "u"},
        "spec": {"image": "docker.io/library/mariadb:11.8.6", "storage": {"size": "1Gi"}},
    });
    change(&mut object["spec"]);
    serde_json::from_value(object).unwrap()
}

#[test]
fn the_shortest_spec_gets_every_default() {
    let cluster = Cluster::parse(&raw(|_| ())).unwrap();
    assert_eq!(cluster.spec.members, 3);
    assert_eq!(cluster.spec.commits, Commits::SemiSyncWait);
    assert_eq!(cluster.spec.failover.interval, Duration::from_millis(500));
    assert_eq!(cluster.spec.retention, Retention { time: Duration::from_secs(604_800), bytes: (1 << 30) / 3 });
    assert_eq!(cluster.host(Ordinal(1), "cluster.local"), "shop-1.shop-members.prod.svc.cluster.local.");
}

#[test]
fn every_refusal_names_field_and_remedy() {
    for (patch, field, problem) in [
        (json!({"members": 0}), "spec.members", "0 is out of range"),
        (json!({"members": 10}), "spec.members", "10 is out of range"),
        (json!({"members": 1}), "spec.members", "for ever"),
        (json!({"image": "mariadb"}), "spec.image", "no tag"),
        (json!({"image": "host:5000/mariadb"}), "spec.image", "no tag"),
        (json!({"image": "mariadb:latest"}), "spec.image", "no tag"),
        (json!({"myCnf": "z=1\nloose-read-on = 0"}), "spec.myCnf line 2", "belongs to the operator"),
        (json!({"myCnf": "[mariadbd]"}), "spec.myCnf line 1", "is not an option"),
        (json!({"myCnf": "!include /x"}), "spec.myCnf line 1", "is not an option"),
        (json!({"myCnf": "encrypt-binlog"}), "spec.myCnf line 1", "needs keys"),
        (json!({"replication": {"mode": "Async", "whenNoAcker": "Degrade"}}), "whenNoAcker", "no meaning"),
        (json!({"replication": {"maxLag": "soon"}}), "spec.replication.maxLag", "not a duration"),
        (json!({"replication": {"binlogRetention": {"time": "7w"}}}), "binlogRetention.time", "not a duration"),
        (json!({"replication": {"binlogRetention": {"time": "59s"}}}), "binlogRetention.time", "out of range"),
        (json!({"replication": {"binlogRetention": {"time": "3651d"}}}), "binlogRetention.time", "out of range"),
        (json!({"replication": {"binlogRetention": {"size": "8G1"}}}), "binlogRetention.size", "not a quantity"),
        (json!({"replication": {"binlogRetention": {"size": "1Mi"}}}), "binlogRetention.size", "too small"),
        (json!({"replication": {"gtidDomainId": -1}}), "gtidDomainId", "out of range"),
        (json!({"memberPolicies": [{"ordinal": 3}]}), "memberPolicies[0].ordinal", "out of range"),
        (json!({"memberPolicies": [{"ordinal": 0, "priority": -1}]}), "memberPolicies[0].priority", "out of range"),
        (
            json!({"memberPolicies": ([0, 1, 2].map(|o| json!({"ordinal": o, "neverPrimary": true})))}),
            "spec.memberPolicies",
            "every member is forbidden",
        ),
        (json!({"failover": {"detection": {"timeout": "100ms"}}}), "detection.timeout", "shorter than the interval"),
        (json!({"failover": {"detection": {"interval": "1ms"}}}), "detection.interval", "too short"),
        (json!({"failover": {"detection": {"interval": "61s", "timeout": "60s"}}}), "detection.interval", "too long"),
        (json!({"failover": {"detection": {"timeout": "1m1ms"}}}), "detection.timeout", "too long"),
        (json!({"failover": {"maxCandidateLag": "8761h"}}), "maxCandidateLag", "too long"),
        (json!({"replication": {"maxLag": "999999h999999h"}}), "maxLag", "too long"),
        (json!({"replication": {"whenNoAcker": "Degrade", "degradeAfter": "8761h"}}), "degradeAfter", "too long"),
        (json!({"template": {"metadata": {"labels": {"beachmaster.dev/x": ""}}}}), "metadata.labels", "belongs to"),
        (json!({"template": {"spec": {"containers": [{"name": "agent"}]}}}), "containers[0].name", "taken"),
        (json!({"template": {"spec": {"containers": [{"name": 7}]}}}), "containers[0]", "invalid type"),
        (json!({"template": {"spec": {"volumes": [{"name": "x"}, {"name": "x"}]}}}), "volumes[1].name", "taken"),
    ] {
        let error = Cluster::parse(&raw(|spec| {
            for (name, value) in patch.as_object().unwrap() {
                spec[name] = value.clone();
            }
        }))
        .expect_err(&patch.to_string());
        assert!(error.field.contains(field), "{patch}: {error}");
        assert!(error.problem.contains(problem), "{patch}: {error}");
        assert!(!error.remedy.is_empty(), "{patch}: {error}");
    }
}

#[test]
fn what_users_may_set_passes() {
    let cluster = Cluster::parse(&raw(|spec| {
        spec["members"] = json!(2);
        spec["image"] = json!("host:5000/db@sha256:aa");
        spec["myCnf"] = json!("# read_only\ninnodb_buffer_pool_size = 5G\n\nlog_bin_trust_function_creators\n");
        spec["replication"] = json!({"whenNoAcker": "Degrade", "degradeAfter": "1m"});
        spec["memberPolicies"] = json!([{"ordinal": 1, "priority": 10}]);
        spec["template"] = json!({"spec": {"containers": [{"name": "exporter", "image": "x:1"}]}});
    }))
    .unwrap();
    assert_eq!(cluster.spec.commits, Commits::SemiSyncDegrade { after: Duration::from_secs(60) });
    assert_eq!(cluster.preference(Ordinal(1)), Preference { priority: 10, never_primary: false });
    assert_eq!(cluster.spec.template.containers[0].name, "exporter");
}

#[test]
fn names_of_members_are_read_back() {
    assert_eq!(member_ordinal("shop", "shop-2"), Some(Ordinal(2)));
    for other in ["shop", "shop-", "shop-9", "shop-02", "shop-x", "shopper-1", "shop-1-1"] {
        assert_eq!(member_ordinal("shop", other), None, "{other}");
    }
}
