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
    alert::sigma::SigmaFile,
    config::{self, Config},
    entropy,
    pipeline::Collector,
    rejudge::rejudge,
    reseal::{Keys, Outcome, Renewal, Stage, ledgers, reseal},
    witness::link::Link,
};
use monitor_ledger::{
    check::{Trust, folder},
    key::{KeyError, LogKey},
    seal::{Home, SealKey},
};
use monitor_model::{
    clock::{Clock as _, SystemClock},
    id::TenantId,
};
use monitor_transport::{causes, descriptors, logging, memory};
use tokio::signal::unix::{SignalKind, signal};

/// Events are many small pieces that one thread makes and another frees, which
/// is what the C library's allocator is slowest at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Descriptors for a thousand agents and every reader that there is a place for,
/// with the files of ledgers.
const DESCRIPTORS_WANTED: u64 = 8_192;

/// Receives the events of all agents, judges them, keeps the ledgers and revokes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT, then puts everything taken on disk. SIGHUP
    /// has it read tenants, inventory, policy and alert rules again.
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
    /// Judges every entry of every ledger again, from stored facts, and says
    /// whether each verdict comes out the same. Changes nothing.
    Rejudge {
        /// The collector's folder.
        #[arg(long)]
        data_dir: PathBuf,
        /// The key that its ledgers and state are sealed with, where they are.
        #[arg(long)]
        seal_key: Option<PathBuf>,
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
    /// Makes the key that ledgers and state are sealed with; a file that is there is left alone.
    SealKey {
        /// Where to: not in the collector's folder.
        #[arg(long)]
        out: PathBuf,
    },
    /// Seals ledgers and state with another key in place of the one they are sealed
    /// with, while no collector runs. What was ended in between goes on when it is
    /// started again. The old key opens nothing of them afterwards.
    Reseal {
        /// The collector's folder.
        #[arg(long)]
        data_dir: PathBuf,
        /// The key that they are sealed with.
        #[arg(long)]
        seal_key: PathBuf,
        /// The key to seal them with, of `seal-key`.
        #[arg(long)]
        new_key: PathBuf,
        /// Renew the keys of ledgers and state as well, and write anew all that is
        /// sealed with them: where somebody may have had both the old key and a copy
        /// of the files.
        #[arg(long)]
        contents: bool,
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
        /// The key that its ledgers are sealed with, where they are.
        #[arg(long)]
        seal_key: Option<PathBuf>,
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
            run(&config)
        }
        Command::CheckConfig { config: path } => {
            let config = Config::load(&path)?;
            config.tls.load(SystemClock.now())?;
            let (tenants, rules) = (config.terms.tenants.len(), config.rules.len());
            let credentials = config.terms.inventory.len();
            config.ledger_key.as_deref().map(LogKey::load).transpose()?;
            config.home()?;
            config.witness.as_ref().map(Link::new).transpose()?;
            writeln!(
                out,
                "{}: ok, {tenants} tenants, {credentials} credentials, {rules} rules",
                path.display()
            )?;
            tell_sigma(&config.sigma_files, &mut out)
        }
        Command::Config { default: _ } => Ok(out.write_all(config::DEFAULT.as_bytes())?),
        Command::Rejudge { data_dir, seal_key } => judge_again(
            &Home::new(data_dir, seal_of(seal_key.as_deref())?),
            &mut out,
        ),
        Command::LedgerKey {
            out: path,
            name,
            tenant,
        } => make_key(&path, &name, &tenant, &mut out),
        Command::ShowKey { key, tenant } => show_key(&key, &tenant, &mut out),
        Command::SealKey { out } => Ok(SealKey::new(entropy::random()?).store(&out)?),
        Command::Reseal {
            data_dir,
            seal_key,
            new_key,
            contents,
        } => {
            let keys = Keys {
                old: SealKey::load(&seal_key)?,
                new: SealKey::load(&new_key)?,
            };
            let renewal = if contents {
                Renewal::Contents
            } else {
                Renewal::Keys
            };
            seal_again(&data_dir, &keys, renewal, &mut out)?;
            Ok(writeln!(
                out,
                "let [ledger] seal name {} before the collector starts",
                new_key.display()
            )?)
        }
        Command::Verify { data_dir, seal_key } => {
            let trust = Trust {
                seal: seal_of(seal_key.as_deref())?,
                ..Trust::default()
            };
            check_ledgers(&data_dir, &trust, &mut out)
        }
    }
}

/// Which Sigma rules run, and which do not and why.
fn tell_sigma(files: &[SigmaFile], out: &mut impl std::io::Write) -> anyhow::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let refused = files.iter().filter(|file| file.refused.is_some()).count();
    let run = files.len() - refused;
    writeln!(out, "sigma: {run} of {} rules run", files.len())?;
    for file in files {
        let path = &file.path;
        match &file.refused {
            None => writeln!(out, "sigma: {path}: runs: {}", file.title)?,
            Some(why) => writeln!(out, "sigma: {path}: does not run: {why}")?,
        }
    }
    Ok(())
}

fn run(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    if let Err(error) = memory::small_pages() {
        tracing::warn!(%error, "Memory comes in huge pages: a quarter more of it is taken.");
    }
    if let Some(most) = descriptors::raise()
        && most < DESCRIPTORS_WANTED
    {
        tracing::warn!(
            most,
            wanted = DESCRIPTORS_WANTED,
            "Few files and connections may be open: agents and readers beyond will be refused; raise LimitNOFILE."
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let collector = Collector::start(config, Arc::new(SystemClock)).await?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => collector.reload(Config::load(path)).await,
                () = tokio::time::sleep(collector.resolve_every()) => collector.resolve().await,
            }
        }
        collector.drain().await;
        Ok(())
    })
}

fn judge_again(home: &Home, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    let mut wrong = 0;
    let tenants = ledgers(home)?;
    if tenants.is_empty() {
        bail!(
            "{}: no ledger in it; give the data_dir of the configuration",
            home.join("ledger").display()
        );
    }
    for tenant in &tenants {
        let report = rejudge(home, tenant)?;
        let (same, unknown) = (report.same, report.unknown);
        write!(out, "{tenant}: {same} verdicts come out the same")?;
        if unknown > 0 {
            write!(out, ", {unknown} were made under a policy that is not kept")?;
        }
        if let Some(first) = report.first {
            write!(
                out,
                ", {} DIFFER, the first at {}: {} became {}",
                report.differing, first.position, first.stored, first.again
            )?;
        }
        writeln!(out)?;
        wrong += report.differing + unknown;
    }
    if wrong > 0 {
        bail!("{wrong} verdicts cannot be made again");
    }
    Ok(())
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

/// Seals with another key, and says of each file when it is done.
fn seal_again(
    data_dir: &Path,
    keys: &Keys,
    renewal: Renewal,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut said = Ok(());
    reseal(data_dir, keys, renewal, &mut |path, stage| {
        let what = match stage {
            Stage::Written | Stage::Committed => return,
            Stage::Done(Outcome::Resealed) => "sealed with the new key",
            Stage::Done(Outcome::Sealed) => "was in clear, sealed with the new key",
            Stage::Done(Outcome::Already) => "was sealed with the new key before",
        };
        let line = writeln!(out, "{}: {what}", path.display());
        if said.is_ok() {
            said = line;
        }
    })?;
    Ok(said?)
}

fn seal_of(path: Option<&Path>) -> Result<Option<SealKey>, KeyError> {
    path.map(SealKey::load).transpose()
}

fn check_ledgers(data_dir: &Path, trust: &Trust, out: &mut impl Write) -> anyhow::Result<()> {
    let places = folder::find(data_dir)?;
    let mut broken = 0;
    for place in &places {
        match place.check(trust) {
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
