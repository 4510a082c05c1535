//! What lives in sessions.

use monitor_model::{
    bytes::ByteText,
    clock::UnixNs,
    event::Step,
    id::SessionId,
    live::{Arguments, LiveJob, LiveProcess, LiveSession, Missing, ProcessKey},
};

use super::{
    InvalidMessage,
    wire::{id, id_opt, meaning, meaning_opt, need, number},
};
use crate::v1;

impl From<&LiveSession> for v1::LiveSession {
    fn from(value: &LiveSession) -> Self {
        let LiveSession {
            session,
            jobs,
            processes,
            missing,
        } = value;
        Self {
            session: Some(session.into()),
            jobs: jobs.iter().map(Into::into).collect(),
            processes: processes.iter().map(Into::into).collect(),
            missing: Some(missing.into()),
        }
    }
}

impl TryFrom<v1::LiveSession> for LiveSession {
    type Error = InvalidMessage;
    fn try_from(value: v1::LiveSession) -> Result<Self, InvalidMessage> {
        let jobs = value.jobs.into_iter().map(TryInto::try_into);
        let processes = value.processes.into_iter().map(TryInto::try_into);
        Ok(Self {
            session: need("live.session", value.session)?.try_into()?,
            jobs: jobs.collect::<Result<_, _>>()?,
            processes: processes.collect::<Result<_, _>>()?,
            missing: need("live.missing", value.missing)?.into(),
        })
    }
}

impl From<&LiveProcess> for v1::LiveProcess {
    fn from(value: &LiveProcess) -> Self {
        let LiveProcess {
            key,
            started_at,
            parent,
            parent_pid,
            exe,
            script,
            arguments,
            forked,
            lineage,
            reason,
            way,
            job,
        } = value;
        Self {
            pid: key.pid,
            start_boot_ns: key.start_boot_ns,
            started_at_unix_ns: started_at.0,
            parent_pid: *parent_pid,
            parent: parent.map(|parent| v1::ProcessName {
                pid: parent.pid,
                start_boot_ns: parent.start_boot_ns,
            }),
            exe: exe.as_ref().map(Into::into),
            script: script.as_ref().map(Into::into),
            arguments: arguments.as_ref().map(Into::into),
            forked: *forked,
            lineage: number::<v1::Lineage, _>(*lineage),
            reason: reason.map_or(0, number::<v1::NoSession, _>),
            way: way.iter().map(Into::into).collect(),
            job: job.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::LiveProcess> for LiveProcess {
    type Error = InvalidMessage;
    fn try_from(value: v1::LiveProcess) -> Result<Self, InvalidMessage> {
        let key = |pid, start_boot_ns| ProcessKey { start_boot_ns, pid };
        Ok(Self {
            key: key(value.pid, value.start_boot_ns),
            started_at: UnixNs(value.started_at_unix_ns),
            parent: value
                .parent
                .map(|parent| key(parent.pid, parent.start_boot_ns)),
            parent_pid: value.parent_pid,
            exe: value.exe.map(Into::into),
            script: value.script.map(Into::into),
            arguments: value.arguments.map(Into::into),
            forked: value.forked,
            lineage: meaning::<v1::Lineage, _>("process.lineage", value.lineage)?,
            reason: meaning_opt::<v1::NoSession, _>("process.reason", value.reason)?,
            way: steps(value.way)?,
            job: id_opt("process.job", &value.job, SessionId::from_slice)?,
        })
    }
}

impl From<&Arguments> for v1::Arguments {
    fn from(value: &Arguments) -> Self {
        let Arguments {
            argv,
            truncated,
            redacted,
        } = value;
        Self {
            argv: argv.iter().map(|argument| argument.0.clone()).collect(),
            truncated: *truncated,
            redacted: *redacted,
        }
    }
}

impl From<v1::Arguments> for Arguments {
    fn from(value: v1::Arguments) -> Self {
        Self {
            argv: value.argv.into_iter().map(ByteText).collect(),
            truncated: value.truncated,
            redacted: value.redacted,
        }
    }
}

impl From<&LiveJob> for v1::LiveJob {
    fn from(value: &LiveJob) -> Self {
        let LiveJob {
            id,
            leader_pid,
            way,
            started_at,
        } = value;
        Self {
            id: id.to_bytes().to_vec(),
            leader_pid: *leader_pid,
            way: way.iter().map(Into::into).collect(),
            started_at_unix_ns: started_at.0,
        }
    }
}

impl TryFrom<v1::LiveJob> for LiveJob {
    type Error = InvalidMessage;
    fn try_from(value: v1::LiveJob) -> Result<Self, InvalidMessage> {
        Ok(Self {
            id: id("job.id", &value.id, SessionId::from_slice)?,
            leader_pid: value.leader_pid,
            way: steps(value.way)?,
            started_at: UnixNs(value.started_at_unix_ns),
        })
    }
}

impl From<&Missing> for v1::Missing {
    fn from(value: &Missing) -> Self {
        let Missing {
            lost_events,
            lost_at,
            unwatched_until,
            untaken,
            kept_since,
            agent_away,
        } = value;
        Self {
            lost_events: *lost_events,
            lost_at_unix_ns: lost_at.map(|at| at.0),
            unwatched_until_unix_ns: unwatched_until.map(|at| at.0),
            untaken: *untaken,
            kept_since_unix_ns: kept_since.map(|at| at.0),
            agent_away: *agent_away,
        }
    }
}

impl From<v1::Missing> for Missing {
    fn from(value: v1::Missing) -> Self {
        Self {
            lost_events: value.lost_events,
            lost_at: value.lost_at_unix_ns.map(UnixNs),
            unwatched_until: value.unwatched_until_unix_ns.map(UnixNs),
            untaken: value.untaken,
            kept_since: value.kept_since_unix_ns.map(UnixNs),
            agent_away: value.agent_away,
        }
    }
}

fn steps(steps: Vec<v1::HandoverStep>) -> Result<Vec<Step>, InvalidMessage> {
    steps.into_iter().map(TryInto::try_into).collect()
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        bytes::PathLabel,
        event::{Carrier, Lineage, NoSession},
    };

    use super::*;

    fn process() -> LiveProcess {
        let label = |text: &str| PathLabel {
            text: text.into(),
            truncated: true,
        };
        let key = |pid| ProcessKey {
            start_boot_ns: 5,
            pid,
        };
        LiveProcess {
            key: key(7),
            started_at: UnixNs(9),
            parent: Some(key(6)),
            parent_pid: 6,
            exe: Some(label("/usr/bin/dash")),
            script: Some(label("/srv/x.sh")),
            arguments: Some(Arguments {
                argv: vec!["sh".into(), ByteText(vec![0xff])],
                truncated: true,
                redacted: 2,
            }),
            forked: true,
            lineage: Lineage::Unattributed,
            reason: Some(NoSession::Ambiguous),
            way: vec![Step {
                carrier: Carrier::Connection,
                name: "/run/x".into(),
                at: Some(UnixNs(4)),
                session: Some(SessionId::from_parts(UnixNs(1), 2)),
            }],
            job: Some(SessionId::from_parts(UnixNs(3), 4)),
        }
    }

    #[test]
    fn processes_and_jobs_survive_their_encoding() {
        let process = process();
        let again = LiveProcess::try_from(v1::LiveProcess::from(&process)).unwrap();
        assert_eq!(again, process);
        let job = LiveJob {
            id: SessionId::from_parts(UnixNs(3), 4),
            leader_pid: 7,
            way: process.way,
            started_at: UnixNs(8),
        };
        assert_eq!(LiveJob::try_from(v1::LiveJob::from(&job)).unwrap(), job);
        let missing = Missing {
            lost_events: 1,
            lost_at: Some(UnixNs(2)),
            unwatched_until: Some(UnixNs(3)),
            untaken: 4,
            kept_since: Some(UnixNs(5)),
            agent_away: true,
        };
        assert_eq!(Missing::from(v1::Missing::from(&missing)), missing);
    }

    #[test]
    fn a_process_of_no_known_lineage_is_refused() {
        let mut message = v1::LiveProcess::from(&process());
        message.lineage = 99;
        let error = LiveProcess::try_from(message).unwrap_err().to_string();
        assert!(error.contains("process.lineage"), "{error}");
        assert!(LiveSession::try_from(v1::LiveSession::default()).is_err());
    }
}
