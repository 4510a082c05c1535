//! What this computer has: programs, files, the distribution, who we are.
//!
//! Every question is asked of the thing itself (a file, a program), never of a
//! note that something was once installed. Tests ask a made-up root folder.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::cache::Project;

/// Where questions about this computer are answered.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    root: PathBuf,
    path: Vec<PathBuf>,
    project: Project,
    is_root: bool,
}

impl Machine {
    /// This computer, with the project's own tools and the system's
    /// administration folders behind the user's `PATH`.
    pub(crate) fn here(project: &Project) -> Self {
        let own = project.tools().join("bin");
        let path = env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
        folders.push(own);
        folders.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
        let is_root = fs::metadata("/proc/self").is_ok_and(|proc_self| proc_self.uid() == 0);
        Self {
            root: PathBuf::from("/"),
            path: folders,
            project: project.clone(),
            is_root,
        }
    }

    /// A made-up computer whose file system is the folder `root`.
    #[cfg(test)]
    pub(crate) fn made_up(root: &Path, is_root: bool) -> Self {
        let project = Project::at(&root.join("clone"), &root.join("cache"));
        let path = vec![
            root.join("usr/bin"),
            root.join("usr/sbin"),
            project.tools().join("bin"),
        ];
        Self {
            root: root.to_path_buf(),
            path,
            project,
            is_root,
        }
    }

    /// The clone and its cache folder.
    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    /// Whether we run as root.
    pub(crate) fn is_root(&self) -> bool {
        self.is_root
    }

    /// The file of a program by its name, if it can be run.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        self.path
            .iter()
            .map(|folder| folder.join(name))
            .find(|file| is_executable(file))
    }

    /// An absolute path on this computer.
    pub(crate) fn file(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The machine's sshd, or the one that the set-up unpacked.
    pub(crate) fn sshd(&self) -> PathBuf {
        let installed = self.file("/usr/sbin/sshd");
        if installed.is_file() {
            installed
        } else {
            self.project.unpacked_sshd()
        }
    }

    /// Whether an absolute path exists.
    pub(crate) fn has_file(&self, absolute: &str) -> bool {
        self.file(absolute).exists()
    }

    /// The value of a key of `/etc/os-release`.
    pub(crate) fn os_release(&self, key: &str) -> Option<String> {
        let text = fs::read_to_string(self.file("/etc/os-release")).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    }

    /// Whether Debian packages can be installed here.
    pub(crate) fn has_apt(&self) -> bool {
        self.program("apt-get").is_some() && self.program("dpkg").is_some()
    }

    /// The distribution in words, for messages.
    pub(crate) fn distribution(&self) -> String {
        self.os_release("PRETTY_NAME")
            .unwrap_or_else(|| "an unknown distribution".to_owned())
    }

    /// A command that runs as root: directly, or through sudo.
    ///
    /// # Errors
    /// Neither root nor sudo: says which command root should run.
    pub(crate) fn as_root(&self, program: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = if self.is_root {
            Command::new(program)
        } else if let Some(sudo) = self.program("sudo") {
            let mut command = Command::new(sudo);
            command.arg(program);
            command
        } else {
            bail!(
                "not root, and there is no sudo: run this as root, or have root run `{program} {}` and try again",
                arguments.join(" ")
            );
        };
        command.args(arguments);
        Ok(command)
    }
}

/// Whether the file exists and has an execute bit.
pub(crate) fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// `PATH` for children: the project's own tools first.
pub(crate) fn path_with_tools(project: &Project) -> std::ffi::OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = std::iter::once(project.tools().join("bin"));
    env::join_paths(own.chain(env::split_paths(&path))).unwrap_or(path)
}

/// Makes a program of the made-up computer that prints `says`. A child writes
/// it: were it open for writing here, a test running beside this one could
/// hand the open file to a child of its own, and "text file busy" would follow.
#[cfg(test)]
pub(crate) fn put_program(file: &Path, says: &str) {
    put_script(file, &format!("echo '{says}'"));
}

/// Makes a program of the made-up computer with these shell lines.
#[cfg(test)]
pub(crate) fn put_script(file: &Path, lines: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let written = Command::new("sh")
        .args([
            "-c",
            r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#,
            "sh",
        ])
        .arg(file)
        .arg(lines)
        .status();
    assert!(written.unwrap().success());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_found_only_if_it_can_be_run() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        let file = root.path().join("usr/bin/ip");
        assert_eq!(machine.program("ip"), None);
        put_program(&file, "");
        assert_eq!(machine.program("ip"), Some(file.clone()));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(machine.program("ip"), None);
    }

    #[test]
    fn without_root_and_sudo_the_error_says_what_root_should_run() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), false);
        let text = machine
            .as_root("apt-get", &["install", "cpio"])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("not root") && text.contains("apt-get install cpio"),
            "{text}"
        );
    }

    #[test]
    fn sudo_is_used_when_not_root() {
        let root = tempfile::tempdir().unwrap();
        put_program(&root.path().join("usr/bin/sudo"), "");
        let command = Machine::made_up(root.path(), false)
            .as_root("apt-get", &["update"])
            .unwrap();
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["apt-get", "update"]);
        assert!(
            command
                .get_program()
                .to_string_lossy()
                .ends_with("/usr/bin/sudo")
        );
    }

    #[test]
    fn os_release_values_lose_their_quotes() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(
            root.path().join("etc/os-release"),
            "ID=debian\nVERSION_ID=\"12\"\n",
        )
        .unwrap();
        let machine = Machine::made_up(root.path(), true);
        assert_eq!(machine.os_release("VERSION_ID").as_deref(), Some("12"));
        assert_eq!(machine.os_release("ID").as_deref(), Some("debian"));
        assert_eq!(machine.os_release("NAME"), None);
    }
}
