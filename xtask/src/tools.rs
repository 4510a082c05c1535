//! cargo-deny, buf and the Python environment: what only the tests use.
//!
//! All of it goes into the cache folder; versions are fixed here.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Project;
use crate::machine::{Machine, is_executable};
use crate::process;

const CARGO_DENY_VERSION: &str = "0.20.2";
const BUF_PACKAGE: &str = "@bufbuild/buf@1.75.0";
const PYTHON_REQUIREMENTS: &str = "xtask/python-requirements.txt";
/// Folders that the Python requirements leave in `site-packages`.
const PYTHON_MODULES: [&str; 3] = ["grpc", "grpc_tools", "grpc_reflection"];

/// `cargo install` of a released program into the cache folder, with the
/// quickest profile: these programs wait for files, not for their own code.
pub(crate) fn cargo_install(project: &Project, name: &str, version: &str) -> Command {
    let mut command = process::cargo();
    command
        .args([
            "install",
            "--locked",
            "--force",
            "--profile",
            "dev",
            name,
            "--version",
            version,
            "--root",
        ])
        .arg(project.tools())
        .arg("--target-dir")
        .arg(project.cache().join("tools-target").join(name))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .current_dir(project.cache());
    command
}

/// cargo-deny, of the cache folder or of `PATH`.
pub(crate) fn cargo_deny(machine: &Machine) -> Option<PathBuf> {
    machine.program("cargo-deny")
}

/// Whether cargo-deny is there.
pub(crate) fn has_cargo_deny(machine: &Machine) -> bool {
    cargo_deny(machine).is_some()
}

/// Builds cargo-deny.
pub(crate) fn install_cargo_deny(machine: &Machine) -> Result<()> {
    let mut command = cargo_install(machine.project(), "cargo-deny", CARGO_DENY_VERSION);
    process::run_logged(&mut command, &machine.project().log("cargo-deny-install"))
}

/// buf, of the cache folder or of `PATH`.
pub(crate) fn buf(machine: &Machine) -> Option<PathBuf> {
    let own = machine.project().npm().join("node_modules/.bin/buf");
    if is_executable(&own) {
        Some(own)
    } else {
        machine.program("buf")
    }
}

/// Whether buf is there.
pub(crate) fn has_buf(machine: &Machine) -> bool {
    buf(machine).is_some()
}

/// Installs buf from its npm package.
pub(crate) fn install_buf(machine: &Machine) -> Result<()> {
    let folder = machine.project().npm();
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let npm = machine.program("npm").context("npm is not there")?;
    let mut command = Command::new(npm);
    command
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--prefix",
            ".",
            BUF_PACKAGE,
        ])
        .current_dir(&folder);
    process::run_logged(&mut command, &machine.project().log("npm"))
}

/// The interpreter of the Python environment.
pub(crate) fn python(project: &Project) -> PathBuf {
    project.python_env().join("bin/python3")
}

/// Whether the Python environment is complete.
pub(crate) fn has_python_env(machine: &Machine) -> bool {
    let project = machine.project();
    let libraries = fs::read_dir(project.python_env().join("lib"));
    let complete = |folder: &Path| {
        PYTHON_MODULES
            .iter()
            .all(|module| folder.join("site-packages").join(module).is_dir())
    };
    python(project).exists()
        && libraries.is_ok_and(|entries| entries.flatten().any(|entry| complete(&entry.path())))
}

/// Whether Python can make an environment.
pub(crate) fn has_venv_module(machine: &Machine) -> bool {
    machine.program("python3").is_some_and(|python| {
        process::quiet_stdout_of(Command::new(python).args(["-c", "import ensurepip, venv"]))
            .is_ok()
    })
}

/// Makes the Python environment.
pub(crate) fn install_python_env(machine: &Machine) -> Result<()> {
    let project = machine.project();
    let log = project.log("python");
    let system = machine.program("python3").context("python3 is not there")?;
    let mut make = Command::new(system);
    make.args(["-m", "venv", "--clear"])
        .arg(project.python_env());
    process::run_logged(&mut make, &log)?;
    let mut fill = Command::new(python(project));
    fill.args(["-m", "pip", "install", "--quiet", "--requirement"])
        .arg(project.root().join(PYTHON_REQUIREMENTS));
    process::run_logged(&mut fill, &log)
}

/// Whether rustfmt and clippy stand beside the cargo that started us.
pub(crate) fn has_host_components() -> bool {
    let Some(cargo) = env::var_os("CARGO").map(PathBuf::from) else {
        return true;
    };
    let beside = |name: &str| {
        cargo
            .parent()
            .is_some_and(|folder| is_executable(&folder.join(name)))
    };
    ["cargo-fmt", "rustfmt", "cargo-clippy", "clippy-driver"]
        .into_iter()
        .all(beside)
}

/// Adds rustfmt and clippy to the toolchain that started us.
pub(crate) fn install_host_components(machine: &Machine) -> Result<()> {
    let rustup = machine
        .program("rustup")
        .context("there is no rustup: install rustfmt and clippy by hand")?;
    let mut command = Command::new(rustup);
    command.args(["component", "add", "rustfmt", "clippy"]);
    process::run_logged(&mut command, &machine.project().log("rustup"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::put_program;

    #[test]
    fn python_environment_without_its_modules_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        put_program(&python(machine.project()), "");
        let site = machine
            .project()
            .python_env()
            .join("lib/python3.11/site-packages");
        for module in PYTHON_MODULES {
            assert!(!has_python_env(&machine), "before {module}");
            fs::create_dir_all(site.join(module)).unwrap();
        }
        assert!(has_python_env(&machine));
    }

    #[test]
    fn buf_of_the_cache_folder_is_preferred() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        put_program(&root.path().join("usr/bin/buf"), "");
        assert_eq!(buf(&machine), Some(root.path().join("usr/bin/buf")));
        let own = machine.project().npm().join("node_modules/.bin/buf");
        put_program(&own, "");
        assert_eq!(buf(&machine), Some(own));
    }
}
