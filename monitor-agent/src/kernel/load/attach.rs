//! One program: loaded, attached to what the table says, and pinned.

use std::{fs, path::PathBuf};

use aya::{
    Ebpf,
    maps::{Array, Map, MapData, ProgramArray},
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSockAddr, FEntry, Lsm, ProgramError, ProgramFd,
        links::FdLink,
    },
};
use monitor_common::syscall::SYSCALL_IA32;

use super::{Armory, features};
use crate::{
    kernel::{
        hooks::{Attach, Program, Syscall, slot},
        pins::{Pins, sides},
    },
    lossy,
};

/// Most of a verifier's log that an error keeps: its end says what is wrong.
const VERIFIER_LOG_BYTES_MAX: usize = 2_000;

impl Armory<'_> {
    /// Loads, attaches and pins one program.
    pub(super) fn arm_program(&mut self, program: &Program) -> Result<(), String> {
        match program.attach {
            Attach::Again { .. } if !self.looks_twice => Ok(()),
            Attach::Tracepoint(_)
            | Attach::Again { .. }
            | Attach::Lsm(_)
            | Attach::Fentry(_)
            | Attach::CgroupRoot => self.put(program),
            Attach::Syscall(calls) => self.syscalls(program.name, calls),
            Attach::Until { kernel, .. } if features::is_at_least(kernel) => {
                Err("this kernel has hooks of their own for it".to_owned())
            }
            Attach::With(other) | Attach::Until { of: other, .. } => {
                let is_armed = self.pins.link(other).exists();
                is_armed
                    .then_some(())
                    .ok_or_else(|| format!("{other} is not armed"))
            }
        }
    }

    /// Puts a program on its side of the switch, and a switch on its hook where
    /// none is.
    fn put(&mut self, program: &Program) -> Result<(), String> {
        let (name, attach) = (program.name, program.attach);
        let (table, link) = (self.pins.sides(name), self.pins.link(name));
        let body = self.load(name, attach)?;
        let before = self.before.filter(|before| before.link(name).exists());
        if let Some(before) = before {
            Pins::share(&before.sides(name), &table).map_err(|error| error.to_string())?;
            self.enter_side(name, &body)?;
            return Pins::share(&before.link(name), &link).map_err(|error| error.to_string());
        }
        let sides = self.ebpf.map(&sides(name)).ok_or(NO_MAP)?;
        sides.pin(&table).map_err(|error| error.to_string())?;
        self.enter_side(name, &body)?;
        let jump = format!("switch_{name}");
        self.load(&jump, attach)?;
        let attached = self.attach(&jump, attach)?;
        attached
            .pin(link)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn enter_side(&self, name: &str, body: &ProgramFd) -> Result<(), String> {
        let mut table = self.table(name)?;
        table
            .set(self.side.number(), body, 0)
            .map_err(|error| error.to_string())
    }

    /// Takes a program from its side of the switch, and its table out of this
    /// version.
    pub(super) fn leave_side(&self, name: &str) -> Result<(), String> {
        let mut table = self.table(name)?;
        table
            .clear_index(&self.side.number())
            .map_err(|error| error.to_string())?;
        fs::remove_file(self.pins.sides(name)).map_err(|error| error.to_string())
    }

    fn table(&self, name: &str) -> Result<ProgramArray<MapData>, String> {
        let table = MapData::from_pin(self.pins.sides(name)).map_err(|error| error.to_string())?;
        ProgramArray::try_from(Map::ProgramArray(table)).map_err(|error| error.to_string())
    }

    /// Loads a program, as one for what the table of hooks says.
    fn load(&mut self, name: &str, attach: Attach) -> Result<ProgramFd, String> {
        let program = match attach {
            Attach::Tracepoint(event) | Attach::Again { event, .. } => {
                let program: &mut BtfTracePoint = find(self.ebpf, name)?;
                program.load(event, self.btf).map_err(say)?;
                program.fd()
            }
            Attach::Lsm(hook) => {
                let program: &mut Lsm = find(self.ebpf, name)?;
                program.load(hook, self.btf).map_err(say)?;
                program.fd()
            }
            Attach::Fentry(function) => {
                let program: &mut FEntry = find(self.ebpf, name)?;
                program.load(function, self.btf).map_err(say)?;
                program.fd()
            }
            Attach::CgroupRoot => {
                let program: &mut CgroupSockAddr = find(self.ebpf, name)?;
                program.load().map_err(say)?;
                program.fd()
            }
            Attach::Syscall(_) | Attach::With(_) | Attach::Until { .. } => {
                return Err(NO_HOOK.to_owned());
            }
        };
        let copy = program.map_err(say)?.try_clone();
        copy.map_err(|error| error.to_string())
    }

    /// Attaches a program that is loaded.
    fn attach(&mut self, name: &str, attach: Attach) -> Result<FdLink, String> {
        match attach {
            Attach::Tracepoint(_) | Attach::Again { .. } => {
                let program: &mut BtfTracePoint = find(self.ebpf, name)?;
                let id = program.attach().map_err(say)?;
                Ok(program.take_link(id).map_err(say)?.into())
            }
            Attach::Lsm(_) => {
                let program: &mut Lsm = find(self.ebpf, name)?;
                let id = program.attach().map_err(say)?;
                Ok(program.take_link(id).map_err(say)?.into())
            }
            Attach::Fentry(_) => {
                let program: &mut FEntry = find(self.ebpf, name)?;
                let id = program.attach().map_err(say)?;
                Ok(program.take_link(id).map_err(say)?.into())
            }
            Attach::CgroupRoot => self.attach_to_groups(name),
            Attach::Syscall(_) | Attach::With(_) | Attach::Until { .. } => Err(NO_HOOK.to_owned()),
        }
    }

    fn attach_to_groups(&mut self, name: &str) -> Result<FdLink, String> {
        let root = cgroup_root().ok_or("no control group version 2 is mounted")?;
        let root = fs::File::open(&root).map_err(|error| format!("{}: {error}", root.display()))?;
        let program: &mut CgroupSockAddr = find(self.ebpf, name)?;
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
const NO_HOOK: &str = "a program without a hook of its own";

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
