//! The commands a replica sends (`enum_server_command`).

/// COM_QUIT.
pub const QUIT: u8 = 1;
/// COM_QUERY.
pub const QUERY: u8 = 3;
/// COM_PING.
pub const PING: u8 = 14;
/// COM_BINLOG_DUMP.
pub const BINLOG_DUMP: u8 = 18;
/// COM_REGISTER_SLAVE.
pub const REGISTER_SLAVE: u8 = 21;
