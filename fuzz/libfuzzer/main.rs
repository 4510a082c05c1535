//! One target under libFuzzer: the one that `MONITOR_FUZZ_TARGET` names.

#![no_main]

use std::sync::OnceLock;

use monitor_fuzz::Target;

static CHOSEN: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = CHOSEN.get_or_init(|| {
        let name = std::env::var("MONITOR_FUZZ_TARGET").unwrap_or_default();
        match monitor_fuzz::named(&name) {
            Ok(target) => target,
            Err(error) => {
                eprintln!("MONITOR_FUZZ_TARGET: {error}");
                std::process::exit(2);
            }
        }
    });
    let _ = target.is_accepted(bytes);
});
