//! Where a reader stopped, sealed so that nobody can make one up.
//!
//! A cursor says up to which place among events and alerts its reader has seen
//! everything. It holds for one identity and one filter only.

use hmac::{Hmac, Mac as _};
use monitor_model::clock::UnixNs;
use monitor_transport::identity::Identity;
use prost::Message as _;
use sha2::Sha256;

const DOMAIN: &[u8] = b"monitor.v1 cursor\0";
const VERSION: &str = "1";
/// Bytes of the seal that a cursor shows.
const SEAL_BYTES: usize = 16;

/// Makes and checks cursors.
#[derive(Clone)]
pub struct Seal {
    key: [u8; 32],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

/// What a cursor holds for.
#[derive(Clone, Debug)]
pub struct Subject {
    bytes: Vec<u8>,
}

impl Subject {
    /// This identity, this filter, with or without alerts.
    #[must_use]
    pub fn new(identity: &Identity, filter: &monitor_proto::v1::EventFilter, alerts: bool) -> Self {
        let mut subject = Self { bytes: Vec::new() };
        subject.add(identity.to_string().as_bytes());
        subject.add(&filter.encode_to_vec());
        subject.add(&[u8::from(alerts)]);
        subject
    }

    /// The same, and these parts of each event; no paths are all parts.
    #[must_use]
    pub fn masked(mut self, paths: &[String]) -> Self {
        for path in paths {
            self.add(b"mask");
            self.add(path.as_bytes());
        }
        self
    }

    /// This identity and this question, whatever the size of its pages, among
    /// what was stored up to an instant.
    #[must_use]
    pub fn search(
        identity: &Identity,
        question: &monitor_proto::v1::SearchRequest,
        up_to: UnixNs,
    ) -> Self {
        let question = monitor_proto::v1::SearchRequest {
            page_size: 0,
            page_token: String::new(),
            ..question.clone()
        };
        let mut subject = Self { bytes: Vec::new() };
        subject.add(b"search");
        subject.add(identity.to_string().as_bytes());
        subject.add(&question.encode_to_vec());
        subject.add(&up_to.0.to_be_bytes());
        subject
    }

    /// Adds a part, its length first, so that no two subjects run into one.
    fn add(&mut self, part: &[u8]) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(part);
    }
}

/// Why a text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not of our making at all.
    #[error("not a cursor from an earlier answer")]
    Form,
    /// Made for somebody else or another filter, or forged.
    #[error(
        "the cursor is not of this identity and filter; give those it was made for, or start anew"
    )]
    Seal,
}

impl Seal {
    /// Seals with this key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The cursor that goes on after a place.
    #[must_use]
    pub fn cursor(&self, subject: &Subject, after: UnixNs) -> String {
        format!(
            "{VERSION}.{:x}.{}",
            after.0,
            crate::hex::text(&self.seal(subject, after))
        )
    }

    /// The place that a cursor goes on after.
    ///
    /// # Errors
    /// [`CursorError`].
    pub fn open(&self, subject: &Subject, cursor: &str) -> Result<UnixNs, CursorError> {
        let mut parts = cursor.split('.');
        let (Some(VERSION), Some(after), Some(seal), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CursorError::Form);
        };
        let after = u64::from_str_radix(after, 16)
            .map(UnixNs)
            .map_err(|_| CursorError::Form)?;
        let seal = bytes_of(seal).ok_or(CursorError::Form)?;
        if seal.len() != SEAL_BYTES {
            return Err(CursorError::Form);
        }
        let mac = self.mac(subject, after).ok_or(CursorError::Seal)?;
        mac.verify_truncated_left(&seal)
            .map(|()| after)
            .map_err(|_| CursorError::Seal)
    }

    fn seal(&self, subject: &Subject, after: UnixNs) -> Vec<u8> {
        let whole = self
            .mac(subject, after)
            .map(|mac| mac.finalize().into_bytes().to_vec());
        let mut whole = whole.unwrap_or_default();
        whole.truncate(SEAL_BYTES);
        whole
    }

    fn mac(&self, subject: &Subject, after: UnixNs) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(DOMAIN);
        mac.update(&after.0.to_be_bytes());
        mac.update(&subject.bytes);
        Some(mac)
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    hex.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use monitor_proto::v1::EventFilter;
    use proptest::prelude::*;

    use super::*;

    fn subject(identity: &str, tenants: &[&str]) -> Subject {
        let tenants = tenants.iter().map(ToString::to_string).collect();
        let filter = EventFilter {
            tenants,
            ..EventFilter::default()
        };
        Subject::new(&identity.parse().unwrap(), &filter, false)
    }

    #[test]
    fn a_cursor_holds_for_one_identity_and_filter() {
        let seal = Seal::new([7; 32]);
        let eve = subject("monitor://auditor/eve?tenant=acme", &["acme"]);
        let cursor = seal.cursor(&eve, UnixNs(42));
        assert_eq!(seal.open(&eve, &cursor), Ok(UnixNs(42)));
        let other = subject("monitor://auditor/eve?tenant=globex", &["acme"]);
        assert_eq!(seal.open(&other, &cursor), Err(CursorError::Seal));
        let wider = subject("monitor://auditor/eve?tenant=acme", &[]);
        assert_eq!(seal.open(&wider, &cursor), Err(CursorError::Seal));
        let in_part = eve.clone().masked(&["position".to_owned()]);
        assert_eq!(seal.open(&in_part, &cursor), Err(CursorError::Seal));
        assert_eq!(seal.open(&eve.clone().masked(&[]), &cursor), Ok(UnixNs(42)));
        assert_eq!(
            Seal::new([8; 32]).open(&eve, &cursor),
            Err(CursorError::Seal)
        );
        assert_eq!(
            seal.open(&eve, &cursor.replace(".2a.", ".2b.")),
            Err(CursorError::Seal)
        );
    }

    proptest! {
        #[test]
        fn any_text_gives_an_error_and_never_a_panic(text in ".{0,80}", hex in "1\\.[0-9a-f]{1,20}\\.[0-9a-fé]{0,40}") {
            let seal = Seal::new([7; 32]);
            let soc = subject("monitor://soc/sam", &[]);
            prop_assert!(seal.open(&soc, &text).is_err());
            prop_assert!(seal.open(&soc, &hex).is_err());
        }
    }
}
