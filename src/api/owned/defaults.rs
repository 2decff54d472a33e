//! What the operator sets and users may change.

/// Options that users may change; written to my.cnf before theirs.
pub const DEFAULTS: &[(&str, &str)] = &[
    ("binlog_format", "ROW"),
    // A statement's rows in events of 64 kB, not of 8: replicas need a tenth less time for 100 rows of 1 kB (docs/decisions/18-row-events-of-64-kb.md).
    ("binlog_row_event_max_size", "65536"),
    ("slave_parallel_threads", "4"),
];

/// The same when there are keys. A source looks for a replica's GTID from the beginning of a file on, which takes MariaDB 10.11
/// 24 ms of computing for each encrypted MB (1.3 ms in clear), and says nothing meanwhile: a file of 90 MB would take longer
/// than `slave_net_timeout`, and a replica that lost its connection there would connect again and again for ever.
pub(crate) const DEFAULTS_WITH_KEYS: &[(&str, &str)] = &[("max_binlog_size", "32M")];
