//! A number in a map that programs of several processors change.
//!
//! The BPF target of rustc has no atomics that return the old value, though
//! the instructions exist since Linux 5.12; so they are spelled here. On
//! another target (for lints) the standard ones stand in.

/// A number in a map.
#[derive(Clone, Copy)]
pub struct Number(*mut u64);

impl Number {
    /// # Safety
    /// `number` must be aligned to 8 and lie in a map value.
    #[inline(always)]
    pub const unsafe fn at(number: *mut u64) -> Self {
        Self(number)
    }

    /// What it is now.
    #[inline(always)]
    pub fn load(self) -> u64 {
        // SAFETY: it lies in a map value, says the constructor's caller.
        unsafe { self.0.read_volatile() }
    }

    /// Sets it, for who alone may.
    #[inline(always)]
    pub fn store(self, value: u64) {
        // SAFETY: it lies in a map value, says the constructor's caller.
        unsafe { self.0.write_volatile(value) }
    }

    /// Adds, and gives what it was. A full barrier.
    #[inline(always)]
    pub fn fetch_add(self, value: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let mut value = value;
            // SAFETY: changes only the number, says the constructor's caller.
            unsafe {
                core::arch::asm!(
                    "{value} = atomic_fetch_add((u64 *)({number} + 0), {value})",
                    value = inout(reg) value,
                    number = in(reg) self.0,
                );
            }
            value
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: it lies in a map value, says the constructor's caller.
        unsafe { core::sync::atomic::AtomicU64::from_ptr(self.0) }
            .fetch_add(value, core::sync::atomic::Ordering::SeqCst)
    }

    /// Sets bits in it, and gives what it was. A full barrier.
    #[inline(always)]
    pub fn fetch_or(self, value: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let mut value = value;
            // SAFETY: changes only the number, says the constructor's caller.
            unsafe {
                core::arch::asm!(
                    "{value} = atomic_fetch_or((u64 *)({number} + 0), {value})",
                    value = inout(reg) value,
                    number = in(reg) self.0,
                );
            }
            value
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: it lies in a map value, says the constructor's caller.
        unsafe { core::sync::atomic::AtomicU64::from_ptr(self.0) }
            .fetch_or(value, core::sync::atomic::Ordering::SeqCst)
    }

    /// Sets it, and gives what it was. A full barrier.
    #[inline(always)]
    pub fn swap(self, value: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let mut value = value;
            // SAFETY: changes only the number, says the constructor's caller.
            unsafe {
                core::arch::asm!(
                    "{value} = xchg_64({number} + 0, {value})",
                    value = inout(reg) value,
                    number = in(reg) self.0,
                );
            }
            value
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: it lies in a map value, says the constructor's caller.
        unsafe { core::sync::atomic::AtomicU64::from_ptr(self.0) }
            .swap(value, core::sync::atomic::Ordering::SeqCst)
    }

    /// Sets it where it is what is expected, and gives what it was. A full barrier.
    #[inline(always)]
    pub fn compare_exchange(self, expected: u64, value: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let mut was = expected;
            // SAFETY: changes only the number, says the constructor's caller.
            unsafe {
                core::arch::asm!(
                    "r0 = cmpxchg_64({number} + 0, r0, {value})",
                    inout("r0") was,
                    value = in(reg) value,
                    number = in(reg) self.0,
                );
            }
            was
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::Ordering::SeqCst;
            // SAFETY: it lies in a map value, says the constructor's caller.
            let number = unsafe { core::sync::atomic::AtomicU64::from_ptr(self.0) };
            match number.compare_exchange(expected, value, SeqCst, SeqCst) {
                Ok(was) | Err(was) => was,
            }
        }
    }
}
