//! The file that keeps a tail's place.
//!
//! Its text is the cursor as the collector gave it. It is replaced as a whole,
//! so that a crash leaves the old place or the new one.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::error::CliError;

/// Longest cursor that is taken from a file.
const CURSOR_BYTES_MAX: u64 = 64 * 1024;

/// A cursor in a file.
#[derive(Clone, Debug)]
pub struct CursorFile {
    path: PathBuf,
}

impl CursorFile {
    /// The file at this path; it need not exist.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cursor in it; none when there is no file or nothing in it.
    ///
    /// # Errors
    /// [`CliError::File`] when it cannot be read, [`CliError::Usage`] when it
    /// is something else than a cursor file.
    pub fn load(&self) -> Result<Option<String>, CliError> {
        let wrong = || {
            CliError::Usage(format!(
                "{} is no cursor file: choose another name",
                self.path.display()
            ))
        };
        match fs::metadata(&self.path) {
            Ok(file) if file.len() > CURSOR_BYTES_MAX => return Err(wrong()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.error(source)),
        }
        let bytes = fs::read(&self.path).map_err(|source| self.error(source))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        match text.trim() {
            "" => Ok(None),
            cursor if cursor.chars().any(|c| c.is_control() || c == ' ') => Err(wrong()),
            cursor => Ok(Some(cursor.to_owned())),
        }
    }

    /// Writes the cursor: into a new file, to disk, then under the name.
    ///
    /// # Errors
    /// [`CliError::File`] when it cannot be written.
    pub fn save(&self, cursor: &str) -> Result<(), CliError> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let write = || {
            let mut file = File::create(&new)?;
            writeln!(file, "{cursor}")?;
            file.sync_data()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> CliError {
        CliError::File {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_cursor_is_loaded_again_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = CursorFile::new(folder.path().join("cursor"));
        assert_eq!(file.load().unwrap(), None);
        file.save("acme=7;globex=9").unwrap();
        file.save("acme=8;globex=9").unwrap();
        assert_eq!(file.load().unwrap().as_deref(), Some("acme=8;globex=9"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_file_is_no_cursor_and_another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor");
        let file = CursorFile::new(path.clone());
        fs::write(&path, "\n").unwrap();
        assert_eq!(file.load().unwrap(), None);
        fs::write(&path, "root:x:0:0\nbin:x:1:1\n").unwrap();
        assert_eq!(file.load().unwrap_err().code(), 2);
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(file.load().unwrap_err().code(), 2);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = CursorFile::new("/nonexistent/cursor".into())
            .save("x")
            .unwrap_err();
        assert!(
            error.to_string().starts_with("/nonexistent/cursor: "),
            "{error}"
        );
    }
}
