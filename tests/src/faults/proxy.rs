//! A way through which TCP goes, and which can be made bad.
//!
//! In: connections to a loopback port. Out: the same bytes, to another one. What
//! goes through is never looked at, so TLS passes. Bound: [`CHUNK`] bytes a
//! direction; the rest waits in the kernel's buffers. Loss: none but what a way
//! that is cut loses.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::net::sockopt::set_socket_linger;

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;
/// Bytes that a slow way takes at once.
const CHUNK_SLOW: usize = 256;
/// How long a slow way takes for each.
const PAUSE_SLOW: Duration = Duration::from_millis(10);
/// How soon a connection that waits for bytes sees that its way changed.
const LOOK: Duration = Duration::from_millis(20);
/// Who takes nothing for so long is cut off.
const STUCK: Duration = Duration::from_secs(10);

/// How the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As a network should be.
    Open,
    /// Connections are reset, and new ones too.
    Cut,
    /// Nothing goes through, and nobody is told.
    Silent,
    /// Some 25 kB a second.
    Slow,
}

impl Way {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cut => "cut",
            Self::Silent => "silent",
            Self::Slow => "slow",
        }
    }
}

/// One connection through it.
#[derive(Debug)]
struct Through {
    near: TcpStream,
    far: TcpStream,
    is_over: Arc<AtomicBool>,
    pumps: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct State {
    way: Way,
    through: Vec<Through>,
    /// Far ends whose near ends are gone.
    halves: Vec<TcpStream>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    to: u16,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    entrance: TcpListener,
    port: u16,
}

impl Proxy {
    /// A way to a loopback port.
    ///
    /// # Errors
    /// No port is free.
    pub fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
        Self::by(listener, port)
    }

    /// A way from a listener, which may be of another namespace, to a loopback port.
    ///
    /// # Errors
    /// The listener cannot be asked, or no thread be started.
    pub fn by(listener: TcpListener, port: u16) -> Result<Self> {
        let own = listener.local_addr()?.port();
        let entrance = listener.try_clone()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                way: Way::Open,
                through: Vec::new(),
                halves: Vec::new(),
            }),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            to: port,
        });
        let acceptor = thread::Builder::new().name("way".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || accept_all(&listener, &shared)
        })?;
        Ok(Self {
            shared,
            acceptor: Some(acceptor),
            entrance,
            port: own,
        })
    }

    /// Where it begins.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Makes the way so, for connections that are there and for new ones.
    pub fn leads(&self, way: Way) {
        let mut state = self.shared.state();
        state.way = way;
        if way == Way::Cut {
            for through in std::mem::take(&mut state.through) {
                through.is_over.store(true, Ordering::SeqCst);
                reset(through.near);
                reset(through.far);
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Resets the near ends of all connections; the far ends stay open, and hear
    /// nothing more.
    pub fn half_opens(&self) {
        let mut state = self.shared.state();
        for through in std::mem::take(&mut state.through) {
            through.is_over.store(true, Ordering::SeqCst);
            reset(through.near);
            state.halves.push(through.far);
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Resets the far ends that hear nothing more.
    pub fn forgets_halves(&self) {
        for far in std::mem::take(&mut self.shared.state().halves) {
            reset(far);
        }
    }

    /// How many connections go through.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().through.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.leads(Way::Cut);
        // It waits for a connection; who listens there can be of another namespace.
        let _ = rustix::net::shutdown(&self.entrance, rustix::net::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Ends a connection as a network does that knows of none.
fn reset(stream: TcpStream) {
    // It is shut down in any case.
    let _ = set_socket_linger(&stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Read);
    drop(stream);
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    for near in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(near) = near else { continue };
        // Nobody listens there just now: the near end hears of it.
        if let Err(error) = lead(near, shared) {
            eprintln!("a connection did not come about: {error:#}");
        }
    }
}

/// Leads one connection to the other port.
fn lead(near: TcpStream, shared: &Arc<Shared>) -> Result<()> {
    if shared.state().way == Way::Cut {
        reset(near);
        return Ok(());
    }
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.to)) else {
        reset(near);
        return Ok(());
    };
    let (is_over, pumps) = (Arc::<AtomicBool>::default(), Arc::new(AtomicUsize::new(2)));
    for (from, to) in [(&near, &far), (&far, &near)] {
        from.set_read_timeout(Some(LOOK))?;
        from.set_write_timeout(Some(STUCK))?;
        from.set_nodelay(true)?;
        let pump = Pump {
            from: from.try_clone()?,
            to: to.try_clone()?,
            is_over: Arc::clone(&is_over),
            pumps: Arc::clone(&pumps),
            shared: Arc::clone(shared),
        };
        thread::Builder::new()
            .name("pump".to_owned())
            .spawn(move || pump.run())?;
    }
    let mut state = shared.state();
    state
        .through
        .retain(|through| through.pumps.load(Ordering::SeqCst) > 0);
    if state.way == Way::Cut {
        is_over.store(true, Ordering::SeqCst);
        reset(near);
        reset(far);
        return Ok(());
    }
    state.through.push(Through {
        near,
        far,
        is_over,
        pumps,
    });
    Ok(())
}

/// One direction of a connection.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    is_over: Arc<AtomicBool>,
    pumps: Arc<AtomicUsize>,
    shared: Arc<Shared>,
}

impl Pump {
    fn run(mut self) {
        let mut chunk = vec![0; CHUNK];
        while let Some(way) = self.passes() {
            let most = if way == Way::Slow { CHUNK_SLOW } else { CHUNK };
            let room = chunk.get_mut(..most).unwrap_or_default();
            match self.from.read(room) {
                Ok(0) => break,
                Ok(read) => {
                    if way == Way::Slow {
                        thread::sleep(PAUSE_SLOW);
                    }
                    // It may have become silent, or be over, meanwhile.
                    let read = chunk.get(..read).unwrap_or_default();
                    if self.passes().is_none() || self.to.write_all(read).is_err() {
                        break;
                    }
                }
                Err(error) if is_only_late(&error) => {}
                Err(_) => break,
            }
        }
        // What was cut is reset when its last hold is gone, a half is not told.
        if !self.is_over.load(Ordering::SeqCst) {
            // Who is there no more cannot be told.
            let _ = self.to.shutdown(Shutdown::Write);
        }
        self.pumps.fetch_sub(1, Ordering::SeqCst);
    }

    /// How the way is, once it is not silent; none when the connection is over.
    fn passes(&self) -> Option<Way> {
        let mut state = self.shared.state();
        loop {
            if self.is_over.load(Ordering::SeqCst) {
                return None;
            }
            if state.way != Way::Silent {
                return Some(state.way);
            }
            let waited = self.shared.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn is_only_late(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    [
        ErrorKind::WouldBlock,
        ErrorKind::TimedOut,
        ErrorKind::Interrupted,
    ]
    .contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll;

    const SOON: Duration = Duration::from_secs(10);

    /// A connection through a proxy, both ends.
    fn through() -> (Proxy, TcpStream, TcpStream, TcpListener) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap().port()).unwrap();
        let near = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        let (far, _) = listener.accept().unwrap();
        for end in [&near, &far] {
            end.set_read_timeout(Some(SOON)).unwrap();
        }
        poll::until_true("the connection", SOON, || proxy.connections() == 1).unwrap();
        (proxy, near, far, listener)
    }

    fn hears(stream: &mut TcpStream, wanted: &[u8]) {
        let mut heard = vec![0; wanted.len()];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard, wanted);
    }

    #[test]
    fn open_and_slow_ways_lead_both_directions() {
        let (proxy, mut near, mut far, _listener) = through();
        for way in [Way::Open, Way::Slow] {
            proxy.leads(way);
            near.write_all(b"there").unwrap();
            hears(&mut far, b"there");
            far.write_all(&[7; 1_000]).unwrap();
            hears(&mut near, &[7; 1_000]);
        }
    }

    #[test]
    fn silent_way_keeps_what_it_is_given_until_it_is_open() {
        let (proxy, mut near, mut far, _listener) = through();
        proxy.leads(Way::Silent);
        near.write_all(b"later").unwrap();
        far.set_nonblocking(true).unwrap();
        let mut heard = [0; 8];
        assert!(is_only_late(&far.read(&mut heard).unwrap_err()));
        far.set_nonblocking(false).unwrap();
        proxy.leads(Way::Open);
        hears(&mut far, b"later");
    }

    #[test]
    fn cut_way_resets_what_is_there_and_what_comes() {
        let (proxy, mut near, mut far, _listener) = through();
        proxy.leads(Way::Cut);
        let mut heard = [0; 8];
        assert!(!matches!(near.read(&mut heard), Ok(1..)));
        assert!(!matches!(far.read(&mut heard), Ok(1..)));
        let mut again = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        assert!(!matches!(again.read(&mut heard), Ok(1..)));
        assert_eq!(proxy.connections(), 0);
    }

    #[test]
    fn half_of_a_connection_lives_until_it_is_forgotten() {
        let (proxy, mut near, mut far, _listener) = through();
        proxy.half_opens();
        let mut heard = [0; 8];
        assert!(!matches!(near.read(&mut heard), Ok(1..)));
        far.set_nonblocking(true).unwrap();
        assert!(is_only_late(&far.read(&mut heard).unwrap_err()));
        far.set_nonblocking(false).unwrap();
        proxy.forgets_halves();
        assert!(!matches!(far.read(&mut heard), Ok(1..)));
    }
}
