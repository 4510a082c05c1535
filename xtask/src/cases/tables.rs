//! Pages of the reference that are about a whole group of cases.
//!
//! In: the results of one kernel. Out: the table of each group that has a page
//! and was played. A group that was played in part makes none.

use anyhow::{Result, bail};
use monitor_tests::cases::discover::{self, Case};
use monitor_tests::cases::report::{CaseReport, Report};

use super::{attribution, own_folder, quiet};
use crate::cache::Project;

/// Writes the tables of the groups that were played.
///
/// # Errors
/// None was played, one was in part, or the disk refused.
pub(super) fn write(project: &Project, place: &str, report: &Report) -> Result<()> {
    let was_played = |group: &str| report.cases.iter().any(|case| is_of(&case.id, group));
    let (names, days) = (was_played(attribution::GROUP), was_played(quiet::GROUP));
    if names {
        attribution::write(project, place, report)?;
    }
    if days {
        quiet::write(project, place, report)?;
    }
    if !names && !days {
        bail!(
            "--document writes tables of the groups {} and {}, and neither was played on {place}",
            attribution::GROUP,
            quiet::GROUP
        );
    }
    Ok(())
}

/// Each case of a group, with what became of it, for a page.
///
/// # Errors
/// Not all of them were played.
pub(super) fn whole_group<'a>(
    project: &Project,
    (group, page): (&str, &str),
    place: &str,
    report: &'a Report,
) -> Result<Vec<(Case, &'a CaseReport)>> {
    let wanted = discover::cases(&own_folder(project), Some(group))?;
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for case in wanted {
        match report.cases.iter().find(|played| played.id == case.id) {
            Some(played) => rows.push((case, played)),
            None => missing.push(case.id),
        }
    }
    if !missing.is_empty() {
        bail!(
            "{page} is about all of group {group}; not played on {place}: {}",
            missing.join(", ")
        );
    }
    Ok(rows)
}

/// Whether an id is of a group: its letters, then a digit.
fn is_of(id: &str, group: &str) -> bool {
    let rest = id.strip_prefix(group);
    rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_of_the_group_of_its_letters() {
        assert!(is_of("G1", "G") && is_of("G10b", "G"));
        assert!(!is_of("D1", "G") && !is_of("GH1", "G") && !is_of("G", "G"));
    }
}
