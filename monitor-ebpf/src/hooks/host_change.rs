//! Sees: changes of the ground that the monitor stands on, by anybody but the
//! agent: programs and links of BPF, probes, kernel modules, mounts, another
//! kernel. (Login ids are told by the hooks on opens.) Refuses them to a
//! session that is contained, where the tier can.
//! Misses: BPF commands that only look; on the tracepoint tier where a mount
//! went. Minimum kernel: 5.12. Cost: each of these calls.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use monitor_common::{Change, HostChange, Kind, Ring, file::PathTail};

use super::{
    change_fd::argument,
    open::file_of,
    security::{ALLOW, Arguments, DENY, security_hook},
};
use crate::switch::switched;
use crate::{
    credential::Actor,
    kernel::{Object, current_task, probe},
    offsets as at,
    path::walk_path,
    peer,
    sink::{self, PATH_ROOM, Scratch},
    task,
};

security_hook! {
    /// `int bpf(int cmd, union bpf_attr *attr, unsigned int size)`
    bpf_lsm, bpf_fentry => bpf
}

security_hook! {
    /// `int perf_event_alloc(struct perf_event *event)`
    perf_lsm, perf_fentry => perf
}

security_hook! {
    /// `int sb_mount(const char *dev_name, const struct path *path, const char *type,
    /// unsigned long flags, void *data)`
    mount_lsm, mount_fentry => mounted
}

security_hook! {
    /// `int move_mount(const struct path *from_path, const struct path *to_path)`
    move_mount_lsm, move_mount_fentry => mount_moved
}

security_hook! {
    /// `int sb_umount(struct vfsmount *mnt, int flags)`
    unmount_lsm, unmount_fentry => unmounted
}

security_hook! {
    /// `int sb_pivotroot(const struct path *old_path, const struct path *new_path)`
    pivot_lsm, pivot_fentry => pivoted
}

security_hook! {
    /// `int kernel_load_data(enum kernel_load_data_id id, bool contents)`
    kexec_load_lsm, kexec_load_fentry => data_loaded
}

security_hook! {
    /// `int kernel_read_file(struct file *file, enum kernel_read_file_id id, bool contents)`
    kexec_file_lsm, kexec_file_fentry => file_read
}

/// What a change is, before it is told.
#[derive(Clone, Copy)]
struct What {
    change: Change,
    number: u64,
    /// A `struct path` of the kernel, or null.
    path: Object,
    /// A string of the kernel, or null.
    detail: Object,
}

impl What {
    #[inline(always)]
    const fn new(change: Change, number: u64) -> Self {
        Self {
            change,
            number,
            path: core::ptr::null(),
            detail: core::ptr::null(),
        }
    }
}

/// Commands that make or change something: a program, a pin, an attachment, or
/// a way to somebody else's map or program.
#[inline(always)]
const fn is_telling(command: u32) -> bool {
    const TELLING: u64 = 1 << 5 // BPF_PROG_LOAD
        | 1 << 6 // BPF_OBJ_PIN
        | 1 << 7 // BPF_OBJ_GET
        | 1 << 8 // BPF_PROG_ATTACH
        | 1 << 9 // BPF_PROG_DETACH
        | 1 << 13 // BPF_PROG_GET_FD_BY_ID
        | 1 << 14 // BPF_MAP_GET_FD_BY_ID
        | 1 << 17 // BPF_RAW_TRACEPOINT_OPEN
        | 1 << 28 // BPF_LINK_CREATE
        | 1 << 29 // BPF_LINK_UPDATE
        | 1 << 30 // BPF_LINK_GET_FD_BY_ID
        | 1 << 34; // BPF_LINK_DETACH
    command < 64 && TELLING >> command & 1 != 0
}

#[inline(always)]
fn is_agent() -> bool {
    // SAFETY: the helper gives the current task.
    unsafe { task::is_agent(current_task()) }
}

#[inline(always)]
fn bpf<C: Arguments>(ctx: &C) -> i32 {
    let command: u32 = ctx.argument(0);
    if !is_telling(command) || is_agent() {
        return ALLOW;
    }
    small::<C>(What::new(Change::BPF, u64::from(command)))
}

/// `bpf(command, ...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn bpf_syscall(ctx: BtfTracePointContext) -> i32 {
    let command = argument(ctx.arg(0), 0);
    if is_telling(command as u32) && !is_agent() {
        small::<BtfTracePointContext>(What::new(Change::BPF, command));
    }
    0
}

/// Events beyond the kernel's six fixed types are probes and the like.
const PERF_TYPE_MAX: u32 = 6;

#[inline(always)]
fn perf<C: Arguments>(ctx: &C) -> i32 {
    match probe::<u32>(ctx.argument(0), &at::PERF_TYPE) {
        Some(kind) if kind >= PERF_TYPE_MAX && !is_agent() => {
            small::<C>(What::new(Change::PERF, u64::from(kind)))
        }
        _ => ALLOW,
    }
}

/// `perf_event_open(...)` returned a descriptor.
#[btf_tracepoint(function = "sys_exit")]
pub fn perf_syscall(ctx: BtfTracePointContext) -> i32 {
    let descriptor: u64 = ctx.arg(1);
    // SAFETY: the helper gives the current task.
    let file = unsafe { file_of(current_task(), descriptor as u32) };
    let kind = file
        .and_then(|file| probe::<Object>(file, &at::FILE_PRIVATE))
        .and_then(|event| probe::<u32>(event, &at::PERF_TYPE));
    if let Some(kind) = kind
        && kind >= PERF_TYPE_MAX
        && !is_agent()
    {
        small::<BtfTracePointContext>(What::new(Change::PERF, u64::from(kind)));
    }
    0
}

switched!(module_loaded, "tp_btf", 0);

/// `TP_PROTO(struct module *mod)`
#[btf_tracepoint(function = "module_load")]
pub fn module_loaded(ctx: BtfTracePointContext) -> i32 {
    let module: Object = ctx.arg(0);
    let mut what = What::new(Change::MODULE, 0);
    what.detail = module.wrapping_byte_add(at::MODULE_NAME.load() as usize);
    small::<BtfTracePointContext>(what);
    0
}

#[inline(always)]
fn mounted<C: Arguments>(ctx: &C) -> i32 {
    large::<C>(What {
        change: Change::MOUNTED,
        number: ctx.argument(3),
        path: ctx.argument(1),
        detail: ctx.argument(2),
    })
}

#[inline(always)]
fn mount_moved<C: Arguments>(ctx: &C) -> i32 {
    let mut what = What::new(Change::MOUNT_MOVED, 0);
    what.path = ctx.argument(1);
    large::<C>(what)
}

#[inline(always)]
fn unmounted<C: Arguments>(ctx: &C) -> i32 {
    let flags: u32 = ctx.argument(1);
    small::<C>(What::new(Change::UNMOUNTED, u64::from(flags)))
}

#[inline(always)]
fn pivoted<C: Arguments>(ctx: &C) -> i32 {
    let mut what = What::new(Change::PIVOTED, 0);
    what.path = ctx.argument(1);
    large::<C>(what)
}

/// `READING_KEXEC_IMAGE` and `LOADING_KEXEC_IMAGE`.
const KEXEC_IMAGE: u32 = 3;

#[inline(always)]
fn data_loaded<C: Arguments>(ctx: &C) -> i32 {
    let id: u32 = ctx.argument(0);
    if id != KEXEC_IMAGE {
        return ALLOW;
    }
    small::<C>(What::new(Change::KEXEC, 0))
}

#[inline(always)]
fn file_read<C: Arguments>(ctx: &C) -> i32 {
    let id: u32 = ctx.argument(1);
    if id != KEXEC_IMAGE {
        return ALLOW;
    }
    small::<C>(What::new(Change::KEXEC, 1))
}

/// `mount(...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn mount_syscall(_ctx: BtfTracePointContext) -> i32 {
    small::<BtfTracePointContext>(What::new(Change::MOUNTED, 0));
    0
}

/// `move_mount(...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn move_mount_syscall(_ctx: BtfTracePointContext) -> i32 {
    small::<BtfTracePointContext>(What::new(Change::MOUNT_MOVED, 0));
    0
}

/// `umount2(target, flags)`
#[btf_tracepoint(function = "sys_exit")]
pub fn unmount_syscall(ctx: BtfTracePointContext) -> i32 {
    let flags = argument(ctx.arg(0), 1);
    small::<BtfTracePointContext>(What::new(Change::UNMOUNTED, flags));
    0
}

/// `pivot_root(...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn pivot_syscall(_ctx: BtfTracePointContext) -> i32 {
    small::<BtfTracePointContext>(What::new(Change::PIVOTED, 0));
    0
}

/// `kexec_load(...)` and `kexec_file_load(...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn kexec_syscall(_ctx: BtfTracePointContext) -> i32 {
    small::<BtfTracePointContext>(What::new(Change::KEXEC, 0));
    0
}

/// Tells a change without a path.
#[inline(always)]
fn small<C: Arguments>(what: What) -> i32 {
    let actor = Actor::here::<C>();
    if let Some(record) = sink::reserve::<HostChange>(Ring::Priority) {
        // SAFETY: the record is ours until it is submitted.
        unsafe { fill(record, &actor, &what) };
        // SAFETY: every field is written.
        unsafe { sink::submit(Ring::Priority, record) };
    }
    if actor.refused { DENY } else { ALLOW }
}

/// Tells a change with its path.
#[inline(always)]
fn large<C: Arguments>(what: What) -> i32 {
    let actor = Actor::here::<C>();
    if let Some(scratch) = Scratch::take(Ring::Priority) {
        let record = Scratch::record(scratch);
        // SAFETY: a scratch record has room for the largest kind.
        unsafe { fill(record.cast(), &actor, &what) };
        // SAFETY: as above.
        let told = unsafe { &mut *record.cast::<HostChange>() };
        let tail = record.wrapping_add(size_of::<HostChange>());
        // SAFETY: a scratch record has room for a path.
        unsafe { walk_path(what.path, tail, &raw mut told.path) };
        let path_bytes = told.path.bytes as usize;
        if path_bytes <= PATH_ROOM {
            // SAFETY: all of it is written.
            unsafe { sink::output(Ring::Priority, record, size_of::<HostChange>() + path_bytes) };
        }
        // SAFETY: it was taken above.
        unsafe { Scratch::release(scratch) };
    }
    if actor.refused { DENY } else { ALLOW }
}

/// # Safety
/// `record` must be memory for a record, the actor the current task.
#[inline(always)]
unsafe fn fill(record: *mut HostChange, actor: &Actor, what: &What) {
    // SAFETY: the caller vouches for it; every field is written.
    let told = unsafe { &mut *record };
    // SAFETY: the task is the current one.
    unsafe {
        task::fill(
            &raw mut told.header,
            Kind::HOST_CHANGE,
            actor.task,
            actor.session,
        );
    };
    told.target = peer::NOBODY;
    told.number = what.number;
    told.change = what.change;
    told.flags = if actor.refused { HostChange::DENIED } else { 0 };
    told.path = PathTail { bytes: 0, flags: 0 };
    told.detail_bytes = 0;
    told.reserved = 0;
    told.detail = [0; 64];
    if what.detail.is_null() {
        return;
    }
    // SAFETY: 64 bytes of room; the helper checks the source.
    let length =
        unsafe { bpf_probe_read_kernel_str(told.detail.as_mut_ptr().cast(), 64, what.detail) };
    if length > 0 {
        told.detail_bytes = length as u32 - 1;
    }
}
