//! The log engine against the corpus: files that real servers wrote in every way they know.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here the world is touched; the lists keep it out of pure folders"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod applying;
mod case;
mod listing;
mod maker;
mod reading;
mod state;
mod torn;
mod variants;

use reading::Counts;
use testkit::Version;

/// `make corpus`
#[test]
fn the_corpus_is_there() {
    for version in Version::ALL {
        for case in maker::cases(version) {
            assert!(!case.state().is_empty(), "{version} {}", case.variant.name);
        }
    }
}

#[test]
fn every_event_of_every_file_is_what_the_server_lists() {
    let mut total = Counts::default();
    for version in Version::ALL {
        for case in &maker::cases(version) {
            let counts = reading::compare(case);
            println!("{version} {}: {counts:?}", case.variant.name);
            assert!(counts.events > 1000 && counts.transactions > 100, "{counts:?}");
            total += counts;
        }
    }
    println!("in all: {total:?}, 0 differences");
}

#[test]
fn logs_cut_off_at_every_byte_end_at_their_last_complete_group() {
    for version in Version::ALL {
        let cuts: usize = maker::cases(version).iter().map(torn::every_cut_is_read).sum();
        println!("{version}: {cuts} cuts, all read to the last complete group");
        assert!(cuts >= 2 * torn::CUTS * variants::VARIANTS.len());
    }
}

#[test]
fn replicas_of_cut_logs_end_at_the_last_complete_group() {
    for version in Version::ALL {
        torn::replica_follows_cuts(version, 37);
    }
}

/// `cargo test --test corpus -- --ignored --nocapture`
#[test]
#[ignore = "some minutes: a replica connects 4,096 times"]
fn a_replica_of_logs_cut_off_at_every_byte_ends_at_the_last_complete_group() {
    for version in Version::ALL {
        torn::replica_follows_cuts(version, 1);
    }
}

/// A test for each variant, so that they run side by side.
macro_rules! replicas_become_equal_to_the_origin {
    ($($variant:ident)*) => { $(
        #[test]
        fn $variant() {
            applying::variant(stringify!($variant));
        }
    )* };
}

mod replicas_become_equal_to_the_origin {
    use super::applying;

    replicas_become_equal_to_the_origin! {
        plain stopped no_checksum changed_checksum compressed encrypted_cbc encrypted_ctr minimal noblob rotated
    }

    #[test]
    fn no_variant_is_left_out() {
        assert_eq!(super::variants::VARIANTS.len(), 10);
    }
}
