//! The stream of what the collector itself says in a ledger.
//!
//! Each ledger has one of its own, named by its secret: a number is taken and
//! the event that has it is stored in one transaction of one file, so that no
//! crash leaves a hole or a double; and who holds this ledger alone sees whether
//! one is missing.

use hmac::{Hmac, Mac as _};
use monitor_model::{
    clock::UnixNs,
    id::{AgentName, BootId, Source},
};
use sha2::Sha256;

use super::Ledger;
use crate::dedupe::Stream;

impl Ledger {
    /// The stream of what a collector of this name says here. The 80 bits in its
    /// boot are the ledger's, and tell nothing of the secret.
    #[must_use]
    pub fn voice(&self, name: &AgentName) -> Stream {
        let bits =
            Hmac::<Sha256>::new_from_slice(&self.secrets.blinding().0).map_or(0, |mut mac| {
                mac.update(b"voice");
                let bytes: [u8; 32] = mac.finalize().into_bytes().into();
                let first = bytes.first_chunk::<16>();
                first.map_or(0, |half| u128::from_be_bytes(*half))
            });
        Stream {
            agent: name.clone(),
            boot: BootId::from_parts(UnixNs(0), bits),
            source: Source::Collector,
        }
    }
}
