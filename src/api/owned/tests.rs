use super::*;
use crate::api::cluster::settings::EncryptionAlgorithm;

#[test]
fn the_command_line_carries_every_invariant() {
    let line = command_line(&Boot::in_pod(Ordinal(2), 7));
    assert_eq!(line[0], "--defaults-file=/etc/beachmaster/config/my.cnf");
    for expected in [
        "--read_only=ON",
        "--skip_slave_start=ON",
        "--event_scheduler=OFF",
        "--rpl_semi_sync_master_enabled=OFF",
        "--rpl_semi_sync_slave_enabled=OFF",
        "--rpl_semi_sync_master_timeout=18446744073709551615",
        "--server_id=2147483651",
        "--gtid_domain_id=7",
        "--datadir=/var/lib/mysql/data",
        "--binlog_expire_logs_seconds=0",
        "--loose-slave_connections_needed_for_purge=0",
    ] {
        assert!(line.iter().any(|option| option == expected), "{expected} in {line:#?}");
    }
}

#[test]
fn owned_options_are_found_in_every_spelling() {
    for (key, name) in [
        ("read_only", "read_only"),
        ("READ-ONLY", "read_only"),
        ("read-on", "read_only"),
        ("loose-read_only", "read_only"),
        ("loose_skip-log-bin", "log_bin"),
        ("skip-slave-start", "skip_slave_start"),
        ("replicate-do-db", "replicate_do_"),
        ("rpl_semi_sync_master_timeout", "rpl_semi_sync_master_timeout"),
        ("rpl-semi-sync-slave-trace-level", "rpl_semi_sync_"),
        ("wsrep-on", "wsrep_"),
        ("innodb_flush_log_at", "innodb_flush_log_at_trx_commit"),
        ("file-key-management", "file_key_management"),
        ("loose-file_key_management_filename", "file_key_management"),
    ] {
        assert_eq!(owner(key).map(|owned| owned.name), Some(name), "{key}");
    }
}

#[test]
fn keys_are_loaded_before_anything_is_written() {
    let keys = KeyFile { path: "/keys".to_owned(), algorithm: EncryptionAlgorithm::AesCtr };
    let line = command_line(&Boot { keys: Some(keys), ..Boot::in_pod(Ordinal(0), 0) });
    assert_eq!(
        line[line.len() - 4..],
        [
            "--plugin_load_add=file_key_management",
            "--file_key_management=FORCE_PLUS_PERMANENT",
            "--file_key_management_filename=/keys",
            "--file_key_management_encryption_algorithm=AES_CTR",
        ]
    );
}

#[test]
fn what_needs_keys_is_found_in_every_spelling() {
    for key in ["encrypt_binlog", "ENCRYPT-BINLOG", "encrypt_b", "loose-encrypt_binlog", "skip-encrypt-binlog"] {
        assert_eq!(needs_keys(key).map(|option| option.name), Some("encrypt_binlog"), "{key}");
    }
    for key in ["encrypt_tmp_files", "innodb_encrypt_tables", "read_only"] {
        assert_eq!(needs_keys(key), None, "{key}");
    }
}

#[test]
fn all_other_options_are_free() {
    for key in [
        "innodb",
        "innodb_buffer_pool_size",
        "log_bin_trust_function_creators",
        "max_connections",
        "skip-external-locking",
        "replicate_annotate_row_events",
        "encrypt_binlog",
        "slave_parallel_threads",
        "read_buffer_size",
        "",
    ] {
        assert_eq!(owner(key), None, "{key}");
    }
}
