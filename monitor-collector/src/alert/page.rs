//! `docs/reference/rules.md`, made from the rules that come with the collector.

use std::{fmt::Write as _, path::Path};

use monitor_model::event::Fact;

use super::{
    rule::{Counted, Rule},
    sign::Sign,
    tests::DEDUPE,
};
use crate::config::rules::standard;

const TOP: &str = "# Alert rules

<!-- Made from monitor-collector/src/alert/standard.toml:
     MONITOR_WRITE_DOCS=1 cargo test -p monitor-collector --lib alert::page -->

An alert is raised by a rule, and rules are data. These come with the collector; `alert.off` in its configuration
switches some off, `alert.rules` names a file of your own, in which a rule of the same id replaces one of these.
`monitorctl rules` shows what a running collector has. Of the rules that match an event one raises the alert: that with
the strongest response, then severity, then the first.

A rule looks at all that it states: `verdicts`, `kinds`, `reasons` (of what is out of scope), `no_session` (why something
is nobody's), `facts`, `signs`, `classes` (of the watch list) and `changes` (of watched files). It fires from the match
`after` on, within `window_seconds`; `by` says whose matches are counted together (`session`, `principal`, `host`) and
`counted` whether `events` or `tenants`. `dedupe_seconds` is how long like matches count in the first alert;
`response` is `notify`, `ask`, `freeze` or `revoke`, and what becomes of it is policy ([orders.md](orders.md)). `severity` is low, medium, high or critical. `version` ascends when a rule changes;
`technique` is of ATT&CK, of the `attack_version` (19 unless stated); `controls` name what the rule serves.
A rule that would fire at everyday work, or that nothing could ever meet, is refused, with file and line.

";

fn page(rules: &[Rule]) -> String {
    let mut text = TOP.to_owned();
    text.push_str(
        "| rule | looks for | severity | ATT&CK | controls | answer |\n|---|---|---|---|---|---|\n",
    );
    for rule in rules {
        let technique = match (rule.technique.as_str(), rule.attack_version.as_str()) {
            ("", _) => "of the watch list".to_owned(),
            (technique, version) => format!("{technique} (v{version})"),
        };
        _ = writeln!(
            text,
            "| `{}` {} | {}{} | {} | {technique} | {} | {} |",
            rule.id,
            rule.version,
            rule.title,
            counting(rule),
            rule.severity,
            rule.controls.join("; "),
            rule.response.as_str(),
        );
    }
    text.push_str("\n## Facts\nWhat stands out in one event, whatever was granted.\n\n| fact | kind of event |\n|---|---|\n");
    for fact in Fact::ALL {
        _ = writeln!(text, "| `{}` | `{}` |", fact.as_str(), fact.kind());
    }
    text.push_str("\n## Signs\nWhat stands out over time; no single event shows it.\n\n| sign | meaning |\n|---|---|\n");
    for sign in Sign::ALL {
        _ = writeln!(text, "| `{}` | {} |", sign.as_str(), sign.meaning());
    }
    text
}

fn counting(rule: &Rule) -> String {
    let Rule {
        after,
        window,
        counted,
        by,
        ..
    } = rule;
    if *after == 1 {
        return String::new();
    }
    let what = match counted {
        Counted::Events => "match",
        Counted::Tenants => "tenant",
    };
    let seconds = window.as_secs();
    format!(
        ", from {what} {after} of one {} within {seconds} s",
        by.as_str()
    )
}

#[test]
fn the_page_of_rules_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/rules.md");
    let made = page(&standard(DEDUPE).unwrap());
    if std::env::var_os("MONITOR_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == made,
        "docs/reference/rules.md is stale: MONITOR_WRITE_DOCS=1 cargo test -p monitor-collector --lib alert::page"
    );
}
