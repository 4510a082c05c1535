//! The checkpoint that lies beside the records as cosigned: one more that must come out.

use super::{Fault, Trust, Walk, is_log_of};
use crate::{checkpoint::Checkpoint, cosignature, key::VerifierKey, proof::Tree};

impl Walk {
    /// Takes the checkpoint that lies beside the records as cosigned: the log
    /// must have signed it, and a witness whose key was given may have.
    pub(crate) fn cosigned(&mut self, note: &[u8], trust: &Trust) -> Result<Tree, Fault> {
        let keys = self.keys(trust);
        let opened = keys.iter().find_map(|key| Checkpoint::open(note, key).ok());
        let Some(checkpoint) = opened else {
            let cause = "the cosigned checkpoint is not signed by the key of this ledger";
            return Err(Fault::at(1, cause));
        };
        if !is_log_of(&checkpoint.origin, &self.tenant) {
            let (origin, tenant) = (&checkpoint.origin, &self.tenant);
            let cause = format!("the cosigned checkpoint is of {origin:?}, the tenant is {tenant}");
            return Err(Fault::at(1, cause));
        }
        self.report.cosigned = checkpoint.tree.size;
        // A signature over no records says nothing of any.
        let witnesses = trust.witnesses.iter();
        for witness in witnesses.filter(|_| checkpoint.tree.size > 0) {
            if let Ok(cosigned) = cosignature::open(note, witness) {
                witness.name().clone_into(&mut self.report.witness);
                self.report.cosigned_at = cosigned.at_unix_s.checked_mul(1_000_000_000);
            }
        }
        self.signed = self.signed.max(checkpoint.tree.size);
        self.mark(&checkpoint.tree, "the cosigned checkpoint")?;
        Ok(checkpoint.tree)
    }

    /// The keys given or, with none given, that of the checkpoints beside the records.
    pub(super) fn keys(&self, trust: &Trust) -> Vec<VerifierKey> {
        let mut keys = trust.keys.clone();
        if keys.is_empty() {
            keys.extend(VerifierKey::parse(&self.report.key).ok());
        }
        keys
    }
}
