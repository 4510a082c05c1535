//! Every map.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE, bpf_map_type},
    btf_maps::{Array, HashMap, PerCpuArray, ProgramArray, RingBuf},
    helpers::generated::bpf_task_storage_get,
    macros::btf_map,
};
use monitor_common::{
    Fault,
    fault::FAULTS_MAX,
    mark::{PROCESSES_MAX, ProcessMark, SESSIONS_MAX, SessionControl, SessionLive, TaskMark},
    ring::{RingCounters, RingWake},
    syscall::{SYSCALL_ENTRIES, SYSCALL_SLOTS_MAX},
    watch::{WATCH_DEVICES_MAX, WATCHES_MAX, WatchKey, WatchValue},
};

use crate::{atomic::Number, kernel::Object, sink::Scratch};

/// Scratch buffers of a processor: hooks of the newest kernels and of control
/// groups can be preempted, and another task's hook then needs a second one.
pub const SCRATCHES: usize = 4;

/// Exec, connect, credential, session ended. The size is set at load.
#[btf_map]
pub static PRIORITY: RingBuf<[u8; 0], 1_048_576> = RingBuf::new();
/// Fork, exit. The size is set at load.
#[btf_map]
pub static BULK: RingBuf<[u8; 0], 1_048_576> = RingBuf::new();
/// By ring.
#[btf_map]
pub static RING_COUNTERS: PerCpuArray<RingCounters, 2> = PerCpuArray::new();
/// By ring; user space maps it into its memory.
#[btf_map]
pub static RING_WAKE: Array<RingWake, 2, { BPF_F_MMAPABLE as usize }> = Array::new();
/// By `Fault`.
#[btf_map]
pub static FAULTS: PerCpuArray<u64, FAULTS_MAX> = PerCpuArray::new();
#[btf_map]
pub static SCRATCH: PerCpuArray<Scratch, SCRATCHES> = PerCpuArray::new();
#[btf_map]
pub static TASK_MARKS: TaskStorage<TaskMark> = TaskStorage::new();
#[btf_map]
pub static PROCESS_MARKS: HashMap<u32, ProcessMark, PROCESSES_MAX> = HashMap::new();
#[btf_map]
pub static SESSION_CONTROL: HashMap<[u8; 16], SessionControl, SESSIONS_MAX> = HashMap::new();
#[btf_map]
pub static SESSION_LIVE: HashMap<[u8; 16], SessionLive, SESSIONS_MAX> = HashMap::new();
#[btf_map]
pub static WATCH: HashMap<WatchKey, WatchValue, WATCHES_MAX> = HashMap::new();
/// Devices that have watched directories; the value is not used.
#[btf_map]
pub static WATCH_DEVICES: HashMap<u64, u64, WATCH_DEVICES_MAX> = HashMap::new();
/// By number of the system call: the slot of the program that looks at it.
#[btf_map]
pub static SYSCALL_SLOTS: Array<u32, SYSCALL_ENTRIES> = Array::new();
/// Those programs.
#[btf_map]
pub static SYSCALL_PROGRAMS: ProgramArray<{ SYSCALL_SLOTS_MAX as usize }> = ProgramArray::new();
/// What the test of the tiers saw: one number a tier.
#[btf_map]
pub static TRIAL: Array<u64, 2> = Array::new();

/// Task storage: aya-ebpf has no type for it. The layout is that of its own
/// map definitions, which loaders read from BTF. Minimum kernel: 5.11.
#[repr(C)]
pub struct TaskStorage<T> {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the fields are only type information and never dereferenced.
unsafe impl<T> Sync for TaskStorage<T> {}

impl<T> TaskStorage<T> {
    const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    /// The value of a task, where it has one.
    ///
    /// # Safety
    /// `task` must be a task pointer that the verifier knows as such.
    #[inline(always)]
    pub unsafe fn get(&self, task: Object) -> Option<*mut T> {
        // SAFETY: the caller vouches for `task`; no value is created.
        let value = unsafe {
            bpf_task_storage_get(
                core::ptr::from_ref(self).cast_mut().cast(),
                task.cast_mut().cast(),
                core::ptr::null_mut(),
                0,
            )
        };
        (!value.is_null()).then_some(value.cast())
    }

    /// The value of a task, made from `initial` where it had none.
    ///
    /// # Safety
    /// `task` must be a task pointer that the verifier knows as such.
    #[inline(always)]
    pub unsafe fn get_or_insert(&self, task: Object, initial: &mut T) -> Option<*mut T> {
        // SAFETY: the caller vouches for `task`; `initial` is as long as a value.
        let value = unsafe {
            bpf_task_storage_get(
                core::ptr::from_ref(self).cast_mut().cast(),
                task.cast_mut().cast(),
                core::ptr::from_mut(initial).cast(),
                u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE),
            )
        };
        (!value.is_null()).then_some(value.cast())
    }
}

/// Counts a fault.
#[inline(always)]
pub fn fault(fault: Fault) {
    if let Some(count) = FAULTS.get_ptr_mut(fault.number()) {
        // SAFETY: the number is a map value.
        unsafe { Number::at(count) }.fetch_add(1);
    }
}
