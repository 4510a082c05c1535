//! `pki`: a certificate authority of one's own, for an installation that has none.

use std::{io::Write, path::Path};

use monitor_model::clock::{Clock as _, SystemClock};
use monitor_transport::{
    identity::{Identity, Role},
    pki::{Authority, Leaf, PkiError},
};

use crate::{
    cli::{Pki, PkiIssue},
    error::CliError,
};

/// Carries out `pki init` or `pki issue`.
///
/// # Errors
/// [`CliError::Usage`] when the identity makes no sense, [`CliError::Pki`]
/// when files are in the way or missing.
pub fn run(command: &Pki, out: &mut dyn Write) -> Result<(), CliError> {
    match command {
        Pki::Init { dir, days } => init(dir, *days, out),
        Pki::Issue(issue) => self::issue(issue, out),
    }
}

fn init(folder: &Path, days: u64, out: &mut dyn Write) -> Result<(), CliError> {
    Authority::create(folder, SystemClock.now(), days)
        .map_err(|error| CliError::Pki(error, None))?;
    let dir = folder.display();
    writeln!(out, "made a certificate authority, valid for {days} days:")?;
    writeln!(
        out,
        "  {}  its certificate: give it to every agent, collector, broker and person",
        folder.join("ca.pem").display()
    )?;
    writeln!(
        out,
        "  {}  its private key: whoever has it can be anybody; keep it off the hosts",
        folder.join("ca.key").display()
    )?;
    writeln!(
        out,
        "next: monitorctl pki issue --dir {dir} --role collector --name collector --host HOSTNAME"
    )?;
    writeln!(
        out,
        "      monitorctl pki issue --dir {dir} --role agent --name HOST"
    )?;
    writeln!(
        out,
        "      monitorctl pki issue --dir {dir} --role soc --name PERSON"
    )?;
    Ok(())
}

fn issue(issue: &PkiIssue, out: &mut dyn Write) -> Result<(), CliError> {
    let identity = identity(issue)?;
    let leaf = Leaf {
        identity: &identity,
        hosts: &issue.host,
        not_before: SystemClock.now(),
        days: issue.days,
    };
    let into = issue.out.as_ref().unwrap_or(&issue.dir);
    let made = Authority::open(&issue.dir)
        .issue(&leaf, into)
        .map_err(|error| explain(error, issue));
    let (certificate, key) = made?;
    writeln!(out, "issued {identity}, valid for {} days:", issue.days)?;
    writeln!(out, "  {}  the certificate", certificate.display())?;
    writeln!(
        out,
        "  {}  its private key: readable by you alone; for its owner only",
        key.display()
    )?;
    let ca = issue.dir.join("ca.pem");
    match identity.role {
        Role::Agent | Role::Collector | Role::Broker => {
            writeln!(
                out,
                "next, in the configuration of monitor-{}:",
                identity.role
            )?;
            writeln!(out, "  [tls]")?;
            writeln!(out, "  ca = {}", quoted(&ca))?;
            writeln!(out, "  certificate = {}", quoted(&certificate))?;
            writeln!(out, "  key = {}", quoted(&key))?;
        }
        Role::Soc | Role::Admin | Role::Auditor => {
            writeln!(out, "next, in the shell of {}:", identity.name)?;
            writeln!(out, "  export MONITOR_COLLECTOR=https://HOSTNAME:7443")?;
            writeln!(out, "  export MONITOR_CA={}", absolute(&ca).display())?;
            writeln!(
                out,
                "  export MONITOR_CERTIFICATE={}",
                absolute(&certificate).display()
            )?;
            writeln!(out, "  export MONITOR_KEY={}", absolute(&key).display())?;
        }
    }
    Ok(())
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The absolute path as a string of TOML.
fn quoted(path: &Path) -> String {
    toml::Value::from(absolute(path).display().to_string()).to_string()
}

fn identity(issue: &PkiIssue) -> Result<Identity, CliError> {
    let usage = |text: String| Err(CliError::Usage(text));
    if issue.role.is_server() && issue.host.is_empty() {
        return usage(format!(
            "a {} is dialled by name, and its certificate must hold that name: give --host, as in --host {}.example or --host localhost",
            issue.role, issue.role
        ));
    }
    match (issue.role, issue.tenant.is_empty()) {
        (Role::Auditor, true) => {
            return usage(
                "an auditor reads what concerns certain tenants: give --tenant once or more".into(),
            );
        }
        (Role::Auditor, false) | (_, true) => {}
        (role, false) => {
            return usage(format!(
                "only an auditor is bound to tenants; leave --tenant away for the role {role}"
            ));
        }
    }
    if issue.name.as_str() == "ca" {
        return usage("the name ca is the authority's own: choose another --name".into());
    }
    Ok(Identity {
        role: issue.role,
        name: issue.name.clone(),
        tenants: issue.tenant.clone(),
    })
}

fn explain(error: PkiError, issue: &PkiIssue) -> CliError {
    let missing = |source: &std::io::Error| source.kind() == std::io::ErrorKind::NotFound;
    let hint = match &error {
        PkiError::File { path, source } if path.starts_with(&issue.dir) && missing(source) => {
            Some(format!(
                "make an authority first: monitorctl pki init --dir {}",
                issue.dir.display()
            ))
        }
        PkiError::Make(_) => Some(format!(
            "ca.pem and ca.key in {} must belong together, and --host be a DNS name or an address",
            issue.dir.display()
        )),
        PkiError::File { .. } | PkiError::Exists { .. } | PkiError::Validity { .. } => None,
    };
    CliError::Pki(error, hint)
}
