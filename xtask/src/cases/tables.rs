//! Pages of the reference that are about a whole group of cases.
//!
//! In: the results of one kernel. Out: the table of each group that has a page
//! and was played. A group that was played in part makes none.

use anyhow::{Result, bail};
use monitor_tests::cases::discover::{self, Case};
use monitor_tests::cases::report::{CaseReport, Report};

use super::{attribution, own_folder, quiet};
use crate::cache::Project;
use crate::document;

/// A page about a group.
pub(super) struct Page {
    pub(super) group: &'static str,
    /// The page, below the project's root.
    pub(super) file: &'static str,
    /// The table: of a kernel's release, and what became of each case.
    pub(super) table: fn(&str, &[(&Case, &CaseReport)]) -> String,
}

const PAGES: [Page; 2] = [attribution::PAGE, quiet::PAGE];

/// Writes the tables of the groups that were played.
///
/// # Errors
/// None was played, one was in part, a page has no place for this kernel, or
/// the disk refused.
pub(super) fn write(project: &Project, place: &str, report: &Report) -> Result<()> {
    let is_played = |page: &&Page| report.cases.iter().any(|case| is_of(&case.id, page.group));
    let played: Vec<&Page> = PAGES.iter().filter(is_played).collect();
    if played.is_empty() {
        let groups = PAGES.map(|page| page.group).join(" and ");
        bail!("--document writes tables of the groups {groups}, and neither was played on {place}");
    }
    for page in played {
        let group = whole_group(project, page, place, report)?;
        let rows: Vec<(&Case, &CaseReport)> =
            group.iter().map(|(case, row)| (case, *row)).collect();
        let table = (page.table)(&report.release, &rows);
        document::put(project, page.file, &format!("cases {place}"), &table)?;
    }
    Ok(())
}

/// Each case of a page's group, with what became of it.
///
/// # Errors
/// Not all of them were played.
fn whole_group<'a>(
    project: &Project,
    page: &Page,
    place: &str,
    report: &'a Report,
) -> Result<Vec<(Case, &'a CaseReport)>> {
    let wanted = discover::cases(&own_folder(project), Some(page.group))?;
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for case in wanted {
        match report.cases.iter().find(|played| played.id == case.id) {
            Some(played) => rows.push((case, played)),
            None => missing.push(case.id),
        }
    }
    if !missing.is_empty() {
        bail!(
            "{} is about all of group {}; not played on {place}: {}",
            page.file,
            page.group,
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
