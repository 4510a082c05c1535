//! Panics of tasks, which end nothing but the task: a play in which one did does
//! not hold.

use std::{cell::Cell, panic, sync::Once};

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

static COUNTS: Once = Once::new();

/// Counts the panics of every thread from now on, beside what is done about them.
pub fn count() {
    COUNTS.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            _ = PANICS.try_with(|panics| panics.set(panics.get().saturating_add(1)));
            before(panic);
        }));
    });
}

/// How often something panicked on this thread.
#[must_use]
pub fn here() -> u32 {
    PANICS.get()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_panic_is_counted_on_its_thread() {
        count();
        let counted = thread::spawn(|| {
            let caught = panic::catch_unwind(|| panic!("meant"));
            (caught.is_err(), here())
        });
        assert_eq!(counted.join().unwrap(), (true, 1));
        assert_eq!(here(), 0);
    }
}
