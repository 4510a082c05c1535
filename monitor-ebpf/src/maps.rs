//! Every map.

use aya_ebpf::{
    bindings::{
        BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE, bpf_map_type, bpf_sock,
    },
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
    helpers::generated::{bpf_sk_storage_get, bpf_task_storage_get},
    macros::btf_map,
};
use monitor_common::{
    Fault, FileObject, SessionMark,
    fault::FAULTS_MAX,
    flood::{SUMS_MAX, Sum, SumState},
    mark::{
        PROCESSES_MAX, ProcessMark, SESSIONS_MAX, SessionControl, SessionLive, Stopped, TaskMark,
    },
    ring::{RingCounters, RingWake},
    scope::{SCOPE_CELLS_MAX, SCOPED_MARKS_MAX, ScopeCell, ScopeLease, SessionScopes},
    syscall::{SYSCALL_ENTRIES, SYSCALL_SLOTS_MAX},
    watch::{
        Identified, LEARNED_MAX, OPENED_MAX, OpenedKey, WATCH_BITS_WORDS, WATCH_NAMES_MAX,
        WATCHES_MAX, WatchKey, WatchNameKey, WatchValue,
    },
};

use crate::{
    atomic::Number,
    flood::{FLOODS_MAX, Flood, FloodKey},
    kernel::Object,
    sink::Scratch,
};

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
/// Processes that stand still with their session.
#[btf_map]
pub static STOPPED: HashMap<u32, Stopped, PROCESSES_MAX> = HashMap::new();
#[btf_map]
pub static SESSION_CONTROL: HashMap<[u8; 16], SessionControl, SESSIONS_MAX> = HashMap::new();
#[btf_map]
pub static SESSION_LIVE: HashMap<[u8; 16], SessionLive, SESSIONS_MAX> = HashMap::new();
/// What sessions may reach: the number of a compiled grant, and an address.
#[btf_map]
pub static SCOPES: LpmTrie<ScopedAddress, ScopeCell, SCOPE_CELLS_MAX> = LpmTrie::new();
#[btf_map]
pub static SESSION_SCOPES: HashMap<[u8; 16], SessionScopes, SCOPED_MARKS_MAX> = HashMap::new();
#[btf_map]
pub static SCOPE_LEASE: Array<ScopeLease, 1> = Array::new();
#[btf_map]
pub static WATCH: HashMap<WatchKey, WatchValue, WATCHES_MAX> = HashMap::new();
/// One bit for each inode, directory or device that has an entry in the tables
/// of watches; user space maps it into its memory.
#[btf_map]
pub static WATCH_BITS: Array<[u64; WATCH_BITS_WORDS], 1, { BPF_F_MMAPABLE as usize }> =
    Array::new();
/// Names in watched directories.
#[btf_map]
pub static WATCH_NAMES: HashMap<WatchNameKey, WatchValue, WATCH_NAMES_MAX> = HashMap::new();
/// Files that were reached through a watched directory and have a name outside.
#[btf_map]
pub static LEARNED: HashMap<WatchKey, WatchValue, LEARNED_MAX> = HashMap::new();
/// Open files that a session may use without being told; the value is not used.
#[btf_map]
pub static OPENED: LruHashMap<OpenedKey, u64, OPENED_MAX> = LruHashMap::new();
/// What sessions do to watched files, and how often lately.
#[btf_map]
pub static FLOODS: LruHashMap<FloodKey, Flood, FLOODS_MAX> = LruHashMap::new();
/// State of each sum of acts; user space maps it into its memory.
#[btf_map]
pub static SUM_STATES: Array<SumState, SUMS_MAX, { BPF_F_MMAPABLE as usize }> = Array::new();
/// What is told of each sum.
#[btf_map]
pub static SUMS: Array<Sum, SUMS_MAX> = Array::new();
/// What `identify_fd` found, by thread of user space.
#[btf_map]
pub static IDENTIFIED: HashMap<u64, Identified, 256> = HashMap::new();
/// Where the look at a message's descriptors goes on, by thread.
#[btf_map]
pub static RECEIVED_AT: LruHashMap<u64, u64, 4_096> = LruHashMap::new();
/// Raised by user space whenever it changed a mark or what is wanted of a
/// session: what was remembered of either before counts no more.
#[btf_map]
pub static SESSIONS_EPOCH: Array<u32, 1> = Array::new();
/// The flow that a socket told last: most sockets have one.
#[btf_map]
pub static SENT: SocketStorage<Sent> = SocketStorage::new();
/// Flows of datagrams that were told; the value is not used.
#[btf_map]
pub static FLOWS: LruHashMap<FlowKey, u32, FLOWS_MAX> = LruHashMap::new();
/// By the address of a program that is being started: the script that execve
/// was given.
#[btf_map]
pub static SCRIPTS: LruHashMap<u64, FileObject, SCRIPTS_MAX> = LruHashMap::new();
/// By the same: the digest of its arguments, where they are long.
#[btf_map]
pub static DIGESTS: LruHashMap<u64, u64, SCRIPTS_MAX> = LruHashMap::new();
/// By the address of a task: its last start of a program that was told, where
/// there is a second look.
#[btf_map]
pub static STARTED: LruHashMap<u64, u64, 4_096> = LruHashMap::new();
/// Process id of the agent, and its start in `START_TICK_NS`; user space writes
/// them.
#[btf_map]
pub static SELF: Array<[u64; 2], 1> = Array::new();
/// By number of the system call: the slot of the program that looks at it.
#[btf_map]
pub static SYSCALL_SLOTS: Array<u32, SYSCALL_ENTRIES> = Array::new();
/// Those programs.
#[btf_map]
pub static SYSCALL_PROGRAMS: ProgramArray<{ SYSCALL_SLOTS_MAX as usize }> = ProgramArray::new();
/// What the test of the tiers saw: one number a tier.
#[btf_map]
pub static TRIAL: Array<u64, 2> = Array::new();

/// Most flows of datagrams that are remembered.
const FLOWS_MAX: usize = 65_536;
/// Most programs that are being started at a time.
const SCRIPTS_MAX: usize = 1_024;

/// What follows the length in [`monitor_common::scope::ScopeKey`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ScopedAddress {
    /// Number of the compiled grant.
    pub scope: u32,
    /// Network byte order.
    pub addr: [u32; 4],
}

/// A socket, who uses it, and where to.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FlowKey {
    /// Identity of the socket, never used twice.
    pub cookie: u64,
    /// A socket that is passed on is told again.
    pub session: SessionMark,
    /// Network byte order.
    pub peer: [u32; 4],
    /// Network byte order.
    pub port: u32,
    /// The interface that the socket is bound to: it tells whose a peer is.
    pub bound_ifindex: u32,
    /// The socket's mark, for the same reason.
    pub so_mark: u32,
    /// 1 where its datagrams are refused: what is let through later is told
    /// again, and the other way round.
    pub refused: u32,
}

/// What a socket told last. Two processors may write it at a time, so there is a
/// version around it; it is written whole, or not at all.
#[repr(C)]
pub struct Sent {
    /// Raised by each write; [`Sent::BUSY`] meanwhile.
    pub version: u64,
    /// Who sent, and where to.
    pub flow: Flow,
}

impl Sent {
    /// Somebody writes.
    pub const BUSY: u64 = u64::MAX;
}

/// A sender and a peer, as long as no session changed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// Start of the sending process.
    pub start_boot_ns: u64,
    /// Its id.
    pub pid: u32,
    /// [`SESSIONS_EPOCH`] when it was told.
    pub epoch: u32,
    /// Network byte order.
    pub peer: [u32; 4],
    /// Network byte order.
    pub port: u32,
    /// The interface that the socket is bound to: it tells whose a peer is.
    pub bound_ifindex: u32,
    /// The socket's mark, for the same reason.
    pub so_mark: u32,
    /// Zero.
    pub reserved: u32,
}

/// Storage of an object of the kernel: aya-ebpf has no type for it. The layout
/// is that of its own map definitions, which loaders read from BTF.
#[repr(C)]
pub struct Storage<T, const KIND: usize> {
    r#type: *const [i32; KIND],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the fields are only type information and never dereferenced.
unsafe impl<T, const KIND: usize> Sync for Storage<T, KIND> {}

/// Of tasks. Minimum kernel: 5.11.
pub type TaskStorage<T> = Storage<T, { bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE as usize }>;
/// Of sockets. Minimum kernel: 5.2.
pub type SocketStorage<T> = Storage<T, { bpf_map_type::BPF_MAP_TYPE_SK_STORAGE as usize }>;

impl<T, const KIND: usize> Storage<T, KIND> {
    const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }
}

impl<T> TaskStorage<T> {
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

impl<T> SocketStorage<T> {
    /// The value of a socket, where it has one.
    ///
    /// # Safety
    /// `socket` must be a socket that the verifier knows as such.
    #[inline(always)]
    pub unsafe fn get(&self, socket: *mut bpf_sock) -> Option<*mut T> {
        // SAFETY: the caller vouches for `socket`.
        unsafe { self.find(socket, 0) }
    }

    /// The value of a socket, made of zeros where it had none.
    ///
    /// # Safety
    /// As [`Self::get`].
    #[inline(always)]
    pub unsafe fn get_or_insert(&self, socket: *mut bpf_sock) -> Option<*mut T> {
        // SAFETY: the caller vouches for `socket`.
        unsafe { self.find(socket, u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE)) }
    }

    #[inline(always)]
    unsafe fn find(&self, socket: *mut bpf_sock, flags: u64) -> Option<*mut T> {
        // SAFETY: the caller vouches for `socket`; no first value is given.
        let value = unsafe {
            bpf_sk_storage_get(
                core::ptr::from_ref(self).cast_mut().cast(),
                socket.cast(),
                core::ptr::null_mut(),
                flags,
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
