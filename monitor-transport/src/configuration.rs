//! Configuration files: TOML, with errors that name file, line, key and value.
//!
//! A service parses a raw structure with [`Document::parse`], checks each
//! value, and tells a wrong one with [`Document::wrong`].

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use toml::Spanned;

use crate::tls::TlsFiles;

/// Most bytes of a configuration file.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Why a configuration is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("{}: {bytes} bytes; a configuration has at most {FILE_BYTES_MAX}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// Not TOML, or a key that is missing, unknown or of the wrong kind.
    #[error("{}:{line}: {cause}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// A value that makes no sense.
    #[error("{}:{line}: {key} is {value}: {wanted}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, with the tables it stands in.
        key: &'static str,
        /// The value found.
        value: String,
        /// What would be right.
        wanted: String,
    },
}

/// A configuration file's text, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Document<'a> {
    /// A text; `path` is for errors and relative paths.
    #[must_use]
    pub const fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// [`ConfigError::File`].
    pub fn read(path: &Path) -> Result<String, ConfigError> {
        fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.into(),
            source,
        })
    }

    /// Parses the text; unknown keys are the structure's to refuse.
    ///
    /// # Errors
    /// [`ConfigError::Form`] or [`ConfigError::TooLarge`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        if self.text.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                path: self.path.into(),
                bytes: self.text.len(),
            });
        }
        toml::from_str(self.text).map_err(|error| {
            let line = error.span().map_or(1, |span| self.line(span.start));
            // The parser's message names the value, but not always the key.
            let shown = error
                .span()
                .and_then(|_| self.text.lines().nth(line - 1))
                .map(str::trim);
            let cause = match shown {
                Some(shown) if !shown.is_empty() => format!("{}, in `{shown}`", error.message()),
                _ => error.message().to_owned(),
            };
            ConfigError::Form {
                path: self.path.into(),
                line,
                cause,
            }
        })
    }

    /// Tells a value that makes no sense, and what would be right.
    pub fn wrong<T: fmt::Debug>(
        &self,
        key: &'static str,
        value: &Spanned<T>,
        wanted: impl Into<String>,
    ) -> ConfigError {
        let value_text = format!("{:?}", value.get_ref());
        self.wrong_at(value.span().start, key, value_text, wanted.into())
    }

    /// The same for a value whose place in the text and own text are known.
    #[must_use]
    pub fn wrong_at(
        &self,
        at: usize,
        key: &'static str,
        value: String,
        wanted: String,
    ) -> ConfigError {
        ConfigError::Value {
            path: self.path.into(),
            line: self.line(at),
            key,
            value,
            wanted,
        }
    }

    /// A path that is relative to the file.
    #[must_use]
    pub fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Files whose paths are relative to this one.
    #[must_use]
    pub fn tls_beside(&self, files: &TlsFiles) -> TlsFiles {
        let TlsFiles {
            ca,
            certificate,
            key,
        } = files;
        TlsFiles {
            ca: self.beside(ca),
            certificate: self.beside(certificate),
            key: self.beside(key),
        }
    }

    fn line(&self, at: usize) -> usize {
        1 + self
            .text
            .bytes()
            .take(at)
            .filter(|&byte| byte == b'\n')
            .count()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        name: Spanned<String>,
    }

    fn document(text: &str) -> Document<'_> {
        Document::new(Path::new("/etc/x.toml"), text)
    }

    #[test]
    fn errors_name_file_and_line() {
        let told = |text| document(text).parse::<Raw>().unwrap_err().to_string();
        let wrong = told("\n\nname = 5\n");
        assert!(wrong.starts_with("/etc/x.toml:3: invalid type"), "{wrong}");
        assert!(wrong.ends_with("in `name = 5`"), "{wrong}");
        assert!(
            told("name = \"a\"\nnmae = 1\n").starts_with("/etc/x.toml:2: unknown field `nmae`")
        );
        assert!(told("").contains("missing field `name`"));
        assert!(told(&"#".repeat(FILE_BYTES_MAX + 1)).contains("at most 1048576"));
        let absent = Document::read(Path::new("/nonexistent.toml")).unwrap_err();
        assert!(absent.to_string().starts_with("/nonexistent.toml: "));
    }

    #[test]
    fn a_wrong_value_is_told_with_key_value_and_remedy() {
        let document = document("\nname = \"a b\"\n");
        let raw: Raw = document.parse().unwrap();
        assert_eq!(
            document
                .wrong("name", &raw.name, "a name has no space")
                .to_string(),
            "/etc/x.toml:2: name is \"a b\": a name has no space"
        );
        assert_eq!(document.beside("y"), Path::new("/etc/y"));
        assert_eq!(document.beside("/z"), Path::new("/z"));
    }
}
