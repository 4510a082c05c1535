//! Whether this kernel calls what is attached to its better tiers.
//!
//! Where bpf is missing from the list of security modules, programs of that
//! tier load, attach, and are never called; other kernels refuse them. So they
//! are tried: attached, the thing that they see is done, and the count is read.

use std::fs;

use aya::{
    Btf, Ebpf,
    maps::Array,
    programs::{FEntry, Lsm},
};

use super::attach::{find, say};
use crate::kernel::hooks::Tier;

/// Why a tier is of no use here; nothing where it is.
#[derive(Debug)]
pub(super) struct Trial {
    lsm: Result<(), String>,
    fentry: Result<(), String>,
}

impl Trial {
    /// Tries the tiers on the running kernel. Nothing stays attached.
    pub(super) fn of_this_kernel(ebpf: &mut Ebpf, btf: &Btf) -> Self {
        Self {
            lsm: try_lsm(ebpf, btf),
            fentry: try_fentry(ebpf, btf),
        }
    }

    /// Whether hooks of a tier are called.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn allows(&self, tier: Tier) -> Result<(), String> {
        match tier {
            Tier::Lsm => self.lsm.clone(),
            Tier::Fentry => self.fentry.clone(),
            Tier::Tracepoint => Ok(()),
        }
    }
}

fn try_lsm(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), String> {
    listed(&fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default())?;
    let program: &mut Lsm = find(ebpf, "trial_lsm")?;
    program.load("sb_statfs", btf).map_err(say)?;
    let link = program.attach().map_err(say)?;
    let called = is_called(ebpf, 0);
    let program: &mut Lsm = find(ebpf, "trial_lsm")?;
    program.detach(link).map_err(say)?;
    called
}

fn try_fentry(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), String> {
    let program: &mut FEntry = find(ebpf, "trial_fentry")?;
    program.load("security_sb_statfs", btf).map_err(say)?;
    let link = program.attach().map_err(say)?;
    let called = is_called(ebpf, 1);
    let program: &mut FEntry = find(ebpf, "trial_fentry")?;
    program.detach(link).map_err(say)?;
    called
}

/// Does what the trial's programs see, and reads their count.
fn is_called(ebpf: &Ebpf, entry: u32) -> Result<(), String> {
    let map = ebpf.map("TRIAL").ok_or("the object lacks a map")?;
    let counts = Array::<_, u64>::try_from(map).map_err(|error| error.to_string())?;
    let count = || counts.get(&entry, 0).map_err(|error| error.to_string());
    let before = count()?;
    rustix::fs::statfs("/").map_err(|error| format!("statfs /: {error}"))?;
    if count()? > before {
        return Ok(());
    }
    Err("this kernel attaches such programs and does not call them".to_owned())
}

/// Whether bpf is in the list of security modules. A list that cannot be read
/// is no reason: the trial tells.
fn listed(names: &str) -> Result<(), String> {
    let names = names.trim();
    if names.is_empty() || names.split(',').any(|name| name == "bpf") {
        return Ok(());
    }
    Err(format!(
        "bpf is not among the kernel's security modules ({names}); boot with bpf in lsm="
    ))
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn bpf_must_be_listed_by_its_whole_name_where_there_is_a_list() {
        assert!(listed("lockdown,yama,bpf\n").is_ok());
        assert!(listed("").is_ok());
        assert!(listed("lockdown,bpfish\n").unwrap_err().contains("lsm="));
    }
}
