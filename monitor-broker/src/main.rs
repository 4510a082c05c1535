//! The reference credential broker: an OpenSSH user CA and its key revocation list.

use std::{process::ExitCode, sync::Arc};

use clap::Parser as _;
use monitor_broker::{
    cli::{self, Cli, Command, RunArgs},
    config::Config,
    server::Bound,
};
use monitor_model::clock::SystemClock;
use monitor_transport::logging;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let outcome = if let Command::Run(args) = &command {
        run(args)
    } else {
        cli::execute(command).map_err(Into::into)
    };
    outcome.unwrap_or_else(|error: anyhow::Error| cli::fail(error.as_ref()))
}

#[tokio::main]
async fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config)?;
    logging::start(args.log_format);
    let bound = Bound::new(&config, Arc::new(SystemClock)).await?;
    let (mut term, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let stop = async move {
        tokio::select! { _ = term.recv() => (), _ = interrupt.recv() => () }
        tracing::info!("Stopping: open calls are answered first.");
    };
    bound.serve(stop).await?;
    Ok(ExitCode::SUCCESS)
}
