//! Replicas that are cut off from their primary, as by a broken network: nobody is told.

use anyhow::{Context, Result};

use super::cluster::Cluster;
use super::host;

/// mariadbd's ports: for clients, and for members.
pub const PORTS: &str = "3306, 3308";

/// Rules in the network of the primary's node that drop what replicas and primary say to each other.
pub struct Cut {
    node: String,
}

impl Cut {
    /// Cuts the primary off from all other members, until it is healed.
    ///
    /// # Errors
    /// When the rules cannot be made.
    pub async fn make(cluster: &Cluster, primary: &str) -> Result<Self> {
        let mut addresses = cluster.addresses().await?;
        let to = addresses.remove(primary).context("the primary has no address")?;
        let replicas = addresses.into_values().collect::<Vec<_>>().join(", ");
        // Both directions: what the primary sent would still arrive and be kept by the replica otherwise.
        let rules = format!(
            "table ip beachmaster_e2e
             delete table ip beachmaster_e2e
             table ip beachmaster_e2e {{
               chain cut {{
                 type filter hook forward priority -300; policy accept;
                 ip saddr {{ {replicas} }} ip daddr {to} tcp dport {{ {PORTS} }} drop
                 ip saddr {to} ip daddr {{ {replicas} }} tcp sport {{ {PORTS} }} drop
               }}
             }}"
        );
        let node = cluster.node_of(primary).await?;
        host::in_network_of(&node, &["nft", "-f", "-"], &rules).await?;
        Ok(Self { node })
    }

    /// Removes the rules.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub async fn heal(self) -> Result<()> {
        host::in_network_of(&self.node, &["nft", "delete", "table", "ip", "beachmaster_e2e"], "").await.map(|_| ())
    }
}
