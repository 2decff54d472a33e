use super::*;
use crate::api::validate::Cluster;
use crate::control::desired::tests::example;
use crate::control::event_reason::EventReason;
use crate::control::pod;
use crate::orders::Ordinal;
use crate::topology::reasons::Reason;

fn desired() -> Desired {
    let object = example();
    let cluster = Cluster::parse(&object).unwrap();
    Desired::new(object, cluster, "cluster.local")
}

fn report(stalled: Option<Reason>) -> Report {
    let condition = |kind, status, reason| report::Condition { kind, status, reason, message: "m".to_owned() };
    let member = |ordinal, state| MemberReport {
        ordinal: Ordinal(ordinal),
        role: if ordinal == 0 { Role::Primary } else { Role::Replica },
        state,
        reason: None,
        message: None,
        lag_s: Some(u64::from(ordinal) * 45),
    };
    Report {
        conditions: vec![
            condition("Ready", true, Reason::PrimaryAcceptsWrites),
            condition("Stalled", stalled.is_some(), stalled.unwrap_or(Reason::Progressing)),
        ],
        members: vec![member(0, MemberState::Ready), member(1, MemberState::Ready), member(2, MemberState::Pending)],
    }
}

fn scene<'a>(desired: &'a Desired, troubles: Vec<Option<&'a Trouble>>, second: i64) -> Scene<'a> {
    Scene {
        desired,
        manager: "system/beachmaster",
        members: &[],
        pods: vec![None; 3],
        troubles,
        now: Timestamp::from_second(second).unwrap(),
    }
}

fn stalled(status: &ClusterStatus) -> &Condition {
    status.conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap()
}

#[test]
fn a_status_tells_members_and_conditions() {
    let desired = desired();
    let mut status = ClusterStatus::default();
    compose(&mut status, &report(None), &scene(&desired, vec![None; 3], 10));
    assert_eq!((status.observed_generation, status.ready_members, status.member_count), (Some(4), Some(2), Some(3)));
    assert_eq!(status.selector.as_deref(), Some("beachmaster.dev/cluster=shop"));
    assert_eq!(status.managed_by.as_deref(), Some("system/beachmaster"));
    let lags: Vec<_> = status.members.iter().map(|member| member.lag.as_deref().unwrap()).collect();
    assert_eq!(lags, ["0s", "30s", "60s"]);
}

#[test]
fn the_time_of_a_condition_is_that_of_its_last_change() {
    let desired = desired();
    let mut status = ClusterStatus::default();
    compose(&mut status, &report(None), &scene(&desired, vec![None; 3], 10));
    let same = status.clone();
    compose(&mut status, &report(None), &scene(&desired, vec![None; 3], 20));
    assert_eq!(status, same, "nothing changed, so nothing is written");
    compose(&mut status, &report(Some(Reason::Blocked)), &scene(&desired, vec![None; 3], 30));
    assert_eq!(stalled(&status).last_transition_time.0.as_second(), 30);
}

#[test]
fn a_pod_that_does_not_start_is_named_with_its_remedy() {
    let desired = desired();
    let trouble = Trouble { reason: "ImagePullBackOff".to_owned(), message: "container mariadb: not found".to_owned() };
    let mut status = ClusterStatus::default();
    let troubles = vec![None, None, Some(&trouble)];
    compose(&mut status, &report(Some(Reason::WaitingForMembers)), &scene(&desired, troubles, 10));
    let told = stalled(&status);
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "ImagePullBackOff"));
    assert!(told.message.starts_with("shop-2: ") && told.message.contains("spec.image"), "{}", told.message);
}

#[test]
fn a_spec_that_cannot_be_used_is_named_with_its_remedy() {
    let mut broken = example();
    broken.spec.members = 12;
    let invalid = Cluster::parse(&broken).unwrap_err();
    let desired = desired().superseded(broken, Refusal::of_spec(&invalid));
    let mut status = ClusterStatus::default();
    compose(&mut status, &report(None), &scene(&desired, vec![None; 3], 10));
    let told = stalled(&status);
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "InvalidSpec"));
    assert!(told.message.contains("spec.members"), "{}", told.message);
}

#[test]
fn an_object_that_is_refused_is_told_and_a_running_cluster_stays_ready() {
    let refusal =
        Refusal { reason: EventReason::ObjectRefused, message: "StatefulSet shop: exceeded quota".to_owned() };
    let desired = desired().refused(Some(refusal));
    let mut status = ClusterStatus::default();
    compose(&mut status, &report(None), &scene(&desired, vec![None; 3], 10));
    let told = stalled(&status);
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "ObjectRefused"));
    assert_eq!((status.conditions[0].type_.as_str(), status.conditions[0].status.as_str()), ("Ready", "True"));
}

#[test]
fn a_cluster_that_is_not_made_says_so_in_every_condition_people_look_at() {
    let refusal = Refusal { reason: EventReason::NameTaken, message: "Service shop-primary exists".to_owned() };
    let now = Timestamp::from_second(10).unwrap();
    let mut status = ClusterStatus::default();
    stand_still(&mut status, &refusal, Some(3), now);
    let told: Vec<_> = status.conditions.iter().map(|told| (told.type_.as_str(), told.status.as_str())).collect();
    assert_eq!(told, [("Ready", "False"), ("FailoverReady", "False"), ("Stalled", "True")]);
    assert!(status.conditions.iter().all(|told| told.reason == "NameTaken" && told.message.contains("shop-primary")));
    let same = status.clone();
    stand_still(&mut status, &refusal, Some(3), Timestamp::from_second(20).unwrap());
    assert_eq!(status, same, "nothing changed, so nothing is written");
    status.data_uid = Some(crate::orders::DataUid("d".to_owned()));
    stand_still(&mut status, &refusal, Some(3), now);
    assert_eq!(status.conditions[0].status, "Unknown", "nobody looks whether it accepts writes");
}

#[test]
fn a_member_without_a_pod_says_who_refuses_it() {
    let desired = desired();
    let trouble = Trouble { reason: pod::POD_REFUSED.to_owned(), message: "exceeded quota: small".to_owned() };
    let mut status = ClusterStatus::default();
    compose(&mut status, &report(None), &scene(&desired, vec![None, None, Some(&trouble)], 10));
    let told = &status.members[2];
    assert_eq!((told.state.as_str(), told.reason.as_deref()), ("Pending", Some("PodRefused")));
    let message = told.message.as_deref().unwrap();
    assert!(message.contains("exceeded quota: small") && message.contains("quota, policy or webhook"), "{message}");
}

#[test]
fn keys_of_a_newer_operator_stay_with_their_member() {
    let desired = desired();
    let words = serde_json::json!({
        "zones": 3,
        "members": [
            {"name": "shop-1", "state": "Ready", "zone": "b"},
            {"name": "shop-7", "state": "Ready", "zone": "z"},
        ],
    });
    let mut status: ClusterStatus = serde_json::from_value(words).unwrap();
    compose(&mut status, &report(None), &scene(&desired, vec![None; 3], 10));
    let told = serde_json::to_value(&status).unwrap();
    let zones: Vec<_> = told["members"].as_array().unwrap().iter().map(|member| member.get("zone")).collect();
    assert_eq!(zones, [None, Some(&serde_json::json!("b")), None]);
    assert_eq!(told["zones"], 3);
    let refusal = Refusal { reason: EventReason::RecordUnreadable, message: "m".to_owned() };
    stand_still(&mut status, &refusal, Some(5), Timestamp::UNIX_EPOCH);
    assert_eq!(serde_json::to_value(&status).unwrap()["members"], told["members"]);
}
