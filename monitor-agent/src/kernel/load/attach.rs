//! One program: loaded, attached to what the table says, and pinned.

use std::{fs, path::PathBuf};

use aya::{
    Ebpf,
    maps::{Array, ProgramArray},
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSockAddr, FEntry, Lsm, ProgramError, links::FdLink,
    },
};
use monitor_common::syscall::SYSCALL_IA32;

use super::{Armory, features};
use crate::{
    kernel::hooks::{Attach, Program, Syscall, slot},
    lossy,
};

/// Most of a verifier's log that an error keeps: its end says what is wrong.
const VERIFIER_LOG_BYTES_MAX: usize = 2_000;

impl Armory<'_> {
    /// Loads, attaches and pins one program.
    pub(super) fn arm_program(&mut self, program: &Program) -> Result<(), String> {
        let link = match program.attach {
            Attach::Again { .. } if !self.looks_twice => return Ok(()),
            Attach::Tracepoint(event) | Attach::Again { event, .. } => {
                self.tracepoint(program.name, event)?
            }
            Attach::Lsm(hook) => self.lsm(program.name, hook)?,
            Attach::Fentry(function) => self.fentry(program.name, function)?,
            Attach::CgroupRoot => self.cgroup(program.name)?,
            Attach::Syscall(calls) => return self.syscalls(program.name, calls),
            Attach::Until { kernel, .. } if features::is_at_least(kernel) => {
                return Err("this kernel has hooks of their own for it".to_owned());
            }
            Attach::With(other) | Attach::Until { of: other, .. } => {
                let is_armed = self.pins.link(other).exists();
                return is_armed
                    .then_some(())
                    .ok_or_else(|| format!("{other} is not armed"));
            }
        };
        link.pin(self.pins.link(program.name))
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn tracepoint(&mut self, name: &str, event: &str) -> Result<FdLink, String> {
        let program: &mut BtfTracePoint = find(self.ebpf, name)?;
        program.load(event, self.btf).map_err(say)?;
        let id = program.attach().map_err(say)?;
        Ok(program.take_link(id).map_err(say)?.into())
    }

    fn lsm(&mut self, name: &str, hook: &str) -> Result<FdLink, String> {
        let program: &mut Lsm = find(self.ebpf, name)?;
        program.load(hook, self.btf).map_err(say)?;
        let id = program.attach().map_err(say)?;
        Ok(program.take_link(id).map_err(say)?.into())
    }

    fn fentry(&mut self, name: &str, function: &str) -> Result<FdLink, String> {
        let program: &mut FEntry = find(self.ebpf, name)?;
        program.load(function, self.btf).map_err(say)?;
        let id = program.attach().map_err(say)?;
        Ok(program.take_link(id).map_err(say)?.into())
    }

    fn cgroup(&mut self, name: &str) -> Result<FdLink, String> {
        let root = cgroup_root().ok_or("no control group version 2 is mounted")?;
        let root = fs::File::open(&root).map_err(|error| format!("{}: {error}", root.display()))?;
        let program: &mut CgroupSockAddr = find(self.ebpf, name)?;
        program.load().map_err(say)?;
        // A link always allows others beside it; the kernel refuses the flag.
        let id = program
            .attach(root, CgroupAttachMode::Single)
            .map_err(say)?;
        let link = program.take_link(id).map_err(say)?;
        FdLink::try_from(link).map_err(|error| error.to_string())
    }

    /// A program without an attachment of its own: a slot of the dispatcher.
    /// Its pin says to a later start that the slot is filled.
    fn syscalls(&mut self, name: &str, calls: &[Syscall]) -> Result<(), String> {
        let slot = slot(name).ok_or("not in the table of hooks")?;
        let program: &mut BtfTracePoint = find(self.ebpf, name)?;
        program.load("sys_exit", self.btf).map_err(say)?;
        program
            .pin(self.pins.link(name))
            .map_err(|error| error.to_string())?;
        let program = program.fd().map_err(say)?.try_clone();
        let program = program.map_err(|error| error.to_string())?;
        let map = self.ebpf.map_mut("SYSCALL_PROGRAMS").ok_or(NO_MAP)?;
        let mut programs = ProgramArray::try_from(map).map_err(|error| error.to_string())?;
        programs
            .set(slot, &program, 0)
            .map_err(|error| error.to_string())?;
        give_slot(self.ebpf, calls, slot)
    }
}

const NO_MAP: &str = "the object lacks a map";

/// Sends system calls to a slot; slot 0 is no program.
pub(super) fn give_slot(ebpf: &mut Ebpf, calls: &[Syscall], slot: u32) -> Result<(), String> {
    let map = ebpf.map_mut("SYSCALL_SLOTS").ok_or(NO_MAP)?;
    let mut slots = Array::<_, u32>::try_from(map).map_err(|error| error.to_string())?;
    let has_ia32 = cfg!(target_arch = "x86_64");
    for call in calls {
        let ia32 = call.ia32.filter(|_| has_ia32);
        let entries = [call.native, ia32.map(|number| number + SYSCALL_IA32)];
        for entry in entries.into_iter().flatten() {
            slots
                .set(entry, slot, 0)
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// A program of the object, as the type that it must have.
pub(super) fn find<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, String>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or("not in the object")?;
    program.try_into().map_err(say)
}

/// The error in words, with the end of the verifier's log.
#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function on errors"
)]
pub(in crate::kernel) fn say(error: ProgramError) -> String {
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = &error
    else {
        return match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
    };
    let log = verifier_log.to_string();
    let start = log.len().saturating_sub(VERIFIER_LOG_BYTES_MAX);
    let tail: String = log
        .char_indices()
        .filter(|(at, _)| *at >= start)
        .map(|(_, c)| c)
        .collect();
    format!("{io_error}; the verifier says: {}", tail.trim())
}

/// Where control groups version 2 are mounted.
pub(crate) fn cgroup_root() -> Option<PathBuf> {
    let mounts = lossy::text("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let target = fields.nth(1)?;
        (fields.next()? == "cgroup2").then(|| PathBuf::from(target))
    })
}
