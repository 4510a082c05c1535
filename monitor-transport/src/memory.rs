//! How a service takes memory.

use std::io;

/// Has the kernel give this process, and what it starts, small pages only. For
/// services that take and give back small pieces all the time: a huge page is
/// cleared whole each time that some of it is wanted.
///
/// # Errors
/// What the system says; everything works then as well.
pub fn small_pages() -> io::Result<()> {
    Ok(rustix::thread::disable_transparent_huge_pages(true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_off_afterwards() {
        small_pages().unwrap();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
