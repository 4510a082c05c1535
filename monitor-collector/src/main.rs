//! Receives the events of all agents, judges them, keeps the ledgers and revokes.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::bail;
use clap::{Parser, Subcommand};
use monitor_collector::{
    config::{self, Config},
    entropy,
    pipeline::Collector,
};
use monitor_ledger::{
    check::{Trust, folder},
    key::LogKey,
};
use monitor_model::{
    clock::{Clock as _, SystemClock},
    id::TenantId,
};
use monitor_transport::{causes, logging};
use tokio::signal::unix::{SignalKind, signal};

/// Receives the events of all agents, judges them, keeps the ledgers and revokes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT, then puts everything taken on disk.
    Run {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
        /// How log lines look: text or json.
        #[arg(long, default_value_t)]
        log_format: logging::Format,
    },
    /// Says whether a configuration and its TLS files are right.
    CheckConfig {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Prints a documented configuration.
    Config {
        /// The one to begin with.
        #[arg(long, required = true)]
        default: bool,
    },
    /// Makes the key that signs checkpoints; a file that is there is left alone.
    LedgerKey {
        /// Where to: not in the collector's folder.
        #[arg(long)]
        out: PathBuf,
        /// Its name, by which the logs are known, as in monitor.example.
        #[arg(long)]
        name: String,
        /// Tenant whose verifier key is printed; repeat for more.
        #[arg(long)]
        tenant: Vec<TenantId>,
    },
    /// Prints the keys that clients check their checkpoints with.
    ShowKey {
        /// The key file.
        #[arg(long)]
        key: PathBuf,
        /// The client's tenant; repeat for more.
        #[arg(long, required = true)]
        tenant: Vec<TenantId>,
    },
    /// Checks every entry of every ledger, without a running collector.
    Verify {
        /// The collector's folder.
        #[arg(long)]
        data_dir: PathBuf,
    },
}

fn main() -> ExitCode {
    match act(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("monitor-collector: {}", causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Run { config, log_format } => {
            logging::start(log_format);
            run(Config::load(&config)?)
        }
        Command::CheckConfig { config: path } => {
            let config = Config::load(&path)?;
            config.tls.load(SystemClock.now())?;
            config.ledger_key.as_deref().map(LogKey::load).transpose()?;
            let (tenants, rules) = (config.tenants.len(), config.rules.len());
            writeln!(
                out,
                "{}: ok, {tenants} tenants, {rules} rules",
                path.display()
            )?;
            Ok(())
        }
        Command::Config { default: _ } => Ok(out.write_all(config::DEFAULT.as_bytes())?),
        Command::LedgerKey {
            out: path,
            name,
            tenant,
        } => make_key(&path, &name, &tenant, &mut out),
        Command::ShowKey { key, tenant } => show_key(&key, &tenant, &mut out),
        Command::Verify { data_dir } => check_ledgers(&data_dir, &mut out),
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let collector = Collector::start(config, Arc::new(SystemClock)).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        collector.drain().await;
        Ok(())
    })
}

/// Makes a key, and prints what its signatures are checked with.
fn make_key(
    path: &Path,
    name: &str,
    tenants: &[TenantId],
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let key = LogKey::new(name, &entropy::random::<32>()?)?;
    key.store(path)?;
    for tenant in tenants {
        writeln!(out, "{}", key.signer(tenant.as_str())?.verifier().as_str())?;
    }
    Ok(())
}

/// Prints what the signatures of a key are checked with.
fn show_key(path: &Path, tenants: &[TenantId], out: &mut impl Write) -> anyhow::Result<()> {
    let key = LogKey::load(path)?;
    for tenant in tenants {
        writeln!(out, "{}", key.signer(tenant.as_str())?.verifier().as_str())?;
    }
    Ok(())
}

fn check_ledgers(data_dir: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let places = folder::find(data_dir)?;
    let mut broken = 0;
    for place in &places {
        match place.check(&Trust::default()) {
            Ok(report) => {
                let (tenant, records, root) = (report.tenant, report.records, report.root);
                writeln!(
                    out,
                    "{tenant}: ok, {records} entries, {} after the newest checkpoint, root {root}",
                    report.unsigned
                )?;
            }
            Err(error) => {
                broken += 1;
                writeln!(out, "{error}")?;
            }
        }
    }
    if broken > 0 {
        bail!("{broken} of {} ledgers are broken", places.len());
    }
    Ok(())
}
