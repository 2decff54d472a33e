#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| beachmaster_fuzz::client::run(data));
