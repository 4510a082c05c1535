//! The command line: arguments in, calls, words and exit codes out.
//!
//! Exit codes: 0 done, 1 error, 2 wrong usage, 3 not found, 5 not allowed.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use monitor_model::{
    clock::{Clock as _, SystemClock, UnixNs},
    grant::{Grant, Life},
    id::OrderId,
    revocation::{Outcome, Revoked},
};
use monitor_proto::v1;
use monitor_transport::{causes, grant_file, tls::TlsFiles};
use ssh_key::rand_core::{OsRng, RngCore as _};

use crate::{
    broker::moment,
    client::{Client, ClientError, Revocation},
    config::{Config, ConfigError, DEFAULT},
    server::{ServeError, check_tls},
};

mod args;
mod ending;

pub use args::{Cli, Command, Dial, EndingArgs, GrantCommand, RevokeArgs, RunArgs};

const NOT_FOUND: u8 = 3;
const NOT_ALLOWED: u8 = 5;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The TLS files.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The call.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output or the runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Clap lets this never happen.
    #[error("name what to revoke: --engineer, --session, --grant, --tenant or --serial")]
    NoTarget,
}

/// Tells an error, and the exit code for it.
#[must_use]
pub fn fail(error: &(dyn Error + 'static)) -> ExitCode {
    // Nobody is left to tell when even this fails.
    let _ = writeln!(io::stderr(), "error: {}", causes(error));
    match error.downcast_ref() {
        Some(CliError::Client(ClientError::NotFound(_))) => ExitCode::from(NOT_FOUND),
        Some(CliError::Client(ClientError::Permission(_))) => ExitCode::from(NOT_ALLOWED),
        _ => ExitCode::FAILURE,
    }
}

/// Carries out every command but `run`.
///
/// # Errors
/// [`CliError`].
pub fn execute(command: Command) -> Result<ExitCode, CliError> {
    let mut out = io::stdout().lock();
    match command {
        Command::CheckConfig { config } => {
            let checked = Config::load(&config)?;
            check_tls(&checked, &SystemClock)?;
            writeln!(out, "{}: ok", config.display())?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Config { .. } => {
            out.write_all(DEFAULT.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Run(_)
        | Command::Grant(_)
        | Command::Issue { .. }
        | Command::Describe { .. }
        | Command::Revoke(_)
        | Command::Left { .. }
        | Command::Close { .. } => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(ask(command, &mut out))
}

async fn ask(command: Command, out: &mut impl io::Write) -> Result<ExitCode, CliError> {
    let now = SystemClock.now();
    match command {
        Command::Grant(GrantCommand::Put { file, dial }) => {
            let grant = grant_file::load(&file, now)?;
            let hosts = dial.client(now).await?.register(&grant).await?;
            let (id, who, until) = (&grant.id, &grant.principal, moment(grant.expires));
            writeln!(
                out,
                "grant {id} of {who} in {} is registered until {until}; hosts that have it: {}",
                grant.tenant,
                words(&hosts)
            )?;
        }
        Command::Issue {
            grant,
            also,
            public_key,
            out: file,
            dial,
        } => {
            let file = file.unwrap_or_else(|| certificate_path(&public_key));
            let wrong = |path: &Path| {
                let path = path.to_owned();
                move |source| CliError::File { path, source }
            };
            let text = fs::read_to_string(&public_key).map_err(wrong(&public_key))?;
            let (certificate, issued) = dial
                .client(now)
                .await?
                .issue((&grant, &also), &text)
                .await?;
            replace(&file, &format!("{certificate}\n")).map_err(wrong(&file))?;
            let until = moment(UnixNs(issued.expires_unix_ns));
            writeln!(
                out,
                "certificate {} for grant {grant} is valid until {until}: {}",
                issued.serial,
                file.display()
            )?;
        }
        Command::Describe { principal, dial } => {
            let (grants, certificates) = dial.client(now).await?.describe(&principal).await?;
            if grants.is_empty() {
                let text = format!("{principal} holds nothing here");
                return Err(ClientError::NotFound(text).into());
            }
            show(&grants, &certificates, now, out)?;
        }
        Command::Revoke(args) => return revoke(args, now, out).await,
        Command::Left { engineer, ending } => {
            return ending::tell(ending::left(&engineer), ending, now, out).await;
        }
        Command::Close { ticket, ending } => {
            return ending::tell(ending::closed(ticket), ending, now, out).await;
        }
        Command::Run(_) | Command::CheckConfig { .. } | Command::Config { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn show(
    grants: &[Grant],
    certificates: &[v1::IssuedCertificate],
    now: UnixNs,
    out: &mut impl io::Write,
) -> io::Result<()> {
    for grant in grants {
        let life = match grant.life(now) {
            Life::Alive => "alive",
            Life::NotStarted => "not started",
            Life::Expired => "expired",
            Life::Ended => "ended",
        };
        let Grant {
            id,
            tenant,
            ticket,
            tier,
            ..
        } = grant;
        let until = moment(grant.expires);
        writeln!(
            out,
            "grant {id} {tenant} {ticket} {tier} until {until} {life}"
        )?;
    }
    for issued in certificates {
        let v1::IssuedCertificate {
            serial,
            key_id,
            expires_unix_ns,
            revoked_at_unix_ns,
            ..
        } = issued;
        let until = moment(UnixNs(*expires_unix_ns));
        let revoked = revoked_at_unix_ns.map(|at| format!(" revoked {}", moment(UnixNs(at))));
        let revoked = revoked.unwrap_or_default();
        writeln!(out, "certificate {serial} {key_id} until {until}{revoked}")?;
    }
    Ok(())
}

/// A name for an order or ending that nobody gave.
fn new_id(now: UnixNs) -> OrderId {
    let random = u128::from(OsRng.next_u64()) << 64 | u128::from(OsRng.next_u64());
    OrderId::from_parts(now, random)
}

fn show_revoked(revoked: &[Revoked], out: &mut impl io::Write) -> io::Result<()> {
    for Revoked {
        serial,
        grant,
        outcome,
        at,
    } in revoked
    {
        let serial = serial
            .map(|serial| format!("certificate {serial} "))
            .unwrap_or_default();
        let grant = grant
            .as_ref()
            .map(|grant| format!("grant {grant} "))
            .unwrap_or_default();
        writeln!(out, "{serial}{grant}{} {}", outcome.as_str(), moment(*at))?;
    }
    Ok(())
}

async fn revoke(
    args: RevokeArgs,
    now: UnixNs,
    out: &mut impl io::Write,
) -> Result<ExitCode, CliError> {
    let RevokeArgs {
        target,
        reason,
        with_serial,
        with_grant,
        order,
        dial,
    } = args;
    let target = target.target().ok_or(CliError::NoTarget)?;
    let order = order.unwrap_or_else(|| new_id(now));
    let revocation = Revocation {
        order,
        at: now,
        target,
        serials: with_serial,
        grants: with_grant,
        reason,
    };
    let outcome = dial.client(now).await?.revoke(&revocation).await?;
    show_revoked(&outcome.revoked, out)?;
    if let Some(at) = outcome.published_at {
        writeln!(out, "list in place {}", moment(at))?;
    }
    writeln!(out, "order {order}")?;
    if outcome
        .revoked
        .iter()
        .all(|entry| entry.outcome == Outcome::NotFound)
    {
        return Err(ClientError::NotFound(format!(
            "nothing of {} is known here",
            revocation.target
        ))
        .into());
    }
    Ok(ExitCode::SUCCESS)
}

impl Dial {
    async fn client(&self, now: UnixNs) -> Result<Client, ClientError> {
        let Self {
            broker,
            ca,
            certificate,
            key,
        } = self;
        let files = TlsFiles {
            ca: ca.clone(),
            certificate: certificate.clone(),
            key: key.clone(),
        };
        Client::connect(broker, &files, now).await
    }
}

/// Where ssh looks for the certificate of a key: `id` and `id.pub` have `id-cert.pub`.
fn certificate_path(public_key: &Path) -> PathBuf {
    let mut name = match public_key.extension() {
        Some(extension) if extension == "pub" => public_key.with_extension("").into_os_string(),
        _ => public_key.as_os_str().to_owned(),
    };
    name.push("-cert.pub");
    name.into()
}

/// Replaces a file whole, so that ssh never reads half a certificate.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn words(hosts: &[String]) -> String {
    if hosts.is_empty() {
        "none is connected".to_owned()
    } else {
        hosts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_certificate_lies_where_ssh_looks_for_it() {
        for (key, certificate) in [
            ("k/id.pub", "k/id-cert.pub"),
            ("id", "id-cert.pub"),
            ("a.b.pub", "a.b-cert.pub"),
        ] {
            assert_eq!(certificate_path(Path::new(key)), Path::new(certificate));
        }
    }

    #[test]
    fn a_target_is_required_and_only_one() {
        let dial = [
            "--broker",
            "https://x",
            "--ca",
            "c",
            "--certificate",
            "c",
            "--key",
            "k",
        ];
        let parse = |args: &[&str]| {
            Cli::try_parse_from(
                ["monitor-broker", "revoke", "--reason", "r"]
                    .iter()
                    .chain(args)
                    .chain(&dial),
            )
        };
        assert!(parse(&["--engineer", "alice"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--engineer", "alice", "--serial", "1"]).is_err());
    }
}
