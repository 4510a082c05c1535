//! A private sshd on loopback, in a mount namespace of its own.
//!
//! The machine's own sshd, its accounts and its PAM files stay untouched: the
//! changed copies, the folder sshd separates its privileges in, and the login
//! records are laid over the machine's in that namespace alone.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::folder::{SSHD, write};
use super::own_machine::SECOND_ACCOUNT;
use super::services::{free_ports, last_lines};
use super::{ACCOUNT, BREAK_GLASS_ACCOUNT, Folder, Shape};
use crate::command::{self, command};
use crate::poll;
use crate::processes::{self, Process};

/// How long sshd may take to listen.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// The private sshd.
#[derive(Debug)]
pub struct Sshd {
    child: Child,
    listener: Process,
    is_the_machines: bool,
    /// The loopback port it listens on.
    pub port: u16,
    /// Its public host key, as in a `known_hosts` file without the host.
    pub host_key: String,
}

impl Sshd {
    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// It ended, with its last words, or did not listen in time.
    pub fn start(folder: &Folder, shape: Shape) -> Result<Self> {
        let place = folder.at("sshd");
        fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
        let key = place.join("host_key");
        command::stdout(
            command(
                "ssh-keygen",
                ["-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f"],
            )
            .arg(&key),
        )?;
        let [port] = free_ports()?;
        write(
            &place.join("sshd_config"),
            &configuration(folder, port, shape),
            0o644,
        )?;
        write(&place.join("start.sh"), &start_script(folder, shape), 0o755)?;
        let log = folder.at("log/sshd.log");
        let file = fs::File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let mut start = start_command(folder, shape);
        let mut child = std::os::unix::process::CommandExt::process_group(&mut start, 0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("starting the private sshd")?;
        poll::until("the private sshd listening", READY_WITHIN, || {
            if let Some(status) = child.try_wait()? {
                bail!("the private sshd ended ({status}); {}", last_lines(&log));
            }
            Ok(TcpStream::connect(("127.0.0.1", port)).ok())
        })?;
        let listener = Process::of(child.id()).context("the private sshd is gone")?;
        let host_key = fs::read_to_string(key.with_extension("pub"))?;
        Ok(Self {
            child,
            listener,
            is_the_machines: shape == Shape::OwnMachine,
            port,
            host_key: host_key.trim().to_owned(),
        })
    }

    /// The processes of logins: all in its mount namespace but the listener;
    /// where it has none of its own, all that a login started by any way.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn login_processes(&self) -> Result<Vec<Process>> {
        if self.is_the_machines {
            return processes::of_logins(self.listener);
        }
        let namespace = self.listener.mount_namespace();
        let mut all = processes::all()?;
        all.retain(|process| {
            *process != self.listener && process.mount_namespace() == namespace && process.lives()
        });
        Ok(all)
    }

    /// Ends it, and every login with it.
    pub fn stop(mut self) {
        // What would not end is found and told by the clean-up that follows.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Certificates only, checked against the broker's CA, its list of revoked
/// keys as the agent keeps it, and the agent.
fn configuration(folder: &Folder, port: u16, shape: Shape) -> String {
    let (root, may_root) = match shape {
        Shape::Cases => (" root".to_owned(), "prohibit-password"),
        Shape::OwnMachine => (format!(" root {SECOND_ACCOUNT}"), "prohibit-password"),
        Shape::Scene | Shape::Host => (String::new(), "no"),
    };
    let place = folder.at("sshd");
    let text = format!(
        "# The private sshd of the demo: certificates only.\n\
         ListenAddress 127.0.0.1\n\
         Port {port}\n\
         HostKey {place}/host_key\n\
         PidFile {place}/pid\n\
         UsePAM yes\n\
         ExposeAuthInfo yes\n\
         AuthenticationMethods publickey\n\
         PubkeyAuthentication yes\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         AuthorizedKeysFile none\n\
         TrustedUserCAKeys {ca}\n\
         RevokedKeys {krl}\n\
         AuthorizedPrincipalsCommand {agent} principals --socket {socket} --break-glass {glass} %u %t %k\n\
         AuthorizedPrincipalsCommandUser nobody\n\
         AllowUsers {ACCOUNT} {BREAK_GLASS_ACCOUNT}{root}\n\
         PermitRootLogin {may_root}\n\
         X11Forwarding no\n\
         PrintMotd no\n\
         PrintLastLog no\n\
         UseDNS no\n\
         LogLevel VERBOSE\n",
        place = place.display(),
        ca = folder.user_ca().display(),
        krl = folder.host_krl().display(),
        agent = folder.program("monitor-agent").display(),
        socket = folder.agent_socket().display(),
        glass = BREAK_GLASS_ACCOUNT,
    );
    if shape != Shape::OwnMachine {
        return text;
    }
    format!(
        "{text}Subsystem sftp internal-sftp\nMatch User {SECOND_ACCOUNT}\n\
         AuthorizedKeysFile .ssh/authorized_keys\n"
    )
}

/// On a machine of its own it runs as any daemon does; elsewhere in a mount
/// namespace of its own.
fn start_command(folder: &Folder, shape: Shape) -> Command {
    let place = folder.at("sshd");
    if shape == Shape::OwnMachine {
        let mut sshd = command(folder.program(SSHD), ["-D", "-e", "-f"]);
        sshd.arg(place.join("sshd_config"));
        return sshd;
    }
    let mut unshare = command(
        "unshare",
        ["--mount", "--propagation", "private", "/bin/sh"],
    );
    unshare.arg(place.join("start.sh"));
    unshare
}

/// Lays the copies over the machine's files, then becomes sshd. /run is new
/// and empty there, so that no name service answers from outside; so is
/// /var/log, where sshd would write its login records.
/// Cases may enter the tenants' namespaces, and become another account.
fn start_script(folder: &Folder, shape: Shape) -> String {
    let (keep, give_back) = match shape {
        Shape::Cases => (
            "mkdir netns\nmount --rbind /run/netns netns\n\
             if [ -e /etc/sudoers ]; then mount --bind accounts/sudoers /etc/sudoers; fi\n",
            "mkdir -m 755 /run/netns\nmount --rbind netns /run/netns\n",
        ),
        Shape::Scene | Shape::OwnMachine | Shape::Host => ("", ""),
    };
    format!(
        "set -eu\n\
         cd {root}\n\
         mount --bind accounts/passwd /etc/passwd\n\
         mount --bind accounts/group /etc/group\n\
         if [ -e /etc/shadow ]; then mount --bind accounts/shadow /etc/shadow; fi\n\
         mount --bind accounts/pam.d /etc/pam.d\n\
         {keep}\
         mount -t tmpfs -o mode=755,size=1m tmpfs /run\n\
         mkdir -m 755 /run/sshd\n\
         {give_back}\
         mount -t tmpfs -o mode=755,size=1m tmpfs /var/log\n\
         exec {root}/bin/{SSHD} -D -e -f {root}/sshd/sshd_config\n",
        root = folder.root().display(),
    )
}
