//! The compiler and linker of the BPF object.
//!
//! The BPF target has no ready-made `core`: it is built from source, so the
//! compiler's library sources are needed, and a linker that understands LLVM
//! bitcode at least as new as the compiler's. Two ways:
//! - Debian's `rustc-web`, `cargo-web`, `rust-web-src` (LLVM 22) with a
//!   `bpf-linker` built against Debian's LLVM 22;
//! - a rustup nightly with `rust-src`, and a `bpf-linker` on `PATH`.
//!
//! Debian's comes first: its parts are known to fit each other.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::Project;
use crate::machine::{Machine, is_executable, path_with_tools};
use crate::{packages, process};

/// The oldest compiler that builds the object.
const DEBIAN_RUSTC_MINOR_MIN: u32 = 90;
/// Library sources of Debian's compiler.
const DEBIAN_CORE: &str = "/usr/lib/rustlib/src/rust/library/core/src/lib.rs";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const LINKER_VERSION: &str = "0.13.0";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// A compiler for the BPF target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// The folder with `rustc` and `cargo`.
    bin: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A release compiler: unstable features need `RUSTC_BOOTSTRAP`.
    Debian,
    Nightly,
}

impl Toolchain {
    /// A complete compiler that is installed here, if there is one.
    pub(crate) fn find(machine: &Machine) -> Option<Self> {
        Self::find_debian(machine).or_else(|| Self::find_nightly(machine))
    }

    fn find_debian(machine: &Machine) -> Option<Self> {
        let bin = machine.file("/usr/bin");
        let complete = machine.has_file(DEBIAN_CORE) && is_executable(&bin.join("cargo"));
        let version = process::quiet_stdout_of(Command::new(bin.join("rustc")).arg("--version"));
        let fits = complete
            && version.is_ok_and(|text| release_minor(&text) >= Some(DEBIAN_RUSTC_MINOR_MIN));
        fits.then_some(Self {
            bin,
            kind: Kind::Debian,
        })
    }

    fn find_nightly(machine: &Machine) -> Option<Self> {
        let rustup_home = env::var_os("RUSTUP_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")))?;
        nightly_in(&machine.file(rustup_home.to_str()?))
    }

    /// In words, for progress lines.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Debian => "Debian's compiler",
            Kind::Nightly => "the nightly compiler",
        }
    }

    /// `cargo` of this toolchain, building into the BPF target folder.
    pub(crate) fn cargo(&self, project: &Project) -> Command {
        self.command("cargo", project)
    }

    /// `cargo clippy` of this toolchain, if clippy is there.
    pub(crate) fn clippy(&self, project: &Project) -> Option<Command> {
        is_executable(&self.bin.join("cargo-clippy")).then(|| {
            let mut command = self.command("cargo-clippy", project);
            command.arg("clippy").env("CARGO", self.bin.join("cargo"));
            command
        })
    }

    fn command(&self, program: &str, project: &Project) -> Command {
        let mut command = Command::new(self.bin.join(program));
        // What the host's toolchain told its children is not for this one.
        for key in [
            "RUSTUP_TOOLCHAIN",
            "CARGO",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
        ] {
            command.env_remove(key);
        }
        command
            .env("RUSTC", self.bin.join("rustc"))
            .env("PATH", path_with_tools(project))
            .env("CARGO_TARGET_DIR", project.bpf_target())
            .env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "fallback");
        if self.kind == Kind::Debian {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }
}

/// Installs a compiler: Debian's packages where they exist, else a rustup nightly.
pub(crate) fn install_compiler(machine: &Machine) -> Result<()> {
    let by_hand = "install rustup's nightly with the component rust-src (`rustup toolchain install nightly --component rust-src`), \
         or Debian's packages rustc-web, cargo-web and rust-web-src";
    if machine.has_apt() {
        packages::refresh_lists(machine)?;
        if DEBIAN_PACKAGES
            .iter()
            .all(|package| packages::is_available(package))
        {
            return packages::install(machine, &DEBIAN_PACKAGES);
        }
        eprintln!(
            "  this machine's package sources have no rustc-web ({}); trying rustup",
            machine.distribution()
        );
    }
    let Some(rustup) = machine.program("rustup") else {
        bail!(
            "neither Debian's packages nor rustup can be used on {}: {by_hand}",
            machine.distribution()
        );
    };
    let mut command = Command::new(rustup);
    command.args([
        "toolchain",
        "install",
        "nightly",
        "--profile",
        "minimal",
        "--component",
        "rust-src",
    ]);
    process::run_logged(&mut command, &machine.project().log("rustup"))
        .with_context(|| format!("rustup could not install it; {by_hand}"))
}

/// Whether a linker for BPF objects is here and runs.
pub(crate) fn has_linker(machine: &Machine) -> bool {
    machine.program("bpf-linker").is_some_and(|linker| {
        process::quiet_stdout_of(Command::new(linker).arg("--version")).is_ok()
    })
}

/// Whether the LLVM that the linker is built against is here.
pub(crate) fn has_llvm(machine: &Machine) -> bool {
    machine.has_file(&format!("{LLVM_PREFIX}/bin/llvm-config"))
}

/// Builds the linker from its released source into the cache folder.
pub(crate) fn install_linker(machine: &Machine) -> Result<()> {
    if !has_llvm(machine) {
        bail!(
            "bpf-linker needs LLVM 22 with its headers in {LLVM_PREFIX}, which {} does not offer: \
             install a bpf-linker whose LLVM is at least as new as your nightly's, and put it on PATH",
            machine.distribution()
        );
    }
    let mut command = crate::tools::cargo_install(machine.project(), "bpf-linker", LINKER_VERSION);
    command
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("LLVM_PREFIX", LLVM_PREFIX);
    process::run_logged(&mut command, &machine.project().log("bpf-linker"))
}

fn nightly_in(rustup_home: &Path) -> Option<Toolchain> {
    let mut folders: Vec<PathBuf> = fs::read_dir(rustup_home.join("toolchains"))
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("nightly"))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    let complete = |folder: &PathBuf| {
        folder
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .exists()
            && is_executable(&folder.join("bin/cargo"))
    };
    let folder = folders.into_iter().find(complete)?;
    Some(Toolchain {
        bin: folder.join("bin"),
        kind: Kind::Nightly,
    })
}

/// `96` of `rustc 1.96.0 (...)`.
fn release_minor(text: &str) -> Option<u32> {
    text.split_whitespace()
        .nth(1)?
        .strip_prefix("1.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{put_program, put_script};

    fn put_file(file: &Path) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }

    #[test]
    fn debian_compiler_needs_its_sources_and_a_recent_version() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        put_program(&root.path().join("usr/bin/cargo"), "cargo 1.96.0");
        put_program(
            &root.path().join("usr/bin/rustc"),
            "rustc 1.96.0 (ac68faa20 2026-05-25)",
        );
        assert_eq!(Toolchain::find_debian(&machine), None, "no library sources");
        put_file(&machine.file(DEBIAN_CORE));
        assert!(Toolchain::find_debian(&machine).is_some());
        put_program(&root.path().join("usr/bin/rustc"), "rustc 1.63.0");
        assert_eq!(
            Toolchain::find_debian(&machine),
            None,
            "the stock compiler of Debian 12 is too old"
        );
    }

    #[test]
    fn nightly_without_library_sources_does_not_count() {
        let home = tempfile::tempdir().unwrap();
        let nightly = home
            .path()
            .join("toolchains/nightly-x86_64-unknown-linux-gnu");
        put_program(&nightly.join("bin/cargo"), "");
        assert_eq!(nightly_in(home.path()), None);
        put_file(&nightly.join("lib/rustlib/src/rust/library/core/src/lib.rs"));
        assert_eq!(
            nightly_in(home.path()),
            Some(Toolchain {
                bin: nightly.join("bin"),
                kind: Kind::Nightly
            })
        );
    }

    #[test]
    fn linker_counts_only_if_it_runs() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        assert!(!has_linker(&machine));
        let linker = machine.project().tools().join("bin/bpf-linker");
        put_program(&linker, "bpf-linker 0.13.0");
        assert!(has_linker(&machine));
        put_script(&linker, "exit 127");
        assert!(
            !has_linker(&machine),
            "its LLVM library is gone, for example"
        );
    }

    #[test]
    fn release_is_read_from_the_version_line() {
        assert_eq!(
            release_minor("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"),
            Some(96)
        );
        assert_eq!(release_minor("not a version"), None);
    }

    #[test]
    fn missing_llvm_says_what_to_install() {
        let root = tempfile::tempdir().unwrap();
        let text = install_linker(&Machine::made_up(root.path(), true))
            .unwrap_err()
            .to_string();
        assert!(text.contains("LLVM 22") && text.contains("PATH"), "{text}");
    }
}
