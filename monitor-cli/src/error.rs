//! What can go wrong, as one line for a person and a number for a script.

use std::{io, path::PathBuf, process::ExitCode};

use monitor_ledger::{bundle::BundleError, check::CheckError, key::KeyError};
use monitor_model::id::{InvalidId, OrderId, SessionId};
use monitor_proto::InvalidMessage;
use monitor_transport::{pki::PkiError, tls::TlsError};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A setting is nowhere to be found.
    #[error(
        "no {what} is known: give --{flag}, set {variable}, or write `{key} = \"...\"` into the file that --config or MONITOR_CONFIG names"
    )]
    Missing {
        /// What it is.
        what: &'static str,
        /// The flag that gives it.
        flag: &'static str,
        /// The variable that gives it.
        variable: &'static str,
        /// The key that gives it.
        key: &'static str,
    },
    /// The settings file is wrong.
    #[error("{}{}: {cause}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Settings {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where one can be named.
        line: Option<usize>,
        /// What is wrong and what would be right.
        cause: String,
    },
    /// The certificates cannot be used, or the collector cannot be dialled.
    #[error("{0}{hint}", hint = parenthesis(.1.as_deref()))]
    Tls(TlsError, Option<String>),
    /// The collector is not there any more, or never answered.
    #[error("{address}: {cause}{hint}", hint = parenthesis(.hint.as_deref()))]
    Unreachable {
        /// The address dialled.
        address: String,
        /// What happened, all causes.
        cause: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// The collector forbids it.
    #[error("refused: {0}")]
    Refused(String),
    /// The thing asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The collector answers with an error.
    #[error("the collector answers: {0}{hint}", hint = parenthesis(.1.as_deref()))]
    Answer(String, Option<String>),
    /// An answer cannot be understood.
    #[error("the collector's answer cannot be read: {0}; is monitorctl as new as the collector?")]
    Message(#[from] InvalidMessage),
    /// A name or id is none.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A certificate or authority was not made.
    #[error("{0}{hint}", hint = parenthesis(.1.as_deref()))]
    Pki(PkiError, Option<String>),
    /// An order is given, but was not confirmed in time.
    #[error(
        "order {order} is in force, but within {waited} {missing}; it goes on: monitorctl order {order}"
    )]
    Unconfirmed {
        /// The order.
        order: OrderId,
        /// How long was waited.
        waited: String,
        /// Who has not confirmed.
        missing: String,
    },
    /// A session was let go on, and its host has not confirmed it in time.
    #[error(
        "order {order} is lifted, but within {waited} no word came that session {session} goes on; its host is told when it comes: monitorctl order {order}"
    )]
    Unreleased {
        /// The order.
        order: OrderId,
        /// The session.
        session: SessionId,
        /// How long was waited.
        waited: String,
    },
    /// A session's host has not said in time what lives in it.
    #[error(
        "within {waited} no answer came what lives in session {session}: {why}; nothing was changed by asking"
    )]
    Unseen {
        /// The session.
        session: SessionId,
        /// How long was waited.
        waited: String,
        /// What was said instead.
        why: String,
    },
    /// An order waits for a second person.
    #[error(
        "order {order} is proposed, and nothing was revoked: it reaches more sessions than one person may cut off; another person approves it: monitorctl orders approve {order}"
    )]
    Proposed {
        /// The order.
        order: OrderId,
    },
    /// A receipt cannot be relied on.
    #[error("{}: {source}", path.display())]
    Receipt {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: monitor_ledger::receipt::ReceiptError,
    },
    /// The broker answered, and did not revoke everything.
    #[error("order {order}: the broker did not revoke everything: {what}")]
    NotRevoked {
        /// The order.
        order: OrderId,
        /// What was not revoked, and why.
        what: String,
    },
    /// A broker does not do all that is asked of one; what, was told.
    #[error("{failed} of {ran} checks failed: docs/reference/brokers.md says what is asked")]
    Nonconformant {
        /// Checks that failed.
        failed: usize,
        /// Checks that were not skipped.
        ran: usize,
    },
    /// A ledger or bundle cannot be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A bundle was not written, or what came is not what was signed.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Something is wrong with what was checked; what it is was told.
    #[error("{broken} of {checked} are broken: keep them as evidence")]
    Broken {
        /// How many are broken.
        broken: usize,
        /// Of how many.
        checked: usize,
    },
    /// What was checked is whole, but not all of it is signed.
    #[error(
        "the newest {unsigned} records are not signed yet: nothing proves them; check again once the collector signed them"
    )]
    Unsigned {
        /// How many.
        unsigned: u64,
    },
    /// What was checked is whole, and no witness whose key was given signed it.
    #[error(
        "no checkpoint of {tenants} is signed by the witness: who has the collector's key could have written another history; compare with a copy, or with what monitor-witness logs prints"
    )]
    Unwitnessed {
        /// The tenants, with commas.
        tenants: String,
    },
    /// What was checked is whole, and records came long after the witness signed.
    #[error(
        "records of {tenants} were stored more than {seconds} s after the witness signed: who has the collector's key could have rewritten them; find out why it does not sign (the collector's log says), or give --witness-lag"
    )]
    WitnessLags {
        /// The tenants, with commas.
        tenants: String,
        /// How long is let pass.
        seconds: u64,
    },
    /// The key of sealed ledgers cannot be used.
    #[error("--seal-key: {0}")]
    SealKey(#[source] KeyError),
    /// Something is missing of what was asked for; what it is was told.
    #[error("not everything of {host} is in the ledgers")]
    Incomplete {
        /// The host.
        host: String,
    },
    /// A key cannot be used.
    #[error("{}: {source}", path.display())]
    VerifierKey {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output cannot be written; when its reader is gone, that is no error.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

fn parenthesis(text: Option<&str>) -> String {
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}

impl CliError {
    /// The number that the process ends with.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Missing { .. } | Self::Id(_) => 2,
            Self::NotFound(_) => 3,
            Self::Unconfirmed { .. }
            | Self::Proposed { .. }
            | Self::Unreleased { .. }
            | Self::Unseen { .. }
            | Self::Incomplete { .. }
            | Self::Unsigned { .. }
            | Self::Unwitnessed { .. }
            | Self::WitnessLags { .. } => 4,
            Self::Refused(_) => 5,
            Self::Settings { .. }
            | Self::SealKey(_)
            | Self::Tls(..)
            | Self::Unreachable { .. }
            | Self::Answer(..)
            | Self::Message(_)
            | Self::Pki(..)
            | Self::NotRevoked { .. }
            | Self::Nonconformant { .. }
            | Self::Receipt { .. }
            | Self::Check(_)
            | Self::Bundle(_)
            | Self::Broken { .. }
            | Self::VerifierKey { .. }
            | Self::File { .. }
            | Self::Output(_) => 1,
        }
    }

    /// Whether the reader of standard output has gone, as `head` does.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The code as the system takes it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
