//! What the state's rows look like on disk: as they are, or sealed.
//!
//! A sealed state has a random key of its own, which lies in its `meta` under the
//! collector's. From it come three by HKDF (RFC 5869): for contents, for names,
//! and for the nonces of names. Contents open in their table, column and row and
//! nowhere else. A name is sealed the same way wherever it stands, so that rows
//! are found by it: who reads the disk sees which rows have the same name, and
//! not which name. Names are padded, so that their lengths say little.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use hmac::{Hmac, Mac as _};
use monitor_ledger::seal::{NONCE, SealKey, SecretsError};
use rusqlite::types::{Value, ValueRef};
use sha2::Sha256;

use super::table::{Form, Table};

/// Names are padded to a multiple of these bytes.
const PADDED_TO: usize = 32;
/// The byte after a name and before zeros (ISO/IEC 7816-4).
const END: u8 = 0x80;
/// What the state's own key is sealed as, under the collector's.
const OWN: &[u8] = b"monitor.v1 state key\0";

/// What a name is of: the same text is sealed alike where it means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A host's agent.
    Agent,
    /// A person or workload.
    Principal,
    /// A tenant.
    Tenant,
    /// A grant.
    Grant,
    /// An event, by its id.
    Event,
    /// Whom or what the alerter remembers.
    Kept,
    /// Who or which certificate is denied.
    Denied,
    /// A digest of something that might be guessed.
    Digest,
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Principal => "principal",
            Self::Tenant => "tenant",
            Self::Grant => "grant",
            Self::Event => "event",
            Self::Kept => "kept",
            Self::Denied => "denied",
            Self::Digest => "digest",
        }
    }
}

/// How rows are put into the file, and read from it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cover {
    /// None where the state lies in clear.
    keys: Option<Keys>,
}

#[derive(Clone, Debug)]
struct Keys {
    contents: SealKey,
    names: SealKey,
    nonces: Nonces,
}

#[derive(Clone)]
struct Nonces([u8; 32]);

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces")
    }
}

/// Something that is not what was sealed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not open: it was changed, or moved here from elsewhere")]
pub(super) struct NotOpened;

/// The state's own key: a random one, and the form in which the file keeps it.
#[derive(Debug)]
pub(super) struct Own([u8; 32]);

impl Own {
    pub(super) const fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// As the file keeps it.
    pub(super) fn under(&self, key: &SealKey) -> Result<Vec<u8>, SecretsError> {
        key.seal(OWN, &self.0)
    }

    /// From what the file keeps.
    pub(super) fn open(key: &SealKey, kept: &[u8]) -> Result<Self, SecretsError> {
        let own = key.open(OWN, kept).and_then(|own| own.try_into().ok());
        own.map(Self).ok_or(SecretsError::OtherKey)
    }
}

impl Cover {
    /// Of rows in clear.
    pub(super) const fn none() -> Self {
        Self { keys: None }
    }

    /// Of rows that are sealed.
    pub(super) fn of(own: &Own) -> Self {
        let derived = |what: &str| -> [u8; 32] {
            // One block of HKDF-Expand; the key is as random as HKDF-Extract makes one.
            mac(
                &own.0,
                &[b"monitor.v1 state ", what.as_bytes(), &[1]].concat(),
            )
        };
        let keys = Keys {
            contents: SealKey::new(derived("contents")),
            names: SealKey::new(derived("names")),
            nonces: Nonces(derived("nonces of names")),
        };
        Self { keys: Some(keys) }
    }

    /// Whether rows are sealed.
    pub(super) const fn is_sealed(&self) -> bool {
        self.keys.is_some()
    }

    /// A name as a row keeps it.
    pub(super) fn name(&self, of: Name, text: &str) -> Result<String, SecretsError> {
        match &self.keys {
            None => Ok(text.to_owned()),
            Some(keys) => {
                let sealed = keys.name(of, text.as_bytes())?;
                Ok(STANDARD_NO_PAD.encode(sealed))
            }
        }
    }

    /// A name from a row.
    pub(super) fn named(&self, of: Name, kept: &str) -> Result<String, NotOpened> {
        let Some(keys) = &self.keys else {
            return Ok(kept.to_owned());
        };
        let bytes = STANDARD_NO_PAD.decode(kept).map_err(|_| NotOpened)?;
        String::from_utf8(keys.named(of, &bytes)?).map_err(|_| NotOpened)
    }

    /// A whole row as the file keeps it, from its values in clear.
    pub(super) fn covered(
        &self,
        table: &Table,
        mut row: Vec<Value>,
    ) -> Result<Vec<Value>, SecretsError> {
        let Some(keys) = &self.keys else {
            return Ok(row);
        };
        let forms = || table.columns.iter().map(|(_, form)| *form);
        for (value, form) in row.iter_mut().zip(forms()) {
            if let Form::Name(of) | Form::KeyName(of) = form {
                *value = match &*value {
                    Value::Text(text) => Value::Text(self.name(of, text)?),
                    Value::Blob(bytes) => Value::Blob(keys.name(of, bytes)?),
                    other @ (Value::Null | Value::Integer(_) | Value::Real(_)) => other.clone(),
                };
            }
        }
        let place = place(table, row.iter().map(ValueRef::from));
        for (value, (column, form)) in row.iter_mut().zip(table.columns) {
            if matches!(form, Form::Text | Form::Blob) {
                let content: &[u8] = match &*value {
                    Value::Text(text) => text.as_bytes(),
                    Value::Blob(bytes) => bytes,
                    Value::Null | Value::Integer(_) | Value::Real(_) => continue,
                };
                *value = Value::Blob(keys.contents.seal(&of_column(&place, column), content)?);
            }
        }
        Ok(row)
    }

    /// A whole row in clear, from what the file keeps.
    pub(super) fn uncovered(
        &self,
        table: &Table,
        row: Vec<Value>,
    ) -> Result<Vec<Value>, NotOpened> {
        let Some(keys) = &self.keys else {
            return Ok(row);
        };
        let place = place(table, row.iter().map(ValueRef::from));
        let clear = |(value, (column, form)): (Value, &(&str, Form))| {
            let open = |kept: &[u8]| keys.contents.open(&of_column(&place, column), kept);
            Ok(match (form, value) {
                (_, Value::Null) => Value::Null,
                (Form::Key | Form::Plain, value) => value,
                (Form::Name(of) | Form::KeyName(of), Value::Text(text)) => {
                    Value::Text(self.named(*of, &text)?)
                }
                (Form::Name(of) | Form::KeyName(of), Value::Blob(bytes)) => {
                    Value::Blob(keys.named(*of, &bytes)?)
                }
                (Form::Blob, Value::Blob(kept)) => Value::Blob(open(&kept).ok_or(NotOpened)?),
                (Form::Text, Value::Blob(kept)) => {
                    let bytes = open(&kept).ok_or(NotOpened)?;
                    Value::Text(String::from_utf8(bytes).map_err(|_| NotOpened)?)
                }
                (
                    Form::Name(_) | Form::KeyName(_) | Form::Text | Form::Blob,
                    Value::Integer(_) | Value::Real(_) | Value::Text(_),
                ) => return Err(NotOpened),
            })
        };
        row.into_iter().zip(table.columns).map(clear).collect()
    }

    /// A content from its column; `key` are the values of the row's key, as the
    /// file has them and in their order.
    pub(super) fn content(
        &self,
        table: &Table,
        column: &str,
        key: &[Value],
        kept: ValueRef<'_>,
    ) -> Result<Vec<u8>, NotOpened> {
        let (ValueRef::Text(kept) | ValueRef::Blob(kept)) = kept else {
            return Err(NotOpened);
        };
        let Some(keys) = &self.keys else {
            return Ok(kept.to_vec());
        };
        let place = placed(table, key.iter().map(ValueRef::from));
        let content = keys.contents.open(&of_column(&place, column), kept);
        content.ok_or(NotOpened)
    }
}

impl Keys {
    fn name(&self, of: Name, text: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let mut padded = text.to_vec();
        padded.push(END);
        padded.resize(padded.len().next_multiple_of(PADDED_TO), 0);
        let what = of_name(of);
        let digest = mac(&self.nonces.0, &[what.as_slice(), &padded].concat());
        let nonce = digest.first_chunk::<NONCE>().copied().unwrap_or_default();
        self.names.seal_under(&nonce, &what, &padded)
    }

    fn named(&self, of: Name, kept: &[u8]) -> Result<Vec<u8>, NotOpened> {
        let mut padded = self.names.open(&of_name(of), kept).ok_or(NotOpened)?;
        let end = padded.iter().rposition(|byte| *byte != 0);
        let end = end.filter(|at| padded.get(*at) == Some(&END));
        padded.truncate(end.ok_or(NotOpened)?);
        Ok(padded)
    }
}

fn of_name(of: Name) -> Vec<u8> {
    [b"monitor.v1 state name\0", of.as_str().as_bytes(), b"\0"].concat()
}

fn of_column(place: &[u8], column: &str) -> Vec<u8> {
    [place, column.as_bytes()].concat()
}

/// A row's place: its table, and what it is found by, each with its length first.
fn place<'a>(table: &Table, row: impl Iterator<Item = ValueRef<'a>>) -> Vec<u8> {
    let columns = table.columns.iter().map(|(_, form)| *form);
    let key = row.zip(columns).filter(|(_, form)| form.is_key());
    placed(table, key.map(|(value, _)| value))
}

fn placed<'a>(table: &Table, key: impl Iterator<Item = ValueRef<'a>>) -> Vec<u8> {
    let mut place = b"monitor.v1 state\0".to_vec();
    place.extend(table.name.as_bytes());
    place.push(0);
    for value in key {
        let number;
        let (kind, bytes): (u8, &[u8]) = match value {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(integer) => {
                number = integer.to_be_bytes();
                (1, &number)
            }
            ValueRef::Real(real) => {
                number = real.to_be_bytes();
                (2, &number)
            }
            ValueRef::Text(text) => (3, text),
            ValueRef::Blob(bytes) => (4, bytes),
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        place.push(kind);
        place.extend(length.to_be_bytes());
        place.extend(bytes);
    }
    place
}

fn mac(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    // HMAC pads keys with zeros to a block (RFC 2104).
    let mut block = [0; 64];
    if let Some(begin) = block.first_chunk_mut() {
        *begin = *key;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::{super::table::TABLES, *};

    fn cover(number: u8) -> Cover {
        Cover::of(&Own::new([number; 32]))
    }

    /// A row of a table, with other values in each column.
    fn row(table: &Table, number: i64) -> Vec<Value> {
        let value = |(at, (name, form)): (i64, &(&str, Form))| match form {
            Form::Key | Form::Plain => Value::Integer(number * 100 + at),
            Form::Blob => Value::Blob(format!("{name} {number}").into_bytes()),
            Form::KeyName(_) | Form::Name(_) | Form::Text => {
                Value::Text(format!("{name} {number}"))
            }
        };
        (0..).zip(table.columns).map(value).collect()
    }

    #[test]
    fn names_of_any_length_come_back_and_only_alike_ones_look_alike() {
        let mut seen = std::collections::HashSet::new();
        for length in 0..100 {
            let text = "n".repeat(length);
            let name = cover(1).name(Name::Agent, &text).unwrap();
            assert_eq!(cover(1).name(Name::Agent, &text).unwrap(), name);
            assert_eq!(cover(1).named(Name::Agent, &name).unwrap(), text);
            assert!(cover(1).named(Name::Tenant, &name).is_err());
            assert!(cover(2).named(Name::Agent, &name).is_err());
            assert_ne!(cover(1).name(Name::Tenant, &text).unwrap(), name);
            assert_ne!(cover(2).name(Name::Agent, &text).unwrap(), name);
            assert!(seen.insert(name));
        }
        let lengths = ["a", "alice", "a name of thirty-one characters"];
        let lengths = lengths.map(|text| cover(1).name(Name::Principal, text).unwrap().len());
        assert_eq!(lengths, [lengths[0]; 3]);
        for kept in ["", "alice", "AAAA", "%"] {
            assert!(cover(1).named(Name::Principal, kept).is_err());
        }
        assert_eq!(Cover::none().name(Name::Agent, "jump-1").unwrap(), "jump-1");
    }

    #[test]
    fn every_row_comes_back_and_shows_nothing() {
        for table in TABLES {
            let clear = row(table, 1);
            let kept = cover(1).covered(table, clear.clone()).unwrap();
            assert_eq!(cover(1).uncovered(table, kept.clone()).unwrap(), clear);
            for ((value, was), (column, form)) in kept.iter().zip(&clear).zip(table.columns) {
                let shown = matches!(form, Form::Key | Form::Plain);
                assert_eq!(value == was, shown, "{}.{column}", table.name);
            }
            let plain = Cover::none().covered(table, clear.clone()).unwrap();
            assert_eq!(plain, clear);
            let nulls = vec![Value::Null; table.columns.len()];
            assert_eq!(cover(1).covered(table, nulls.clone()).unwrap(), nulls);
        }
    }

    #[test]
    fn a_content_opens_in_its_row_and_column_alone() {
        for table in TABLES {
            let kept = |number| cover(1).covered(table, row(table, number)).unwrap();
            let (one, two) = (kept(1), kept(2));
            for (at, (column, form)) in table.columns.iter().enumerate() {
                if !matches!(form, Form::Text | Form::Blob) {
                    continue;
                }
                let mut moved = two.clone();
                moved[at] = one[at].clone();
                let opened = cover(1).uncovered(table, moved);
                assert_eq!(opened, Err(NotOpened), "{}.{column}", table.name);
                let Value::Blob(bytes) = &one[at] else {
                    panic!("{}.{column} is no blob", table.name);
                };
                for bit in 0..bytes.len() * 8 {
                    let mut bent = bytes.clone();
                    bent[bit / 8] ^= 1 << (bit % 8);
                    let mut row = one.clone();
                    row[at] = Value::Blob(bent);
                    assert!(cover(1).uncovered(table, row).is_err());
                }
                assert!(cover(2).uncovered(table, one.clone()).is_err());
            }
        }
    }

    #[test]
    fn the_own_key_opens_with_the_key_it_lies_under() {
        let (key, other) = (SealKey::new([1; 32]), SealKey::new([2; 32]));
        let kept = Own::new([7; 32]).under(&key).unwrap();
        assert_eq!(Own::open(&key, &kept).unwrap().0, [7; 32]);
        let refused = Own::open(&other, &kept);
        assert!(matches!(refused, Err(SecretsError::OtherKey)));
    }
}
