//! Agents with real launches and real servers, driven by orders as the operator gives them.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod connections;
mod encryption;
mod locks;
mod processes;
mod received;
mod sessions;
mod takeover;
mod waking;

use encryption::encrypted;
use testkit::Version;
use testkit::member::Setup;

const COMPRESS: &str = "log_bin_compress=ON\nlog_bin_compress_min_len=10\n";

const fn compressed(version: Version) -> Setup {
    Setup { version, options: COMPRESS, keys: None }
}

/// The same with members of several kinds; each is a test, so that they run side by side.
macro_rules! with_members {
    ($($kind:ident: $setup:expr => $($file:ident::$name:ident),*;)*) => {
        $(mod $kind {
            use super::*;
            $(#[test] fn $name() { $file::$name($setup); })*
        })*
    };
}

with_members! {
    mariadb_10_11: Setup::plain(Version::V10_11) =>
        connections::a_replica_gets_in_when_clients_hold_all_connections,
        sessions::a_client_with_the_number_of_an_earlier_session_of_the_agent_is_ended,
        takeover::a_dead_primary_s_tail_is_served_and_the_candidate_takes_over,
        takeover::ackers_are_added_freed_and_locked_out,
        processes::processes_may_be_killed_and_tokens_are_remembered,
        received::an_acker_recovers_what_it_received_in_an_earlier_run,
        received::a_sql_thread_that_was_stopped_by_hand_is_started,
        locks::a_read_lock_over_stopped_threads_is_named,
        locks::a_lock_that_keeps_writes_waiting_is_told,
        locks::who_holds_a_lock_is_named,
        locks::a_replica_that_a_lock_holds_up_acknowledges_again,
        locks::a_replica_that_a_lock_holds_up_acknowledges_its_restarted_source,
        received::an_acker_recovers_what_it_threw_away_in_its_run,
        waking::semi_sync_is_switched_off_and_on_behind_a_lock,
        waking::a_primary_that_falls_silent_as_it_is_woken_is_killed,
        waking::a_primary_whose_semi_sync_stays_off_is_killed,
        takeover::a_long_tail_is_applied_without_syncs_and_survives_a_crash;
    mariadb_11_8: Setup::plain(Version::V11_8) =>
        connections::a_replica_gets_in_when_clients_hold_all_connections,
        sessions::a_client_with_the_number_of_an_earlier_session_of_the_agent_is_ended,
        takeover::a_dead_primary_s_tail_is_served_and_the_candidate_takes_over,
        takeover::ackers_are_added_freed_and_locked_out,
        processes::processes_may_be_killed_and_tokens_are_remembered,
        received::an_acker_recovers_what_it_received_in_an_earlier_run,
        received::orders_that_reconnect_start_a_stopped_sql_thread,
        locks::a_read_lock_over_stopped_threads_is_named,
        locks::a_lock_that_keeps_writes_waiting_is_told,
        locks::who_holds_a_lock_is_named,
        locks::a_replica_that_a_lock_holds_up_acknowledges_again,
        locks::a_replica_that_a_lock_holds_up_acknowledges_its_restarted_source,
        received::a_sql_thread_that_was_stopped_by_hand_is_started,
        received::an_acker_recovers_what_it_threw_away_in_its_run,
        waking::semi_sync_is_switched_off_and_on_behind_a_lock,
        waking::a_primary_that_falls_silent_as_it_is_woken_is_killed,
        waking::a_primary_whose_semi_sync_stays_off_is_killed,
        takeover::a_long_tail_is_applied_without_syncs_and_survives_a_crash;
    encrypted_10_11: encrypted(Version::V10_11, "AES_CBC") =>
        processes::processes_may_be_killed_and_tokens_are_remembered,
        received::an_acker_recovers_what_it_received_in_an_earlier_run,
        takeover::a_long_tail_is_applied_without_syncs_and_survives_a_crash,
        encryption::encrypted_logs_are_read_with_their_key_only;
    encrypted_11_8: encrypted(Version::V11_8, "AES_CTR") =>
        takeover::a_long_tail_is_applied_without_syncs_and_survives_a_crash;
    compressed_11_8: compressed(Version::V11_8) =>
        takeover::a_long_tail_is_applied_without_syncs_and_survives_a_crash;
}
