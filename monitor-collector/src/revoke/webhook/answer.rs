//! What comes back: the broker's answer, or when and how it is asked again.

use std::time::Duration;

use hyper::header::{LOCATION, RETRY_AFTER};
use jiff::{Timestamp, fmt::rfc2822};
use monitor_model::{
    clock::UnixNs,
    revocation::{Outcome, Revoked},
};
use serde::Deserialize;

use super::SCHEMA_VERSION;
use crate::{
    http,
    revoke::way::{Said, Unanswered},
};

/// The body; fields that are not known are passed over.
#[derive(Deserialize)]
struct Body {
    schema_version: Option<u32>,
    revoked: Vec<One>,
    published_at: Option<String>,
    list_number: Option<Serial>,
}

#[derive(Deserialize)]
struct One {
    serial: Option<Serial>,
    grant: Option<String>,
    outcome: String,
    at: String,
}

/// A serial number, as text or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Serial {
    Number(u64),
    Text(String),
}

/// Reads an answer that came now.
///
/// # Errors
/// [`Unanswered`]: 202 and other successes, 408, 425, 429, 5xx and a body that
/// makes no sense are asked again soon, or when `Retry-After` says; everything
/// else is a refusal.
pub fn read(answer: &http::Answer, now: UnixNs) -> Result<Said, Unanswered> {
    let status = answer.status.as_u16();
    match status {
        200 => said(&answer.body).map_err(|cause| {
            Unanswered::soon(format!("the broker's answer makes no sense: {cause}"))
        }),
        201..=299 => Err(again(
            answer,
            now,
            format!("it answers {status}: the order is taken, and not answered yet"),
        )),
        300..=399 => {
            let to = answer.fields.get(LOCATION).and_then(|to| to.to_str().ok());
            let to: String = to.unwrap_or("nowhere").chars().take(200).collect();
            Err(Unanswered::Refused {
                text: format!(
                    "it answers {status} and sends the order on to {to}: redirects are not followed; give broker.webhook the address itself"
                ),
            })
        }
        408 | 425 | 429 | 500..=599 => {
            let text = format!("it answers {status}: {}", answer.text());
            Err(again(answer, now, text))
        }
        _ => Err(Unanswered::Refused {
            text: format!("it answers {status}: {}", answer.text()),
        }),
    }
}

fn again(answer: &http::Answer, now: UnixNs, text: String) -> Unanswered {
    let value = answer.fields.get(RETRY_AFTER);
    let value = value.and_then(|value| value.to_str().ok());
    match value.and_then(|value| wait(value.trim(), now)) {
        Some(wait) => Unanswered::After { text, wait },
        None => Unanswered::Soon { text },
    }
}

/// What `Retry-After` says: seconds, or a date as HTTP writes it.
fn wait(value: &str, now: UnixNs) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(unix_ns(date)?.since(now))
}

fn said(body: &[u8]) -> Result<Said, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let version = body.schema_version.unwrap_or(SCHEMA_VERSION);
    if version != SCHEMA_VERSION {
        return Err(format!(
            "schema_version is {version}; give {SCHEMA_VERSION}"
        ));
    }
    let revoked = body.revoked.into_iter().enumerate().map(|(at, one)| {
        let told = revoked(one);
        told.map_err(|cause| format!("revoked[{at}].{cause}"))
    });
    let published_at = body.published_at.as_deref();
    let published_at = published_at.map(|text| moment("published_at", text));
    Ok(Said {
        revoked: revoked.collect::<Result<_, _>>()?,
        published_at: published_at.transpose()?,
        list: serial("list_number", body.list_number)?,
    })
}

fn serial(key: &str, serial: Option<Serial>) -> Result<Option<u64>, String> {
    match serial {
        None => Ok(None),
        Some(Serial::Number(serial)) => Ok(Some(serial)),
        Some(Serial::Text(text)) => {
            let serial = text.parse();
            let serial = serial.map_err(|_| format!("{key} is {text:?}; give a decimal number"));
            serial.map(Some)
        }
    }
}

fn revoked(one: One) -> Result<Revoked, String> {
    let serial = serial("serial", one.serial)?;
    let grant = one.grant.map(|text| text.parse());
    let grant = grant
        .transpose()
        .map_err(|error| format!("grant: {error}"))?;
    if serial.is_none() && grant.is_none() {
        return Err("serial and grant are both missing; give the one that it is about".to_owned());
    }
    let outcome = Outcome::ALL
        .into_iter()
        .find(|outcome| outcome.as_str() == one.outcome)
        .ok_or_else(|| {
            let names = Outcome::ALL.map(Outcome::as_str).join(", ");
            format!("outcome is {:?}; give one of {names}", one.outcome)
        })?;
    Ok(Revoked {
        serial,
        grant,
        outcome,
        at: moment("at", &one.at)?,
    })
}

fn moment(key: &str, text: &str) -> Result<UnixNs, String> {
    let stamp: Option<Timestamp> = text.parse().ok();
    stamp
        .and_then(unix_ns)
        .ok_or_else(|| format!("{key} is {text:?}; give RFC 3339, as in 2026-11-22T03:14:15.9Z"))
}

/// None before 1970.
fn unix_ns(stamp: Timestamp) -> Option<UnixNs> {
    u64::try_from(stamp.as_nanosecond()).ok().map(UnixNs)
}

#[cfg(test)]
mod tests {
    use hyper::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    };
    use proptest::prelude::*;

    use super::*;

    const NOON: UnixNs = UnixNs::from_seconds(1_795_780_800);

    fn answer(status: u16, fields: &[(HeaderName, &'static str)], body: &str) -> http::Answer {
        let fields = fields.iter().cloned();
        let fields = fields.map(|(name, value)| (name, HeaderValue::from_static(value)));
        http::Answer {
            status: StatusCode::from_u16(status).unwrap(),
            fields: fields.collect(),
            body: body.to_owned().into(),
        }
    }

    fn waits(status: u16, retry_after: &'static str) -> Option<Duration> {
        match read(&answer(status, &[(RETRY_AFTER, retry_after)], ""), NOON) {
            Err(Unanswered::After { wait, .. }) => Some(wait),
            Err(Unanswered::Soon { .. }) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_is_read_whole() {
        let body = r#"{"schema_version":1,"more":[],"published_at":"1970-01-01T00:00:02Z","list_number":"12","revoked":[
            {"serial":"18446744073709551615","outcome":"revoked","at":"1970-01-01T00:00:01.000000005Z"},
            {"serial":7,"grant":"G-1","outcome":"already_revoked","at":"1970-01-01T01:00:00+01:00"},
            {"grant":"G-2","outcome":"not_found","at":"1970-01-01T00:00:00Z"}]}"#;
        let said = read(&answer(200, &[], body), NOON).unwrap();
        assert_eq!(said.published_at, Some(UnixNs::from_seconds(2)));
        assert_eq!(said.list, Some(12));
        let told: Vec<_> = said
            .revoked
            .iter()
            .map(|one| (one.serial, one.outcome))
            .collect();
        assert_eq!(
            told,
            [
                (Some(u64::MAX), Outcome::Revoked),
                (Some(7), Outcome::AlreadyRevoked),
                (None, Outcome::NotFound)
            ]
        );
        assert_eq!(said.revoked[0].at, UnixNs(1_000_000_005));
        assert_eq!(said.revoked[1].at, UnixNs(0));
        assert_eq!(said.revoked[2].grant.as_ref().unwrap().as_str(), "G-2");
        let nothing = read(&answer(200, &[], r#"{"revoked":[]}"#), NOON).unwrap();
        assert!(nothing.revoked.is_empty() && nothing.published_at.is_none());
        assert_eq!(nothing.list, None);
    }

    #[test]
    fn an_answer_that_makes_no_sense_says_where_and_is_asked_for_again() {
        let one = |fields: &str| format!(r#"{{"revoked":[{{{fields}}}]}}"#);
        for (body, told) in [
            (String::new(), "makes no sense"),
            ("<html>".to_owned(), "makes no sense"),
            ("{}".to_owned(), "revoked"),
            (r#"{"revoked":[],"schema_version":2}"#.to_owned(), "give 1"),
            (
                r#"{"revoked":[],"published_at":"now"}"#.to_owned(),
                "published_at is \"now\"",
            ),
            (
                r#"{"revoked":[],"list_number":"x"}"#.to_owned(),
                "list_number is \"x\"; give a decimal number",
            ),
            (
                one(r#""outcome":"revoked","at":"1970-01-01T00:00:00Z""#),
                "revoked[0].serial and grant",
            ),
            (
                one(r#""serial":1,"outcome":"gone","at":"1970-01-01T00:00:00Z""#),
                "already_revoked",
            ),
            (
                one(r#""serial":"-1","outcome":"revoked","at":"1970-01-01T00:00:00Z""#),
                "decimal",
            ),
            (
                one(r#""serial":1,"outcome":"revoked","at":"1969-12-31T00:00:00Z""#),
                "RFC 3339",
            ),
            (
                one(r#""grant":"a b","outcome":"revoked","at":"1970-01-01T00:00:00Z""#),
                "grant",
            ),
        ] {
            let why = read(&answer(200, &[], &body), NOON).unwrap_err();
            assert!(!why.is_refusal() && why.to_string().contains(told), "{why}");
        }
    }

    #[test]
    fn what_is_busy_is_asked_again_when_it_says() {
        for status in [202, 204, 408, 425, 429, 500, 503] {
            assert_eq!(waits(status, "120"), Some(Duration::from_secs(120)));
            assert_eq!(waits(status, "soon"), None);
        }
        let date = "Fri, 27 Nov 2026 12:01:30 GMT";
        assert_eq!(waits(503, date), Some(Duration::from_secs(90)));
        assert_eq!(
            waits(503, "Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn what_is_refused_is_told_with_the_beginning_of_what_it_said() {
        let long = "no such hook ".repeat(100);
        let why = read(&answer(404, &[(RETRY_AFTER, "1")], &long), NOON).unwrap_err();
        let text = why.to_string();
        assert!(why.is_refusal() && text.starts_with("it answers 404: no such hook"));
        assert!(text.chars().count() < 230, "{text}");
        let to = [(LOCATION, "https://elsewhere.example/")];
        let why = read(&answer(307, &to, ""), NOON).unwrap_err();
        assert!(why.is_refusal() && why.to_string().contains("elsewhere.example"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(body in prop::collection::vec(any::<u8>(), 0..200), status in 200_u16..600) {
            let mut answer = answer(status, &[], "");
            answer.body = body.into();
            let _ = read(&answer, NOON);
        }
    }
}
