//! How work came to a process that does not descend from its session's own.

use std::fmt;

use serde::Serialize;

use crate::{bytes::ByteText, clock::UnixNs, id::SessionId};

/// Most steps that are told of one way; the earliest are left out.
pub const STEPS_MAX: usize = 8;

/// What carried the work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// A file that somebody wrote and a daemon acts on: a crontab, a job of at.
    JobFile,
    /// A unit of the service manager, by its file.
    Unit,
    /// A login over ssh from another session on this host.
    SshHop,
    /// A daemon that started the work.
    Daemon,
    /// A connection to a process of another session, which acts on it.
    Connection,
    /// Another session reached into the process.
    Injection,
}

impl Carrier {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::JobFile,
        Self::Unit,
        Self::SshHop,
        Self::Daemon,
        Self::Connection,
        Self::Injection,
    ];

    /// What happened to it, in a word or two.
    #[must_use]
    pub const fn deed(self) -> &'static str {
        match self {
            Self::JobFile | Self::Unit => "written",
            Self::SshHop => "logged in from",
            Self::Daemon => "started by",
            Self::Connection => "connected to",
            Self::Injection => "reached into",
        }
    }
}

/// One step of the way, as it was observed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Step {
    /// What carried it.
    pub carrier: Carrier,
    /// Its name: a path, a unit, an address. A label.
    pub name: ByteText,
    /// When it was written, asked for, connected; none where not known.
    pub at: Option<UnixNs>,
    /// Whose deed that was; none where it was nobody's known.
    pub session: Option<SessionId>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deed = self.carrier.deed();
        match self.carrier {
            Carrier::Daemon | Carrier::SshHop | Carrier::Connection | Carrier::Injection => {
                write!(f, "{deed} {}", self.name)?;
            }
            Carrier::JobFile | Carrier::Unit => {
                write!(f, "{} {deed}", self.name)?;
            }
        }
        if let Some(session) = self.session {
            write!(f, " by session {session}")?;
        }
        Ok(())
    }
}

/// A way in one line: `crontab written -> started by /usr/sbin/cron`.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a>(pub &'a [Step]);

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(" -> ")?;
            }
            step.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(carrier: Carrier, name: &str) -> Step {
        Step {
            carrier,
            name: ByteText(name.into()),
            at: None,
            session: None,
        }
    }

    #[test]
    fn a_way_reads_as_it_went() {
        let way = [
            step(Carrier::JobFile, "/var/spool/cron/crontabs/ops"),
            step(Carrier::Daemon, "/usr/sbin/cron"),
        ];
        assert_eq!(
            Way(&way).to_string(),
            "/var/spool/cron/crontabs/ops written -> started by /usr/sbin/cron"
        );
        assert_eq!(Way(&[]).to_string(), "");
    }
}
