//! `rules`: what alerts are raised by.

use monitor_model::alert::{Response, Severity};
use monitor_proto::v1::{self, ListRulesRequest};

use super::alerts::tone;
use crate::{
    connection::{Connection, ask},
    error::CliError,
    output::{Listing, Screen, json::Record, table::Cell},
};

const COLUMNS: [&str; 7] = [
    "RULE",
    "VERSION",
    "SEVERITY",
    "ANSWER",
    "ATT&CK",
    "CONTROLS",
    "LOOKS FOR",
];

/// A rule with its names understood.
struct Shown {
    rule: v1::Rule,
    severity: Severity,
    response: Response,
}

/// Lists rules, in their order.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub async fn run(connection: &Connection, screen: &mut Screen) -> Result<(), CliError> {
    let answer = connection
        .alerts()
        .list_rules(ask(ListRulesRequest {}))
        .await;
    let answer = answer
        .map_err(|status| connection.error(&status))?
        .into_inner();
    let rules: Vec<Shown> = answer
        .rules
        .into_iter()
        .map(|rule| {
            Ok(Shown {
                severity: rule.severity().try_into()?,
                response: rule.response().try_into()?,
                rule,
            })
        })
        .collect::<Result<_, CliError>>()?;
    let mut listing = Listing::new(screen, &COLUMNS);
    listing.page(&rules, row, record)?;
    listing.end("no rule")?;
    Ok(())
}

fn row(_: &Screen, shown: &Shown) -> Vec<Cell> {
    let rule = &shown.rule;
    vec![
        Cell::new(&rule.id),
        Cell::new(rule.version.to_string()),
        Cell::new(shown.severity.as_str()).tone(tone(shown.severity)),
        Cell::new(shown.response.as_str()),
        Cell::new(&rule.technique),
        Cell::new(rule.controls.join("; ")),
        Cell::new(&rule.title),
    ]
}

fn record(shown: &Shown) -> Record {
    let rule = &shown.rule;
    Record::new("rule")
        .with("id", &rule.id)
        .with("version", rule.version)
        .with("title", &rule.title)
        .with("severity", shown.severity)
        .with("technique", &rule.technique)
        .with("attack_version", &rule.attack_version)
        .with("controls", &rule.controls)
        .with("response", shown.response)
}
