//! Whether every hook that was armed is still in its place: the link is pinned
//! and leads to the same program, a control group still has it, and the
//! dispatcher of system calls still jumps to its slots.
//!
//! Who removes a pin detaches the program, and nothing tells: a probe that is not
//! called is as quiet as a host on which nothing happens.

use std::{io, os::fd::AsFd as _, path::PathBuf};

use super::{
    Family, KernelError,
    hooks::{self, Attach, DISPATCHER, Hook, Program},
    pins::Pins,
    switch::Side,
    sys,
    table::Table,
};

/// What one program is held by.
#[derive(Debug)]
enum Place {
    /// A pinned link to the program of this number, which jumps to another one,
    /// that of the second number, by a table.
    Link {
        path: PathBuf,
        program: u32,
        table: Table<u32, u32>,
        behind: u32,
    },
    /// It was removed before this start.
    Gone,
    /// A slot of the dispatcher with the program of this number, and the calls
    /// that lead to it.
    Slot {
        slot: u32,
        program: u32,
        calls: Vec<u32>,
    },
}

/// The places of all that was armed.
#[derive(Debug)]
pub(super) struct Places {
    families: Vec<(Family, Vec<Place>)>,
    slots: Table<u32, u32>,
    calls: Table<u32, u32>,
    /// Which side of the tables is used, and which should be.
    switch: Table<u32, u32>,
    side: u32,
}

impl Places {
    /// As they are now. What the kernel refused has none; what was armed and is
    /// not any more is gone already.
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        let open = |name| Table::open(&pins.map(name)).map_err(failed("open"));
        let mut places = Self {
            families: Vec::new(),
            slots: open("SYSCALL_PROGRAMS")?,
            calls: open("SYSCALL_SLOTS")?,
            switch: open("SWITCH")?,
            side: pins.side().unwrap_or(Side::FIRST).number(),
        };
        for family in Family::ALL {
            let is_armed = |hook: &&Hook| {
                let mut programs = hook.programs.iter();
                programs.all(|program| pins.link(program.pin()).exists())
            };
            let mut rows = hooks::rows(*family);
            if let Some(hook) = rows.find(is_armed) {
                let found = places.of_hook(hook, pins).map_err(failed("look at"))?;
                places.families.push((*family, found));
            } else if !pins.was_refused(family.name()) {
                places.families.push((*family, vec![Place::Gone]));
            }
        }
        Ok(places)
    }

    fn of_hook(&self, hook: &Hook, pins: &Pins) -> io::Result<Vec<Place>> {
        let mut found = Vec::new();
        for program in hook.programs {
            found.extend(self.of_program(program, pins)?);
        }
        Ok(found)
    }

    fn of_program(&self, program: &Program, pins: &Pins) -> io::Result<Vec<Place>> {
        match program.attach {
            Attach::Tracepoint(_) | Attach::Lsm(_) | Attach::Fentry(_) | Attach::CgroupRoot => {
                Ok(vec![self.link(program.name, pins)?])
            }
            // Only where tracepoints can be preempted.
            Attach::Again { .. } if !pins.link(program.name).exists() => Ok(Vec::new()),
            Attach::Again { .. } => Ok(vec![self.link(program.name, pins)?]),
            Attach::With(other) | Attach::Until { of: other, .. } => match hooks::named(other) {
                Some(other) => self.of_program(other, pins),
                None => Ok(Vec::new()),
            },
            Attach::Syscall(calls) => {
                let slot = hooks::slot(program.name).unwrap_or_default();
                let place = Place::Slot {
                    slot,
                    program: self.slots.get(&slot)?.unwrap_or_default(),
                    calls: calls.iter().filter_map(|call| call.native).collect(),
                };
                Ok(vec![self.link(DISPATCHER.name, pins)?, place])
            }
        }
    }

    fn link(&self, name: &str, pins: &Pins) -> io::Result<Place> {
        let path = pins.link(name);
        let link = sys::open_pin(&path)?;
        let table = Table::open(&pins.sides(name))?;
        Ok(Place::Link {
            // One that is held by nothing already is not in its place.
            program: sys::held_by(link.as_fd())?.unwrap_or_default(),
            behind: table.get(&self.side)?.unwrap_or_default(),
            path,
            table,
        })
    }

    /// Families of which something is not in its place any more.
    pub(super) fn unhooked(&self) -> Vec<Family> {
        let is_gone = |(_, places): &&(Family, Vec<Place>)| {
            // What cannot be looked at is not known to be there.
            !places
                .iter()
                .all(|place| self.is_held(place).unwrap_or(false))
        };
        let gone = self.families.iter().filter(is_gone);
        gone.map(|(family, _)| *family).collect()
    }

    fn is_held(&self, place: &Place) -> io::Result<bool> {
        match place {
            Place::Gone => Ok(false),
            Place::Link {
                path,
                program,
                table,
                behind,
            } => {
                let link = sys::open_pin(path)?;
                Ok(sys::held_by(link.as_fd())? == Some(*program)
                    && self.switch.get(&0)? == Some(self.side)
                    && table.get(&self.side)? == Some(*behind))
            }
            Place::Slot {
                slot,
                program,
                calls,
            } => {
                if self.slots.get(slot)? != Some(*program) {
                    return Ok(false);
                }
                for call in calls {
                    if self.calls.get(call)? != Some(*slot) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |error| KernelError::Table {
        action,
        table: "places of hooks",
        error,
    }
}
