//! Error numbers by their names in MariaDB's `sql/share/errmsg-utf8.txt`, without `ER_`.

pub const CON_COUNT_ERROR: u16 = 1040;
pub const DBACCESS_DENIED_ERROR: u16 = 1044;
pub const ACCESS_DENIED_ERROR: u16 = 1045;
pub const SERVER_SHUTDOWN: u16 = 1053;
pub const NO_SUCH_THREAD: u16 = 1094;
pub const HOST_NOT_PRIVILEGED: u16 = 1130;
pub const PASSWORD_NO_MATCH: u16 = 1133;
pub const NET_READ_INTERRUPTED: u16 = 1159;
pub const NEW_ABORTING_CONNECTION: u16 = 1184;
pub const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
pub const LOCK_WAIT_TIMEOUT: u16 = 1205;
pub const SPECIFIC_ACCESS_DENIED_ERROR: u16 = 1227;
/// A variable that cannot be changed while mariadbd runs.
pub const INCORRECT_GLOBAL_LOCAL_VAR: u16 = 1238;
/// As `strict_password_validation` answers to hashes.
pub const OPTION_PREVENTS_STATEMENT: u16 = 1290;
pub const CANNOT_USER: u16 = 1396;
pub const PLUGIN_IS_NOT_LOADED: u16 = 1524;
pub const COL_COUNT_DOESNT_MATCH_PLEASE_UPDATE: u16 = 1558;
pub const ACCESS_DENIED_NO_PASSWORD_ERROR: u16 = 1698;
pub const MUST_CHANGE_PASSWORD: u16 = 1820;
pub const MUST_CHANGE_PASSWORD_LOGIN: u16 = 1862;
pub const CONNECTION_KILLED: u16 = 1927;
pub const USER_IS_BLOCKED: u16 = 4150;
pub const ACCOUNT_HAS_BEEN_LOCKED: u16 = 4151;
