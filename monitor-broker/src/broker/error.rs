//! Why a broker does not start, and why it refuses.

use std::{io, path::PathBuf};

use monitor_model::{grant::CERTIFICATE_GRANTS_MAX, id::GrantId};

use super::TEXT_BYTES_MAX;
use crate::{
    ca::{CaError, CertifyError},
    key_id::InvalidTicket,
    krl::file::FileError,
    store::StoreError,
};

/// Why a broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be used.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder or the lock in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another broker uses the folder.
    #[error("another broker runs on {}: stop it, or give this one another data_dir", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The CA.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The list.
    #[error(transparent)]
    Krl(#[from] FileError),
    /// The list is of another CA.
    #[error("{} revokes certificates of another CA: give this broker a list of its own, or move that one away", path.display())]
    OtherCa {
        /// The list.
        path: PathBuf,
    },
    /// The list knows more than the database.
    #[error("{} revokes serial {serial}, and the database knows of none above {serial_last}: the database was lost or is an old copy; restore it, else revoked certificates would open logins again", path.display())]
    ListAhead {
        /// The list.
        path: PathBuf,
        /// Its largest serial.
        serial: u64,
        /// The database's largest.
        serial_last: u64,
    },
}

/// Why a grant is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The ticket.
    #[error(transparent)]
    Ticket(#[from] InvalidTicket),
    /// A text that is too long or could deceive a reader of logs.
    #[error(
        "{field} has {bytes} bytes or a control character; at most {TEXT_BYTES_MAX} bytes of text on one line are allowed, and it must not be empty"
    )]
    Text {
        /// The field.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The grant is over before it is known.
    #[error("grant {id} {why}; a grant is registered before its end")]
    Over {
        /// The grant.
        id: GrantId,
        /// In what way.
        why: &'static str,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no certificate is issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// No such grant.
    #[error("grant {id} is not registered here; register it first (monitor-broker grant put)")]
    NotFound {
        /// The grant.
        id: GrantId,
    },
    /// More grants than one certificate stands on.
    #[error("{grants} grants; one certificate stands on at most {CERTIFICATE_GRANTS_MAX}")]
    TooMany {
        /// How many were asked for.
        grants: usize,
    },
    /// Grants of different people or tenants.
    #[error(
        "grant {id} is of another engineer or tenant than {first}; a certificate is of one engineer in one tenant: issue one for each"
    )]
    Differs {
        /// The grant.
        id: GrantId,
        /// The first.
        first: GrantId,
    },
    /// The grant does not hold now.
    #[error("grant {id} {why}")]
    NotAlive {
        /// The grant.
        id: GrantId,
        /// In what way.
        why: String,
    },
    /// The collector does not know the grant.
    #[error(
        "grant {id} is not at the collector yet{why}; no certificate is issued before, since its use would be judged as not granted"
    )]
    NotAtCollector {
        /// The grant.
        id: GrantId,
        /// What the collector said.
        why: String,
    },
    /// The key or the signature.
    #[error(transparent)]
    Certify(#[from] CertifyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Revoked in the database, but sshd does not know yet.
    #[error("revoked, but the list is not in place, so logins still pass: {0}; it is tried again")]
    Publish(#[from] FileError),
    /// The CA's key cannot be named in the list.
    #[error(transparent)]
    Ca(#[from] CaError),
}
