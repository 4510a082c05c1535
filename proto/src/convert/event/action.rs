//! What happened, kind by kind.

use monitor_model::{
    bytes::ByteText,
    clock::UnixNs,
    event::{Action, Counted},
    id::SessionId,
};

mod collector;
mod local;

use crate::{
    convert::{
        InvalidMessage,
        wire::{id, id_opt, meaning, meaning_opt, name_opt, need, number, some_text, text_opt},
    },
    v1,
};

impl From<&Action> for v1::event::Action {
    #[expect(clippy::too_many_lines, reason = "one arm a kind of event")]
    fn from(value: &Action) -> Self {
        match value {
            Action::Exec {
                exe,
                argv,
                argv_bytes,
                argv_truncated,
                redacted,
                argv_digest,
                script,
                given,
                interpreter,
            } => Self::Exec(v1::Exec {
                exe: Some(exe.into()),
                argv: argv.iter().map(|argument| argument.0.clone()).collect(),
                argv_bytes: *argv_bytes,
                argv_truncated: *argv_truncated,
                redacted: *redacted,
                argv_digest: *argv_digest,
                script: script.as_ref().map(Into::into),
                given: given.0.clone(),
                interpreter: interpreter.0.clone(),
            }),
            Action::Fork {
                child_pid,
                child_start_boot_ns,
            } => Self::Fork(v1::Fork {
                child_pid: *child_pid,
                child_start_boot_ns: *child_start_boot_ns,
            }),
            Action::Exit { status } => Self::Exit(v1::Exit { status: *status }),
            Action::Connect {
                destination,
                denied,
                scope,
            } => Self::Connect(v1::Connect {
                destination: Some(destination.into()),
                denied: *denied,
                scope_version: *scope,
            }),
            Action::Credential {
                object,
                class,
                tenant,
                tier,
                technique,
                operation,
                flags,
                other,
                denied,
                expected,
                injected,
                key,
                counted,
            } => Self::Credential(v1::CredentialAccess {
                object: Some(object.into()),
                class: class.clone(),
                tenant: text_opt(tenant.as_ref()),
                operation: number::<v1::Operation, _>(*operation),
                flags: *flags,
                tier: tier.map_or(0, number::<v1::Tier, _>),
                technique: technique.clone().unwrap_or_default(),
                other: other.as_ref().map(Into::into),
                denied: *denied,
                expected: expected.map_or(0, number::<v1::Expected, _>),
                injected: *injected,
                key: key.clone().unwrap_or_default(),
                counted: counted.map(Into::into),
            }),
            Action::LocalConnect { .. }
            | Action::Socket { .. }
            | Action::Memory { .. }
            | Action::Identity { .. }
            | Action::Signal { .. }
            | Action::Host { .. } => local::message(value),
            Action::SessionOpened { .. }
            | Action::SessionEnded { .. }
            | Action::Contradiction { .. }
            | Action::Survivors { .. }
            | Action::JobStarted { .. }
            | Action::JobEnded { .. }
            | Action::LoginRefused { .. }
            | Action::Contained { .. } => about_session(value),
            Action::Gap { .. } | Action::Impaired { .. } | Action::AgentStarted { .. } => {
                about_agent(value)
            }
            Action::Read { .. } | Action::Removed { .. } | Action::Order { .. } => {
                collector::message(value)
            }
        }
    }
}

/// Logins, sessions and jobs.
fn about_session(value: &Action) -> v1::event::Action {
    use v1::event::Action as Message;
    match value {
        Action::SessionOpened { session } => Message::SessionOpened(v1::SessionOpened {
            session: Some(session.as_ref().into()),
        }),
        Action::SessionEnded { session } => Message::SessionEnded(v1::SessionEnded {
            session: session.to_bytes().to_vec(),
        }),
        Action::Contradiction {
            process,
            evidence,
            value,
            says,
        } => Message::Contradiction(v1::Contradiction {
            process: Some(process.into()),
            evidence: number::<v1::Evidence, _>(*evidence),
            value: value.0.clone(),
            says: says.map_or_else(Vec::new, |session| session.to_bytes().to_vec()),
        }),
        Action::Survivors {
            session,
            processes,
            total,
        } => Message::Survivors(v1::Survivors {
            session: session.to_bytes().to_vec(),
            processes: processes.iter().map(Into::into).collect(),
            total: *total,
        }),
        Action::JobStarted { job, leader } => Message::JobStarted(v1::JobStarted {
            job: job.to_bytes().to_vec(),
            leader: Some(leader.into()),
        }),
        Action::JobEnded { job } => Message::JobEnded(v1::JobEnded {
            job: job.to_bytes().to_vec(),
        }),
        Action::LoginRefused {
            account,
            principal,
            serial,
            reason,
        } => Message::LoginRefused(v1::LoginRefused {
            account: account.clone(),
            principal: text_opt(principal.as_ref()),
            serial: *serial,
            reason: reason.clone(),
        }),
        Action::Contained { receipt } => Message::Contained(v1::Contained {
            receipt: Some(receipt.into()),
        }),
        Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. }
        | Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::Connect { .. }
        | Action::Credential { .. }
        | Action::LocalConnect { .. }
        | Action::Socket { .. }
        | Action::Memory { .. }
        | Action::Identity { .. }
        | Action::Signal { .. }
        | Action::Host { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => value.into(),
    }
}

/// What the agent tells of itself.
fn about_agent(value: &Action) -> v1::event::Action {
    use v1::event::Action as Message;
    match value {
        Action::Gap {
            source,
            first,
            last,
            cause,
        } => Message::Gap(v1::Gap {
            source: Some((*source).into()),
            first: *first,
            last: *last,
            cause: number::<v1::GapCause, _>(*cause),
        }),
        Action::Impaired {
            reason,
            program,
            times,
            total,
        } => Message::Impaired(v1::Impaired {
            reason: reason.clone(),
            program: program.clone().unwrap_or_default(),
            times: *times,
            total: *total,
        }),
        Action::AgentStarted {
            version,
            kernel,
            resumed,
            hooks,
        } => Message::AgentStarted(v1::AgentStarted {
            version: version.clone(),
            kernel: kernel.clone(),
            resumed: *resumed,
            hooks: hooks.iter().map(Into::into).collect(),
        }),
        Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::Connect { .. }
        | Action::Credential { .. }
        | Action::LocalConnect { .. }
        | Action::Socket { .. }
        | Action::Memory { .. }
        | Action::Identity { .. }
        | Action::Signal { .. }
        | Action::Host { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => value.into(),
    }
}

impl TryFrom<v1::event::Action> for Action {
    type Error = InvalidMessage;
    #[expect(clippy::too_many_lines, reason = "one arm a kind of event")]
    fn try_from(value: v1::event::Action) -> Result<Self, InvalidMessage> {
        use v1::event::Action as Message;
        Ok(match value {
            Message::Exec(exec) => Self::Exec {
                exe: need("exec.exe", exec.exe)?.try_into()?,
                argv: exec.argv.into_iter().map(ByteText).collect(),
                argv_bytes: exec.argv_bytes,
                argv_truncated: exec.argv_truncated,
                redacted: exec.redacted,
                argv_digest: exec.argv_digest,
                script: exec.script.map(TryInto::try_into).transpose()?,
                given: ByteText(exec.given),
                interpreter: ByteText(exec.interpreter),
            },
            Message::Fork(fork) => Self::Fork {
                child_pid: fork.child_pid,
                child_start_boot_ns: fork.child_start_boot_ns,
            },
            Message::Exit(exit) => Self::Exit {
                status: exit.status,
            },
            Message::Connect(connect) => Self::Connect {
                destination: need("connect.destination", connect.destination)?.try_into()?,
                denied: connect.denied,
                scope: connect.scope_version,
            },
            Message::Credential(access) => Self::Credential {
                object: need("credential.object", access.object)?.try_into()?,
                class: access.class,
                tenant: name_opt("credential.tenant", &access.tenant)?,
                tier: meaning_opt::<v1::Tier, _>("credential.tier", access.tier)?,
                technique: some_text(access.technique),
                operation: meaning::<v1::Operation, _>("credential.operation", access.operation)?,
                flags: access.flags,
                other: access.other.map(Into::into),
                denied: access.denied,
                expected: meaning_opt::<v1::Expected, _>("credential.expected", access.expected)?,
                injected: access.injected,
                key: some_text(access.key),
                counted: access.counted.map(Into::into),
            },
            Message::LocalConnect(connect) => connect.try_into()?,
            Message::Socket(socket) => socket.try_into()?,
            Message::Memory(memory) => memory.try_into()?,
            Message::Identity(identity) => identity.try_into()?,
            Message::Signal(signal) => signal.try_into()?,
            Message::Host(change) => change.try_into()?,
            Message::SessionOpened(opened) => Self::SessionOpened {
                session: Box::new(need("session_opened.session", opened.session)?.try_into()?),
            },
            Message::Contradiction(told) => Self::Contradiction {
                process: need("contradiction.process", told.process)?.try_into()?,
                evidence: meaning::<v1::Evidence, _>("contradiction.evidence", told.evidence)?,
                value: ByteText(told.value),
                says: id_opt("contradiction.says", &told.says, SessionId::from_slice)?,
            },
            Message::Survivors(told) => Self::Survivors {
                session: id("survivors.session", &told.session, SessionId::from_slice)?,
                processes: told
                    .processes
                    .into_iter()
                    .map(TryInto::try_into)
                    .collect::<Result<_, _>>()?,
                total: told.total,
            },
            Message::JobStarted(started) => Self::JobStarted {
                job: id("job_started.job", &started.job, SessionId::from_slice)?,
                leader: need("job_started.leader", started.leader)?.try_into()?,
            },
            Message::JobEnded(ended) => Self::JobEnded {
                job: id("job_ended.job", &ended.job, SessionId::from_slice)?,
            },
            Message::SessionEnded(ended) => Self::SessionEnded {
                session: id(
                    "session_ended.session",
                    &ended.session,
                    SessionId::from_slice,
                )?,
            },
            Message::LoginRefused(refused) => Self::LoginRefused {
                account: refused.account,
                principal: name_opt("login_refused.principal", &refused.principal)?,
                serial: refused.serial,
                reason: refused.reason,
            },
            Message::Contained(contained) => Self::Contained {
                receipt: need("contained.receipt", contained.receipt)?.try_into()?,
            },
            Message::Gap(gap) => Self::Gap {
                source: need("gap.source", gap.source)?.try_into()?,
                first: gap.first,
                last: gap.last,
                cause: meaning::<v1::GapCause, _>("gap.cause", gap.cause)?,
            },
            Message::Impaired(impaired) => Self::Impaired {
                reason: impaired.reason,
                program: Some(impaired.program).filter(|program| !program.is_empty()),
                times: impaired.times,
                total: impaired.total,
            },
            Message::AgentStarted(started) => Self::AgentStarted {
                version: started.version,
                kernel: started.kernel,
                resumed: started.resumed,
                hooks: started.hooks.into_iter().map(Into::into).collect(),
            },
            Message::Read(read) => read.try_into()?,
            Message::Removed(removed) => removed.try_into()?,
            Message::Order(entry) => Self::Order {
                entry: Box::new(entry.try_into()?),
            },
        })
    }
}

impl From<Counted> for v1::Counted {
    fn from(value: Counted) -> Self {
        let Counted { acts, first_at } = value;
        Self {
            acts,
            first_at_unix_ns: first_at.0,
        }
    }
}

impl From<v1::Counted> for Counted {
    fn from(value: v1::Counted) -> Self {
        let v1::Counted {
            acts,
            first_at_unix_ns,
        } = value;
        Self {
            acts,
            first_at: UnixNs(first_at_unix_ns),
        }
    }
}
