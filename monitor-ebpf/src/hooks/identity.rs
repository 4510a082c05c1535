//! Sees: processes of sessions that change their user or group, by a call or
//! by a program with the set-user-id bit. What they were is kept in the mark
//! of the task, so the two tiers tell the same.
//! Misses: changes of supplementary groups and capabilities alone; on the LSM
//! and fentry tiers of `setfsuid`.
//! Minimum kernel: 5.12. Cost: each exec of a session compares three numbers.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Identity, Kind, Ring, SessionMark, mark::TaskMark};

use super::security::{ALLOW, Arguments, security_hook};
use crate::{
    credential::Actor,
    kernel::{Object, load},
    maps::TASK_MARKS,
    offsets as at, sink, task,
};

/// User and group.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ids {
    uid: u32,
    euid: u32,
    gid: u32,
}

impl Ids {
    /// # Safety
    /// `cred` must be a pointer to credentials that the verifier knows as such.
    #[inline(always)]
    unsafe fn of(cred: Object) -> Self {
        Self {
            // SAFETY: a field of credentials.
            uid: unsafe { load(cred, &at::CRED_UID) },
            // SAFETY: a field of credentials.
            euid: unsafe { load(cred, &at::CRED_EUID) },
            // SAFETY: a field of credentials.
            gid: unsafe { load(cred, &at::CRED_GID) },
        }
    }
}

security_hook! {
    /// `int task_fix_setuid(struct cred *new, const struct cred *old, int flags)`
    setuid_lsm, setuid_fentry => fixed
}

security_hook! {
    /// `int task_fix_setgid(struct cred *new, const struct cred *old, int flags)`
    setgid_lsm, setgid_fentry => fixed
}

#[inline(always)]
fn fixed<C: Arguments>(ctx: &C) -> i32 {
    let actor = Actor::here::<C>();
    if actor.session.is_none() {
        return ALLOW;
    }
    // SAFETY: the hook gives credentials.
    let after = unsafe { Ids::of(ctx.argument(0)) };
    // SAFETY: the hook gives credentials.
    let before = unsafe { Ids::of(ctx.argument(1)) };
    if after != before {
        tell(&actor, before, after, 0);
        // SAFETY: the task is the current one.
        unsafe { remember(actor.task, after) };
    }
    ALLOW
}

/// The `set*id` calls.
#[btf_tracepoint(function = "sys_exit")]
pub fn identity_syscall(_ctx: BtfTracePointContext) -> i32 {
    let actor = Actor::here::<BtfTracePointContext>();
    // SAFETY: the task is the current one.
    unsafe { look(&actor, 0) };
    0
}

/// After another program was started.
///
/// # Safety
/// `task` must be the current task.
#[inline(always)]
pub unsafe fn after_exec(task: Object, session: SessionMark) {
    let actor = Actor {
        task,
        session,
        refused: false,
    };
    // SAFETY: the caller vouches for `task`.
    unsafe { look(&actor, Identity::BY_EXEC) };
}

/// Compares what a task is with what it was, and tells the difference.
///
/// # Safety
/// The actor must be the current task.
#[inline(always)]
unsafe fn look(actor: &Actor, flags: u32) {
    if actor.session.is_none() {
        return;
    }
    // SAFETY: a field of a task.
    let cred: Object = unsafe { load(actor.task, &at::TASK_CRED) };
    // SAFETY: credentials of a task.
    let after = unsafe { Ids::of(cred) };
    // SAFETY: the caller vouches for the task.
    if let Some(before) = unsafe { remember(actor.task, after) }
        && before != after
    {
        tell(actor, before, after, flags);
    }
}

/// Keeps what a task is; gives what it was, where that was known.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
unsafe fn remember(task: Object, now: Ids) -> Option<Ids> {
    // SAFETY: the caller vouches for `task`.
    let mark = unsafe { TASK_MARKS.get(task) }?;
    // SAFETY: a value of task storage lives as long as the program.
    let mark = unsafe { &mut *mark };
    let before = Ids {
        uid: mark.uid,
        euid: mark.euid,
        gid: mark.gid,
    };
    let is_known = mark.flags & TaskMark::IDS_KNOWN != 0;
    mark.uid = now.uid;
    mark.euid = now.euid;
    mark.gid = now.gid;
    mark.flags |= TaskMark::IDS_KNOWN;
    is_known.then_some(before)
}

#[inline(always)]
fn tell(actor: &Actor, before: Ids, after: Ids, flags: u32) {
    let Some(record) = sink::reserve::<Identity>(Ring::Priority) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let told = unsafe { &mut *record };
    // SAFETY: the task is the current one.
    unsafe {
        task::fill(
            &raw mut told.header,
            Kind::IDENTITY,
            actor.task,
            actor.session,
        );
    };
    told.uid_before = before.uid;
    told.euid_before = before.euid;
    told.gid_before = before.gid;
    told.uid_after = after.uid;
    told.euid_after = after.euid;
    told.gid_after = after.gid;
    told.flags = flags;
    told.reserved = 0;
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}
