//! The only code that maps messages to the model and back.
//!
//! Model to message takes every struct apart field by field, so that a new
//! field does not compile unseen. Message to model refuses what makes no
//! sense and names the field.

use monitor_model::{grant::InvalidGrant, id::InvalidId, inventory::InvalidInventory};

mod alert;
mod contain;
mod event;
mod grant;
mod host;
mod inspect;
mod list;
mod policy;
mod process;
mod revocation;
mod scope;
mod session;
mod verdict;
mod wire;

pub use contain::contain_mode;
pub use inspect::Answered;

#[cfg(test)]
mod tests;

/// Why a message is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    /// Not a protobuf message of that type.
    #[error("not a message of this type: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field that must be there is not.
    #[error("field {field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// An enum has a value that is unknown or unspecified.
    #[error("field {field} has the value {value}, which means nothing here")]
    Enum {
        /// The field.
        field: &'static str,
        /// The number found.
        value: i32,
    },
    /// A name that means nothing here.
    #[error("field {field} names {text:?}, which means nothing here")]
    Name {
        /// The field.
        field: &'static str,
        /// The name found.
        text: String,
    },
    /// A network is none.
    #[error("field {field} has {text:?}, which is not a network, as in 10.20.0.0/24")]
    Network {
        /// The field.
        field: &'static str,
        /// The text found.
        text: String,
    },
    /// An inventory's item is none.
    #[error("field {field}: {source}")]
    Inventory {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: InvalidInventory,
    },
    /// A number is out of its range.
    #[error("field {field} is {value}; at most {max} is allowed")]
    Range {
        /// The field.
        field: &'static str,
        /// The number found.
        value: u64,
        /// The largest that is allowed.
        max: u64,
    },
    /// Ranges of ports are none.
    #[error(
        "field {field}: ranges of ports begin at 0 and ascend, and there are 1 to {max} of them"
    )]
    Ranges {
        /// The field.
        field: &'static str,
        /// The most that are allowed.
        max: usize,
    },
    /// An address has neither 4 nor 16 bytes.
    #[error("field {field} has {bytes} bytes; an address has 4 or 16")]
    Address {
        /// The field.
        field: &'static str,
        /// The length found.
        bytes: usize,
    },
    /// A name or id is none.
    #[error("field {field}: {source}")]
    Id {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: InvalidId,
    },
    /// A grant is none.
    #[error("field {field}: {source}")]
    Grant {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: InvalidGrant,
    },
}
