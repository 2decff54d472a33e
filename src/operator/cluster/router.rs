//! NAME-primary's selector: written by transitions only, by a field manager of its own.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::input::Input;
use crate::api::validate::{member_name, member_ordinal};
use crate::operator::clients::{CallError, call};
use crate::operator::lease::Leadership;
use crate::orders::Ordinal;
use crate::resources::{labels, names};

/// Owner of the selector among the object's field managers.
const FIELD_MANAGER: &str = "beachmaster-router";

/// Pause before a write that failed is tried again.
const FAILED: Duration = Duration::from_millis(200);

/// Reads and writes where clients are led.
pub struct Router {
    api: Api<Service>,
    leadership: Leadership,
    cluster: String,
    inputs: mpsc::UnboundedSender<Input>,
    routed: Option<Ordinal>,
    under_way: bool,
}

impl Router {
    /// A router that does not know yet where clients are led.
    #[must_use]
    pub fn new(
        api: Api<Service>,
        leadership: Leadership,
        cluster: String,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> Self {
        Self { api, leadership, cluster, inputs, routed: None, under_way: false }
    }

    /// The member clients are led to.
    #[must_use]
    pub fn routed(&self) -> Option<Ordinal> {
        self.routed
    }

    /// Reads the Service.
    ///
    /// # Errors
    /// When that fails.
    pub async fn look(&mut self) -> Result<(), CallError> {
        let service = call(&self.leadership, self.api.get_opt(&names::primary(&self.cluster))).await?;
        self.routed = service.as_ref().and_then(|service| selected(&self.cluster, service));
        Ok(())
    }

    /// Begins to lead clients to `member`; the result comes as [`Input::Routed`]. Nothing while another write is on
    /// its way.
    pub fn lead_to(&mut self, member: Ordinal) {
        if self.under_way {
            return;
        }
        self.under_way = true;
        let (api, leadership, cluster) = (self.api.clone(), self.leadership.clone(), self.cluster.clone());
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let result = select(&api, &leadership, &cluster, member).await.map_err(|error| error.to_string());
            if result.is_err() {
                sleep(FAILED).await;
            }
            // A cluster task that has ended needs no news.
            let _ = inputs.send(Input::Routed(result.map(|()| member)));
        });
    }

    /// The write has ended.
    pub fn ended(&mut self, result: &Result<Ordinal, String>) {
        self.under_way = false;
        if let Ok(member) = result {
            self.routed = Some(*member);
        }
    }
}

/// One write. The version read just before keeps a write that arrives late from undoing a newer one.
async fn select(api: &Api<Service>, leadership: &Leadership, cluster: &str, member: Ordinal) -> Result<(), CallError> {
    let name = names::primary(cluster);
    let service = call(leadership, api.get(&name)).await?;
    if selected(cluster, &service) == Some(member) {
        return Ok(());
    }
    let patch = serde_json::json!({
        "metadata": {"resourceVersion": service.metadata.resource_version},
        "spec": {"selector": labels::primary_selector(&member_name(cluster, member))},
    });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    call(leadership, api.patch(&name, &params, &Patch::Merge(&patch))).await?;
    Ok(())
}

fn selected(cluster: &str, service: &Service) -> Option<Ordinal> {
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    member_ordinal(cluster, selector.get(labels::POD_NAME)?)
}
