//! The commands a replica sends (`enum_server_command`).

/// COM_QUIT.
pub(crate) const QUIT: u8 = 1;
/// COM_QUERY.
pub(crate) const QUERY: u8 = 3;
/// COM_PING.
pub(crate) const PING: u8 = 14;
/// COM_BINLOG_DUMP.
pub(crate) const BINLOG_DUMP: u8 = 18;
/// COM_REGISTER_SLAVE.
pub(crate) const REGISTER_SLAVE: u8 = 21;
