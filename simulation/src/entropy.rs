//! What the system is asked for randomness gives, on a thread that plays a seed.
//!
//! Order of hash tables, turns of `select!`, names of orders, pauses between tries,
//! nonces: all of it is drawn from `getrandom`, by the standard library and by the
//! crate of that name. The standard library asks for it by a weak symbol "to allow
//! interposition"; here is the one that programs with a simulation in them have.
//! Threads that do not play are given what the system gives.

use std::{cell::Cell, slice};

use crate::chance::Chance;

thread_local! {
    static DRAWN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on everything that this thread draws follows from a seed.
pub fn follow(seed: u64) {
    DRAWN.set(Some(seed));
}

fn drawn() -> Option<u64> {
    let state = DRAWN.try_with(Cell::get).ok().flatten()?;
    let mut chance = Chance::of(state, 0);
    let number = chance.next();
    DRAWN.set(Some(state.wrapping_add(1)));
    Some(number)
}

/// `getrandom(2)`, for all that is linked into this program.
///
/// # Safety
/// As of the system's own: room for so many bytes.
#[expect(
    unsafe_code,
    reason = "a function of the C library is put in the place of another"
)]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(into: *mut u8, bytes: usize, flags: u32) -> isize {
    if bytes == 0 || DRAWN.try_with(Cell::get).ok().flatten().is_none() {
        // SAFETY: the arguments are those of the caller.
        let given = unsafe { libc::syscall(libc::SYS_getrandom, into, bytes, flags) };
        return isize::try_from(given).unwrap_or(-1);
    }
    // SAFETY: the caller has room for so many bytes, and there are some.
    let room = unsafe { slice::from_raw_parts_mut(into, bytes) };
    for part in room.chunks_mut(size_of::<u64>()) {
        let number = drawn().unwrap_or_default().to_le_bytes();
        for (to, from) in part.iter_mut().zip(number) {
            *to = from;
        }
    }
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        hash::{BuildHasher as _, RandomState},
        thread,
    };

    use super::*;

    /// What a new thread draws, after it was told what to follow.
    fn draws(seed: Option<u64>) -> ([u8; 19], u64) {
        let play = move || {
            if let Some(seed) = seed {
                follow(seed);
            }
            let mut bytes = [0; 19];
            getrandom_crate(&mut bytes);
            (bytes, RandomState::new().hash_one(7))
        };
        thread::spawn(play).join().unwrap()
    }

    fn getrandom_crate(bytes: &mut [u8]) {
        ::getrandom::fill(bytes).unwrap();
    }

    #[test]
    fn hash_tables_and_bytes_follow_from_the_seed_where_one_is_followed() {
        assert_eq!(draws(Some(7)), draws(Some(7)));
        assert_ne!(draws(Some(7)).0, draws(Some(8)).0);
        assert_ne!(draws(Some(7)).1, draws(Some(8)).1);
        assert_ne!(draws(None).0, draws(None).0);
        assert_ne!(draws(None).1, draws(None).1);
    }
}
