//! Signed notes, and the keys that they are checked with.

use monitor_ledger::{
    checkpoint::Checkpoint,
    cosignature::{self, WitnessKey},
    key::{LogKey, VerifierKey},
    receipt::Receipt,
};

/// A note by every reader of notes, or a key by every reader of keys.
pub(crate) fn note(bytes: &[u8]) -> bool {
    let mut is_read = Checkpoint::read(bytes).is_ok();
    is_read |= cosignature::text(bytes).is_ok();
    if let Some(log) = log() {
        is_read |= Checkpoint::open(bytes, &log).is_ok();
        is_read |= Receipt::open(bytes, &[log]).is_ok();
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return is_read;
    };
    is_read |= LogKey::parse(text).is_ok();
    if let Ok(key) = VerifierKey::parse(text) {
        let again = VerifierKey::parse(key.as_str());
        assert!(
            again.is_ok_and(|again| again.as_str() == key.as_str()),
            "{text} is a key once"
        );
        is_read = true;
    }
    if let Ok(key) = WitnessKey::parse(text) {
        // What it signed is for its owner; that it did not is said.
        let _ = cosignature::open(bytes, &key);
        is_read = true;
    }
    is_read
}

/// The key of the log whose notes the corpus has.
fn log() -> Option<VerifierKey> {
    let signer = LogKey::new("fuzz.example", &[9; 32])
        .ok()?
        .signer("acme")
        .ok()?;
    Some(signer.verifier().clone())
}
