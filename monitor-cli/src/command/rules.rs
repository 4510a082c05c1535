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

/// Lists rules in their order, or files of Sigma rules.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub async fn run(
    sigma: bool,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let answer = connection
        .alerts()
        .list_rules(ask(ListRulesRequest {}))
        .await;
    let answer = answer
        .map_err(|status| connection.error(&status))?
        .into_inner();
    if sigma {
        let mut listing = Listing::new(screen, &["FILE", "RUNS", "TITLE", "WHY NOT"]);
        listing.page(&answer.sigma_files, file_row, file_record)?;
        listing.end("no file of Sigma rules")?;
        return Ok(());
    }
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

fn file_row(_: &Screen, file: &v1::SigmaFile) -> Vec<Cell> {
    let runs = if file.refused.is_empty() { "yes" } else { "no" };
    vec![
        Cell::new(&file.path),
        Cell::new(runs),
        Cell::new(&file.title),
        Cell::new(&file.refused),
    ]
}

fn file_record(file: &v1::SigmaFile) -> Record {
    Record::new("sigma_file")
        .with("path", &file.path)
        .with("id", &file.id)
        .with("title", &file.title)
        .with("runs", file.refused.is_empty())
        .with("refused", &file.refused)
}
