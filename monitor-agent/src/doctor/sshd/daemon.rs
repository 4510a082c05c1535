//! The sshd that listens: how it was started, and from where.

use std::path::{Path, PathBuf};

use crate::doctor::root::Root;

/// Most processes that are looked at.
const PROCESSES_MAX: usize = 65_536;
/// A login id that is not set.
const UNSET: u32 = u32::MAX;

/// One sshd that waits for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Daemon {
    pub pid: u32,
    pub program: PathBuf,
    /// Options that change what is in force: `-f FILE`, `-o SETTING`.
    pub options: Vec<String>,
    /// The login that it was started from.
    pub login_id: Option<u32>,
}

impl Daemon {
    /// Every one, by process id.
    pub(super) fn all(root: Root<'_>) -> Vec<Self> {
        let mut pids: Vec<u32> = std::fs::read_dir(root.place(Path::new("/proc")))
            .into_iter()
            .flatten()
            .flatten()
            .take(PROCESSES_MAX)
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        pids.sort_unstable();
        pids.into_iter()
            .filter_map(|pid| Self::read(root, pid))
            .collect()
    }

    fn read(root: Root<'_>, pid: u32) -> Option<Self> {
        let of = |name: &str| root.read(&Path::new("/proc").join(pid.to_string()).join(name));
        let (program, options) = titled(&of("cmdline").ok()?)?;
        let login_id = of("loginuid")
            .ok()
            .and_then(|text| text.trim().parse().ok());
        Some(Self {
            pid,
            program,
            options,
            login_id: login_id.filter(|id| *id != UNSET),
        })
    }

    /// The configuration that it read.
    pub(super) fn config(&self) -> Option<&Path> {
        let mut options = self.options.iter();
        options.find(|option| *option == "-f")?;
        options.next().map(Path::new)
    }
}

/// `sshd: /usr/sbin/sshd -D -f FILE [listener] 0 of 10-100 startups`: the title
/// that sshd gives itself, with the arguments it was started with.
fn titled(cmdline: &str) -> Option<(PathBuf, Vec<String>)> {
    let title = cmdline.split('\0').next()?.strip_prefix("sshd: ")?;
    let (started, _) = title.split_once(" [listener]")?;
    let mut words = started.split_ascii_whitespace();
    let program = PathBuf::from(words.next()?);
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        for flag in ["-f", "-o"] {
            let Some(rest) = word.strip_prefix(flag) else {
                continue;
            };
            let value = if rest.is_empty() {
                words.next()
            } else {
                Some(rest)
            };
            options.extend(
                value
                    .map(|value| [flag.to_owned(), value.to_owned()])
                    .into_iter()
                    .flatten(),
            );
        }
    }
    program.is_absolute().then_some((program, options))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_listening_sshd_tells_its_options_and_where_it_was_started() {
        let folder = tempfile::tempdir().unwrap();
        let put = |pid: &str, cmdline: &[u8], login_id: &str| {
            let place = folder.path().join("proc").join(pid);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("cmdline"), cmdline).unwrap();
            fs::write(place.join("loginuid"), login_id).unwrap();
        };
        put("self", b"x", "0");
        put("9", b"sshd: alice [priv]\0", "1000");
        put("8", b"sshd: /usr/sbin/sshd -D -f /etc/x -o UsePAM=no -oPort=23 [listener] 0 of 10-100 startups\0", "1000");
        put(
            "12",
            b"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\0\0",
            "4294967295",
        );
        put("13", b"\xff\xfe sshd: [listener]\0", "x");
        put("14", b"sshd: [listener] \xff", "x");
        let found = Daemon::all(Root::at(folder.path()));
        let pids: Vec<_> = found.iter().map(|daemon| daemon.pid).collect();
        assert_eq!(pids, [8, 12]);
        assert_eq!(found[0].config(), Some(Path::new("/etc/x")));
        assert_eq!(
            found[0].options,
            ["-f", "/etc/x", "-o", "UsePAM=no", "-o", "Port=23"]
        );
        assert_eq!((found[0].login_id, found[1].login_id), (Some(1000), None));
        assert_eq!(found[1].config(), None);
    }
}
