//! The keys of encryption at rest, as mariadbd is started with them.

use crate::api::cluster::settings::EncryptionAlgorithm;

/// The keys of encryption at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// The file, as MariaDB's plugin file_key_management reads it.
    pub path: String,
    /// The plugin's cipher.
    pub algorithm: EncryptionAlgorithm,
}

impl KeyFile {
    /// What mariadbd, and a mariadbd that makes a datadir, is started with. FORCE: one that could not load the plugin would
    /// write in clear what should be encrypted; PERMANENT: nobody can unload it.
    #[must_use]
    pub fn options(&self) -> [String; 4] {
        [
            "--plugin_load_add=file_key_management".to_owned(),
            "--file_key_management=FORCE_PLUS_PERMANENT".to_owned(),
            format!("--file_key_management_filename={}", self.path),
            format!("--file_key_management_encryption_algorithm={}", self.algorithm.name()),
        ]
    }
}
