//! The hooks that sshd runs: `pam-session` and `principals`.
//!
//! Small and quick: no configuration, no runtime, one question. Fail closed:
//! without an answer nobody is let in, but for accounts named by
//! `--break-glass`.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixDatagram, UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    credential::Certificate,
    protocol::{
        Answer, Ask, LINE_BYTES_MAX, Login, Principals, ProtocolError, Request, VERSION, line,
    },
};

/// Longest wait for an answer.
const WAIT: Duration = Duration::from_secs(5);
/// Authentication messages, warning.
const SYSLOG_PRIORITY: u8 = 4 << 3 | 4;

/// How a hook was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The agent's socket.
    pub socket: PathBuf,
    /// Accounts that are let in while the agent is away.
    pub break_glass: Vec<String>,
}

/// What a hook says, and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Lines for sshd or the person.
    pub output: Vec<String>,
    /// Lines for the log.
    pub error: Vec<String>,
    /// 0 lets in.
    pub exit_code: u8,
}

/// No answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{}: {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    #[error("it hung up without an answer")]
    Silent,
    #[error("{} is held by the account {uid}, and the agent is root's", path.display())]
    Impostor { path: PathBuf, uid: u32 },
}

impl Hook {
    /// The PAM session hook; `variable` reads PAM's environment.
    #[must_use]
    pub fn pam_session(&self, variable: impl Fn(&str) -> Option<String>) -> Said {
        let text = |name| variable(name).unwrap_or_default();
        let login = Login {
            account: text("PAM_USER"),
            service: text("PAM_SERVICE"),
            remote_host: text("PAM_RHOST"),
            connection: text("SSH_CONNECTION"),
            auth_info: text("SSH_AUTH_INFO_0"),
        };
        let account = login.account.clone();
        let ask = match text("PAM_TYPE").as_str() {
            "open_session" => Ask::Open(login),
            "close_session" => {
                // A hint: the kernel tells the end. It never fails.
                let _ = self.ask(Ask::Close(login));
                return Said::default();
            }
            other => {
                return refuse(format!(
                    "PAM_TYPE is {other:?}; pam-session belongs in a line of type `session`, \
                     after pam_loginuid, through pam_exec.so"
                ));
            }
        };
        match self.ask(ask) {
            Ok(Answer::Allowed { .. }) => Said::default(),
            Ok(Answer::Refused { reason }) => refuse(format!("this login is refused: {reason}")),
            Ok(Answer::Principals { .. }) => refuse("the agent answered something else".to_owned()),
            Err(error) if self.break_glass.contains(&account) => Said {
                error: vec![break_glass(&account, &error)],
                ..Said::default()
            },
            Err(error) => refuse(away(&error)),
        }
    }

    /// The `AuthorizedPrincipalsCommand`.
    #[must_use]
    pub fn principals(&self, account: &str, key_type: &str, certificate: &str) -> Said {
        let ask = Ask::Principals(Principals {
            account: account.to_owned(),
            key_type: key_type.to_owned(),
            certificate: certificate.to_owned(),
        });
        match self.ask(ask) {
            Ok(Answer::Principals { principals }) => Said {
                output: principals,
                ..Said::default()
            },
            // Nothing on the output: no principal is accepted. sshd goes on
            // to refuse, and the reason stands in its log.
            Ok(Answer::Refused { reason }) => Said {
                error: vec![format!("this login is refused: {reason}")],
                ..Said::default()
            },
            Ok(Answer::Allowed { .. }) => log(1, "the agent answered something else".to_owned()),
            Err(error) if self.break_glass.iter().any(|name| name == account) => {
                // sshd has checked the certificate; what it carries is all there is.
                let principals = Certificate::read(key_type, certificate)
                    .map(|certificate| certificate.principals)
                    .unwrap_or_default();
                Said {
                    output: principals,
                    error: vec![break_glass(account, &error)],
                    exit_code: 0,
                }
            }
            Err(error) => log(1, away(&error)),
        }
    }

    fn ask(&self, ask: Ask) -> Result<Answer, AskError> {
        let failed = |source| AskError::Socket {
            path: self.socket.clone(),
            source,
        };
        let stream = UnixStream::connect(&self.socket).map_err(failed)?;
        // While the agent is away anybody could sit here, if the folder let them.
        let holder = rustix::net::sockopt::socket_peercred(&stream);
        let holder = holder.map_err(|error| failed(error.into()))?.uid;
        if !holder.is_root() {
            return Err(AskError::Impostor {
                path: self.socket.clone(),
                uid: holder.as_raw(),
            });
        }
        stream.set_read_timeout(Some(WAIT)).map_err(failed)?;
        stream.set_write_timeout(Some(WAIT)).map_err(failed)?;
        (&stream)
            .write_all(&line(&Request {
                version: VERSION,
                ask,
            })?)
            .map_err(failed)?;
        let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let mut answer = Vec::new();
        BufReader::new((&stream).take(most))
            .read_until(b'\n', &mut answer)
            .map_err(failed)?;
        if answer.is_empty() {
            return Err(AskError::Silent);
        }
        Ok(serde_json::from_slice(&answer).map_err(ProtocolError::from)?)
    }
}

impl Said {
    /// Says it: to sshd, to the log, and to syslog where a hook's own error
    /// output goes nowhere.
    #[must_use]
    pub fn say(&self) -> u8 {
        let mut output = io::stdout().lock();
        for line in &self.output {
            // Nobody listens: there is nobody to tell that.
            let _ = writeln!(output, "{line}");
        }
        let _ = output.flush();
        for line in &self.error {
            let _ = writeln!(io::stderr(), "monitor-agent: {line}");
            syslog(Path::new("/dev/log"), line);
        }
        self.exit_code
    }
}

fn refuse(message: String) -> Said {
    Said {
        output: vec![format!("monitor: {message}")],
        ..log(1, message)
    }
}

fn log(exit_code: u8, message: String) -> Said {
    Said {
        error: vec![message],
        exit_code,
        ..Said::default()
    }
}

fn away(error: &AskError) -> String {
    format!(
        "nobody can log in, because the monitoring agent of this host does not answer ({error}). \
         Its operator can start it: systemctl start monitor-agent"
    )
}

fn break_glass(account: &str, error: &AskError) -> String {
    format!(
        "BREAK GLASS: {account} is let in without being watched, because the agent does not \
         answer ({error})"
    )
}

/// Best effort: there may be no syslog.
fn syslog(socket: &Path, message: &str) {
    let Ok(datagram) = UnixDatagram::unbound() else {
        return;
    };
    let text = format!("<{SYSLOG_PRIORITY}>monitor-agent: {message}");
    // A full log must not hold up a login.
    let _ = datagram.set_nonblocking(true);
    let _ = datagram.send_to(text.as_bytes(), socket);
}
