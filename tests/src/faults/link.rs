//! A link to a namespace of its own, whose packets fare as they are told to.
//!
//! Two TUN devices, one on this machine and one in the namespace, and a thread for
//! each direction that takes packets from one and gives them to the other
//! ([`Lane`]). In the namespace a [`Proxy`] leads to the collector. So the kernel's
//! TCP on both ends, and the agent above it, meet what a bad network does: packets
//! that are lost, doubled, late and out of order.
#![expect(
    unsafe_code,
    reason = "attaching to a TUN device is an ioctl without a safe wrapper"
)]

use std::ffi::{c_int, c_short};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Updater, ioctl, opcode};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::chance::Chance;
use super::lane::{Lane, Tally, Weather};
use super::proxy::Proxy;
use crate::command::{self, command};
use crate::stage::network::{self, FAR};

/// The device that gives and takes packets.
const TUN: &str = "/dev/net/tun";
/// What the device in the namespace is called.
const FAR_DEVICE: &str = "tun0";
/// This machine's end.
const NEAR_ADDRESS: &str = "10.23.0.1/30";
/// A packet is no longer than the devices' MTU.
const PACKET_MAX: usize = 1_500;
/// How soon a thread sees that it is over.
const LOOK: Duration = Duration::from_millis(20);
/// `TUNSETIFF`
const ATTACH: rustix::ioctl::Opcode = opcode::write::<c_int>(b'T', 202);
/// `IFF_TUN | IFF_NO_PI`: packets from their IP header on, and nothing before it.
const PLAIN_PACKETS: c_short = 0x1001;

/// `struct ifreq`, as `TUNSETIFF` reads and writes it.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: c_short,
    unused: [u8; 22],
}

/// The link; it is gone when it is dropped.
#[derive(Debug)]
pub struct Link {
    far_end: SocketAddrV4,
    proxy: Option<Proxy>,
    shared: Arc<Shared>,
    pumps: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<(Weather, Tally)>,
    is_over: AtomicBool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, (Weather, Tally)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// A link that leads to a loopback port of this machine.
    ///
    /// # Errors
    /// The kernel has no TUN devices, or refused.
    pub fn to(port: u16, chance: &mut Chance) -> Result<Self> {
        let (namespace, device) = (network::namespace(FAR.name), network::interface(FAR.name));
        command::stdout(&mut command("ip", ["netns", "add", &namespace]))?;
        let near = attached(&device)?;
        let far = within(&namespace, || attached(FAR_DEVICE))?;
        let near_side = format!("addr add {NEAR_ADDRESS} dev {device}\nlink set {device} up\n");
        command::feed(&mut command("ip", ["-batch", "-"]), &near_side)?;
        let far_side = format!(
            "addr add {}/30 dev {FAR_DEVICE}\nlink set {FAR_DEVICE} up\n",
            FAR.address
        );
        let mut there = command("ip", ["-netns", &namespace, "-batch", "-"]);
        command::feed(&mut there, &far_side)?;
        let address: Ipv4Addr = FAR.address.parse().context("the address of the far end")?;
        let listener = within(&namespace, move || {
            TcpListener::bind((address, 0)).context("listening in the namespace")
        })?;
        let far_end = SocketAddrV4::new(address, listener.local_addr()?.port());
        let shared = Arc::new(Shared {
            state: Mutex::new((Weather::FAIR, Tally::default())),
            is_over: AtomicBool::new(false),
        });
        let mut link = Self {
            far_end,
            proxy: Some(Proxy::by(listener, port)?),
            shared: Arc::clone(&shared),
            pumps: Vec::new(),
        };
        for (from, to) in [(&near, &far), (&far, &near)] {
            let pump = Pump {
                from: from.try_clone()?,
                to: to.try_clone()?,
                lane: Lane::new(Chance::new(chance.below(u64::MAX))),
                shared: Arc::clone(&shared),
            };
            let thread = thread::Builder::new().name("packets".to_owned());
            link.pumps.push(thread.spawn(move || pump.run())?);
        }
        Ok(link)
    }

    /// Where the far end listens.
    #[must_use]
    pub const fn far_end(&self) -> SocketAddrV4 {
        self.far_end
    }

    /// From now on packets fare so, in both directions.
    pub fn has(&self, weather: Weather) {
        self.shared.state().0 = weather;
    }

    /// What became of packets by now.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.shared.state().1
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.proxy.take());
        self.shared.is_over.store(true, Ordering::SeqCst);
        for pump in self.pumps.drain(..) {
            // It has nothing to say.
            let _ = pump.join();
        }
    }
}

/// A new TUN device in the namespace of this thread; it goes with the file.
fn attached(name: &str) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open(TUN, flags, Mode::empty()).with_context(|| {
        format!("opening {TUN}, without which packets cannot be disordered: is the kernel's module `tun` loaded? (`modprobe tun`)")
    })?;
    let mut request = Request {
        name: [0; 16],
        flags: PLAIN_PACKETS,
        unused: [0; 22],
    };
    // The last byte stays zero.
    for (to, from) in request.name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: TUNSETIFF reads and writes a `struct ifreq`, which `Request` is.
    let attach = unsafe { Updater::<ATTACH, Request>::new(&mut request) };
    // SAFETY: the request outlives the call, and the file is open.
    let attached = unsafe { ioctl(&device, attach) };
    attached.with_context(|| format!("making the TUN device {name}"))?;
    Ok(File::from(device))
}

/// Does something on a thread that is in a namespace.
fn within<T: Send + 'static>(
    namespace: &str,
    what: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let path = format!("/run/netns/{namespace}");
    let thread = thread::Builder::new().name("namespace".to_owned());
    let thread = thread.spawn(move || {
        let place = File::open(&path).with_context(|| format!("opening {path}"))?;
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(place.as_fd(), network)
            .with_context(|| format!("entering {path}"))?;
        what()
    })?;
    let done = thread.join();
    done.map_err(|_| anyhow!("a thread in the namespace {namespace} panicked"))?
}

/// One direction.
struct Pump {
    from: File,
    to: File,
    lane: Lane,
    shared: Arc<Shared>,
}

impl Pump {
    fn run(mut self) {
        let mut bytes = [0; PACKET_MAX];
        while !self.shared.is_over.load(Ordering::SeqCst) {
            self.waits();
            // Until there is none.
            while let Ok(read) = self.from.read(&mut bytes) {
                let packet = bytes.get(..read).unwrap_or_default();
                let (weather, tally) = &mut *self.shared.state();
                self.lane.takes(packet, weather, Instant::now(), tally);
                Self::gives(&mut self.lane, &mut self.to, tally);
            }
            let tally = &mut self.shared.state().1;
            Self::gives(&mut self.lane, &mut self.to, tally);
        }
    }

    /// What the device refuses is a packet lost.
    fn gives(lane: &mut Lane, to: &mut File, tally: &mut Tally) {
        while let Some(packet) = lane.gives(Instant::now(), tally) {
            if to.write_all(&packet).is_err() {
                tally.lost += 1;
            }
        }
    }

    /// Until a packet comes, or the next one's time is there.
    fn waits(&self) {
        let next = self.lane.next();
        let time = next.map_or(LOOK, |due| due.saturating_duration_since(Instant::now()));
        let time = Timespec::try_from(time.min(LOOK)).unwrap_or_default();
        // It is looked at all again, whatever came of it.
        let _ = poll(&mut [PollFd::new(&self.from, PollFlags::IN)], Some(&time));
    }
}
