//! Programs that are attached to nothing: the agent runs them itself
//! (`BPF_PROG_TEST_RUN`).

use std::io;

use aya::{Ebpf, programs::RawTracePoint};

use super::{load::refused, pins::Pins};

/// Loads the program of this name and pins it among the links.
pub(super) fn load(ebpf: &mut Ebpf, pins: &Pins, name: &str) -> io::Result<()> {
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| io::Error::other(format!("the object lacks the program {name}")))?;
    let program: &mut RawTracePoint = program
        .try_into()
        .map_err(refused)
        .map_err(io::Error::other)?;
    program.load().map_err(refused).map_err(io::Error::other)?;
    let path = pins.link(name);
    program
        .pin(&path)
        .map_err(|error| io::Error::other(format!("pinned at {}: {error}", path.display())))
}
