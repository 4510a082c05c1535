//! Sees: the script that execve was given, before its interpreter takes its
//! place; the record of the exec carries it.
//! Misses: formats that the kernel runs by itself have none.
//! Minimum kernel: 5.15. Cost: each exec compares two bytes; a script's one
//! entry in a table.

use monitor_common::FileObject;

use super::security::{ALLOW, Arguments, security_hook};
use crate::{
    kernel::{Object, load, probe, probe_at},
    maps::SCRIPTS,
    offsets as at,
    path::identify,
};

/// How an ELF program begins; everything else needs an interpreter.
const ELF: u32 = u32::from_le_bytes(*b"\x7fELF");

security_hook! {
    /// `int bprm_check_security(struct linux_binprm *bprm)`
    script_lsm, script_fentry => checked
}

#[inline(always)]
fn checked<C: Arguments>(ctx: &C) -> i32 {
    let bprm: Object = ctx.argument(0);
    let begins: Option<u32> = probe_at(bprm.wrapping_byte_add(at::BINPRM_BUFFER.load() as usize));
    if begins == Some(ELF) || !is_first(bprm) {
        return ALLOW;
    }
    // SAFETY: a field of a new program.
    let file: Object = unsafe { load(bprm, &at::BINPRM_FILE) };
    let inode: Option<Object> = probe(file, &at::FILE_INODE);
    if let Some(script) = inode.and_then(identify) {
        // Full is impossible: the oldest gives way.
        let _ = SCRIPTS.insert(bprm as u64, script, 0);
    }
    ALLOW
}

/// Whether this is what execve was given: for an interpreter of a script the
/// kernel calls once more, with another name.
#[inline(always)]
fn is_first(bprm: Object) -> bool {
    let given: Option<u64> = probe(bprm, &at::BINPRM_FILENAME);
    let interpreter: Option<u64> = probe(bprm, &at::BINPRM_INTERP);
    given == interpreter
}

/// The script that a program was started for, once.
#[inline(always)]
pub fn take(bprm: Object) -> Option<FileObject> {
    let script = SCRIPTS.get_ptr(bprm as u64)?;
    // SAFETY: a map value lives as long as the program.
    let script = unsafe { script.read() };
    let _ = SCRIPTS.remove(bprm as u64);
    Some(script)
}
