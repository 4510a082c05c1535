//! Where the witness is, and what it is known by.

use std::time::Duration;

use hyper::Uri;
use monitor_ledger::cosignature::WitnessKey;
use monitor_transport::configuration::Document;

use super::{
    Witness,
    check::{Wrong, seconds, wrong},
    raw,
};

pub(super) fn checked(raw: raw::Witness, document: &Document<'_>) -> Result<Witness, Wrong> {
    let raw::Witness {
        url,
        key,
        ca,
        timeout_seconds,
        every_seconds,
    } = raw;
    let parsed: Option<Uri> = url.get_ref().parse().ok();
    let host = parsed.as_ref().and_then(Uri::host).unwrap_or_default();
    let is_right = match parsed.as_ref().and_then(Uri::scheme_str) {
        Some("https") => !host.is_empty() && ca.is_some(),
        Some("http") => is_this_machine(host) && ca.is_none(),
        Some(_) | None => false,
    };
    if !is_right {
        return Err(wrong(
            "ledger.witness.url",
            &url,
            "give an https:// address and the ca that signed its certificate, as in https://witness.example:7445; http:// only for this machine itself, without a ca",
        ));
    }
    Ok(Witness {
        key: WitnessKey::parse(key.get_ref())
            .map_err(|error| wrong("ledger.witness.key", &key, &error.to_string()))?,
        url: url.into_inner().trim_end_matches('/').to_owned(),
        ca: ca.map(|ca| document.beside(ca)),
        timeout: within("ledger.witness.timeout_seconds", &timeout_seconds)?,
        every: within("ledger.witness.every_seconds", &every_seconds)?,
    })
}

fn within(key: &'static str, value: &toml::Spanned<u64>) -> Result<Duration, Wrong> {
    seconds(key, value, 1..=3_600)
}

/// Whether what is sent there stays on this machine.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<std::net::IpAddr> = address.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}
