//! Revocation lists on their way to hosts.

use monitor_model::{
    clock::UnixNs,
    krl::{ListInPlace, RevocationList},
};

use super::InvalidMessage;
use crate::v1;

impl From<&RevocationList> for v1::RevocationList {
    fn from(value: &RevocationList) -> Self {
        let RevocationList {
            number,
            bytes,
            sha256,
            published_at,
        } = value;
        Self {
            number: *number,
            list: bytes.clone(),
            sha256: sha256.to_vec(),
            published_at_unix_ns: published_at.0,
        }
    }
}

impl TryFrom<v1::RevocationList> for RevocationList {
    type Error = InvalidMessage;
    fn try_from(value: v1::RevocationList) -> Result<Self, InvalidMessage> {
        let v1::RevocationList {
            number,
            list,
            sha256,
            published_at_unix_ns,
        } = value;
        let sha256 = sha256.try_into();
        Ok(Self {
            number,
            bytes: list,
            sha256: sha256.map_err(|_| InvalidMessage::Missing {
                field: "list.sha256 (32 bytes)",
            })?,
            published_at: UnixNs(published_at_unix_ns),
        })
    }
}

impl From<&ListInPlace> for v1::ListInPlace {
    fn from(value: &ListInPlace) -> Self {
        let ListInPlace {
            number,
            at,
            problem,
        } = value;
        Self {
            number: *number,
            at_unix_ns: at.0,
            problem: problem.clone(),
        }
    }
}

impl From<v1::ListInPlace> for ListInPlace {
    fn from(value: v1::ListInPlace) -> Self {
        let v1::ListInPlace {
            number,
            at_unix_ns,
            problem,
        } = value;
        Self {
            number,
            at: UnixNs(at_unix_ns),
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_survive_their_encoding() {
        let list = RevocationList {
            number: 7,
            bytes: vec![1, 2],
            sha256: [3; 32],
            published_at: UnixNs(4),
        };
        let message = v1::RevocationList::from(&list);
        assert_eq!(RevocationList::try_from(message.clone()).unwrap(), list);
        let cut = v1::RevocationList {
            sha256: vec![3; 31],
            ..message
        };
        let error = RevocationList::try_from(cut).unwrap_err().to_string();
        assert!(error.contains("list.sha256"), "{error}");
        let place = ListInPlace {
            number: Some(7),
            at: UnixNs(5),
            problem: "no room".into(),
        };
        assert_eq!(ListInPlace::from(v1::ListInPlace::from(&place)), place);
    }
}
