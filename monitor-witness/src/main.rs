//! Signs ledgers' checkpoints, and only those that go on from what it signed before.

use std::{
    fs::File,
    io::{Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Parser, Subcommand};
use monitor_ledger::cosignature::CosigningKey;
use monitor_model::clock::SystemClock;
use monitor_transport::{causes, logging};
use monitor_witness::{
    config::{self, Config},
    server::{Bound, acceptor},
    store::{Beginning, Store},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Signs ledgers' checkpoints, and only those that go on from what it signed before.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT.
    Run {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
        /// Begins as a new witness: nothing was signed before.
        #[arg(long)]
        new: bool,
        /// How log lines look: text or json.
        #[arg(long, default_value_t)]
        log_format: logging::Format,
    },
    /// Says whether a configuration, its key and its TLS files are right.
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
    /// Makes the key that signs, and prints what its signatures are checked with;
    /// a file that is there is left alone.
    Key {
        /// Where to.
        #[arg(long)]
        out: PathBuf,
        /// The witness's name, as in witness.example.
        #[arg(long)]
        name: String,
    },
    /// Prints what the signatures of a key are checked with.
    ShowKey {
        /// The key file.
        #[arg(long)]
        key: PathBuf,
    },
    /// Prints each log that is known: name, size, root (base 64), when it was signed last,
    /// and how many checkpoints were refused that contradict what was signed.
    Logs {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Prints the checkpoints of a log that contradict what was signed.
    Refused {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
        /// The log's name.
        #[arg(long)]
        log: String,
    },
}

fn main() -> ExitCode {
    match act(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("monitor-witness: {}", causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Run {
            config,
            new,
            log_format,
        } => {
            logging::start(log_format);
            let beginning = if new {
                Beginning::New
            } else {
                Beginning::GoesOn
            };
            run(&config, beginning)?;
        }
        Command::CheckConfig { config: path } => {
            let config = Config::load(&path)?;
            let key = CosigningKey::load(&config.key)?.verifier();
            config.tls.as_ref().map(acceptor).transpose()?;
            let (logs, name) = (config.logs.0.len(), key.name());
            writeln!(out, "{}: ok, {name}, {logs} log tables", path.display())?;
        }
        Command::Config { default: _ } => out.write_all(config::DEFAULT.as_bytes())?,
        Command::Key { out: path, name } => {
            let mut seed = [0; 32];
            File::open("/dev/urandom")?.read_exact(&mut seed)?;
            let key = CosigningKey::new(&name, &seed)?;
            key.store(&path)?;
            writeln!(out, "{}", key.verifier().as_str())?;
        }
        Command::ShowKey { key } => {
            writeln!(out, "{}", CosigningKey::load(&key)?.verifier().as_str())?;
        }
        Command::Logs { config } => show_logs(&config, &mut out)?,
        Command::Refused { config, log } => {
            let store = Store::open(&Config::load(&config)?.data_dir, Beginning::GoesOn)?;
            for note in store.refused(&log)? {
                out.write_all(&note)?;
                writeln!(out)?;
            }
        }
    }
    Ok(())
}

#[tokio::main]
async fn run(path: &Path, beginning: Beginning) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    let bound = Bound::new(&config, Arc::new(SystemClock), beginning).await?;
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        stopping.cancel();
    });
    bound.serve(stop).await;
    Ok(())
}

fn show_logs(path: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let store = Store::open(&Config::load(path)?.data_dir, Beginning::GoesOn)?;
    for known in store.known()? {
        let root = STANDARD.encode(known.tree.root);
        writeln!(
            out,
            "{} {} {root} at {} s since 1970, {} contradictions",
            known.origin, known.tree.size, known.at_unix_s, known.refused
        )?;
    }
    Ok(())
}
