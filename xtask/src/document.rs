//! Pages that people wrote, with tables that runs write: a table stands between
//! two marks, `<!-- NAME -->` and `<!-- /NAME -->`.

use std::fs;

use anyhow::{Context as _, Result};

use crate::cache::Project;

/// Puts a table between its marks.
///
/// # Errors
/// The page has no such marks, or the disk refused.
pub(crate) fn put(project: &Project, page: &str, name: &str, table: &str) -> Result<()> {
    let file = project.root().join(page);
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let replaced = between(&text, name, table)
        .with_context(|| format!("{} has no marks for {name}", file.display()))?;
    fs::write(&file, replaced).with_context(|| format!("writing {}", file.display()))
}

fn between(text: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_replaces_only_what_is_between_its_marks() {
        let text = "a\n<!-- bench 6.1 -->\nold\n<!-- /bench 6.1 -->\nb\n<!-- bench host -->\n<!-- /bench host -->\n";
        assert_eq!(
            between(text, "bench 6.1", "new\n").unwrap(),
            text.replace("old", "new")
        );
        assert_eq!(between(text, "bench 7", "new"), None);
    }
}
