//! What a case wants of the machine, and whether it is there.
//!
//! A closed set: what has no check here cannot be wanted. Each is looked at
//! where the case would run, as root.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use super::expect::{kernel_is, kernel_number};
use crate::command::{self, command};
use crate::stage::own_machine;

/// Where sessions look for programs.
const PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// Programs that may stand without `program:`.
const PROGRAMS: [&str; 22] = [
    "python3", "gdb", "strace", "socat", "perl", "sudo", "su", "busybox", "tar", "rsync",
    "openssl", "zip", "vim", "less", "gawk", "ssh", "curl", "debugfs", "xxd", "setcap", "tmux",
    "unshare",
];

/// One thing that a case may want.
struct Need {
    name: &'static str,
    /// Why it is not there.
    why_not: &'static str,
    is_there: fn() -> bool,
}

const NEEDS: &[Need] = &[
    // The machine that starts the run has built what is to be built, or said
    // why not: `case.c` without a program is told by the ground.
    Need {
        name: "cc",
        why_not: "",
        is_there: || true,
    },
    Need {
        name: "io_uring",
        why_not: "this kernel has no io_uring, or it is switched off (kernel.io_uring_disabled)",
        is_there: || {
            let disabled = text_of("/proc/sys/kernel/io_uring_disabled");
            symbols_have("__x64_sys_io_uring_setup") && ["", "0"].contains(&disabled.trim())
        },
    },
    Need {
        name: "memfd",
        why_not: "this kernel has no files in memory",
        is_there: || symbols_have("__x64_sys_memfd_create"),
    },
    Need {
        name: "userns",
        why_not: "this kernel does not let an account make a user namespace",
        is_there: || {
            let mut account = command(
                "setpriv",
                ["--reuid=65534", "--regid=65534", "--clear-groups"],
            );
            succeeds(account.args(["unshare", "--user", "--map-root-user", "true"]))
        },
    },
    Need {
        name: "overlay",
        why_not: "this kernel has no overlay file system",
        is_there: || has_file_system("overlay"),
    },
    Need {
        name: "btrfs",
        why_not: "this kernel has no btrfs, or mkfs.btrfs is missing",
        is_there: || has_file_system("btrfs") && find("mkfs.btrfs"),
    },
    Need {
        name: "fuse",
        why_not: "this kernel has no FUSE",
        is_there: || has_file_system("fuse") && Path::new("/dev/fuse").exists(),
    },
    Need {
        name: "loop-device",
        why_not: "this kernel has no loop device to give",
        is_there: || {
            load("loop");
            succeeds(&mut command("losetup", ["--find"]))
        },
    },
    Need {
        name: "vsock",
        why_not: "this kernel has no vsock",
        is_there: || has_protocol("vsock_loopback", "AF_VSOCK"),
    },
    Need {
        name: "sctp",
        why_not: "this kernel has no SCTP",
        is_there: || has_protocol("sctp", "SCTP"),
    },
    Need {
        name: "mptcp",
        why_not: "this kernel has no MPTCP, or it is switched off",
        is_there: || text_of("/proc/sys/net/mptcp/enabled").trim() == "1",
    },
    Need {
        name: "raw-socket",
        why_not: "this kernel has no packet sockets",
        is_there: || has_protocol("af_packet", "PACKET"),
    },
    Need {
        name: "tun",
        why_not: "this kernel has no tun device",
        is_there: || {
            load("tun");
            Path::new("/dev/net/tun").exists()
        },
    },
    Need {
        name: "ptrace",
        why_not: "this kernel lets nobody attach to a process that is not a child (Yama)",
        is_there: || ["", "0"].contains(&text_of("/proc/sys/kernel/yama/ptrace_scope").trim()),
    },
    Need {
        name: "bpf",
        why_not: "this kernel is locked down: BPF programs may read nothing",
        is_there: || !text_of("/sys/kernel/security/lockdown").contains("[confidentiality]"),
    },
    Need {
        name: "vm",
        why_not: "this kernel is a developer's: what the case does is done only in a machine of its own",
        is_there: || Path::new(own_machine::MARK).exists(),
    },
    Need {
        name: "systemd",
        why_not: "this machine does not run systemd",
        is_there: || Path::new("/run/systemd/system").is_dir(),
    },
];

/// Refuses what is not in the set.
///
/// # Errors
/// It is not.
pub fn check_name(need: &str) -> Result<()> {
    if let Some(bound) = need.strip_prefix("kernel") {
        return kernel_is(bound, (0, 0)).map(drop);
    }
    let is_known = ["program:", "file:/"]
        .iter()
        .any(|of| need.strip_prefix(of).is_some_and(|name| !name.is_empty()))
        || PROGRAMS.contains(&need)
        || NEEDS.iter().any(|known| known.name == need);
    if !is_known {
        let names: Vec<&str> = NEEDS.iter().map(|known| known.name).collect();
        bail!("need {need:?} is not known: {}", names.join(", "));
    }
    Ok(())
}

/// Why a need is not met here; nothing if it is.
#[must_use]
pub fn unmet(need: &str) -> Option<String> {
    if let Some(bound) = need.strip_prefix("kernel") {
        let release = text_of("/proc/sys/kernel/osrelease");
        let is = kernel_is(bound, kernel_number(&release)?).unwrap_or(false);
        return (!is).then(|| format!("this kernel is {}, not {bound}", release.trim()));
    }
    if let Some(known) = NEEDS.iter().find(|known| known.name == need) {
        return (!(known.is_there)()).then(|| known.why_not.to_owned());
    }
    if let Some(file) = need.strip_prefix("file:") {
        return (!Path::new(file).is_file()).then(|| format!("{file} is not there"));
    }
    let program = need.strip_prefix("program:").unwrap_or(need);
    (!find(program)).then(|| format!("{program} is not installed here"))
}

fn find(program: &str) -> bool {
    PATH.iter()
        .any(|folder| Path::new(folder).join(program).is_file())
}

fn text_of(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn succeeds(command: &mut std::process::Command) -> bool {
    command::output(command).is_ok_and(|output| output.status.success())
}

/// Asks for a module; whether it came shows in what it brings.
fn load(module: &str) {
    let _ = command::output(&mut command("modprobe", ["--quiet", module]));
}

fn has_file_system(name: &str) -> bool {
    load(name);
    let all = text_of("/proc/filesystems");
    all.lines()
        .any(|line| line.split_whitespace().next_back() == Some(name))
}

fn has_protocol(module: &str, name: &str) -> bool {
    load(module);
    let all = text_of("/proc/net/protocols");
    all.lines()
        .any(|line| line.split_whitespace().next() == Some(name))
}

fn symbols_have(name: &str) -> bool {
    let all = text_of("/proc/kallsyms");
    all.lines()
        .any(|line| line.split_whitespace().nth(2) == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_of_needs_is_closed() {
        for good in [
            "cc",
            "python3",
            "program:debugfs",
            "kernel>=6.6",
            "userns",
            "file:/etc/passwd",
        ] {
            check_name(good).unwrap();
        }
        for bad in [
            "moon",
            "program:",
            "kernel",
            "kernel6",
            "file:",
            "file:passwd",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_that_is_not_there_is_named() {
        assert_eq!(unmet("file:/etc/passwd"), None);
        assert!(
            unmet("file:/no/such-file")
                .unwrap()
                .contains("/no/such-file")
        );
    }

    #[test]
    fn program_that_is_not_installed_is_named() {
        assert_eq!(unmet("program:sh"), None);
        assert!(
            unmet("program:no-such-program")
                .unwrap()
                .contains("no-such-program")
        );
    }
}
