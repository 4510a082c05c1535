//! JSON for programs: one shape for every record, stable by `schema_version`.
//!
//! Documented in `docs/reference/output.md`: change both together.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use monitor_model::clock::UnixNs;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{is_harmful, time};

/// Version of every record's shape; raised when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// Fields that hold nanoseconds since 1970. Each gets a neighbour with
/// `_rfc3339` at its end, since many readers of JSON lose digits beyond 2^53.
const TIME_FIELDS: &[&str] = &[
    "alert",
    "at",
    "broker_answered",
    "cosigned_at",
    "delivered",
    "denied_at",
    "ended_at",
    "event_at",
    "expires",
    "first_at",
    "first_refused_login",
    "gone_at",
    "kept_since",
    "kernel_event",
    "known_to",
    "krl_published",
    "last_at",
    "last_process_gone",
    "lost_at",
    "newest_at",
    "not_before",
    "opened_at",
    "ordered",
    "received_at",
    "since",
    "started_at",
    "taken_at",
    "until",
    "unwatched_until",
];

/// One record: what it is, then what it holds.
#[derive(Debug, Serialize)]
pub struct Record {
    schema_version: u32,
    r#type: &'static str,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Record {
    /// An empty record of a type.
    #[must_use]
    pub fn new(r#type: &'static str) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            r#type,
            fields: Map::new(),
        }
    }

    /// Adds a field; times in it get their RFC 3339 neighbours.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        // The model's types hold no map with other keys than text, which is
        // all that can fail here; should it ever, the record says so.
        let mut value = serde_json::to_value(value)
            .unwrap_or_else(|error| Value::String(format!("not expressible: {error}")));
        add_times(&mut value);
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// Adds an instant: nanoseconds since 1970, and RFC 3339.
    #[must_use]
    pub fn with_time(mut self, name: &str, at: UnixNs) -> Self {
        self.fields.insert(name.to_owned(), Value::from(at.0));
        self.fields
            .insert(format!("{name}_rfc3339"), Value::from(time::rfc3339(at)));
        self
    }

    /// Writes it as one line.
    ///
    /// # Errors
    /// As writing does.
    pub fn line(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.text()?)
    }

    /// The record as JSON without line breaks, harmless on a terminal.
    ///
    /// # Errors
    /// When it cannot be expressed, which no record's shape allows.
    pub fn text(&self) -> io::Result<String> {
        let text = serde_json::to_string(self)?;
        if !text.chars().any(is_harmful) {
            return Ok(text);
        }
        // Outside of strings JSON has none of these characters; inside of
        // them `\u` says the same.
        let mut clean = String::with_capacity(text.len());
        for c in text.chars() {
            if is_harmful(c) {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    // Writing to a string cannot fail.
                    _ = write!(clean, "\\u{unit:04x}");
                }
            } else {
                clean.push(c);
            }
        }
        Ok(clean)
    }
}

fn add_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let times: Vec<(String, Value)> = TIME_FIELDS
                .iter()
                .filter_map(|name| Some((format!("{name}_rfc3339"), fields.get(*name)?.as_u64()?)))
                .map(|(name, ns)| (name, Value::from(time::rfc3339(UnixNs(ns)))))
                .collect();
            fields.values_mut().for_each(add_times);
            fields.extend(times);
        }
        Value::Array(items) => items.iter_mut().for_each(add_times),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_time_has_an_rfc3339_neighbour() {
        let record = Record::new("x").with(
            "x",
            json!({"times": {"alert": 5}, "alert": "01JG", "list": [{"at": 1}]}),
        );
        assert_eq!(
            record.text().unwrap(),
            r#"{"schema_version":1,"type":"x","x":{"alert":"01JG","list":[{"at":1,"at_rfc3339":"1970-01-01T00:00:00.000000001Z"}],"times":{"alert":5,"alert_rfc3339":"1970-01-01T00:00:00.000000005Z"}}}"#
        );
    }

    #[test]
    fn never_is_null_for_people() {
        let text = Record::new("x")
            .with("grant", json!({"expires": u64::MAX}))
            .text()
            .unwrap();
        assert!(text.contains(r#""expires_rfc3339":null"#), "{text}");
    }

    #[test]
    fn characters_that_drive_terminals_are_escaped_and_mean_the_same() {
        let text = Record::new("x")
            .with("a", "\u{9b}31m\u{7f}\u{202e}\x1b")
            .text()
            .unwrap();
        assert!(
            text.contains(r#""a":"\u009b31m\u007f\u202e\u001b""#),
            "{text}"
        );
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["a"], "\u{9b}31m\u{7f}\u{202e}\x1b");
    }
}
