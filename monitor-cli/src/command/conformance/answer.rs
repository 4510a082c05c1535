//! What an answer says of one certificate. Errors say what is wrong with it.

use monitor_model::{
    clock::UnixNs,
    revocation::{Outcome, Revoked},
};

use super::peer::Answer;
use crate::output::time;

/// What is told of a certificate; none where nothing is.
///
/// # Errors
/// It is told more than once.
pub fn told(answer: &Answer, serial: u64) -> Result<Option<&Revoked>, String> {
    let mut entries = answer
        .revoked
        .iter()
        .filter(|one| one.serial == Some(serial));
    match (entries.next(), entries.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(format!("certificate {serial} is told more than once")),
    }
}

/// What is told of a certificate that the order reaches.
///
/// # Errors
/// It is left out, told more than once, or without a time.
pub fn reached(answer: &Answer, serial: u64) -> Result<&Revoked, String> {
    let entry = told(answer, serial)?;
    let entry = entry.ok_or_else(|| format!("the answer says nothing of certificate {serial}"))?;
    if entry.at == UnixNs(0) {
        return Err(format!("of certificate {serial} it is not told when"));
    }
    Ok(entry)
}

/// That a certificate which was never issued is not found, or left out.
///
/// # Errors
/// Anything else is told of it.
pub fn never_issued(answer: &Answer, serial: u64) -> Result<(), String> {
    match told(answer, serial)? {
        Some(entry) if entry.outcome != Outcome::NotFound => Err(format!(
            "certificate {serial}, which was never issued, is told as {}",
            entry.outcome.as_str()
        )),
        Some(_) | None => Ok(()),
    }
}

/// That an answer tells a certificate as revoked before, at the same time.
///
/// # Errors
/// It tells something else.
pub fn still(answer: &Answer, first: &Revoked, allowed: &[Outcome]) -> Result<(), String> {
    let serial = first.serial.unwrap_or_default();
    let again = reached(answer, serial)?;
    if !allowed.contains(&again.outcome) {
        let names: Vec<&str> = allowed.iter().map(|one| one.as_str()).collect();
        return Err(format!(
            "certificate {serial} was revoked before, and is told as {} where {} is right",
            again.outcome.as_str(),
            names.join(" or ")
        ));
    }
    if again.at != first.at {
        return Err(format!(
            "certificate {serial} was revoked at {}, and now {} is told: it was revoked twice, or the first time is lost",
            moment(first.at),
            moment(again.at)
        ));
    }
    Ok(())
}

/// A time as reasons tell it.
#[must_use]
pub fn moment(at: UnixNs) -> String {
    time::rfc3339(at).unwrap_or_else(|| "never".to_owned())
}
