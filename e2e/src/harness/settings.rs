//! What differs between the cluster of `make cluster` and somebody's own.

/// What differs between the cluster of `make cluster` and somebody's own.
#[derive(Debug, Clone)]
pub struct Settings {
    /// MariaDB's image.
    pub mariadb_image: String,
    /// MariaDB 11.8's.
    pub mariadb_11_8_image: String,
    /// Image of this program.
    pub e2e_image: String,
    /// Values for the chart, when its image is not the one that `make images` loads.
    pub values: Option<String>,
}

impl Settings {
    /// From the environment; by default what `make cluster` provides.
    #[must_use]
    pub fn from_env() -> Self {
        let or = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
        Self {
            mariadb_image: or("BEACHMASTER_MARIADB_IMAGE", "localhost/mariadb:10.11"),
            mariadb_11_8_image: or("BEACHMASTER_MARIADB_11_8_IMAGE", "localhost/mariadb:11.8"),
            e2e_image: or("BEACHMASTER_E2E_IMAGE", "localhost/beachmaster-e2e:dev"),
            values: std::env::var("BEACHMASTER_VALUES").ok(),
        }
    }
}
