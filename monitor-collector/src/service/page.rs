//! Page sizes and tokens.

use monitor_model::clock::UnixNs;
use tonic::Status;

use super::bad;
use crate::state::read::Place;

/// Items of a page when nothing is asked for.
pub const PAGE_DEFAULT: u32 = 100;
/// Most items of a page.
pub const PAGE_MAX: u32 = 1_000;

/// How many items a page has.
///
/// # Errors
/// `INVALID_ARGUMENT` beyond [`PAGE_MAX`].
pub fn size(asked: u32) -> Result<u32, Status> {
    match asked {
        0 => Ok(PAGE_DEFAULT),
        1..=PAGE_MAX => Ok(asked),
        _ => Err(bad(
            "page_size",
            format!("{asked}; give 1 to {PAGE_MAX}, or 0 for {PAGE_DEFAULT}"),
        )),
    }
}

/// Where a page begins. A token holds nothing that its reader has not seen.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is none of ours.
pub fn place(token: &str) -> Result<Place, Status> {
    if token.is_empty() {
        return Ok(Place::first());
    }
    let wrong = || bad("page_token", "not a token from an earlier answer");
    let (at, id) = token.split_once('.').ok_or_else(wrong)?;
    let at = u64::from_str_radix(at, 16).map_err(|_| wrong())?;
    if id.len() > 256 {
        return Err(wrong());
    }
    Ok(Place {
        at: UnixNs(at),
        id: id.to_owned(),
    })
}

/// The token of the page after this one; empty when there is none.
#[must_use]
pub fn token(next: Option<Place>) -> String {
    next.map(|place| format!("{:x}.{}", place.at.0, place.id))
        .unwrap_or_default()
}

/// Cuts what was read to a page; one more than the page was asked for.
pub fn cut<T>(items: &mut Vec<T>, size: u32, place: impl Fn(&T) -> Place) -> String {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if items.len() <= size {
        return String::new();
    }
    items.truncate(size);
    token(items.last().map(place))
}
