use super::*;
use crate::api::validate::Cluster;
use crate::operator::cluster::wish::tests::example;
use crate::orders::Ordinal;
use crate::topology::words::Reason;

fn wish() -> Wish {
    let object = example();
    let cluster = Cluster::parse(&object).unwrap();
    Wish::new(object, cluster, "cluster.local")
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

fn scene<'a>(wish: &'a Wish, troubles: Vec<Option<&'a Trouble>>, second: i64) -> Scene<'a> {
    Scene {
        wish,
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
    let wish = wish();
    let mut status = ClusterStatus::default();
    tell(&mut status, &report(None), &scene(&wish, vec![None; 3], 10));
    assert_eq!((status.observed_generation, status.ready_members, status.member_count), (Some(4), Some(2), Some(3)));
    assert_eq!(status.selector.as_deref(), Some("beachmaster.dev/cluster=shop"));
    assert_eq!(status.managed_by.as_deref(), Some("system/beachmaster"));
    let lags: Vec<_> = status.members.iter().map(|member| member.lag.as_deref().unwrap()).collect();
    assert_eq!(lags, ["0s", "30s", "60s"]);
}

#[test]
fn the_time_of_a_condition_is_that_of_its_last_change() {
    let wish = wish();
    let mut status = ClusterStatus::default();
    tell(&mut status, &report(None), &scene(&wish, vec![None; 3], 10));
    let same = status.clone();
    tell(&mut status, &report(None), &scene(&wish, vec![None; 3], 20));
    assert_eq!(status, same, "nothing changed, so nothing is written");
    tell(&mut status, &report(Some(Reason::Blocked)), &scene(&wish, vec![None; 3], 30));
    assert_eq!(stalled(&status).last_transition_time.0.as_second(), 30);
}

#[test]
fn a_pod_that_does_not_start_is_named_with_its_remedy() {
    let wish = wish();
    let trouble = Trouble { reason: "ImagePullBackOff".to_owned(), message: "container mariadb: not found".to_owned() };
    let mut status = ClusterStatus::default();
    let troubles = vec![None, None, Some(&trouble)];
    tell(&mut status, &report(Some(Reason::WaitingForMembers)), &scene(&wish, troubles, 10));
    let told = stalled(&status);
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "ImagePullBackOff"));
    assert!(told.message.starts_with("shop-2: ") && told.message.contains("spec.image"), "{}", told.message);
}

#[test]
fn a_spec_that_cannot_be_used_is_named_with_its_remedy() {
    let mut broken = example();
    broken.spec.members = 12;
    let invalid = Cluster::parse(&broken).unwrap_err();
    let wish = wish().refused(broken, invalid);
    let mut status = ClusterStatus::default();
    tell(&mut status, &report(None), &scene(&wish, vec![None; 3], 10));
    let told = stalled(&status);
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "InvalidSpec"));
    assert!(told.message.contains("spec.members"), "{}", told.message);
}
