//! What goes to the API server, against one of a few lines.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response};
use k8s_openapi::ByteString;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::control::desired::tests::example;

const EVERYTHING: [&str; 6] =
    ["shop-config", "shop-members", "shop-primary", "shop-replicas", "poddisruptionbudgets/shop", "statefulsets/shop"];

/// Answers reads with the metadata of what `found` knows by the end of its path, and applies everything but `refused`.
#[derive(Default)]
struct Server {
    found: Vec<(&'static str, Value)>,
    refused: Option<&'static str>,
    applied: Mutex<Vec<(String, Value)>>,
}

impl Server {
    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        if method == Method::GET {
            let known = self.found.iter().find(|(end, _)| path.ends_with(end));
            return known.map_or((404, status(404, "not found")), |(_, metadata)| (200, object(metadata)));
        }
        if self.refused.is_some_and(|end| path.ends_with(end)) {
            return (422, status(422, "must be less than or equal to memory limit"));
        }
        let applied: Value = serde_json::from_slice(body).unwrap();
        self.applied.lock().unwrap().push((path.to_owned(), applied.clone()));
        (200, applied)
    }

    fn was_applied(&self, end: &str) -> bool {
        self.applied.lock().unwrap().iter().any(|(path, _)| path.ends_with(end))
    }
}

fn object(metadata: &Value) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata})
}

fn status(code: u16, message: &str) -> Value {
    let reason = if code == 404 { "NotFound" } else { "Invalid" };
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn client(server: &Arc<Server>) -> Client {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let (code, answer) = server.answer(&parts.method, parts.uri.path(), &body);
            let answer = Full::new(Bytes::from(answer.to_string()));
            Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
        }
    });
    Client::new(service, "prod")
}

async fn apply(server: Server, begun: bool) -> (Arc<Server>, Vec<ApplyError>) {
    let server = Arc::new(server);
    let site = Site { operator_image: "beachmaster:1".to_owned(), cluster_domain: "cluster.local".to_owned() };
    let (client, leadership) = (client(&server), Leadership::of_an_hour());
    let cluster = Cluster::parse(&example()).unwrap();
    let applier = Applier { client: &client, leadership: &leadership, cluster: &cluster };
    let errors = applier.objects(&site, begun).await;
    (server, errors)
}

#[tokio::test]
async fn what_is_not_there_is_made() {
    let (server, errors) = apply(Server::default(), false).await;
    assert!(errors.is_empty(), "{errors:?}");
    for end in EVERYTHING {
        assert!(server.was_applied(end), "{end}");
    }
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_taken_over() {
    let theirs = || Server { found: vec![("services/shop-primary", json!({"uid": "s"}))], ..Server::default() };
    let (server, errors) = apply(theirs(), true).await;
    let [ApplyError::NameTaken { kind, name, .. }] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!((kind.as_str(), name.as_str()), ("Service", "shop-primary"));
    for end in EVERYTHING {
        assert_eq!(server.was_applied(end), end != "shop-primary", "{end}");
    }
    let (server, errors) = apply(theirs(), false).await;
    assert_eq!(errors.len(), 1);
    assert!(server.applied.lock().unwrap().is_empty(), "a cluster without data is not begun beside it");
}

#[tokio::test]
async fn what_is_ours_is_applied_to_the_very_object_that_was_found() {
    let labels = json!({"beachmaster.dev/cluster": "shop"});
    let ours = vec![("services/shop-primary", json!({"uid": "s", "labels": labels}))];
    let (server, errors) = apply(Server { found: ours, ..Server::default() }, true).await;
    assert!(errors.is_empty(), "{errors:?}");
    for (path, applied) in server.applied.lock().unwrap().iter() {
        let uid = applied["metadata"].get("uid");
        assert_eq!(uid, path.ends_with("shop-primary").then_some(&json!("s")), "{path}");
    }
}

#[tokio::test]
async fn one_that_is_refused_keeps_no_other_from_being_applied() {
    let refused = Some("configmaps/shop-config");
    let (server, errors) = apply(Server { refused, ..Server::default() }, false).await;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].reason(), Some(EventReason::ObjectRefused));
    assert!(errors[0].to_string().starts_with("ConfigMap shop-config: "), "{}", errors[0]);
    for end in &EVERYTHING[1..] {
        assert!(server.was_applied(end), "{end}");
    }
}

#[test]
fn a_secret_without_keys_is_told_by_them() {
    let mut secret = Secret::default();
    let Accounts { probe, missing } = Accounts::read("shop-accounts".to_owned(), &secret, 2);
    assert_eq!(probe, None);
    let told = missing.unwrap().to_string();
    assert!(told.contains("Secret shop-accounts") && told.contains(layout::PROBE_KEY), "{told}");
    let keys = [layout::PROBE_KEY.to_owned(), layout::repl_key(0), layout::repl_key(1)];
    secret.data = Some(keys.map(|key| (key, ByteString(b"secret".to_vec()))).into());
    let Accounts { probe, missing } = Accounts::read("shop-accounts".to_owned(), &secret, 2);
    assert!(probe.is_some() && missing.is_none());
    assert!(Accounts::read("shop-accounts".to_owned(), &secret, 3).missing.is_some());
}
