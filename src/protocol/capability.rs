//! Capability bits (`CLIENT_*` of the handshake).

/// CLIENT_MYSQL: unset it would promise MariaDB's extended capabilities.
pub(super) const LONG_PASSWORD: u32 = 0x1;
pub(super) const LONG_FLAG: u32 = 0x4;
pub(super) const CONNECT_WITH_DB: u32 = 0x8;
pub(super) const PROTOCOL_41: u32 = 0x200;
pub(super) const SSL: u32 = 0x800;
pub(super) const TRANSACTIONS: u32 = 0x2000;
pub(super) const SECURE_CONNECTION: u32 = 0x8000;
pub(super) const PLUGIN_AUTH: u32 = 0x8_0000;

/// What our server offers.
pub(super) const OFFERED: u32 =
    LONG_PASSWORD | LONG_FLAG | CONNECT_WITH_DB | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
/// What our client needs of a server, and all it uses: no TLS, no local files, one result for each statement.
pub(super) const NEEDED: u32 = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;
/// What our client says of itself.
pub(super) const USED: u32 = NEEDED | LONG_PASSWORD | LONG_FLAG | TRANSACTIONS;
