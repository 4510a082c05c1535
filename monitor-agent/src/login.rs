//! The socket that sshd's hooks ask, and those hooks.
//!
//! In: questions, one a connection, from root or from the accounts that may
//! ask for principals; who asks is told by the kernel (`SO_PEERCRED`). Out:
//! answers; sessions, which are marked in the kernel and on disk before the
//! answer; refused logins as events. Bound: [`OPEN_MAX`] questions at a time
//! for root and as many for everybody else, [`READ_WAIT`] to ask one. Loss:
//! none; what cannot be decided is refused.
//!
//! - [`protocol`]: the lines. [`client`]: the hooks. [`parent`]: whom to mark.
//! - [`credential`]: what opened a login. [`decide`]: whether it may.
//!   [`authority`]: whose certificates count.
//! - [`desk`]: the answers.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::UCred},
    sync::Semaphore,
};
use tracing::{debug, warn};

pub mod adopt;
pub mod authority;
pub mod client;
pub mod credential;
pub mod decide;
pub mod desk;
pub mod hop;
pub mod parent;
pub mod protocol;
mod who;

pub use authority::Authorities;
pub use desk::Desk;
use protocol::{Answer, Ask, LINE_BYTES_MAX};

/// Most questions at a time.
pub const OPEN_MAX: usize = 64;
/// Longest time to ask a question, once connected.
pub const READ_WAIT: Duration = Duration::from_secs(2);

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The socket.
    #[error("socket {}: {source}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The authorities' keys.
    #[error("ssh.user_ca: {}: {cause}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// An account that does not exist.
    #[error(
        "ssh.principals_users names {name:?}, which /etc/passwd does not hold: give an account of this host, or a number"
    )]
    Account {
        /// The name.
        name: String,
    },
}

/// Who may ask for principals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Askers(BTreeSet<u32>);

impl Askers {
    /// Finds the accounts in the text of a passwd file; numbers stand for themselves.
    ///
    /// # Errors
    /// [`LoginError::Account`].
    pub fn find(names: &[String], passwd: &str) -> Result<Self, LoginError> {
        let number = |name: &String| {
            let found = name.parse().ok().or_else(|| {
                passwd.lines().find_map(|line| {
                    let mut fields = line.split(':');
                    (fields.next()? == name).then(|| fields.nth(1)?.parse::<u32>().ok())?
                })
            });
            found.ok_or_else(|| LoginError::Account { name: name.clone() })
        };
        Ok(Self(names.iter().map(number).collect::<Result<_, _>>()?))
    }

    fn may_ask(&self, uid: u32) -> bool {
        uid == 0 || self.0.contains(&uid)
    }
}

/// Takes questions until the task is ended.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
    askers: Askers,
    desk: Arc<Desk>,
}

impl Door {
    /// Opens the socket for everybody; who may ask is decided for each. Only
    /// one agent can be here: it holds the lock of the state folder.
    ///
    /// # Errors
    /// [`LoginError::Socket`].
    pub fn open(path: &Path, askers: Askers, desk: Arc<Desk>) -> Result<Self, LoginError> {
        let failed = |source| LoginError::Socket {
            path: path.to_owned(),
            source,
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            fs::create_dir_all(folder).map_err(failed)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            askers,
            desk,
        })
    }

    /// Answers.
    pub async fn run(self) {
        let root = Arc::new(Semaphore::new(OPEN_MAX));
        let others = Arc::new(Semaphore::new(OPEN_MAX));
        loop {
            let (stream, peer) = match self.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "A login hook could not be heard.");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            if !self.askers.may_ask(peer.uid()) {
                self.desk.stranger(peer.uid());
                continue;
            }
            let seats = if peer.uid() == 0 { &root } else { &others };
            let Ok(seat) = Arc::clone(seats).try_acquire_owned() else {
                warn!(
                    uid = peer.uid(),
                    most = OPEN_MAX,
                    "Too many login hooks ask at once; one was turned away."
                );
                continue;
            };
            let desk = Arc::clone(&self.desk);
            tokio::spawn(async move {
                if let Err(error) = serve(stream, peer, &desk).await {
                    debug!(%error, "A login hook hung up.");
                }
                drop(seat);
            });
        }
    }

    async fn accept(&self) -> io::Result<(UnixStream, UCred)> {
        let (stream, _) = self.listener.accept().await?;
        let peer = stream.peer_cred()?;
        Ok((stream, peer))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // A hook that finds no socket is told faster than one that finds a dead one.
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve(stream: UnixStream, peer: UCred, desk: &Desk) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    let mut reader = BufReader::new(read.take(most));
    tokio::time::timeout(READ_WAIT, reader.read_until(b'\n', &mut line)).await??;
    let answer = match protocol::read_request(&line) {
        Ok(request) => answer(request.ask, peer, desk).await,
        Err(error) => Answer::refused(&error),
    };
    let line = protocol::line(&answer).map_err(io::Error::other)?;
    write.write_all(&line).await
}

async fn answer(ask: Ask, peer: UCred, desk: &Desk) -> Answer {
    match (ask, peer.uid(), peer.pid().map(i32::cast_unsigned)) {
        (Ask::Principals(principals), _, _) => desk.principals(&principals).await,
        (Ask::Open(login), 0, Some(pid)) => desk.open(&login, pid).await,
        (Ask::Close(login), 0, _) => {
            debug!(
                account = login.account,
                "PAM says that a session is closing; the kernel tells its end."
            );
            Answer::Allowed {
                session: String::new(),
            }
        }
        (Ask::Open(_) | Ask::Close(_), uid, _) => {
            desk.stranger(uid);
            Answer::refused(&"only root may bind sessions")
        }
    }
}

#[cfg(test)]
mod tests;
