//! Programs that start other programs: `sudo`, `env`, `ssh`, a shell.
//!
//! In: the words of a command that begins with one. Out: where the command
//! inside of it begins, and which words are texts for a shell.

use super::{file_name, programs, shell::Word};

/// A family of programs that start others.
#[derive(Debug)]
pub(super) struct Carrier {
    names: &'static [&'static str],
    /// Options whose value is the next word.
    valued: &'static [&'static str],
    /// It starts others only after one of these words.
    after: &'static [&'static str],
    /// Which words are texts for a shell.
    scripts: Scripts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scripts {
    /// None.
    None,
    /// What follows an option with a `c`.
    C,
    /// Whatever has blanks.
    All,
}

const fn plain(names: &'static [&'static str], valued: &'static [&'static str]) -> Carrier {
    Carrier {
        names,
        valued,
        after: &[],
        scripts: Scripts::None,
    }
}

const CARRIERS: &[Carrier] = &[
    Carrier {
        names: &[
            "sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "rbash",
        ],
        valued: &["-o", "-O", "--rcfile"],
        after: &[],
        scripts: Scripts::C,
    },
    Carrier {
        names: &["su", "runuser", "script", "flock", "sg"],
        valued: &["-s", "-g", "-G"],
        after: &[],
        scripts: Scripts::C,
    },
    Carrier {
        names: &["ssh", "autossh", "mosh", "slogin"],
        valued: &[
            "-p", "-l", "-i", "-o", "-F", "-J", "-L", "-R", "-D", "-W", "-b", "-c", "-e", "-E",
            "-m", "-O", "-S", "-w",
        ],
        after: &[],
        scripts: Scripts::All,
    },
    Carrier {
        names: &[
            "watch", "tmux", "screen", "eval", "parallel", "pssh", "clush", "at",
        ],
        valued: &["-n", "-s", "-t", "-w", "-S", "-L", "-x", "-y", "-j", "-h"],
        after: &[],
        scripts: Scripts::All,
    },
    plain(
        &["sudo", "doas"],
        &[
            "-u", "-g", "-h", "-p", "-C", "-T", "-r", "-t", "-U", "-D", "-R", "--user", "--group",
            "--prompt",
        ],
    ),
    plain(
        &[
            "env",
            "nohup",
            "setsid",
            "exec",
            "command",
            "builtin",
            "time",
            "if",
            "then",
            "else",
            "do",
            "while",
            "until",
            "!",
            "{",
            "export",
            "declare",
            "local",
            "readonly",
            "busybox",
            "toybox",
            "torsocks",
            "torify",
            "proxychains",
            "proxychains4",
            "catchsegv",
            "unbuffer",
            "dbus-run-session",
        ],
        &["-u", "-C", "-S", "-f"],
    ),
    plain(
        &[
            "nice",
            "ionice",
            "timeout",
            "stdbuf",
            "chrt",
            "taskset",
            "cpulimit",
            "setpriv",
            "prlimit",
            "unshare",
            "nsenter",
            "chroot",
            "systemd-run",
            "systemd-inhibit",
            "strace",
            "ltrace",
            "gdb",
            "perf",
            "valgrind",
            "faketime",
            "firejail",
            "bwrap",
            "xvfb-run",
        ],
        &[
            "-n",
            "-c",
            "-k",
            "-s",
            "-t",
            "-p",
            "-o",
            "-e",
            "-S",
            "-u",
            "--unit",
            "--uid",
            "--gid",
            "--setenv",
            "--property",
        ],
    ),
    plain(&["xargs"], &["-n", "-I", "-P", "-L", "-d", "-a", "-s"]),
    Carrier {
        names: &["find"],
        valued: &["-name", "-iname", "-path", "-user", "-type"],
        after: &["-exec", "-execdir", "-ok"],
        scripts: Scripts::None,
    },
    Carrier {
        names: &["ip"],
        valued: &[],
        after: &["exec"],
        scripts: Scripts::None,
    },
    Carrier {
        names: &[
            "docker",
            "podman",
            "nerdctl",
            "kubectl",
            "oc",
            "crictl",
            "docker-compose",
            "k3s",
            "lxc",
            "machinectl",
            "incus",
        ],
        valued: &[
            "--name",
            "-h",
            "--hostname",
            "--network",
            "--net",
            "-e",
            "--env",
            "-v",
            "--volume",
            "-u",
            "--user",
            "-w",
            "-l",
            "--label",
            "-n",
            "--namespace",
            "-c",
            "--container",
            "--entrypoint",
            "--context",
            "-p",
            "--publish",
        ],
        after: &["exec", "run", "shell"],
        scripts: Scripts::None,
    },
    plain(&["sshpass"], &["-p", "-f", "-d", "-P"]),
    plain(
        &[
            "python", "python2", "python3", "perl", "ruby", "node", "php", "java",
        ],
        &["-c", "-e", "-W", "-X", "-I", "-r", "-cp", "-E"],
    ),
];

/// The family of a program, if it starts others.
pub(super) fn find(name: &[u8]) -> Option<&'static Carrier> {
    CARRIERS
        .iter()
        .find(|carrier| carrier.names.iter().any(|known| known.as_bytes() == name))
}

impl Carrier {
    /// Where the command inside begins: at the first known program that is no
    /// option's value.
    pub(super) fn inner(&self, words: &[Word]) -> Option<usize> {
        let mut is_value = false;
        let mut is_open = self.after.is_empty();
        for (at, word) in words.iter().enumerate().skip(1) {
            let text = word.bytes.as_slice();
            if std::mem::take(&mut is_value) {
                continue;
            }
            is_open |= has(self.after, text);
            if text.first() == Some(&b'-') {
                is_value = has(self.valued, text);
            } else if is_open {
                let name = file_name(text);
                if programs::find(name).is_some() || find(name).is_some() {
                    return Some(at);
                }
            }
        }
        None
    }

    /// Whether a word of it is a text for a shell; `before` is the word before.
    pub(super) fn is_script(&self, word: &Word, before: &[u8]) -> bool {
        match self.scripts {
            Scripts::None => false,
            Scripts::C => {
                matches!(before, [b'-', b'a'..=b'z', ..]) && before.contains(&b'c')
                    || before == b"--command"
            }
            Scripts::All => word.has_blanks(),
        }
    }
}

fn has(options: &[&str], text: &[u8]) -> bool {
    options.iter().any(|option| option.as_bytes() == text)
}
