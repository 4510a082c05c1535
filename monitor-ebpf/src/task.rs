//! The header of a record, from the current task.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_ktime_get_boot_ns, bpf_probe_read_kernel,
};
use monitor_common::{
    ABI_VERSION, Header, Kind, SessionMark, header::AUDIT_UNSET, mark::START_TICK_NS,
};

use crate::{
    kernel::{Object, has, load, probe, probe_at},
    maps::SELF,
    offsets as at,
};

/// Start of the task's process, nanoseconds since boot.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn start_boot_ns(task: Object) -> u64 {
    // SAFETY: a field of a task.
    let leader: Object = unsafe { load(task, &at::TASK_GROUP_LEADER) };
    // SAFETY: a field of a task.
    unsafe { load(leader, &at::TASK_START_BOOTTIME) }
}

/// Process id of a task.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn process_id(task: Object) -> u32 {
    // SAFETY: a field of a task.
    unsafe { load(task, &at::TASK_TGID) }
}

/// Thread id of a task.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn thread_id(task: Object) -> u32 {
    // SAFETY: a field of a task.
    unsafe { load(task, &at::TASK_PID) }
}

/// Parent of a task.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn parent(task: Object) -> Object {
    // SAFETY: a field of a task.
    unsafe { load(task, &at::TASK_REAL_PARENT) }
}

/// Whether a task is of the agent: of the process that user space named, not of
/// one that got its number later.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn is_agent(task: Object) -> bool {
    let Some(own) = SELF.get_ptr(0) else {
        return false;
    };
    // SAFETY: a map value lives as long as the program.
    let [pid, start_ticks] = unsafe { own.read() };
    // SAFETY: `task` is a task.
    pid != 0
        && pid == u64::from(unsafe { process_id(task) })
        && start_ticks == unsafe { start_boot_ns(task) } / START_TICK_NS
}

/// Whether the ids that a task gives and gets are those of the host.
#[inline(always)]
pub fn is_in_initial_pid_namespace(task: Object) -> bool {
    /// `PROC_PID_INIT_INO` of `linux/proc_ns.h`.
    const INITIAL: u32 = 0xefff_fffc;
    pid_namespace(task) == Some(INITIAL)
}

/// Writes everything but what the ring adds.
///
/// # Safety
/// `header` must be memory for a header, `task` the current task.
#[inline(always)]
pub unsafe fn fill(header: *mut Header, kind: Kind, task: Object, session: SessionMark) {
    // SAFETY: the caller vouches for it; every field is written.
    let header = unsafe { &mut *header };
    header.kind = kind;
    header.abi = ABI_VERSION;
    header.reserved = 0;
    #[cfg(feature = "next-abi")]
    {
        header.later = 0;
    }
    header.session = session;
    // SAFETY: the helper has no precondition.
    header.boot_ns = unsafe { bpf_ktime_get_boot_ns() };
    // SAFETY: the helper has no precondition.
    header.cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    // SAFETY: `task` is the current task.
    unsafe { fill_ids(header, task) };
    // SAFETY: `task` is the current task.
    unsafe { fill_owner(header, task) };
    // SAFETY: `task` is the current task.
    unsafe { fill_namespaces(header, task) };
    // SAFETY: 16 bytes of room; the helper checks the source.
    unsafe {
        bpf_probe_read_kernel(
            header.comm.as_mut_ptr().cast(),
            16,
            task.wrapping_byte_add(at::TASK_COMM.load() as usize),
        )
    };
}

#[inline(always)]
unsafe fn fill_ids(header: &mut Header, task: Object) {
    // SAFETY: `task` is a task.
    header.start_boot_ns = unsafe { start_boot_ns(task) };
    // SAFETY: `task` is a task.
    header.pid = unsafe { process_id(task) };
    // SAFETY: `task` is a task.
    header.tid = unsafe { thread_id(task) };
    // SAFETY: a field of a task.
    let parent: Object = unsafe { load(task, &at::TASK_REAL_PARENT) };
    // SAFETY: `parent` is a task.
    header.ppid = unsafe { process_id(parent) };
}

#[inline(always)]
unsafe fn fill_owner(header: &mut Header, task: Object) {
    // SAFETY: a field of a task.
    let cred: Object = unsafe { load(task, &at::TASK_CRED) };
    // SAFETY: a field of credentials.
    header.uid = unsafe { load(cred, &at::CRED_UID) };
    // SAFETY: a field of credentials.
    header.gid = unsafe { load(cred, &at::CRED_GID) };
    // SAFETY: a field of credentials.
    header.euid = unsafe { load(cred, &at::CRED_EUID) };
    header.loginuid = AUDIT_UNSET;
    header.audit_session = AUDIT_UNSET;
    if has(&at::TASK_LOGINUID) {
        // SAFETY: a field of a task.
        header.loginuid = unsafe { load(task, &at::TASK_LOGINUID) };
    }
    if has(&at::TASK_SESSIONID) {
        // SAFETY: a field of a task.
        header.audit_session = unsafe { load(task, &at::TASK_SESSIONID) };
    }
}

#[inline(always)]
unsafe fn fill_namespaces(header: &mut Header, task: Object) {
    // SAFETY: a field of a task.
    let nsproxy: Object = unsafe { load(task, &at::TASK_NSPROXY) };
    // SAFETY: a field of a namespace proxy.
    let net: Object = unsafe { load(nsproxy, &at::NSPROXY_NET_NS) };
    // SAFETY: a field of a network namespace.
    header.netns = unsafe { load(net, &at::NET_INUM) };
    // SAFETY: a field of a namespace proxy.
    let mnt: Object = unsafe { load(nsproxy, &at::NSPROXY_MNT_NS) };
    // SAFETY: a field of a mount namespace.
    header.mntns = unsafe { load(mnt, &at::MNT_NAMESPACE_INUM) };
    header.pidns = pid_namespace(task).unwrap_or(0);
}

/// The namespace that the task's id was given in: the innermost of its numbers.
/// Read as a number, because the verifier lets nobody count in typed pointers.
#[inline(always)]
fn pid_namespace(task: Object) -> Option<u32> {
    let pid: Object = probe(task, &at::TASK_THREAD_PID)?;
    let level: u32 = probe(pid, &at::PID_LEVEL)?;
    let index = (level as usize).wrapping_mul(at::UPID_SIZE.load() as usize);
    let upid = pid
        .wrapping_byte_add(at::PID_NUMBERS.load() as usize)
        .wrapping_byte_add(index);
    let namespace: Object = probe_at(upid.wrapping_byte_add(at::UPID_NS.load() as usize))?;
    probe(namespace, &at::PID_NAMESPACE_INUM)
}
