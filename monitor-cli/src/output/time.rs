//! Instants and durations as people and programs write them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, civil, tz::TimeZone};
use monitor_model::clock::UnixNs;

const MILLISECOND: u128 = 1_000_000;
const SECOND: u128 = 1_000 * MILLISECOND;
const MINUTE: u128 = 60 * SECOND;

/// An instant as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This one.
    At(UnixNs),
    /// So long ago.
    Ago(Duration),
}

impl Moment {
    /// The instant, as seen from `now`.
    #[must_use]
    pub fn instant(self, now: UnixNs) -> UnixNs {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => {
                let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
                UnixNs(now.0.saturating_sub(ago))
            }
        }
    }
}

/// RFC 3339, UTC, nanoseconds; none for [`UnixNs::MAX`], which means never.
#[must_use]
pub fn rfc3339(at: UnixNs) -> Option<String> {
    timestamp(at).map(|timestamp| format!("{timestamp:.9}"))
}

/// Local time to the millisecond; with the date unless it is the day of `now`.
#[must_use]
pub fn local(at: UnixNs, now: UnixNs, zone: &TimeZone) -> String {
    let Some(moment) = timestamp(at).map(|timestamp| timestamp.to_zoned(zone.clone())) else {
        return "never".to_owned();
    };
    let today = timestamp(now).map(|timestamp| timestamp.to_zoned(zone.clone()).date());
    let form = if today == Some(moment.date()) {
        "%H:%M:%S.%3f"
    } else {
        "%Y-%m-%d %H:%M:%S.%3f"
    };
    moment.strftime(form).to_string()
}

/// Local date and time to the second.
#[must_use]
pub fn local_seconds(at: UnixNs, zone: &TimeZone) -> String {
    formed(at, zone, "%Y-%m-%d %H:%M:%S")
}

/// Local date and time to the millisecond.
#[must_use]
pub fn local_millis(at: UnixNs, zone: &TimeZone) -> String {
    formed(at, zone, "%Y-%m-%d %H:%M:%S.%3f")
}

fn formed(at: UnixNs, zone: &TimeZone, form: &str) -> String {
    timestamp(at).map_or_else(
        || "never".to_owned(),
        |timestamp| timestamp.to_zoned(zone.clone()).strftime(form).to_string(),
    )
}

/// A duration with about three digits that matter: `850 ns`, `41.2 ms`, `2 min 5 s`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let ns = duration.as_nanos();
    match ns {
        _ if ns < 1_000 => format!("{ns} ns"),
        _ if ns < MILLISECOND => format!("{} us", tenths(ns, 1_000)),
        _ if ns < SECOND => format!("{} ms", tenths(ns, MILLISECOND)),
        _ if ns < MINUTE => format!("{} s", tenths(ns, SECOND)),
        _ if ns < 60 * MINUTE => format!("{} min {} s", ns / MINUTE, ns % MINUTE / SECOND),
        _ => format!("{} h {} min", ns / (60 * MINUTE), ns / MINUTE % 60),
    }
}

/// Reads a duration as people write it: `10s`, `500ms`, `1m 30s`.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write one as in 10s, 500ms or 1m30s");
    let parsed: SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(parsed).map_err(|_| wrong())
}

/// Reads an instant as people write it: `2026-01-02T14:02:05Z`, local time as in
/// `2026-01-02 14:02`, or how long ago as in `2h` and `7d`.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_moment(text: &str) -> Result<Moment, String> {
    let wrong = || {
        format!(
            "{text:?} is neither a time nor a duration; write 2026-01-02T14:02:05Z, \
             2026-01-02T14:02 for local time, or 2h, 30m, 7d for so long ago"
        )
    };
    let at = |timestamp: Timestamp| {
        let ns = u64::try_from(timestamp.as_nanosecond()).map_err(|_| wrong())?;
        Ok(Moment::At(UnixNs(ns)))
    };
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return at(timestamp);
    }
    if let Ok(local) = text.parse::<civil::DateTime>() {
        let zoned = local.to_zoned(TimeZone::system()).map_err(|_| wrong())?;
        return at(zoned.timestamp());
    }
    let span: Span = text.parse().map_err(|_| wrong())?;
    let ago = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    Duration::try_from(ago)
        .map(Moment::Ago)
        .map_err(|_| wrong())
}

fn timestamp(at: UnixNs) -> Option<Timestamp> {
    if at == UnixNs::MAX {
        return None;
    }
    Timestamp::from_nanosecond(i128::from(at.0)).ok()
}

fn tenths(ns: u128, unit: u128) -> String {
    if ns >= 100 * unit {
        return (ns / unit).to_string();
    }
    let tenths = ns * 10 / unit;
    if tenths.is_multiple_of(10) {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixNs = UnixNs(1_795_176_000_123_456_789);

    #[test]
    fn instants_keep_their_nanoseconds_in_json() {
        assert_eq!(rfc3339(NOON).unwrap(), "2026-11-20T12:00:00.123456789Z");
        assert_eq!(
            rfc3339(UnixNs::from_seconds(5)).unwrap(),
            "1970-01-01T00:00:05.000000000Z"
        );
        assert_eq!(rfc3339(UnixNs::MAX), None);
    }

    #[test]
    fn local_time_shows_the_date_only_when_it_is_another_day() {
        let later = NOON.plus(Duration::from_secs(11 * 3600));
        assert_eq!(local(NOON, later, &TimeZone::UTC), "12:00:00.123");
        let tomorrow = NOON.plus(Duration::from_secs(13 * 3600));
        assert_eq!(
            local(NOON, tomorrow, &TimeZone::UTC),
            "2026-11-20 12:00:00.123"
        );
        assert_eq!(local(UnixNs::MAX, NOON, &TimeZone::UTC), "never");
        assert_eq!(local_seconds(NOON, &TimeZone::UTC), "2026-11-20 12:00:00");
    }

    #[test]
    fn durations_read_as_a_person_says_them() {
        for (ns, text) in [
            (0, "0 ns"),
            (850, "850 ns"),
            (1_500, "1.5 us"),
            (41_234_000, "41.2 ms"),
            (180_000_000, "180 ms"),
            (5_000_000_000, "5 s"),
            (59_990_000_000, "59.9 s"),
            (125_000_000_000, "2 min 5 s"),
            (7_320_000_000_000, "2 h 2 min"),
        ] {
            assert_eq!(duration(Duration::from_nanos(ns)), text);
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "10", "-5s", "soon"] {
            assert!(
                parse_duration(wrong).unwrap_err().contains("as in 10s"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        let day = Duration::from_secs(24 * 3_600);
        assert_eq!(parse_moment("7d"), Ok(Moment::Ago(7 * day)));
        assert_eq!(
            parse_moment("1h30m"),
            Ok(Moment::Ago(Duration::from_secs(5_400)))
        );
        let noon = Moment::At(UnixNs(NOON.0 - 123_456_789));
        assert_eq!(parse_moment("2026-11-20T12:00:00Z"), Ok(noon));
        assert_eq!(parse_moment("2026-11-20T13:00:00+01:00"), Ok(noon));
        let zone = TimeZone::system();
        let Ok(Moment::At(local)) = parse_moment("2026-11-20 14:02") else {
            panic!("local time is an instant");
        };
        assert_eq!(local_seconds(local, &zone), "2026-11-20 14:02:00");
        for wrong in ["", "yesterday", "-2h", "2026-13-01T00:00:00Z"] {
            assert!(parse_moment(wrong).unwrap_err().contains("2h"), "{wrong}");
        }
        assert_eq!(
            Moment::Ago(day).instant(NOON),
            UnixNs(NOON.0 - 86_400 * 1_000_000_000)
        );
        assert_eq!(Moment::Ago(day).instant(UnixNs(5)), UnixNs(0));
    }
}
