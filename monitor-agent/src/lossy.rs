//! Text of files into which somebody else may have put any bytes.
//!
//! `/proc/PID/stat` holds the name that a process gave itself, `/proc/self/mountinfo`
//! and `/proc/self/mounts` names of what people mounted, `/etc/passwd` what they told
//! of themselves. One byte that is not UTF-8 must not hide the rest of the file.

use std::{fs, io, path::Path};

/// The text of a file; what is not UTF-8 in it is `U+FFFD`.
///
/// # Errors
/// What the system says.
pub fn text(path: impl AsRef<Path>) -> io::Result<String> {
    fs::read(path).map(|bytes| match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        ffi::OsStr,
        os::unix::ffi::OsStrExt as _,
        process::{Child, Command},
    };

    use super::*;

    /// A process whose name is not UTF-8, until it is dropped.
    pub(crate) struct Odd {
        child: Child,
        _folder: tempfile::TempDir,
    }

    impl Odd {
        pub(crate) fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let program = folder.path().join(OsStr::from_bytes(b"\xff) R \xfe"));
            // A link, so that nothing is started that was just written.
            std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
            let child = Command::new(&program).arg("600").spawn().unwrap();
            Self {
                child,
                _folder: folder,
            }
        }

        pub(crate) fn pid(&self) -> u32 {
            self.child.id()
        }
    }

    impl Drop for Odd {
        fn drop(&mut self) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }

    #[test]
    fn name_of_a_process_that_is_no_text_hides_nothing() {
        let odd = Odd::start();
        let path = format!("/proc/{}/stat", odd.pid());
        assert!(fs::read_to_string(&path).is_err());
        let text = text(&path).unwrap();
        assert!(text.starts_with(&format!("{} (\u{fffd}) R \u{fffd}) ", odd.pid())));
    }
}
