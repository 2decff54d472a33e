//! Which cluster an object belongs to that somebody changed or deleted: its objects are applied again soon.

use std::sync::{Arc, Mutex};

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use super::applied::Applied;
use super::registry::Key;
use crate::resources::labels;
use crate::sync::locked;

/// Maps an object with our label to its cluster, and notes there that it changed. Whether it is really ours is looked at
/// before anything is applied.
pub(crate) fn noting<K, C>(applied: Arc<Mutex<Applied>>) -> impl Fn(K) -> Option<ObjectRef<C>> + Send + Sync + 'static
where
    K: Resource<DynamicType = ()>,
    C: Resource<DynamicType = ()>,
{
    move |object: K| {
        let key: Key = (object.namespace()?, object.labels().get(labels::CLUSTER)?.clone());
        // Every change is one assignment, so a panic elsewhere left the value whole.
        locked(&applied).note_changed(&key);
        Some(ObjectRef::new(&key.1).within(&key.0))
    }
}
