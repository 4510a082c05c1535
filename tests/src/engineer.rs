//! A person with a key, a grant, a certificate and a real ssh client.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::clock::now_unix_ns;
use crate::command::{self, command};
use crate::facts::Facts;
use crate::interrupt;
use crate::poll;
use crate::stage::{ACCOUNT, Folder, Stage, config, folder::write};

/// How long one typed command may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long a login may take that is let in, or refused.
const LOGIN_WITHIN: Duration = Duration::from_secs(60);
/// Most lines of output that wait to be read.
const LINES_MAX: usize = 10_000;

/// A grant, as it is asked of the broker.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Its name.
    pub id: String,
    /// The client it is for.
    pub tenant: String,
    /// The ticket.
    pub ticket: String,
    /// Why, in words.
    pub purpose: String,
    /// Its length.
    pub valid_seconds: u64,
}

/// A certificate, as `ssh-keygen` reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The file.
    pub file: PathBuf,
    /// Its serial.
    pub serial: u64,
    /// Its key id.
    pub key_id: String,
}

/// A person.
#[derive(Debug, Clone)]
pub struct Engineer {
    /// The name, which is the principal.
    pub name: String,
    stage: Folder,
    place: PathBuf,
    port: u16,
}

/// How a login was refused, or that it was not.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// How the client ended; 255 when it was not let in.
    pub status: ExitStatus,
    /// What it said.
    pub said: String,
    /// When it was over, nanoseconds since 1970.
    pub over_unix_ns: u64,
}

impl Attempt {
    /// Whether the server refused every credential.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.status.code() == Some(255) && self.said.contains("Permission denied")
    }
}

/// Longest wait until a login is told.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// Somebody with a grant of a tenant, logged in.
#[derive(Debug)]
pub struct Arrived {
    /// Who.
    pub engineer: Engineer,
    /// The open login.
    pub login: Login,
    /// Its session.
    pub session: String,
}

impl Arrived {
    /// Gets a grant and a certificate, logs in, and waits until it is told.
    ///
    /// # Errors
    /// They were not let in, or nobody told of it.
    pub fn at(stage: &Stage, facts: &Facts, (name, tenant): (&str, &str)) -> Result<Self> {
        let engineer = Engineer::new(stage, name)?;
        let grant = Grant {
            id: format!("{name}-{tenant}-1"),
            tenant: tenant.to_owned(),
            ticket: "INC-4714".to_owned(),
            purpose: "work".to_owned(),
            valid_seconds: 3_600,
        };
        engineer.is_granted(&grant)?;
        engineer.gets_certificate(&grant)?;
        let login = engineer.logs_in(ACCOUNT)?;
        let opened = facts.wait("the login", TOLD_WITHIN, |fact| {
            fact.is_event("session_opened") && fact.principal() == name
        })?;
        Ok(Self {
            engineer,
            login,
            session: opened.session().to_owned(),
        })
    }
}

impl Engineer {
    /// Makes a key of their own and notes the host key of the stage's sshd.
    ///
    /// # Errors
    /// `ssh-keygen` failed, or there is no sshd.
    pub fn new(stage: &Stage, name: &str) -> Result<Self> {
        let place = stage.folder.at("engineers").join(name);
        fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
        let sshd = stage.sshd()?;
        let known = format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key);
        write(&place.join("known_hosts"), &known, 0o600)?;
        command::stdout(
            command(
                "ssh-keygen",
                ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"],
            )
            .arg(place.join("id")),
        )?;
        let port = sshd.port;
        Ok(Self {
            name: name.to_owned(),
            stage: stage.folder.clone(),
            place,
            port,
        })
    }

    /// Has a grant registered for them, as their manager would.
    ///
    /// # Errors
    /// The broker refused, with what it said.
    pub fn is_granted(&self, grant: &Grant) -> Result<()> {
        let text = format!(
            "id = \"{}\"\nprincipal = \"{}\"\ntenant = \"{}\"\nticket = \"{}\"\npurpose = \"{}\"\n\
             approved_by = \"carol\"\ntier = \"production\"\nkind = \"just_in_time\"\nvalid_seconds = {}\n",
            grant.id, self.name, grant.tenant, grant.ticket, grant.purpose, grant.valid_seconds
        );
        let file = self.place.join(format!("{}.toml", grant.id));
        write(&file, &text, 0o600)?;
        command::stdout(self.broker(&["grant", "put"])?.arg(&file)).map(drop)
    }

    /// Gets a certificate for a grant from the broker.
    ///
    /// # Errors
    /// The broker refused, or what it gave is no certificate.
    pub fn gets_certificate(&self, grant: &Grant) -> Result<Certificate> {
        let file = self.place.join("id-cert.pub");
        let mut issue = self.broker(&["issue", "--grant", &grant.id, "--public-key"])?;
        issue.arg(self.place.join("id.pub")).arg("--out").arg(&file);
        command::stdout(&mut issue)?;
        let text = command::stdout(command("ssh-keygen", ["-L", "-f"]).arg(&file))?;
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.trim().strip_prefix(name));
            value.with_context(|| format!("the certificate has no {name}"))
        };
        let serial = field("Serial: ")?.parse().context("reading the serial")?;
        let key_id = field("Key ID: ")?.trim_matches('"').to_owned();
        Ok(Certificate {
            file,
            serial,
            key_id,
        })
    }

    /// Logs in and keeps a shell open.
    ///
    /// # Errors
    /// The client could not be started, or was not let in.
    pub fn logs_in(&self, account: &str) -> Result<Login> {
        let mut login = Login::start(self.ssh(account))?;
        login
            .types("true")
            .with_context(|| format!("{} logging in", self.name))?;
        Ok(login)
    }

    /// Tries to log in for one command.
    ///
    /// # Errors
    /// The client could not be started, or did not end.
    pub fn tries_to_log_in(&self, account: &str) -> Result<Attempt> {
        let mut client = self.ssh(account);
        let child = client
            .arg("true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting ssh")?;
        let output = child.wait_with_output()?;
        let over_unix_ns = now_unix_ns();
        Ok(Attempt {
            status: output.status,
            said: command::said(&output),
            over_unix_ns,
        })
    }

    /// The client that would log in, for a remote command and options of one's own.
    #[must_use]
    pub fn client(&self, account: &str) -> Command {
        self.ssh(account)
    }

    /// The folder of their key, certificate and list of known hosts.
    #[must_use]
    pub fn place(&self) -> &std::path::Path {
        &self.place
    }

    fn broker(&self, arguments: &[&str]) -> Result<Command> {
        let mut broker = command(self.stage.program("monitor-broker"), arguments);
        broker.envs(config::variables(&self.stage, "issuer.env")?);
        Ok(broker)
    }

    /// A real client with nobody's configuration and a list of known hosts of its own.
    fn ssh(&self, account: &str) -> Command {
        let mut ssh = command("ssh", ["-F", "none", "-T", "-p"]);
        ssh.arg(self.port.to_string())
            .arg("-i")
            .arg(self.place.join("id"));
        let known = format!(
            "UserKnownHostsFile={}",
            self.place.join("known_hosts").display()
        );
        let connect = format!("ConnectTimeout={}", LOGIN_WITHIN.as_secs());
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "GlobalKnownHostsFile=none",
            "StrictHostKeyChecking=yes",
            "LogLevel=ERROR",
            &known,
            &connect,
        ] {
            ssh.args(["-o", option]);
        }
        ssh.arg(format!("{account}@127.0.0.1"));
        ssh
    }
}

/// What a typed command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its output, both streams.
    pub text: String,
    /// Its exit code.
    pub code: i32,
}

/// A shell that was logged in to.
#[derive(Debug)]
pub struct Login {
    child: Child,
    keyboard: ChildStdin,
    lines: Receiver<String>,
    typed: u32,
}

impl Login {
    fn start(mut ssh: Command) -> Result<Self> {
        let mut child = ssh
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting ssh")?;
        let (sender, lines) = sync_channel(LINES_MAX);
        let keyboard = child.stdin.take().context("ssh has no input")?;
        let screen = child.stdout.take().context("ssh has no output")?;
        let errors = child.stderr.take().context("ssh has no error output")?;
        let forward_errors = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(screen).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if forward_errors.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            keyboard,
            lines,
            typed: 0,
        })
    }

    /// Types a command and reads what it says until it is done.
    ///
    /// # Errors
    /// The session ended, or the command did not end in time.
    pub fn types(&mut self, line: &str) -> Result<Said> {
        let mark = self.sends(line)?;
        self.hears(line, &mark)
    }

    /// Reads what a command says that was sent, until it is done.
    ///
    /// # Errors
    /// The session ended, or the command did not end in time.
    pub fn hears(&mut self, line: &str, mark: &str) -> Result<Said> {
        let start = Instant::now();
        let mut text = String::new();
        loop {
            match self.lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) => {
                    if let Some(code) = line.strip_prefix(mark) {
                        let code = code.trim().parse().context("reading an exit code")?;
                        return Ok(Said { text, code });
                    }
                    text.push_str(&line);
                    text.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!(
                        "the session ended while `{line}` was running: {}",
                        text.trim()
                    )
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            interrupt::check()?;
            if start.elapsed() > ANSWER_WITHIN {
                bail!(
                    "`{line}` did not end within {} s: {}",
                    ANSWER_WITHIN.as_secs(),
                    text.trim()
                );
            }
        }
    }

    /// Types a command and does not wait for it.
    ///
    /// # Errors
    /// The session has ended.
    pub fn sends(&mut self, line: &str) -> Result<String> {
        self.typed = self.typed.saturating_add(1);
        let mark = format!("-- done {} --", self.typed);
        // The brace group keeps the shell; its output goes one way.
        let typed = format!("{{ {line}\n}} 2>&1; echo \"{mark} $?\"\n");
        let sent = self
            .keyboard
            .write_all(typed.as_bytes())
            .and_then(|()| self.keyboard.flush());
        if sent.is_err() {
            let last: Vec<String> = self.lines.try_iter().collect();
            bail!("the session has ended: {}", last.join("\n"));
        }
        Ok(mark)
    }

    /// Waits until the client has ended; says how and when.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub fn ends(&mut self, deadline: Duration) -> Result<(ExitStatus, u64)> {
        poll::until("the end of the ssh client", deadline, || {
            Ok(self.child.try_wait()?.map(|status| (status, now_unix_ns())))
        })
    }

    /// Whether the client still runs.
    ///
    /// # Errors
    /// The kernel could not say.
    pub fn lives(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
