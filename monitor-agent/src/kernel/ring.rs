//! The consumer of one ring.
//!
//! In: records that the kernel programs wrote. Out: batches of their bytes.
//! Bound: the ring. Loss: none here; the kernel counts records that found no
//! room.
//!
//! The consumer position moves only by [`RingReader::commit`], which is called
//! once a batch is on disk. A reader that starts again begins at that position,
//! so a record is given out again rather than lost. The position lies in the
//! pinned map: it survives the agent.
//!
//! Sleeping: the kernel's own adaptive wake-up compares with the consumer
//! position, which stays behind here. So the reader says in `RING_WAKE` that it
//! sleeps, looks once more, and sleeps; the kernel takes that back and wakes.
//! Under load it says that it lingers instead ([`Pause`]): waking it for each
//! record costs more than all the rest.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::{Duration, Instant},
};

use aya::maps::MapData;
use monitor_common::{Header, Ring, ring::RingWake};
use rustix::event::{Timespec, epoll};
use tokio::{io::unix::AsyncFd, time::sleep_until};
use zerocopy::{FromBytes as _, IntoBytes};

use super::{
    KernelError,
    batch::{Batch, BatchLimits, Cursor},
    mapping::{Access, Mapping},
    pins::Pins,
};

mod wake;

use wake::Wake;
pub use wake::{Pause, Waited};

/// Header of a record: its length with two bits, and a page number.
const HEADER_BYTES: u64 = 8;
/// The record is still being written.
const BUSY: u32 = 1 << 31;
/// The record was given up.
const DISCARDED: u32 = 1 << 30;

/// Both rings.
#[derive(Debug)]
pub struct Rings {
    /// Exec, connect, credential, session ended.
    pub priority: RingReader,
    /// Fork, exit.
    pub bulk: RingReader,
}

impl Rings {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        let wake = Arc::new(Wake::open(pins)?);
        Ok(Self {
            priority: RingReader::open(pins, Ring::Priority, "PRIORITY", &wake)?,
            bulk: RingReader::open(pins, Ring::Bulk, "BULK", &wake)?,
        })
    }
}

/// The only consumer of a ring.
#[derive(Debug)]
pub struct RingReader {
    ring: Ring,
    map: OwnedFd,
    /// Edge-triggered: room that is not committed yet keeps the ring readable.
    epoll: OwnedFd,
    /// Made at the first use in a runtime.
    waiter: Option<AsyncFd<OwnedFd>>,
    consumer: Mapping,
    producer: Mapping,
    page_bytes: usize,
    /// Bytes of the ring less one.
    mask: u64,
    /// Up to where batches were given out.
    position: u64,
    wake: Arc<Wake>,
    /// Held for its lock.
    _pins: Pins,
}

impl RingReader {
    fn open(pins: &Pins, ring: Ring, name: &str, wake: &Arc<Wake>) -> Result<Self, KernelError> {
        let data = MapData::from_pin(pins.map(name))
            .map_err(|error| failed("open", ring)(std::io::Error::other(error)))?;
        let info = data
            .info()
            .map_err(|error| failed("inspect", ring)(std::io::Error::other(error)))?;
        let map = data
            .fd()
            .as_fd()
            .try_clone_to_owned()
            .map_err(failed("open", ring))?;
        Self::over(pins, ring, map, info.max_entries(), wake)
    }

    fn over(
        pins: &Pins,
        ring: Ring,
        map: OwnedFd,
        bytes: u32,
        wake: &Arc<Wake>,
    ) -> Result<Self, KernelError> {
        let page_bytes = rustix::param::page_size();
        let ring_bytes = usize::try_from(bytes).unwrap_or(0);
        let offset = u64::try_from(page_bytes).unwrap_or(4_096);
        let consumer =
            Mapping::new(&map, Access::ReadWrite, page_bytes, 0).map_err(failed("map", ring))?;
        // The data is mapped twice in a row: no record is cut in two.
        let producer = Mapping::new(&map, Access::Read, page_bytes + 2 * ring_bytes, offset)
            .map_err(failed("map", ring))?;
        let epoll = watch(&map).map_err(|error| failed("watch", ring)(error.into()))?;
        let position = consumer
            .number(0)
            .map_or(0, |number| number.load(Ordering::Acquire));
        Ok(Self {
            ring,
            map,
            epoll,
            waiter: None,
            consumer,
            producer,
            page_bytes,
            mask: u64::from(bytes).saturating_sub(1),
            position,
            wake: Arc::clone(wake),
            _pins: pins.clone(),
        })
    }

    /// Which ring.
    #[must_use]
    pub const fn ring(&self) -> Ring {
        self.ring
    }

    /// Bytes of the ring.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.mask + 1
    }

    /// Bytes that are written and not committed: how full the ring is.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        let committed = self
            .consumer
            .number(0)
            .map_or(0, |number| number.load(Ordering::Relaxed));
        self.produced().saturating_sub(committed)
    }

    /// Whether [`Self::read_batch`] would give something.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.position < self.produced()
            && self
                .header(self.position)
                .is_some_and(|length| length & BUSY == 0)
    }

    /// Takes the next records, as many as there are and `limits` allow; none is
    /// an empty batch. Records that were taken come again only to a new reader
    /// that starts before they are committed.
    pub fn read_batch(&mut self, limits: BatchLimits) -> Batch {
        let mut words = Vec::new();
        let mut records = Vec::new();
        let produced = self.produced();
        while self.position < produced && records.len() < limits.records_max {
            let Some(length) = self
                .header(self.position)
                .filter(|length| length & BUSY == 0)
            else {
                break;
            };
            let bytes = usize::try_from(length & !(BUSY | DISCARDED)).unwrap_or(0);
            if length & DISCARDED == 0 {
                let full = words.len() * size_of::<u64>() + bytes > limits.bytes_max;
                if full && !records.is_empty() {
                    break;
                }
                let first = words.len();
                words.resize(first + bytes.div_ceil(size_of::<u64>()), 0);
                self.copy(first, bytes, &mut words);
                records.push((first, bytes));
            }
            let bytes = u64::from(length & !(BUSY | DISCARDED));
            self.position += (bytes + HEADER_BYTES).next_multiple_of(8);
        }
        Batch::new(words, records, self.position)
    }

    /// Frees the room of everything before `cursor`: call it once that is safe.
    /// An older cursor than one committed before does nothing.
    pub fn commit(&mut self, cursor: Cursor) {
        let Some(committed) = self.consumer.number(0) else {
            return;
        };
        if cursor.position > committed.load(Ordering::Relaxed) && cursor.position <= self.position {
            committed.store(cursor.position, Ordering::Release);
        }
    }

    /// Waits until there is something to read, at most so long. The priority
    /// ring wakes for every record, the bulk ring when it is half full; what
    /// is there already counts in both.
    ///
    /// # Errors
    /// [`KernelError::Ring`].
    pub fn wait(&mut self, timeout: Duration) -> Result<Waited, KernelError> {
        let started = Instant::now();
        while !self.is_due_or(RingWake::ASLEEP, Self::has_records) {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                self.wake.set(self.ring, RingWake::AWAKE);
                return Ok(Waited::TimedOut);
            }
            // An edge may be older than the last look: then the loop goes round.
            self.sleep(left)?;
        }
        Ok(Waited::Ready)
    }

    fn sleep(&self, timeout: Duration) -> Result<(), KernelError> {
        let timeout = Timespec::try_from(timeout).ok();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(1);
        let room = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, room, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(failed("wait for", self.ring)(error.into())),
        }
    }

    /// Waits in a tokio runtime until there is something to read: on the
    /// priority ring any record, after the pause; on the bulk ring half of it.
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`KernelError::Ring`].
    pub async fn ready(&mut self, pause: Option<Pause>) -> Result<(), KernelError> {
        if self.waiter.is_none() {
            self.waiter = Some(self.make_waiter()?);
        }
        if let Some(pause) = pause {
            sleep_until(pause.quiet_until).await;
            self.linger(pause).await?;
        }
        while !self.is_due_or(RingWake::ASLEEP, Self::is_due) {
            self.woken().await?;
        }
        self.wake.set(self.ring, RingWake::AWAKE);
        Ok(())
    }

    /// Until the pause is over, or something does not wait for that.
    async fn linger(&self, pause: Pause) -> Result<(), KernelError> {
        let mut over = std::pin::pin!(sleep_until(pause.linger_until));
        while !over.is_elapsed() && !self.is_due_or(RingWake::LINGERING, Self::is_pressing) {
            tokio::select! {
                woken = self.woken() => woken?,
                () = &mut over => {}
            }
        }
        Ok(())
    }

    async fn woken(&self) -> Result<(), KernelError> {
        let Some(waiter) = &self.waiter else {
            return Ok(());
        };
        let mut ready = waiter
            .readable()
            .await
            .map_err(failed("wait for", self.ring))?;
        ready.clear_ready();
        Ok(())
    }

    /// Whether there is something for a reader that does not linger.
    fn is_due(&self) -> bool {
        self.has_records() && (self.ring == Ring::Priority || self.is_half_full())
    }

    /// Whether there is something that a lingering reader is woken for.
    fn is_pressing(&self) -> bool {
        self.has_records() && (self.is_half_full() || self.has_urgent())
    }

    fn is_half_full(&self) -> bool {
        self.waiting_bytes() >= self.bytes() / 2
    }

    /// Whether an urgent record is among those that can be read now.
    fn has_urgent(&self) -> bool {
        let produced = self.produced();
        let mut position = self.position;
        while position < produced
            && let Some(length) = self.header(position).filter(|length| length & BUSY == 0)
        {
            let bytes = u64::from(length & !DISCARDED);
            if length & DISCARDED == 0 && self.is_urgent(position) {
                return true;
            }
            position += (bytes + HEADER_BYTES).next_multiple_of(8);
        }
        false
    }

    fn is_urgent(&self, position: u64) -> bool {
        let mut bytes = [0; Header::BYTES];
        self.place(position + HEADER_BYTES)
            .and_then(|place| self.producer.copy(place, &mut bytes))
            .and_then(|()| Header::read_from_bytes(&bytes).ok())
            .is_some_and(|header| header.is_urgent())
    }

    fn make_waiter(&self) -> Result<AsyncFd<OwnedFd>, KernelError> {
        let map = self.map.try_clone().map_err(failed("watch", self.ring))?;
        super::sys::readable(map).map_err(failed("watch", self.ring))
    }

    /// Says that the reader waits, unless there is something to read.
    fn is_due_or(&self, state: u64, is_due: fn(&Self) -> bool) -> bool {
        if is_due(self) {
            return true;
        }
        self.wake.set(self.ring, state);
        fence(Ordering::SeqCst);
        if is_due(self) {
            self.wake.set(self.ring, RingWake::AWAKE);
            return true;
        }
        false
    }

    fn produced(&self) -> u64 {
        self.producer
            .number(0)
            .map_or(0, |number| number.load(Ordering::Acquire))
    }

    /// The length and bits of the record at a position.
    fn header(&self, position: u64) -> Option<u32> {
        Some(
            self.producer
                .half(self.place(position)?)?
                .load(Ordering::Acquire),
        )
    }

    /// Where a position lies in the mapping.
    fn place(&self, position: u64) -> Option<usize> {
        Some(self.page_bytes + usize::try_from(position & self.mask).ok()?)
    }

    fn copy(&self, first: usize, bytes: usize, words: &mut [u64]) {
        let Some(place) = self.place(self.position + HEADER_BYTES) else {
            return;
        };
        let Some(room) = words.get_mut(first..) else {
            return;
        };
        let Some(room) = room.as_mut_bytes().get_mut(..bytes) else {
            return;
        };
        // Inside: the data is mapped twice.
        let _ = self.producer.copy(place, room);
    }
}

impl AsFd for RingReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

fn watch(map: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&epoll, map, epoll::EventData::new_u64(0), flags)?;
    Ok(epoll)
}

fn failed(action: &'static str, ring: Ring) -> impl Fn(std::io::Error) -> KernelError {
    move |error| KernelError::Ring {
        action,
        ring: ring.name(),
        error,
    }
}
