//! One module a command.

use std::fmt::Display;

use monitor_proto::InvalidMessage;

use crate::{
    cli::{AlertsCommand, Cli, Command, Conformance, Global, OrdersCommand, OutputFormat},
    connection::Connection,
    error::CliError,
    output::{Format, Paint, Screen},
    settings::{Settings, Variables},
};

pub mod alerts;
pub mod complete;
pub mod completions;
pub mod conformance;
pub mod explain;
pub mod export;
pub mod filter;
pub mod grants;
pub mod hosts;
pub mod inspect;
pub mod investigate;
pub mod orders;
pub mod pki;
pub mod release;
pub mod report;
pub mod revoke;
pub mod rules;
pub mod search;
pub mod sessions;
pub mod tail;
pub mod tree;
pub mod verify;

/// Whether standard output is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// People look at it.
    Yes,
    /// A file or a program takes it.
    No,
}

/// Carries out a command.
///
/// # Errors
/// [`CliError`] with what went wrong and what would be right.
pub fn run(cli: &Cli, variables: Variables<'_>, terminal: Terminal) -> Result<(), CliError> {
    let mut out = std::io::stdout();
    if let Command::Pki { command } = &cli.command {
        return pki::run(command, &mut out);
    }
    if let Command::Completions { shell } = &cli.command {
        return completions::run(*shell, &mut out);
    }
    let settings = Settings::load(&cli.global, variables)?;
    if settings.output == Some(OutputFormat::Csv) && !has_columns(&cli.command) {
        return Err(CliError::Usage(
            "csv is for lists: alerts, conformance, grants, hosts, investigate, orders, report, rules, search and sessions; \
             give table, json or ndjson"
                .to_owned(),
        ));
    }
    if let Command::Verify(verify) = &cli.command {
        return verify::run(verify, &mut screen(&cli.global, &settings, terminal));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if let Command::Conformance { command } = &cli.command {
        let Conformance::Broker(asked) = command;
        let mut screen = screen(&cli.global, &settings, terminal);
        return runtime.block_on(conformance::run(asked, &settings, &mut screen));
    }
    let dial = settings.dial()?;
    let mut screen = screen(&cli.global, &settings, terminal);
    runtime.block_on(async {
        let connection = Connection::open(&dial).await?;
        dispatch(&cli.command, &connection, &mut screen).await
    })
}

async fn dispatch(
    command: &Command,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    match command {
        Command::Tail(tail) => tail::run(tail, connection, screen).await,
        Command::Search(search) => search::run(search, connection, screen).await,
        Command::Investigate(asked) => investigate::run(asked, connection, screen).await,
        Command::Sessions(sessions) if sessions.tree => {
            tree::run(sessions, connection, screen).await
        }
        Command::Sessions(sessions) => sessions::run(sessions, connection, screen).await,
        Command::Alerts(alerts) => alerts::run(alerts, connection, screen).await,
        Command::Rules { sigma } => rules::run(*sigma, connection, screen).await,
        Command::Grants(grants) => grants::run(grants, connection, screen).await,
        Command::Complete(complete) => complete::run(complete, connection, screen).await,
        Command::Export(export) => export::run(export, connection, screen).await,
        Command::Hosts(hosts) => hosts::run(hosts, connection, screen).await,
        Command::Explain { event } => explain::run(event, connection, screen).await,
        Command::Orders(asked) => orders::run(asked, connection, screen).await,
        Command::Order { order } => orders::show(order, connection, screen).await,
        Command::Revoke(revoke) => revoke::run(revoke, connection, screen).await,
        Command::Contain(contain) => revoke::run(&contain.into(), connection, screen).await,
        Command::Release(release) => release::run(release, connection, screen).await,
        Command::Report(asked) => report::run(asked, connection, screen).await,
        Command::Inspect(asked) => inspect::run(asked, connection, screen).await,
        // Carried out above, without a connection.
        Command::Pki { .. }
        | Command::Completions { .. }
        | Command::Conformance { .. }
        | Command::Verify(_) => Ok(()),
    }
}

/// Whether a command's answer is a list with columns.
fn has_columns(command: &Command) -> bool {
    match command {
        Command::Search(_)
        | Command::Investigate(_)
        | Command::Rules { .. }
        | Command::Conformance { .. }
        | Command::Report(_)
        | Command::Hosts(_) => true,
        Command::Orders(orders) => {
            matches!(orders.command, None | Some(OrdersCommand::List(_)))
        }
        Command::Alerts(alerts) => {
            matches!(alerts.command, None | Some(AlertsCommand::List(_)))
        }
        Command::Grants(grants) => grants.action.is_none(),
        Command::Sessions(sessions) => !sessions.tree,
        Command::Tail(_)
        | Command::Explain { .. }
        | Command::Order { .. }
        | Command::Revoke(_)
        | Command::Contain(_)
        | Command::Release(_)
        | Command::Inspect(_)
        | Command::Complete(_)
        | Command::Export(_)
        | Command::Verify(_)
        | Command::Pki { .. }
        | Command::Completions { .. } => false,
    }
}

fn screen(global: &Global, settings: &Settings, terminal: Terminal) -> Screen {
    let format = match (settings.output, terminal) {
        (Some(OutputFormat::Table), _) | (None, Terminal::Yes) => Format::Table,
        (Some(OutputFormat::Json), _) => Format::Json,
        (Some(OutputFormat::Csv), _) => Format::Csv,
        (Some(OutputFormat::Ndjson), _) | (None, Terminal::No) => Format::Ndjson,
    };
    // Whole lines or blocks: `tail` sends them on their way itself.
    let out = std::io::BufWriter::new(std::io::stdout());
    let mut screen = Screen::new(Box::new(out), format);
    if terminal == Terminal::Yes && !settings.no_color {
        screen.paint = Paint::ON;
    }
    screen.zone = jiff::tz::TimeZone::system();
    screen.verbose = global.verbose;
    screen
}

/// Messages to the model's types.
pub(crate) fn collect<M, T>(messages: Vec<M>) -> Result<Vec<T>, CliError>
where
    T: TryFrom<M, Error = InvalidMessage>,
{
    Ok(messages
        .into_iter()
        .map(T::try_from)
        .collect::<Result<_, _>>()?)
}

/// Text of a filter that may be absent.
pub(crate) fn text(value: Option<&impl Display>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}
