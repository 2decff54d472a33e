//! Tells the cluster's task whenever somebody changed NAME-primary.

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::mpsc;
use tracing::warn;

use crate::control::input::Input;
use crate::resources::names;

/// As for pods: a watch that says nothing for this long is asked for again.
const WATCH_SECONDS: u32 = 20;

/// Tells `inputs` of every change. What it shows is not believed: the task reads the Service then. Ends only when nobody
/// listens any more.
pub(crate) async fn run(services: Api<Service>, cluster: String, inputs: mpsc::UnboundedSender<Input>) {
    let name = format!("metadata.name={}", names::primary(&cluster));
    let config = watcher::Config::default().fields(&name).timeout(WATCH_SECONDS);
    let mut events = watcher(services, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let changed = match event {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => false,
            Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone) => true,
            Err(error) => {
                warn!(%cluster, %error, "the primary's Service cannot be watched; it is tried again");
                false
            }
        };
        if changed && inputs.send(Input::ServiceChanged).is_err() {
            return;
        }
    }
}
