//! What tests share.

/// How many random cases a property is tried with: `MONITOR_CASES`, or a million.
pub(crate) fn cases() -> u32 {
    let asked = std::env::var("MONITOR_CASES").ok();
    asked.map_or(1_000_000, |text| {
        text.parse().expect("MONITOR_CASES: a number")
    })
}
