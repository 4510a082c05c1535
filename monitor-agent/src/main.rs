//! Watches one jump host: probes, attribution, spool, uplink, containment, and the hooks that sshd calls.

use std::{env, io::Write as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::Parser as _;
use monitor_agent::{
    cli::{Cli, Command, ConfigFile, HookOptions},
    config::{Config, DEFAULT},
    doctor, kernel,
    login::{Askers, Authorities, client::Hook},
    lossy, run,
    watch::catalogue,
};
use monitor_transport::{
    causes,
    logging::{self, Format},
    memory,
};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

/// Events are made by one thread and freed by another, and threads for the disk
/// come and go: the C library's allocator keeps a pool for each, which it hardly
/// gives back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match start(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Standard error is all there is to tell it.
            let _ = writeln!(
                std::io::stderr(),
                "monitor-agent: {}",
                causes(error.as_ref())
            );
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::PamSession { hook } => Ok(self::hook(hook)
            .pam_session(|name| env::var(name).ok())
            .say()),
        Command::Principals {
            hook,
            account,
            key_type,
            certificate,
        } => Ok(self::hook(hook)
            .principals(&account, &key_type, &certificate)
            .say()),
        Command::Run { config, log_format } => {
            logging::start(log_format);
            watch(Config::load(&config.path)?, log_format).map(|()| 0)
        }
        Command::ReadBefore {
            config,
            probes,
            log_format,
        } => {
            logging::start(log_format);
            // Nobody else reads while it does, and whoever starts next begins again.
            set_parent_process_death_signal(Some(Signal::KILL)).context("prctl")?;
            let config = Config::load(&config.path)?;
            let read = runtime()?.block_on(run::read_before(&config, &probes));
            read.context("what the probes of before told cannot be read")?;
            Ok(0)
        }
        Command::Doctor { config, output } => {
            let diagnosis = runtime()?.block_on(doctor::diagnose(config.as_deref()));
            say(&diagnosis.show(output)?)?;
            Ok(diagnosis.exit_code())
        }
        Command::Detach { config } => detach(&config).map(|()| 0),
        Command::CheckConfig { config } => check(&config.path).map(|()| 0),
        Command::Hooks => say(&kernel::hooks::document()).map(|()| 0),
        Command::Config { catalogue, .. } => {
            say(if catalogue { catalogue::TEXT } else { DEFAULT }).map(|()| 0)
        }
    }
}

fn hook(options: HookOptions) -> Hook {
    Hook {
        socket: options.socket,
        break_glass: options.break_glass,
    }
}

fn watch(config: Config, log_format: Format) -> anyhow::Result<()> {
    if let Err(error) = memory::small_pages() {
        tracing::warn!(%error, "Memory comes in huge pages: more of it is taken.");
    }
    runtime()?.block_on(async {
        let (mut terminated, mut interrupted) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let stop = async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
        };
        let ran = run::run(config, log_format, stop).await;
        ran.context("the agent cannot run")
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no threads")
}

fn detach(config: &ConfigFile) -> anyhow::Result<()> {
    let config = Config::load(&config.path)?;
    let removed = kernel::detach(&config.pin_dir).context("the probes cannot be removed")?;
    say(&format!(
        "removed {} programs and {} tables below {}\n",
        removed.links,
        removed.maps,
        config.pin_dir.display()
    ))
}

fn check(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    Askers::find(
        &config.principals_users,
        &lossy::text("/etc/passwd").unwrap_or_default(),
    )
    .with_context(|| path.display().to_string())?;
    Authorities::read(config.user_ca.as_deref()).with_context(|| path.display().to_string())?;
    say(&format!("{}: ok\n", path.display()))
}

fn say(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("standard output")
}
