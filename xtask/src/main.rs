//! Set-up, build, demo and tests of this repository: `cargo xtask`.
//!
//! # Layout
//! - `cache`: where things that outlive one command are kept
//! - `process`: running other programs, with errors that say which and why
//! - `machine`: what this computer has
//! - `packages`: Debian packages, installed or only unpacked
//! - `needs`: the table of needs; `setup`: what is done about a missing one
//! - `toolchain`: the compiler and linker of the BPF object
//! - `tools`: cargo-deny, buf and the Python environment of the tests
//! - `bpf`, `host_build`: the two halves of `build`; `artifacts`: what cargo made
//! - `test_run`: runs test binaries and counts what they say
//! - `suite`, `steps`: runs and reports the steps of `test`; what each does
//! - `kernels`, `initramfs`, `vm`: the probes in Debian's kernels, in QEMU
//! - `jump_host`: the disks of a whole jump host; `cases`: what is played on it
//! - `faults`: what is lost when parts fail; `fuzz`: decoders under libFuzzer;
//!   `simulate`: all parts in one thread, by seeds
//! - `bench`: what watching costs
//! - `verified`: how much of the verifier's patience each program takes
//! - `demo`: the scene

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

mod artifacts;
mod bench;
mod bpf;
mod cache;
mod cases;
mod demo;
mod document;
mod emulator;
mod errand;
mod faults;
mod fuzz;
mod host_build;
mod initramfs;
mod jump_host;
mod kernels;
mod machine;
mod modules;
mod needs;
mod packages;
mod player;
mod process;
mod setup;
mod simulate;
mod steps;
mod suite;
mod test_run;
mod toolchain;
mod tools;
mod verified;
mod vm;

use cache::Project;
use host_build::Profile;
use kernels::Series;
use needs::Goal;

/// Set-up, build, demo and tests of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Args {
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Find what this machine lacks, say why it is needed, and install it.
    ///
    /// `build`, `demo` and `test` do this by themselves for what they need.
    Setup {
        /// What to set up for.
        #[arg(long = "for", value_enum, default_value_t = Goal::Test)]
        goal: Goal,
        /// Say what is missing and change nothing; exit code 1 if anything is.
        #[arg(long)]
        check: bool,
    },
    /// Build the BPF object, then the host programs with the object inside.
    Build {
        /// Optimise fully (slower to build).
        #[arg(long)]
        release: bool,
    },
    /// Run every check and test; ends with `N passed, N failed, N skipped`.
    Test {
        /// Run only this step; may be repeated. Names: see `--list`.
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// Print the steps and what each does.
        #[arg(long)]
        list: bool,
    },
    /// Load the probes in Debian's kernels in QEMU and check what they see.
    Vm {
        /// Only this kernel series.
        #[arg(long, value_enum)]
        kernel: Option<Series>,
        /// Run this program instead of the workspace's own check; it should
        /// print `VM-CHECK ok` or `VM-CHECK failed: why`.
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
        /// Run those of the agent's tests that load probes whose name holds this.
        #[arg(long, value_name = "NAME", conflicts_with = "program")]
        tests: Option<String>,
        /// Write down how much of each program the verifier went through.
        #[arg(long, conflicts_with_all = ["program", "tests"])]
        record: bool,
    },
    /// Play cases, each in a real session, and check what is seen of them.
    Cases(cases::CasesArgs),
    /// Have parts fail for real while people work; nothing may be lost by it.
    Faults(faults::FaultsArgs),
    /// Play agents, collector and broker in one thread, with faults that follow from seeds.
    Simulate(simulate::SimulateArgs),
    /// Give every decoder bytes that nobody meant, under libFuzzer.
    Fuzz(fuzz::FuzzArgs),
    /// Measure what watching costs.
    Bench(bench::BenchArgs),
    /// Play the main job on this machine: a real ssh session is seen, judged, cut off.
    Demo(demo::DemoArgs),
    /// Remove whatever an interrupted demo left behind.
    Clean,
}

fn main() -> ExitCode {
    match dispatch(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: Args) -> Result<ExitCode> {
    let Some(task) = args.command else {
        Args::command().print_help()?;
        return Ok(ExitCode::from(2));
    };
    let project = Project::discover()?;
    match task {
        Task::Setup { goal, check: true } => return Ok(setup::check(&project, goal)),
        Task::Setup { goal, check: false } => setup::ensure(&project, goal, setup::Voice::Full)?,
        Task::Build { release } => {
            setup::ensure(&project, Goal::Build, setup::Voice::OnlyMissing)?;
            host_build::build_all(&project, Profile::from_flag(release))?;
        }
        Task::Test { list: true, .. } => suite::list(),
        Task::Test { only, list: false } => return suite::run(&project, &only),
        Task::Vm {
            kernel,
            program,
            tests,
            record,
        } => {
            setup::ensure_steps(&project, &["vm-6.1", "vm-6.12", "vm-sid"])?;
            let what = match (&program, &tests, record) {
                (Some(program), _, _) => vm::What::Program(program),
                (None, Some(tests), _) => vm::What::Tests(tests),
                (None, None, true) => vm::What::Record,
                (None, None, false) => vm::What::Check,
            };
            return vm::run_command(&project, kernel, &what);
        }
        Task::Cases(args) => {
            setup::ensure_steps(&project, &args.steps())?;
            return cases::run(&project, &args);
        }
        Task::Faults(args) => {
            setup::ensure_steps(&project, args.steps())?;
            return faults::run(&project, &args);
        }
        Task::Simulate(args) => {
            setup::ensure(&project, Goal::Build, setup::Voice::OnlyMissing)?;
            return simulate::run(&project, &args);
        }
        Task::Fuzz(args) => return fuzz::run(&project, &args),
        Task::Bench(args) => {
            setup::ensure_steps(&project, args.steps())?;
            return bench::run(&project, &args);
        }
        Task::Demo(demo_args) => {
            if !demo_args.is_prepared() {
                setup::ensure(&project, Goal::Demo, setup::Voice::OnlyMissing)?;
            }
            return demo::run(&project, &demo_args);
        }
        Task::Clean => demo::clean(&project)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn unknown_kernel_series_is_refused_with_the_known_ones() {
        let error = Args::try_parse_from(["xtask", "vm", "--kernel", "5.4"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("6.1") && text.contains("6.12"), "{text}");
    }
}
