//! One switch for all hooks: which version of the programs the kernel runs.
//!
//! What is attached to a hook is no more than a jump: to the program at the side
//! that [`SWITCH`] names, by a table of two sides for each hook. An agent that
//! brings other programs puts them on the side that is not used, beside those that
//! run, and turns the switch: one number, written once. Whatever the kernel comes
//! to from then on goes to the new ones, what it came to before goes on where it
//! is. So each act is seen by one version, and none by both or neither. What the
//! programs remember of tasks, sessions and files is in tables that both versions
//! use; each tells in rings of its own.
//!
//! A jump to a side without a program is none: the hook answers what lets go on.

use aya_ebpf::{
    btf_maps::{Array, ProgramArray},
    macros::btf_map,
};

/// Sides of the switch.
pub const SIDES: usize = 2;

/// The side that is used; user space writes it.
#[btf_map]
pub static SWITCH: Array<u32, 1> = Array::new();

/// The programs of one hook, by side.
pub type Sides = ProgramArray<SIDES>;

/// The side that is used.
#[inline(always)]
pub fn side() -> u32 {
    let Some(side) = SWITCH.get_ptr(0) else {
        return 0;
    };
    // SAFETY: a map value lives as long as the program.
    unsafe { side.read_volatile() }
}

/// Makes what is attached to the hook of the program `$name`: the program
/// `switch_$name` of the section `$section`, which jumps by the table
/// `sides_$name`, and answers `$otherwise` where nobody is.
macro_rules! switched {
    ($name:ident, $section:literal, $otherwise:expr) => {
        const _: () = {
            #[unsafe(link_section = ".maps")]
            #[unsafe(export_name = concat!("sides_", stringify!($name)))]
            static TABLE: $crate::switch::Sides = $crate::switch::Sides::new();

            #[unsafe(link_section = $section)]
            #[unsafe(export_name = concat!("switch_", stringify!($name)))]
            extern "C" fn jump(ctx: *mut core::ffi::c_void) -> i32 {
                let ctx = aya_ebpf::programs::BtfTracePointContext::new(ctx);
                // SAFETY: the context is handed on as it is.
                unsafe { TABLE.tail_call(&ctx, $crate::switch::side()) };
                $otherwise
            }
        };
    };
}
pub(crate) use switched;
