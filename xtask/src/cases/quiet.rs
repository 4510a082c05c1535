//! Quiet days: how many alerts ordinary work raises, by rule, and how many that
//! makes on a host and day.
//!
//! In: the results of group G on one kernel. Out: a table between the marks of
//! `docs/reference/quiet.md`.

use std::fmt::Write as _;

use monitor_tests::cases::alerts::{SEVERITIES, in_words, of_severity};
use monitor_tests::cases::discover::Case;
use monitor_tests::cases::report::{CaseReport, Outcome};

use super::tables::Page;

/// The cases that are days of quiet.
pub(super) const PAGE: Page = Page {
    group: "G",
    file: "docs/reference/quiet.md",
    table,
};
/// Most alerts that all of them together may raise on a host and day; of a
/// severity that is not named as many as there are.
const AGREED: [(&str, usize); 3] = [("critical", 0), ("high", 0), ("medium", 1)];

fn plays_a_day(case: &Case) -> usize {
    let most = case.expectations.alerts.as_ref();
    most.map_or(0, |most| most.plays_a_day)
}

fn was_played(row: &CaseReport) -> bool {
    match row.result {
        Outcome::Ok | Outcome::Failed | Outcome::Blind => true,
        Outcome::CannotRun => false,
    }
}

fn table(release: &str, rows: &[(&Case, &CaseReport)]) -> String {
    let played = rows.iter().filter(|(_, row)| was_played(row));
    let played: Vec<(&Case, &CaseReport)> = played.copied().collect();
    let mut text = format!(
        "Linux {release}: {} of {} played. {}\n\n",
        played.len(),
        rows.len(),
        sum(&played)
    );
    text.push_str(
        "| case | what | seconds | events | alerts by rule | plays a day | alerts a host and day |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (case, row) in rows {
        let title = case.expectations.title.replace('|', "\\|");
        let plays = plays_a_day(case);
        // Writing to a string cannot fail.
        let _ = if was_played(row) {
            writeln!(
                text,
                "| {} | {title} | {:.0} | {} | {} | {plays} | {} |",
                case.id,
                row.seconds,
                row.events,
                rules(row),
                by_severity(row, plays)
            )
        } else {
            writeln!(
                text,
                "| {} | {title} | could not be played: {} | | | {plays} | |",
                case.id,
                row.reasons.join("; ")
            )
        };
    }
    text
}

fn rules(row: &CaseReport) -> String {
    match row.alerts.as_slice() {
        [] => "none".to_owned(),
        alerts => in_words(alerts),
    }
}

fn by_severity(row: &CaseReport, plays: usize) -> String {
    let counts = SEVERITIES.iter().filter_map(|severity| {
        let count = of_severity(&row.alerts, severity).saturating_mul(plays);
        (count > 0).then(|| format!("{count} {severity}"))
    });
    let counts: Vec<String> = counts.collect();
    if counts.is_empty() {
        "0".to_owned()
    } else {
        counts.join(", ")
    }
}

/// All of them on one host and day, against what was agreed.
fn sum(rows: &[(&Case, &CaseReport)]) -> String {
    let of = |severity: &str| -> usize {
        let counts = rows.iter().map(|(case, row)| {
            of_severity(&row.alerts, severity).saturating_mul(plays_a_day(case))
        });
        counts.sum()
    };
    let counts: Vec<String> = SEVERITIES
        .iter()
        .map(|severity| format!("{} {severity}", of(severity)))
        .collect();
    let holds = AGREED.iter().all(|(severity, most)| of(severity) <= *most);
    format!(
        "A host and day with all of these: {}; what was agreed {}.",
        counts.join(", "),
        if holds { "holds" } else { "**does not hold**" }
    )
}

#[cfg(test)]
mod tests {
    use monitor_tests::cases::expect::Expectations;

    use super::*;

    fn case(plays: usize) -> Case {
        let text = format!("title = 'a | b'\nneeds = []\n[alerts]\nplays_a_day = {plays}\n");
        Case {
            id: "G1".to_owned(),
            name: "G1-x".to_owned(),
            folder: "/".into(),
            expectations: Expectations::read(&text).unwrap(),
        }
    }

    fn played(result: &str, severity: &str, count: usize) -> CaseReport {
        serde_json::from_value(serde_json::json!({
            "id": "G1", "title": "t", "result": result, "seen": true, "attributed": true,
            "judged": null, "reasons": ["why"], "seconds": 1.6, "expects": [], "events": 7,
            "alerts": [{"rule": "r", "severity": severity, "count": count, "sentence": "s"}],
        }))
        .unwrap()
    }

    #[test]
    fn alerts_of_a_day_are_those_of_a_play_times_the_plays() {
        let (case, row) = (case(20), played("ok", "low", 2));
        let text = table("6.1", &[(&case, &row)]);
        assert!(text.contains("1 of 1 played"), "{text}");
        assert!(text.contains("0 critical, 0 high, 0 medium, 40 low; what was agreed holds"));
        assert!(
            text.contains("| G1 | a \\| b | 2 | 7 | r 2 | 20 | 40 low |"),
            "{text}"
        );
    }

    #[test]
    fn agreed_number_is_of_a_day() {
        let (twice, row) = (case(2), played("ok", "medium", 1));
        assert!(table("6.1", &[(&twice, &row)]).contains("does not hold"));
        let once = case(1);
        assert!(table("6.1", &[(&once, &row)]).contains("agreed holds"));
    }

    #[test]
    fn what_could_not_be_played_counts_for_nothing_and_says_why() {
        let (case, row) = (case(1), played("cannot_run", "high", 1));
        let text = table("6.1", &[(&case, &row)]);
        assert!(text.contains("0 of 1 played") && text.contains("agreed holds"));
        assert!(text.contains("could not be played: why"), "{text}");
    }
}
