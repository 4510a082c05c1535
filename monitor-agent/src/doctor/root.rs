//! The files of the host that is looked at, below a root that tests can move.
//!
//! Bound: [`FILE_BYTES_MAX`] of a file, [`FOUND_MAX`] files of a pattern.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
};

use globset::GlobBuilder;

/// Most that is read of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most files that one pattern names.
const FOUND_MAX: usize = 256;

/// Where a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub file: PathBuf,
    /// From 1; the first of lines that are joined.
    pub line: usize,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A folder that stands for `/`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root<'a>(&'a Path);

impl<'a> Root<'a> {
    pub(super) const fn at(folder: &'a Path) -> Self {
        Self(folder)
    }

    /// Where a path of the host is.
    pub(super) fn place(self, path: &Path) -> PathBuf {
        let below = path
            .components()
            .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
        self.0.join(below.collect::<PathBuf>())
    }

    /// A file as text; what is no UTF-8 is replaced.
    pub(super) fn read(self, path: &Path) -> io::Result<String> {
        let place = self.place(path);
        // A pipe or a device of that name would not end.
        if !fs::metadata(&place)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no plain file"));
        }
        let mut bytes = Vec::new();
        File::open(place)?
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn exists(self, path: &Path) -> bool {
        self.place(path).exists()
    }

    /// The names in a folder, sorted.
    pub(super) fn names(self, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(self.place(folder)).into_iter().flatten();
        let mut names: Vec<_> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .take(FOUND_MAX)
            .collect();
        names.sort();
        names
    }

    /// What a pattern of a shell names, sorted; a name without signs stands for
    /// itself, there or not.
    pub(super) fn glob(self, pattern: &Path) -> Vec<PathBuf> {
        let mut found = vec![PathBuf::from("/")];
        for part in pattern.components() {
            let Component::Normal(part) = part else {
                continue;
            };
            found = found
                .into_iter()
                .flat_map(|folder| self.step(&folder, part))
                .take(FOUND_MAX)
                .collect();
        }
        found
    }

    fn step(self, folder: &Path, part: &OsStr) -> Vec<PathBuf> {
        let text = part.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            return vec![folder.join(part)];
        }
        let Ok(glob) = GlobBuilder::new(&text).literal_separator(true).build() else {
            return Vec::new();
        };
        let matcher = glob.compile_matcher();
        let names = self.names(folder).into_iter();
        names
            .filter(|name| {
                matcher.is_match(name) && (text.starts_with('.') || !name.starts_with('.'))
            })
            .map(|name| folder.join(name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_what_is_there_and_names_stand_for_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path());
        fs::create_dir_all(folder.path().join("etc/d")).unwrap();
        for name in ["b.conf", "a.conf", ".c.conf", "d.txt"] {
            fs::write(folder.path().join("etc/d").join(name), "x").unwrap();
        }
        let found = root.glob(Path::new("/etc/d/*.conf"));
        assert_eq!(
            found,
            [Path::new("/etc/d/a.conf"), Path::new("/etc/d/b.conf")]
        );
        assert_eq!(root.glob(Path::new("/etc/no")), [Path::new("/etc/no")]);
        assert!(root.glob(Path::new("/etc/[/x")).is_empty());
        assert_eq!(root.read(Path::new("/etc/d/a.conf")).unwrap(), "x");
        assert!(root.read(Path::new("/etc/d")).is_err());
    }
}
