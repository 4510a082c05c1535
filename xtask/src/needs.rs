//! The table of needs: what must be there, why, and how it comes.
//!
//! A need is checked by looking at the thing itself each time, never at a note
//! that it was once installed.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::machine::{Machine, is_executable};
use crate::{jump_host, packages, process, toolchain, tools};

/// The steps that play cases in QEMU.
const VM_CASES: &[&str] = &["cases-6.1", "cases-6.12"];

/// What a machine is set up for; each includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Goal {
    /// `cargo xtask build`
    Build,
    /// `cargo xtask demo`
    Demo,
    /// `cargo xtask test`
    Test,
}

impl Goal {
    /// The subcommand's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Demo => "demo",
            Self::Test => "test",
        }
    }
}

/// One thing that must be there.
pub(crate) struct Need {
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
    pub(crate) goal: Goal,
    /// The only steps of `test` that want it; empty: everything does.
    pub(crate) steps: &'static [&'static str],
    pub(crate) present: fn(&Machine) -> bool,
    pub(crate) fix: Fix,
}

/// How a missing thing comes.
pub(crate) enum Fix {
    /// With Debian packages.
    Packages(&'static [&'static str]),
    /// In a way of its own; in words, and done.
    Make(&'static str, fn(&Machine) -> Result<()>),
}

impl Fix {
    /// The Debian packages it wants, before anything else is done.
    pub(crate) fn packages(&self) -> &'static [&'static str] {
        match self {
            Self::Packages(packages) => packages,
            Self::Make(..) => &[],
        }
    }

    /// In words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Packages(packages) => format!("apt-get install {}", packages.join(" ")),
            Self::Make(how, _) => (*how).to_owned(),
        }
    }
}

/// Every need; one that another builds on stands before it.
pub(crate) const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler",
        why: "SQLite and the cryptography under TLS are compiled from C",
        goal: Goal::Build,
        steps: &[],
        present: |machine| {
            machine.program("cc").is_some() && machine.has_file("/usr/include/stdio.h")
        },
        fix: Fix::Packages(&["build-essential"]),
    },
    Need {
        what: "a compiler for the BPF target, with its library sources",
        why: "the probes that run in the kernel are Rust too",
        goal: Goal::Build,
        steps: &[],
        present: |machine| toolchain::Toolchain::find(machine).is_some(),
        fix: Fix::Make(
            "rustc-web, cargo-web, rust-web-src, or a rustup nightly",
            toolchain::install_compiler,
        ),
    },
    Need {
        what: "LLVM 22 with its headers",
        why: "the linker of BPF objects is built against it",
        goal: Goal::Build,
        steps: &[],
        present: |machine| toolchain::has_linker(machine) || toolchain::has_llvm(machine),
        fix: Fix::Packages(&["llvm-22-dev", "zlib1g-dev", "libzstd-dev"]),
    },
    Need {
        what: "bpf-linker",
        why: "it links the BPF object",
        goal: Goal::Build,
        steps: &[],
        present: toolchain::has_linker,
        fix: Fix::Make(
            "built from its released source into the cache folder",
            toolchain::install_linker,
        ),
    },
    Need {
        what: "ip",
        why: "the tenants of the demo are network namespaces",
        goal: Goal::Demo,
        steps: &[],
        present: |machine| machine.program("ip").is_some(),
        fix: Fix::Packages(&["iproute2"]),
    },
    Need {
        what: "curl",
        why: "the engineer of the demo connects with it",
        goal: Goal::Demo,
        steps: &[],
        present: |machine| machine.program("curl").is_some(),
        fix: Fix::Packages(&["curl"]),
    },
    Need {
        what: "ssh and ssh-keygen",
        why: "the engineer of the demo logs in with a real client",
        goal: Goal::Demo,
        steps: &[],
        present: |machine| {
            ["ssh", "ssh-keygen"]
                .iter()
                .all(|name| machine.program(name).is_some())
        },
        fix: Fix::Packages(&["openssh-client"]),
    },
    Need {
        what: "sshd and the user it separates its privileges with",
        why: "the demo runs a private one on loopback",
        goal: Goal::Demo,
        steps: &[],
        present: |machine| sshd_is_there(machine) && has_sshd_user(machine),
        fix: Fix::Make(
            "only unpacked into the cache folder: no service is installed or started",
            unpack_sshd,
        ),
    },
    Need {
        what: "QEMU, and xz for the modules of its kernels",
        why: "the probes are tried in other kernels",
        goal: Goal::Test,
        steps: &["vm-6.1", "vm-6.12", "vm-sid", "cases-6.1", "cases-6.12"],
        present: |machine| {
            ["qemu-system-x86_64", "xz"]
                .iter()
                .all(|name| machine.program(name).is_some())
        },
        fix: Fix::Packages(&["qemu-system-x86", "xz-utils"]),
    },
    Need {
        what: "debootstrap, mke2fs and depmod",
        why: "cases are played on a whole jump host in QEMU: they make its disks",
        goal: Goal::Test,
        steps: VM_CASES,
        present: |machine| {
            ["debootstrap", "mke2fs", "depmod"]
                .iter()
                .all(|name| machine.program(name).is_some())
        },
        fix: Fix::Packages(&["debootstrap", "e2fsprogs", "kmod"]),
    },
    Need {
        what: "the disk of a jump host",
        why: "cases are played on it, in other kernels",
        goal: Goal::Test,
        steps: VM_CASES,
        present: jump_host::is_there,
        fix: Fix::Make("debootstrap, into the cache folder", jump_host::make),
    },
    Need {
        what: "strace",
        why: "it has single calls of the programs fail",
        goal: Goal::Test,
        steps: &["faults"],
        present: |machine| machine.program("strace").is_some(),
        fix: Fix::Packages(&["strace"]),
    },
    Need {
        what: "libfaketime",
        why: "it moves the clock of single programs",
        goal: Goal::Test,
        steps: &["unit", "faults"],
        present: has_libfaketime,
        fix: Fix::Packages(&["libfaketime"]),
    },
    Need {
        what: "Python",
        why: "it turns bits of what an agent has on disk",
        goal: Goal::Test,
        steps: &["faults"],
        present: |machine| machine.program("python3").is_some(),
        fix: Fix::Packages(&["python3"]),
    },
    Need {
        what: "npm",
        why: "buf, which checks the .proto files, comes as an npm package",
        goal: Goal::Test,
        steps: &["buf"],
        present: |machine| tools::has_buf(machine) || machine.program("npm").is_some(),
        fix: Fix::Packages(&["nodejs", "npm"]),
    },
    Need {
        what: "Python with venv",
        why: "one test calls the services as an outsider would, from Python",
        goal: Goal::Test,
        steps: &["e2e"],
        present: |machine| tools::has_python_env(machine) || tools::has_venv_module(machine),
        fix: Fix::Packages(&["python3", "python3-venv"]),
    },
    Need {
        what: "rustfmt and clippy",
        why: "formatting and lints are checked",
        goal: Goal::Test,
        steps: &["fmt", "clippy"],
        present: |_| tools::has_host_components(),
        fix: Fix::Make("rustup component add", tools::install_host_components),
    },
    Need {
        what: "clippy for the BPF compiler",
        why: "the probes are linted by their own compiler",
        goal: Goal::Test,
        steps: &["clippy-bpf"],
        present: |machine| {
            toolchain::Toolchain::find(machine)
                .is_some_and(|compiler| compiler.clippy(machine.project()).is_some())
        },
        fix: Fix::Packages(&["rust-web-clippy"]),
    },
    Need {
        what: "cargo-deny",
        why: "licences and sources of the dependencies are checked",
        goal: Goal::Test,
        steps: &["deny"],
        present: tools::has_cargo_deny,
        fix: Fix::Make(
            "built from its released source into the cache folder",
            tools::install_cargo_deny,
        ),
    },
    Need {
        what: "buf",
        why: "the .proto files are linted",
        goal: Goal::Test,
        steps: &["buf"],
        present: tools::has_buf,
        fix: Fix::Make("npm, into the cache folder", tools::install_buf),
    },
    Need {
        what: "a Python environment with grpcio",
        why: "one test calls the services as an outsider would, from Python",
        goal: Goal::Test,
        steps: &["e2e"],
        present: tools::has_python_env,
        fix: Fix::Make("pip, into the cache folder", tools::install_python_env),
    },
];

/// What `cargo xtask fuzz` needs, and nothing else does.
pub(crate) const FUZZ: [Need; 1] = [Need {
    what: "a C++ compiler",
    why: "libFuzzer is compiled from C++",
    goal: Goal::Test,
    steps: &[],
    present: |machine| {
        ["c++", "g++", "clang++"]
            .iter()
            .any(|name| machine.program(name).is_some())
    },
    fix: Fix::Packages(&["build-essential"]),
}];

/// Debian puts it by the machine's architecture.
fn has_libfaketime(machine: &Machine) -> bool {
    let places = std::fs::read_dir(machine.file("/usr/lib"));
    let places = places.into_iter().flatten().filter_map(Result::ok);
    let library = "faketime/libfaketimeMT.so.1";
    places
        .map(|place| place.path().join(library))
        .any(|file| file.exists())
}

fn sshd_is_there(machine: &Machine) -> bool {
    machine.has_file("/usr/sbin/sshd") || is_executable(&machine.project().unpacked_sshd())
}

fn has_sshd_user(machine: &Machine) -> bool {
    fs::read_to_string(machine.file("/etc/passwd"))
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("sshd:")))
}

/// Brings an sshd without its package: installing that would start a service.
fn unpack_sshd(machine: &Machine) -> Result<()> {
    if !machine.has_apt() {
        bail!(
            "{} has no apt: install OpenSSH's server by hand",
            machine.distribution()
        );
    }
    if !sshd_is_there(machine) {
        packages::unpack(
            machine,
            &["openssh-server"],
            &machine.project().cache().join("sshd"),
        )?;
        let depends = process::quiet_stdout_of(
            Command::new("apt-cache").args(["depends", "openssh-server"]),
        )?;
        packages::install(machine, &libraries_in(&depends))?;
    }
    if !has_sshd_user(machine) {
        let arguments = [
            "--system",
            "--home-dir",
            "/run/sshd",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            "sshd",
        ];
        process::run_logged(
            &mut machine.as_root("useradd", &arguments)?,
            &machine.project().log("useradd"),
        )?;
    }
    Ok(())
}

/// The libraries among the dependencies of a package: they start nothing.
fn libraries_in(depends: &str) -> Vec<&str> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|package| package.starts_with("lib") && !package.contains('<'))
        .collect()
}

#[cfg(test)]
#[path = "needs_tests.rs"]
mod tests;
