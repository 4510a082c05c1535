//! The cases of a folder, in the order of their ids.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::expect::Expectations;

/// Most cases of one folder.
const CASES_MAX: usize = 1_000;

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// What stands before the first dash of the folder's name.
    pub id: String,
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// What its `expect.toml` says.
    pub expectations: Expectations,
}

impl Case {
    /// A file of it, if it is there.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let file = self.folder.join(name);
        file.is_file().then_some(file)
    }

    /// Its C programs and libraries: the source, and the name of what is built.
    /// `lib*.c` become shared objects.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn sources(&self) -> Result<Vec<(PathBuf, String)>> {
        let mut sources = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let file = entry?.path();
            let stem = file.file_stem().and_then(|stem| stem.to_str());
            if let (Some("c"), Some(stem)) = (file.extension().and_then(|e| e.to_str()), stem) {
                let ending = if stem.starts_with("lib") { ".so" } else { "" };
                let built = format!("{stem}{ending}");
                sources.push((file, built));
            }
        }
        sources.sort();
        Ok(sources)
    }
}

/// Every case of a folder; `only` some of them, by id, by the folder's name or
/// by the letters that ids begin with.
///
/// # Errors
/// A case says what nobody understands (all such are told), an id is there
/// twice, or there is none.
pub fn cases(folder: &Path, only: Option<&str>) -> Result<Vec<Case>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut cases: Vec<Case> = Vec::new();
    let mut wrong = Vec::new();
    for entry in entries {
        let place = entry?.path();
        if !place.join("expect.toml").is_file() {
            continue;
        }
        if only.is_some_and(|only| !is_meant(&place, only)) {
            continue;
        }
        match read(&place) {
            Ok(case) => cases.push(case),
            Err(error) => wrong.push(format!("{}: {error:#}", place.display())),
        }
        ensure!(cases.len() <= CASES_MAX, "more than {CASES_MAX} cases");
    }
    if !wrong.is_empty() {
        bail!("these cases cannot be read:\n  {}", wrong.join("\n  "));
    }
    cases.sort_by_key(|case| order(&case.id));
    for pair in cases.windows(2) {
        if let [a, b] = pair {
            ensure!(a.id != b.id, "{} and {} have the same id", a.name, b.name);
        }
    }
    match (cases.is_empty(), only) {
        (true, Some(only)) => bail!("no case of {} is {only}", folder.display()),
        (true, None) => bail!("{} has no case", folder.display()),
        (false, _) => Ok(cases),
    }
}

fn is_meant(folder: &Path, only: &str) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let (id, _) = name.split_once('-').unwrap_or((&name, ""));
    let group: String = id.chars().take_while(|c| !c.is_ascii_digit()).collect();
    only.split(',')
        .any(|one| one == id || one == name || one == group)
}

fn read(folder: &Path) -> Result<Case> {
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.context("the folder's name is not UTF-8")?;
    let (id, _) = name.split_once('-').unwrap_or((name, ""));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    ensure!(
        !id.is_empty() && id.chars().all(fits),
        "the id {id:?} has more than letters and digits"
    );
    let text = fs::read_to_string(folder.join("expect.toml"))?;
    let case = Case {
        id: id.to_owned(),
        name: name.to_owned(),
        folder: folder.to_path_buf(),
        expectations: Expectations::read(&text)?,
    };
    ensure!(
        case.file("script.sh").is_some() || case.file("case.c").is_some(),
        "neither script.sh nor case.c"
    );
    Ok(case)
}

/// `A2` before `A10`.
fn order(id: &str) -> (String, u32, String) {
    let letters: String = id.chars().take_while(|c| !c.is_ascii_digit()).collect();
    let rest = id.get(letters.len()..).unwrap_or_default();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let after = rest.get(digits.len()..).unwrap_or_default().to_owned();
    (letters, digits.parse().unwrap_or(0), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, name: &str, expect: &str) {
        let place = folder.join(name);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("expect.toml"), expect).unwrap();
        fs::write(place.join("script.sh"), "true\n").unwrap();
    }

    const GOOD: &str = "title = 'x'\nneeds = []\n[[never]]\nkind = 'exec'\n";

    #[test]
    fn cases_come_by_letter_and_number() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["A10-x", "A2-x", "B1", "A2b-y"] {
            put(folder.path(), name, GOOD);
        }
        let all = cases(folder.path(), None).unwrap();
        let ids: Vec<&str> = all.iter().map(|case| case.id.as_str()).collect();
        assert_eq!(ids, ["A2", "A2b", "A10", "B1"]);
        assert_eq!(cases(folder.path(), Some("A2-x")).unwrap().len(), 1);
        assert_eq!(cases(folder.path(), Some("A2,B1")).unwrap().len(), 2);
        assert!(cases(folder.path(), Some("Z1")).is_err());
    }

    #[test]
    fn libraries_are_built_as_such() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "A1-x", GOOD);
        for name in ["case.c", "libother.c", "notes.txt"] {
            fs::write(folder.path().join("A1-x").join(name), "").unwrap();
        }
        let all = cases(folder.path(), None).unwrap();
        let built = all[0].sources().unwrap();
        let names: Vec<&str> = built.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["case", "libother.so"]);
    }

    #[test]
    fn every_case_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "A1-x", "title = 1");
        put(folder.path(), "A2 b-x", GOOD);
        let text = cases(folder.path(), None).unwrap_err().to_string();
        assert!(text.contains("A1-x") && text.contains("A2 b"), "{text}");
    }

    #[test]
    fn one_id_names_one_case() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "A1-x", GOOD);
        put(folder.path(), "A1-y", GOOD);
        assert!(
            cases(folder.path(), None)
                .unwrap_err()
                .to_string()
                .contains("same id")
        );
    }
}
