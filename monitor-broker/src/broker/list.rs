//! The list as it was put in place last, for hosts.

use std::sync::{Arc, PoisonError};

use monitor_model::{
    clock::UnixNs,
    krl::{self, RevocationList},
};
use sha2::{Digest as _, Sha256};

use super::{Broker, RevokeError};
use crate::krl::file;

impl Broker {
    /// Reads the list that was found right at a start; another number than the
    /// database has is written anew.
    pub(super) fn recall_list(&self) -> Result<(), RevokeError> {
        if self.list().is_some() {
            return Ok(());
        }
        let bytes = file::bytes(&self.krl)?;
        let found = krl::number(&bytes).ok();
        match self.store.list_in_place()? {
            Some((number, at)) if found == Some(number) => {
                self.note_list(number, bytes, at);
                Ok(())
            }
            Some(_) | None => {
                self.store.renumber_list(found.unwrap_or_default())?;
                self.publish_pending()
            }
        }
    }

    /// The list that this broker put in place last, for hosts: its own bytes, not
    /// what somebody may have made of the file.
    #[must_use]
    pub fn list(&self) -> Option<Arc<RevocationList>> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.clone()
    }

    /// Notes what was put in place.
    pub(super) fn note_list(&self, number: u64, bytes: Vec<u8>, published_at: UnixNs) {
        let list = RevocationList {
            number,
            sha256: Sha256::digest(&bytes).into(),
            bytes,
            published_at,
        };
        let mut kept = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Arc::new(list));
    }
}
