//! What each step of `cargo xtask test` does.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::artifacts::Artifact;
use crate::cache::Project;
use crate::cases::{self, Place};
use crate::host_build::{self, Built};
use crate::kernels::{NotInArchive, Series};
use crate::machine::Machine;
use crate::process;
use crate::test_run::{self, Counts};
use crate::{bench, bpf, faults, tools, vm};

/// The longest that one test binary may run.
const TEST_LIMIT: Duration = Duration::from_secs(15 * 60);
/// The longest that fetching the advisory database may take.
const FETCH_LIMIT: Duration = Duration::from_secs(120);
/// Tells the end-to-end tests where the programs are.
const PROGRAMS_VARIABLE: &str = "MONITOR_BIN_DIR";
/// Tells the outsider test which Python has grpcio.
const PYTHON_VARIABLE: &str = "MONITOR_PYTHON";
/// The package of the end-to-end tests, and the one of the kernel tests.
const E2E_FOLDER: &str = "tests";
const KERNEL_FOLDER: &str = "monitor-agent";

/// One step.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Suite) -> Result<Counts>,
}

/// All steps, the quickest answers first.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "formatting, host and BPF",
        run: fmt,
    },
    Step {
        name: "buf",
        about: "lint of the .proto files",
        run: buf,
    },
    Step {
        name: "deny",
        about: "licences, bans and sources of the dependencies",
        run: deny,
    },
    Step {
        name: "advisories",
        about: "known vulnerabilities of the dependencies (needs the network)",
        run: advisories,
    },
    Step {
        name: "build",
        about: "BPF object, programs and test binaries",
        run: build,
    },
    Step {
        name: "clippy",
        about: "lints of the host crates",
        run: clippy,
    },
    Step {
        name: "clippy-bpf",
        about: "lints of the probes",
        run: clippy_bpf,
    },
    Step {
        name: "unit",
        about: "unit and property tests of every crate",
        run: |suite| suite.tests("unit"),
    },
    Step {
        name: "doc",
        about: "examples in the documentation",
        run: doc,
    },
    Step {
        name: "integration",
        about: "tests of whole crates",
        run: |suite| suite.tests("integration"),
    },
    Step {
        name: "kernel",
        about: "the agent's tests in the running kernel (root)",
        run: |suite| suite.tests("kernel"),
    },
    Step {
        name: "vm-6.1",
        about: "the probes in Debian's 6.1, in QEMU",
        run: |suite| suite.vm(Series::V6_1),
    },
    Step {
        name: "vm-6.12",
        about: "the probes in Debian's 6.12, in QEMU",
        run: |suite| suite.vm(Series::V6_12),
    },
    Step {
        name: "vm-sid",
        about: "the probes in the newest kernel of Debian unstable, in QEMU",
        run: |suite| suite.vm(Series::Sid),
    },
    Step {
        name: "cases-host",
        about: "cases in the running kernel, each in a session (root)",
        run: |suite| suite.cases(Place::Host),
    },
    Step {
        name: "cases-6.1",
        about: "half of the cases on a whole jump host with Debian's 6.1, in QEMU",
        run: |suite| suite.cases(Place::Vm(Series::V6_1)),
    },
    Step {
        name: "cases-6.12",
        about: "the other half with Debian's 6.12, in QEMU",
        run: |suite| suite.cases(Place::Vm(Series::V6_12)),
    },
    Step {
        name: "bench",
        about: "the loads of the benches run, and what they say can be read (root)",
        run: |suite| {
            bench::smoke(suite.project)?;
            let (built, artifacts) = suite.built()?;
            bench::smoke_of_collector(suite.project, &built.programs, artifacts)?;
            bench::smoke_of_revoke(suite.project, &built.programs)?;
            bench::smoke_of_pipeline(suite.project, &built.programs)?;
            Ok(Counts {
                passed: 4,
                ..Counts::default()
            })
        },
    },
    Step {
        name: "faults",
        about: "two rounds of each family of faults, and what is lost by them (root)",
        run: |suite| {
            let (built, _) = suite.built()?;
            faults::step(suite.project, &built.programs)
        },
    },
    Step {
        name: "e2e",
        about: "all programs together; the demo's scene (root)",
        run: |suite| suite.tests("e2e"),
    },
];

/// The names of all steps.
pub(crate) fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

/// What the steps share; built once, by the first step that needs it.
pub(crate) struct Suite<'a> {
    project: &'a Project,
    machine: Machine,
    built: OnceCell<Result<(Built, Vec<Artifact>), String>>,
}

impl<'a> Suite<'a> {
    /// A suite that has built nothing yet.
    pub(crate) fn new(project: &'a Project) -> Self {
        Self {
            project,
            machine: Machine::here(project),
            built: OnceCell::new(),
        }
    }

    fn built(&self) -> Result<&(Built, Vec<Artifact>)> {
        let make = || host_build::build_with_tests(self.project);
        let built = self
            .built
            .get_or_init(|| make().map_err(|error: anyhow::Error| format!("{error:#}")));
        built
            .as_ref()
            .map_err(|error| anyhow!("the build failed: {error}"))
    }

    /// Runs the test binaries that belong to a step.
    fn tests(&self, step: &str) -> Result<Counts> {
        let (built, artifacts) = self.built()?;
        let mut counts = Counts::default();
        for artifact in artifacts
            .iter()
            .filter(|artifact| artifact.is_test && step_of(artifact) == step)
        {
            let package = artifact
                .package_dir
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            let name = format!("{package}-{}-{}", artifact.kind, artifact.name);
            let mut command = self.test_command(artifact, step, built);
            let log = self.project.log(&format!("{step}-{name}"));
            match test_run::run_tests(&name, &mut command, &log, TEST_LIMIT) {
                Ok(more) => counts.add(more),
                Err(error) => {
                    eprintln!("error: {error:#}");
                    counts.failed = counts.failed.saturating_add(1);
                }
            }
        }
        if counts == Counts::default() {
            bail!("no test ran: nothing in the workspace belongs to this step");
        }
        Ok(counts)
    }

    /// A test binary with its environment; kernel and end-to-end tests run as
    /// root and one at a time, since there is one kernel.
    fn test_command(&self, artifact: &Artifact, step: &str, built: &Built) -> Command {
        let as_root = matches!(step, "kernel" | "e2e");
        let sudo = if as_root && !self.machine.is_root() {
            self.machine.program("sudo")
        } else {
            None
        };
        let mut command = match sudo {
            Some(sudo) => {
                let mut command = Command::new(sudo);
                command.arg("--preserve-env").arg(&artifact.executable);
                command
            }
            None => Command::new(&artifact.executable),
        };
        command.arg("--show-output");
        if as_root {
            command.arg("--test-threads=1");
        }
        command
            .current_dir(&artifact.package_dir)
            .env("CARGO_MANIFEST_DIR", &artifact.package_dir)
            .env("MONITOR_CACHE", self.project.cache())
            .env(PROGRAMS_VARIABLE, &built.programs)
            .env(PYTHON_VARIABLE, tools::python(self.project))
            .env(host_build::OBJECT_VARIABLE, &built.object);
        command
    }

    fn vm(&self, series: Series) -> Result<Counts> {
        let (built, _) = self.built()?;
        skipped_without_kernel(series, || {
            let said = vm::check(self.project, &built.object, series)?;
            eprintln!("  {said}");
            Ok(Counts::one_passed())
        })
    }

    fn cases(&self, place: Place) -> Result<Counts> {
        let (built, _) = self.built()?;
        let play = || cases::step(self.project, &built.programs, place);
        match place {
            Place::Host => play(),
            Place::Vm(series) => skipped_without_kernel(series, play),
        }
    }

    /// Runs a check that prints only what is wrong.
    fn check(&self, command: &mut Command) -> Result<()> {
        process::run(
            command
                .env("CARGO_TERM_PROGRESS_WHEN", "never")
                .current_dir(self.project.root()),
        )
    }
}

/// A stable release's kernel must be there; not every mirror has unstable. The
/// closing lines say what was skipped, and why.
fn skipped_without_kernel(series: Series, step: impl FnOnce() -> Result<Counts>) -> Result<Counts> {
    step().or_else(|error| match NotInArchive::reason_of(&error) {
        Some(reason) if series.moves() => Ok(Counts::one_skipped(&reason.to_string())),
        _ => Err(error),
    })
}

/// The step that a test binary belongs to.
fn step_of(artifact: &Artifact) -> &'static str {
    let is_of = |folder: &str| artifact.package_dir.ends_with(Path::new(folder));
    match artifact.kind.as_str() {
        _ if is_of(E2E_FOLDER) => "e2e",
        "test" if is_of(KERNEL_FOLDER) => "kernel",
        "test" => "integration",
        _ => "unit",
    }
}

fn fmt(suite: &Suite) -> Result<Counts> {
    suite.check(process::cargo().args(["fmt", "--all", "--check"]))?;
    process::run(&mut bpf::fmt(suite.project))?;
    Ok(Counts {
        passed: 2,
        ..Counts::default()
    })
}

fn clippy(suite: &Suite) -> Result<Counts> {
    let (built, _) = suite.built()?;
    let mut command = process::cargo();
    command.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    suite.check(command.env(host_build::OBJECT_VARIABLE, &built.object))?;
    Ok(Counts::one_passed())
}

fn clippy_bpf(suite: &Suite) -> Result<Counts> {
    process::run(&mut bpf::clippy(suite.project)?)?;
    Ok(Counts::one_passed())
}

fn build(suite: &Suite) -> Result<Counts> {
    suite.built()?;
    Ok(Counts::one_passed())
}

fn buf(suite: &Suite) -> Result<Counts> {
    let buf =
        tools::buf(&suite.machine).context("buf is not there: `cargo xtask setup` says why")?;
    let mut command = Command::new(buf);
    suite.check(command.args(["lint", "proto"]))?;
    Ok(Counts::one_passed())
}

fn cargo_deny(suite: &Suite) -> Result<Command> {
    let program = tools::cargo_deny(&suite.machine)
        .context("cargo-deny is not there: `cargo xtask setup` says why")?;
    let mut command = Command::new(program);
    command
        .args(["--config", "deny.toml"])
        .current_dir(suite.project.root());
    Ok(command)
}

/// The manifests of the host's and of the BPF workspace.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "monitor-ebpf/Cargo.toml"];

fn deny(suite: &Suite) -> Result<Counts> {
    deny_check(suite, &["licenses", "bans", "sources"])
}

/// Skipped where the database cannot be fetched, and only there: with what was
/// fetched earlier it would say "no known vulnerability" of an old list.
fn advisories(suite: &Suite) -> Result<Counts> {
    let log = suite.project.log("advisories-fetch");
    let mut fetch = cargo_deny(suite)?;
    fetch.args(["fetch", "db"]);
    let fetched = test_run::run_limited(&mut fetch, &log, FETCH_LIMIT)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    match fetched {
        Some(status) if status.success() => deny_check(suite, &["--disable-fetch", "advisories"]),
        Some(_) if !text.contains("failed to fetch") => {
            bail!(
                "cargo-deny could not fetch the advisory database:\n{}",
                process::last_lines(&text)
            )
        }
        Some(_) | None => {
            let reason = "this network does not reach the advisory database: known vulnerabilities were not checked";
            eprintln!("  SKIPPED: {reason}; see {}", log.display());
            Ok(Counts::one_skipped(reason))
        }
    }
}

fn deny_check(suite: &Suite, what: &[&str]) -> Result<Counts> {
    let mut counts = Counts::default();
    for manifest in MANIFESTS {
        let mut command = cargo_deny(suite)?;
        command.args([
            "--log-level",
            "error",
            "--all-features",
            "--manifest-path",
            manifest,
            "check",
        ]);
        suite.check(command.args(what))?;
        counts.add(Counts::one_passed());
    }
    Ok(counts)
}

fn doc(suite: &Suite) -> Result<Counts> {
    let (built, _) = suite.built()?;
    let mut command = process::cargo();
    command
        .args(["test", "--doc", "--workspace"])
        .env(host_build::OBJECT_VARIABLE, &built.object)
        .current_dir(suite.project.root());
    test_run::run_tests("doc", &mut command, &suite.project.log("doc"), TEST_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(folder: &str, kind: &str) -> Artifact {
        Artifact {
            name: "x".to_owned(),
            kind: kind.to_owned(),
            package_dir: Path::new("/clone").join(folder),
            is_test: true,
            executable: "/t/x".into(),
        }
    }

    #[test]
    fn only_unstable_is_skipped_where_the_mirror_lacks_it() {
        let lacking = |series| {
            let error = anyhow!("apt-get failed").context(NotInArchive::of(series));
            skipped_without_kernel(series, || Err(error))
        };
        let skipped = lacking(Series::Sid).unwrap();
        assert_eq!((skipped.skipped, skipped.failed), (1, 0));
        assert!(skipped.avoidable_skips().is_empty(), "{skipped:?}");
        assert!(lacking(Series::V6_12).is_err());
        assert!(skipped_without_kernel(Series::Sid, || bail!("a panic")).is_err());
    }

    #[test]
    fn each_test_binary_belongs_to_one_step() {
        assert_eq!(step_of(&artifact("monitor-model", "lib")), "unit");
        assert_eq!(step_of(&artifact("monitor-agent", "bin")), "unit");
        assert_eq!(step_of(&artifact("monitor-agent", "test")), "kernel");
        assert_eq!(
            step_of(&artifact("monitor-collector", "test")),
            "integration"
        );
        assert_eq!(step_of(&artifact("tests", "test")), "e2e");
        assert_eq!(step_of(&artifact("tests", "lib")), "e2e");
    }
}
