//! `verify --receipt`: what became of a revocation order, checked without a collector.

use std::path::Path;

use monitor_ledger::{key::VerifierKey, receipt::Receipt};
use serde_json::Value;

use super::read;
use crate::{
    error::CliError,
    output::{Screen, Tone, json::Record},
};

/// Checks a receipt, and tells what it says.
///
/// # Errors
/// [`CliError::File`]; [`CliError::Receipt`] when a byte of it was changed, or
/// none of the keys signed it.
pub(super) fn run(path: &Path, keys: &[VerifierKey], screen: &mut Screen) -> Result<(), CliError> {
    let bytes = read(path)?;
    let receipt = Receipt::open(&bytes, keys).map_err(|source| CliError::Receipt {
        path: path.into(),
        source,
    })?;
    let content = receipt.content();
    if !screen.is_table() {
        screen.record(&Record::new("receipt").with("receipt", content))?;
        return Ok(screen.flush()?);
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = format!(
        "signed: order {} against {} ({}) is {} as of {}",
        text(&content["order"]),
        text(&content["target"]),
        text(&content["mode"]),
        text(&content["state"]),
        text(&content["made_at"]),
    );
    screen.line(Tone::Good, &line)?;
    for credential in content["credentials"].as_array().into_iter().flatten() {
        let serial = credential["serial"].as_str();
        let name = serial.map_or_else(
            || format!("grant {}", text(&credential["grant"])),
            |serial| format!("certificate {serial}"),
        );
        let line = format!(
            "{name}: {} {}",
            text(&credential["outcome"]),
            text(&credential["at"])
        );
        screen.line(Tone::Plain, &line)?;
    }
    for host in content["hosts"].as_array().into_iter().flatten() {
        let is_confirmed = host["is_confirmed"].as_bool().unwrap_or(false);
        let (state, tone) = match (is_confirmed, host["is_retried"].as_bool()) {
            (true, _) => ("confirmed", Tone::Plain),
            (false, Some(true)) => ("not reached, retried", Tone::Bad),
            (false, Some(false) | None) => ("not reached", Tone::Doubtful),
        };
        let line = format!(
            "host {}: {state}, last process gone {}, first login refused {}",
            text(&host["host"]),
            text(&host["last_process_gone"]),
            text(&host["first_refused_login"]),
        );
        screen.line(tone, &line)?;
    }
    Ok(screen.flush()?)
}
