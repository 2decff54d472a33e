//! Error numbers by their names in MariaDB's `sql/share/errmsg-utf8.txt`, without `ER_`.

pub(crate) const CON_COUNT_ERROR: u16 = 1040;
pub(crate) const DBACCESS_DENIED_ERROR: u16 = 1044;
pub(crate) const ACCESS_DENIED_ERROR: u16 = 1045;
pub(crate) const UNKNOWN_COM_ERROR: u16 = 1047;
pub(crate) const SERVER_SHUTDOWN: u16 = 1053;
pub(crate) const PARSE_ERROR: u16 = 1064;
pub(crate) const NO_SUCH_THREAD: u16 = 1094;
pub(crate) const HOST_NOT_PRIVILEGED: u16 = 1130;
pub(crate) const PASSWORD_NO_MATCH: u16 = 1133;
pub(crate) const NET_READ_INTERRUPTED: u16 = 1159;
pub(crate) const NEW_ABORTING_CONNECTION: u16 = 1184;
pub(crate) const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;
pub(crate) const SPECIFIC_ACCESS_DENIED_ERROR: u16 = 1227;
/// The source does not have the position asked for, or cannot read its binary log.
pub(crate) const MASTER_FATAL_ERROR_READING_BINLOG: u16 = 1236;
/// A variable that cannot be changed while mariadbd runs.
pub(crate) const INCORRECT_GLOBAL_LOCAL_VAR: u16 = 1238;
/// As `strict_password_validation` answers to hashes.
pub(crate) const OPTION_PREVENTS_STATEMENT: u16 = 1290;
pub(crate) const CANNOT_USER: u16 = 1396;
pub(crate) const PLUGIN_IS_NOT_LOADED: u16 = 1524;
pub(crate) const COL_COUNT_DOESNT_MATCH_PLEASE_UPDATE: u16 = 1558;
pub(crate) const ACCESS_DENIED_NO_PASSWORD_ERROR: u16 = 1698;
pub(crate) const MUST_CHANGE_PASSWORD: u16 = 1820;
pub(crate) const MUST_CHANGE_PASSWORD_LOGIN: u16 = 1862;
pub(crate) const CONNECTION_KILLED: u16 = 1927;
/// The binary log has a transaction of that number, or of a later one, already.
pub(crate) const GTID_STRICT_OUT_OF_ORDER: u16 = 1950;
/// Nobody listens there (`CR_CONN_HOST_ERROR`, of the client library).
pub(crate) const CONN_HOST_ERROR: u16 = 2003;
pub(crate) const USER_IS_BLOCKED: u16 = 4150;
pub(crate) const ACCOUNT_HAS_BEEN_LOCKED: u16 = 4151;
