//! The score of attribution: of the ways to shake off one's name, how many end
//! with the right session, with nobody and a reason, with somebody else.
//!
//! In: the results of group D on one kernel. Out: a table between the marks of
//! `docs/reference/attribution.md`.

use std::fmt::Write as _;

use monitor_tests::cases::compare::Found;
use monitor_tests::cases::discover::Case;
use monitor_tests::cases::report::{CaseReport, Outcome};

use super::tables::Page;

/// The cases that are about names.
pub(super) const PAGE: Page = Page {
    group: "D",
    file: "docs/reference/attribution.md",
    table,
};

/// Whose the events of a case were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Right,
    RightInPart,
    Nobody,
    Unseen,
    CannotRun,
    Wrong,
}

impl End {
    const ALL: [Self; 6] = [
        Self::Right,
        Self::RightInPart,
        Self::Nobody,
        Self::Unseen,
        Self::CannotRun,
        Self::Wrong,
    ];

    fn of(case: &CaseReport) -> Self {
        let sum = |of: fn(&Found) -> usize| case.expects.iter().map(of).sum::<usize>();
        let (right, unnamed) = (sum(|found| found.right), sum(|found| found.unnamed));
        match case.result {
            _ if sum(|found| found.wrong) > 0 => Self::Wrong,
            Outcome::CannotRun => Self::CannotRun,
            Outcome::Ok | Outcome::Failed | Outcome::Blind => match (right, unnamed) {
                (0, 0) => Self::Unseen,
                (_, 0) => Self::Right,
                (0, _) => Self::Nobody,
                _ => Self::RightInPart,
            },
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Right => "the right session",
            Self::RightInPart => "the right session in part, the rest nobody",
            Self::Nobody => "nobody, and why",
            Self::Unseen => "not seen",
            Self::CannotRun => "could not be played",
            Self::Wrong => "**somebody else**",
        }
    }
}

fn table(release: &str, rows: &[(&Case, &CaseReport)]) -> String {
    let mut text = format!("Linux {release}: of {} ways\n\n", rows.len());
    for end in End::ALL {
        let count = rows.iter().filter(|(_, case)| End::of(case) == end).count();
        if count > 0 || end == End::Wrong {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "- {count}: {}", end.words());
        }
    }
    text.push_str("\n| case | way | named | how it is known, or why not |\n|---|---|---|---|\n");
    for (case, played) in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            case.id,
            case.expectations.title.replace('|', "\\|"),
            End::of(played).words(),
            grounds(played)
        );
    }
    text
}

/// Lineages and reasons, each once.
fn grounds(case: &CaseReport) -> String {
    if case.result == Outcome::CannotRun {
        return case.reasons.join("; ");
    }
    let mut all: Vec<&str> = Vec::new();
    for ground in case.expects.iter().flat_map(|found| found.grounds.keys()) {
        if !all.contains(&ground.as_str()) {
            all.push(ground);
        }
    }
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(right: usize, unnamed: usize, wrong: usize) -> CaseReport {
        let found = serde_json::json!({
            "name": "1", "wanted": "1", "found": 1, "seen": true, "attributed": true, "judged": null,
            "right": right, "unnamed": unnamed, "wrong": wrong, "differs": [],
            "grounds": {"linked": right, "ambiguous": unnamed},
        });
        serde_json::from_value(serde_json::json!({
            "id": "D1", "title": "t", "result": "ok", "seen": true, "attributed": true,
            "judged": null, "reasons": [], "seconds": 1.0, "expects": [found],
        }))
        .unwrap()
    }

    #[test]
    fn one_wrong_name_makes_a_case_wrong() {
        let ends = [(2, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 0), (5, 1, 1)];
        let ends = ends.map(|(right, unnamed, wrong)| End::of(&played(right, unnamed, wrong)));
        assert_eq!(
            ends,
            [
                End::Right,
                End::RightInPart,
                End::Nobody,
                End::Unseen,
                End::Wrong
            ]
        );
    }

    #[test]
    fn grounds_are_told_once() {
        assert_eq!(grounds(&played(1, 1, 0)), "ambiguous, linked");
    }
}
