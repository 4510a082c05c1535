//! Why the core cannot go on, and why a request is refused.

use std::path::PathBuf;

use monitor_model::id::{AlertId, GrantId, OrderId};

use crate::{ledger::LedgerError, state::StateError};

/// Why the core cannot go on. It must be opened anew.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// A ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A grant in a file is refused.
    #[error("grants: {0}")]
    Grant(#[from] Refusal),
    /// Another collector uses the folder.
    #[error("{}: another collector is running on this data_dir; stop it or choose another folder", path.display())]
    InUse {
        /// The lock's file.
        path: PathBuf,
    },
    /// No ledger is the provider's.
    #[error("the configuration has no tenant provider, whose ledger takes what is nobody's")]
    NoProvider,
    /// The folder cannot be used.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a request is refused; the core goes on.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A grant of that name is there and says something else.
    #[error("grant {id} is there already and differs; a grant never changes: give a new id")]
    GrantDiffers {
        /// The grant.
        id: GrantId,
    },
    /// A review that is not wanted.
    #[error("grant {id} cannot be reviewed: {why}")]
    Review {
        /// The grant.
        id: GrantId,
        /// Why not.
        why: &'static str,
    },
    /// The table is full.
    #[error("{max} grants are known already; no more are taken")]
    GrantsFull {
        /// How many there may be.
        max: usize,
    },
    /// Too many orders.
    #[error("{max} orders are in force already; no more are taken")]
    OrdersFull {
        /// How many there may be.
        max: usize,
    },
    /// Nobody knows it.
    #[error("no {what} {name} is known")]
    Unknown {
        /// What it would be.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// An alert is done.
    #[error("alert {id} is closed, and stays so; close it again to add a note")]
    AlertClosed {
        /// The alert.
        id: AlertId,
    },
    /// An alert has too many steps.
    #[error("alert {id} has {max} steps already; no more are taken")]
    StepsFull {
        /// The alert.
        id: AlertId,
        /// How many there may be.
        max: usize,
    },
    /// An order stands where this cannot be done.
    #[error("order {id} is {state}, and cannot become {to}")]
    OrderStands {
        /// The order.
        id: OrderId,
        /// Where it stands.
        state: &'static str,
        /// What it was to become.
        to: &'static str,
    },
    /// Another person must do it.
    #[error("order {id}: {why}; another person must do this")]
    OtherPerson {
        /// The order.
        id: OrderId,
        /// Why not this one.
        why: &'static str,
    },
    /// A list that is older than one that is known.
    #[error(
        "revocation list {number} is older than {known}, which is known: hosts never go back; a broker that lost its count goes on above {known}"
    )]
    ListOlder {
        /// Its number.
        number: u64,
        /// The number of the newest.
        known: u64,
    },
    /// Another list of the same number.
    #[error(
        "another revocation list of number {number} is known; each list has a number of its own"
    )]
    ListDiffers {
        /// The number.
        number: u64,
    },
    /// A broker answers for something else.
    #[error(
        "order {id} is for {target}; the answer is for {said}: answer with the target that came with the order"
    )]
    AckDiffers {
        /// The order.
        id: OrderId,
        /// What it revokes.
        target: String,
        /// What the answer says.
        said: String,
    },
    /// An order of that name is there and says something else.
    #[error(
        "order {id} is there already for {target}; an order never changes: give another id, or none"
    )]
    OrderDiffers {
        /// The order.
        id: OrderId,
        /// What it revokes.
        target: String,
    },
}
