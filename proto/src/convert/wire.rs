//! Small conversions that every message needs: absent text, ids, addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use monitor_model::id::InvalidId;

use super::InvalidMessage;

/// A field that must be there.
pub(super) fn need<T>(field: &'static str, value: Option<T>) -> Result<T, InvalidMessage> {
    value.ok_or(InvalidMessage::Missing { field })
}

/// A name that must be there.
pub(super) fn name<T>(field: &'static str, text: &str) -> Result<T, InvalidMessage>
where
    T: FromStr<Err = InvalidId>,
{
    text.parse()
        .map_err(|source| InvalidMessage::Id { field, source })
}

/// A name that is absent when empty.
pub(super) fn name_opt<T>(field: &'static str, text: &str) -> Result<Option<T>, InvalidMessage>
where
    T: FromStr<Err = InvalidId>,
{
    if text.is_empty() {
        Ok(None)
    } else {
        name(field, text).map(Some)
    }
}

/// Names, all of which must be right.
pub(super) fn names<T>(field: &'static str, texts: &[String]) -> Result<Vec<T>, InvalidMessage>
where
    T: FromStr<Err = InvalidId>,
{
    texts.iter().map(|text| name(field, text)).collect()
}

/// Text that is empty when absent.
pub(super) fn text_opt<T: fmt::Display>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Texts of names.
pub(super) fn texts<T: fmt::Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Text that is absent when empty.
pub(super) fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// 16 bytes that must be there.
pub(super) fn id<T>(
    field: &'static str,
    bytes: &[u8],
    make: impl Fn(&[u8]) -> Result<T, InvalidId>,
) -> Result<T, InvalidMessage> {
    make(bytes).map_err(|source| InvalidMessage::Id { field, source })
}

/// 16 bytes that are absent when empty.
pub(super) fn id_opt<T>(
    field: &'static str,
    bytes: &[u8],
    make: impl Fn(&[u8]) -> Result<T, InvalidId>,
) -> Result<Option<T>, InvalidMessage> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        id(field, bytes, make).map(Some)
    }
}

/// A number of 16 bits.
pub(super) fn small(field: &'static str, value: u32) -> Result<u16, InvalidMessage> {
    u16::try_from(value).map_err(|_| InvalidMessage::Range {
        field,
        value: value.into(),
        max: u16::MAX.into(),
    })
}

/// An address of 4 or 16 bytes.
pub(super) fn address(field: &'static str, bytes: &[u8]) -> Result<IpAddr, InvalidMessage> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .map_err(|_| InvalidMessage::Address {
            field,
            bytes: bytes.len(),
        })
}

/// The bytes of an address.
pub(super) fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Maps a closed enum both ways; an unknown number is an error that names the field.
macro_rules! closed_enum {
    ($model:ty, $message:ty, $field:literal, { $($left:ident => $right:ident),* $(,)? }) => {
        impl From<$model> for $message {
            fn from(value: $model) -> Self {
                match value { $(<$model>::$left => Self::$right,)* }
            }
        }

        impl TryFrom<$message> for $model {
            type Error = $crate::convert::InvalidMessage;
            fn try_from(value: $message) -> Result<Self, Self::Error> {
                match value {
                    $(<$message>::$right => Ok(Self::$left),)*
                    <$message>::Unspecified => Err($crate::convert::InvalidMessage::Enum {
                        field: $field,
                        value: 0,
                    }),
                }
            }
        }
    };
}
pub(super) use closed_enum;

/// An enum's number as it stands in a message.
pub(super) fn number<M, T>(value: T) -> i32
where
    M: From<T> + Into<i32>,
{
    M::from(value).into()
}

/// An enum's meaning; unspecified and unknown numbers are refused.
pub(super) fn meaning<M, T>(field: &'static str, value: i32) -> Result<T, InvalidMessage>
where
    M: TryFrom<i32>,
    T: TryFrom<M>,
{
    let wrong = || InvalidMessage::Enum { field, value };
    M::try_from(value)
        .ok()
        .and_then(|message| T::try_from(message).ok())
        .ok_or_else(wrong)
}

/// An enum's meaning; absent when unspecified, unknown numbers are refused.
pub(super) fn meaning_opt<M, T>(
    field: &'static str,
    value: i32,
) -> Result<Option<T>, InvalidMessage>
where
    M: TryFrom<i32>,
    T: TryFrom<M>,
{
    if value == 0 {
        Ok(None)
    } else {
        meaning::<M, T>(field, value).map(Some)
    }
}
