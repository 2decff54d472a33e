use super::*;

fn service(term: Option<&str>, selector: serde_json::Value) -> Service {
    let annotations = term.map(|term| serde_json::json!({labels::TERM: term}));
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": "shop-primary", "resourceVersion": "7", "annotations": annotations},
        "spec": {"selector": selector},
    }))
    .unwrap()
}

fn selecting(pod: &str) -> serde_json::Value {
    serde_json::json!({labels::CLUSTER: "shop", labels::POD_NAME: pod})
}

fn lead(term: u64) -> Lead {
    Lead { member: Ordinal(1), term: Term(term), repair: false }
}

#[test]
fn a_changed_selector_is_put_back_whole() {
    for selector in [
        serde_json::json!(null),
        serde_json::json!({labels::POD_NAME: "shop-0"}),
        serde_json::json!({labels::POD_NAME: "shop-1", "app": "theirs"}),
        serde_json::json!({labels::POD_NAME: "shop-1", labels::CLUSTER: "shop", "app": "theirs"}),
        serde_json::json!({labels::POD_NAME: "shop-1", labels::CLUSTER: "other"}),
        serde_json::json!({labels::CLUSTER: "shop"}),
        serde_json::json!({"app": "theirs"}),
    ] {
        let found = service(Some("4"), selector);
        let patch = applied("shop", &patch("shop", &found, lead(5)).unwrap().unwrap());
        assert_eq!(patch["spec"]["selector"], selecting("shop-1"));
        assert_eq!(patch["metadata"]["annotations"][labels::TERM], "5");
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
    }
}

#[test]
fn what_leads_right_is_left_alone_once_it_says_its_term() {
    let right = selecting("shop-1");
    assert_eq!(patch("shop", &service(Some("5"), right.clone()), lead(5)).unwrap(), None);
    assert_eq!(patch("shop", &service(Some("3"), right.clone()), lead(5)).unwrap(), None);
    assert!(patch("shop", &service(None, right), lead(5)).unwrap().is_some(), "an earlier release wrote it");
}

#[test]
fn a_selector_of_an_earlier_release_leads_right_and_is_written_once_more() {
    let found = service(Some("5"), serde_json::json!({labels::POD_NAME: "shop-1"}));
    let mut it = idle();
    it.read(Ok(Some(&found)), Millis(1)).unwrap();
    assert_eq!((it.selected(), it.service_term(Term(5))), (Some(Ordinal(1)), Some(Term(5))), "no edit");
    assert!(it.selects_by_name_alone());
    assert!(matches!(patch("shop", &found, lead(4)), Err(ServiceError::Deposed { .. })), "its term holds");
    let patch = patch("shop", &found, lead(5)).unwrap().unwrap();
    assert_eq!(applied("shop", &patch)["spec"]["selector"], selecting("shop-1"));
    it.lead_to(lead(5), Millis(2)).unwrap();
    it.read(Ok(Some(&found)), Millis(3)).unwrap();
    it.lead_to(lead(5), Millis(4)).unwrap();
    assert_eq!(it.written(Ok(()), Millis(5)), Ok(Step::Leads));
    assert!(!it.selects_by_name_alone());
}

#[test]
fn a_term_that_no_operator_can_have_written_is_written_over() {
    let right = selecting("shop-1");
    let written = |found: u64, ours: u64| patch("shop", &service(Some(&found.to_string()), right.clone()), lead(ours));
    assert!(matches!(written(5 + MOST_TERMS, 5), Err(ServiceError::Deposed { .. })), "a status may be that old");
    for (found, ours) in [(6 + MOST_TERMS, 5), (NO_TERM, NO_TERM - 1), (u64::MAX, 5)] {
        let patch = written(found, ours).unwrap().unwrap();
        assert_eq!(patch.term, Term(ours), "{found}");
    }
    assert_eq!(written(NO_TERM, NO_TERM).unwrap(), None, "its own");
}

#[test]
fn a_deposed_leader_undoes_nothing() {
    let newer = service(Some("6"), selecting("shop-2"));
    let error = patch("shop", &newer, lead(5)).unwrap_err();
    assert!(matches!(error, ServiceError::Deposed { found: Term(6), ours: Term(5), .. }), "{error}");
}

fn idle() -> PrimaryService {
    let mut service = PrimaryService::new("shop".to_owned());
    assert!(matches!(service.poll(Millis(0)), Some(Effect::ReadService)));
    service
}

fn failure() -> CallFailed {
    CallFailed { conflict: false, message: "no answer".to_owned() }
}

#[test]
fn it_is_read_before_anything_else_and_again_after_a_failure() {
    let mut it = idle();
    assert!(!it.is_known() && it.poll(Millis(0)).is_none(), "one call at a time");
    it.read(Err(failure()), Millis(10)).unwrap_err();
    assert!(!it.is_known() && it.poll(Millis(11)).is_none());
    assert_eq!(it.wakes_at(Millis(11)), Some(Millis(210)));
    assert!(matches!(it.poll(Millis(210)), Some(Effect::ReadService)));
    it.read(Ok(Some(&service(Some("4"), selecting("shop-0")))), Millis(211)).unwrap();
    assert!(it.is_known());
    assert_eq!((it.selected(), it.service_term(Term(4))), (Some(Ordinal(0)), Some(Term(4))));
    assert!(it.poll(Millis(900)).is_none());
}

#[test]
fn a_change_that_comes_during_a_call_is_looked_at_afterwards() {
    let mut it = idle();
    it.changed();
    assert!(it.poll(Millis(1)).is_none());
    it.read(Ok(None), Millis(2)).unwrap();
    assert_eq!(it.selected(), None);
    assert!(matches!(it.poll(Millis(2)), Some(Effect::ReadService)));
}

#[test]
fn a_lead_reads_and_writes_and_a_lost_answer_is_read_again() {
    let mut it = idle();
    it.read(Ok(None), Millis(1)).unwrap();
    assert!(matches!(it.lead_to(lead(5), Millis(2)), Some(Effect::ReadService)));
    assert!(it.lead_to(lead(5), Millis(2)).is_none(), "one call at a time");
    let found = service(Some("4"), selecting("shop-0"));
    assert_eq!(it.read(Ok(Some(&found)), Millis(3)), Ok(Step::Nothing));
    assert!(matches!(it.lead_to(lead(5), Millis(3)), Some(Effect::WriteService(_))));
    assert!(it.written(Err(failure()), Millis(4)).is_err());
    assert!(it.lead_to(lead(5), Millis(5)).is_none(), "a pause after a failure");
    assert!(matches!(it.poll(Millis(204)), Some(Effect::ReadService)), "what became of it is read");
    it.read(Ok(Some(&found)), Millis(205)).unwrap();
    assert_eq!(it.selected(), Some(Ordinal(0)));
    it.lead_to(lead(5), Millis(206)).unwrap();
    it.read(Ok(Some(&found)), Millis(207)).unwrap();
    it.lead_to(lead(5), Millis(207)).unwrap();
    assert_eq!(it.written(Ok(()), Millis(208)), Ok(Step::Leads));
    assert_eq!((it.selected(), it.service_term(Term(5))), (Some(Ordinal(1)), Some(Term(5))));
}

#[test]
fn a_lead_that_is_taken_back_writes_nothing() {
    let mut it = idle();
    it.read(Ok(None), Millis(1)).unwrap();
    let found = service(Some("4"), selecting("shop-0"));
    it.lead_to(lead(5), Millis(2)).unwrap();
    it.read(Ok(Some(&found)), Millis(3)).unwrap();
    it.stay();
    assert!(it.poll(Millis(3)).is_none());
    assert!(matches!(it.lead_to(lead(5), Millis(4)), Some(Effect::ReadService)), "it is read anew");
    it.read(Ok(Some(&found)), Millis(5)).unwrap();
    assert!(matches!(it.lead_to(lead(6), Millis(6)), Some(Effect::ReadService)), "in another term, too");
}

#[test]
fn a_repair_asks_the_status_first() {
    let status = |term, primary: &str| ClusterStatus {
        term: Some(Term(term)),
        current_primary: Some(primary.to_owned()),
        ..ClusterStatus::default()
    };
    for (found, right) in [(status(5, "shop-1"), true), (status(6, "shop-1"), false), (status(5, "shop-0"), false)] {
        let mut it = idle();
        it.read(Ok(None), Millis(1)).unwrap();
        let repair = Lead { repair: true, ..lead(5) };
        assert!(matches!(it.lead_to(repair, Millis(2)), Some(Effect::CheckStatus)));
        match it.checked(Ok(Some(&found)), Millis(3)) {
            Ok(next) => assert!(right && matches!(next, Some(Effect::ReadService))),
            Err(error) => assert!(!right && matches!(error, ServiceError::Outdated { .. }), "{error}"),
        }
    }
}
