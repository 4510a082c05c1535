//! The smallest program that can be started: it ends at once, with 0.

#![no_main]

#[expect(unsafe_code, reason = "the C runtime calls it by this name")]
#[unsafe(no_mangle)]
extern "C" fn main(_arguments: i32, _values: *const *const u8) -> i32 {
    0
}
