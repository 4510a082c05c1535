//! Acts that are counted instead of being told one by one.
//!
//! In: an act that is one too many. Out: one record with the number of acts, the
//! first time and the last. Bound: [`SUMS_MAX`] sums at a time. Loss: none here; what
//! finds no place is told to the caller. A sum is told when user space asks for it
//! ([`crate::hooks::sum`]); without an agent it goes on.
//!
//! Nobody waits: whoever changes a place does so by one step on its
//! [`SumWord`], and one that is taken is passed by. So acts of one key may be in two
//! sums, and each in one.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use monitor_common::{
    Credential, Header, Ring,
    flood::{SUM_KEY_WORDS, SUM_RECORD_BYTES_MAX, SUMS_MAX, Sum, SumKey, SumState, SumWord},
};

use crate::{
    atomic::Number,
    credential::{Act, Actor, Subject},
    kernel::probe,
    maps::{SUM_STATES, SUMS},
    offsets as at, sink, task,
    watch::{self, Hit, Probed},
};

/// Places that are tried for a key.
const PLACES: u32 = 8;
/// Steps on a place that others change meanwhile.
const TRIES: u32 = 8;

/// The file that acts are counted for; zeros where it cannot be told.
#[derive(Clone, Copy)]
pub struct File {
    device: u64,
    /// Number of the inode.
    pub inode: u64,
    generation: u32,
}

/// What became of an act.
pub enum Counted {
    /// It is in a sum.
    Added,
    /// It begins a sum at this place, which is the caller's until [`keep`] or
    /// [`give_up`].
    Begun(u32),
    /// It is in none.
    NoRoom,
}

/// The file of an act.
#[inline(always)]
pub fn file_of(subject: Subject) -> File {
    let (Subject::File { inode, .. } | Subject::Name { inode, .. }) = subject;
    let generation = probe(inode, &at::INODE_GENERATION);
    let number = probe(inode, &at::INODE_INO);
    // SAFETY: any pointer can be read with care.
    let device = unsafe { watch::device_of::<Probed>(inode) };
    File {
        device,
        inode: number.unwrap_or(0),
        generation: generation.unwrap_or(0),
    }
}

/// What acts have in common that make one sum.
#[inline(always)]
pub fn key(actor: &Actor, file: &File, hit: &Hit, act: &Act) -> SumKey {
    // SAFETY: it is the current task.
    let start = unsafe { task::start_boot_ns(actor.task) };
    // SAFETY: as above.
    let pid = unsafe { task::process_id(actor.task) };
    let session = u128::from_ne_bytes(actor.session.0);
    let how = act.flags | (u32::from(actor.refused) * Credential::DENIED);
    SumKey([
        start,
        session as u64,
        (session >> 64) as u64,
        file.device,
        file.inode,
        pair(pid, file.generation),
        pair(act.operation.0, how),
        pair(act.open_flags, hit.watch_id() ^ (act.open_mode << 24)),
    ])
}

#[inline(always)]
const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// A place in the table of states.
#[derive(Clone, Copy)]
struct Place(*mut SumState);

impl Place {
    #[inline(always)]
    fn at(index: u32) -> Option<Self> {
        SUM_STATES.get_ptr_mut(index).map(Self)
    }

    #[inline(always)]
    fn word(self) -> Number {
        // SAFETY: a map value; the word is its first field.
        unsafe { Number::at(self.0.cast()) }
    }

    #[inline(always)]
    fn last(self) -> Number {
        // SAFETY: a map value; the second field.
        unsafe { Number::at(self.0.cast::<u64>().wrapping_add(1)) }
    }

    #[inline(always)]
    fn key_word(self, index: usize) -> Number {
        // SAFETY: a map value; the key follows two numbers.
        unsafe { Number::at(self.0.cast::<u64>().wrapping_add(2 + index)) }
    }

    #[inline(always)]
    fn is_of(self, key: &SumKey) -> bool {
        let mut differs = 0;
        for (index, word) in key.0.iter().enumerate() {
            differs |= self.key_word(index).load() ^ word;
        }
        differs == 0
    }

    /// Adds an act to the sum that has this word and key.
    #[inline(always)]
    fn add(self, word: SumWord) -> bool {
        let mut was = word;
        for _ in 0..TRIES {
            let Some(more) = was.with_another() else {
                return false;
            };
            let found = SumWord(self.word().compare_exchange(was.0, more.0));
            if found == was {
                return true;
            }
            if found.turn() != word.turn() {
                return false;
            }
            was = found;
        }
        false
    }

    /// Takes a free place for a sum of this key.
    #[inline(always)]
    fn begin(self, word: SumWord, key: &SumKey) -> bool {
        if self.word().compare_exchange(word.0, word.begun().0) != word.0 {
            return false;
        }
        for (index, word) in key.0.iter().enumerate() {
            self.key_word(index).store(*word);
        }
        true
    }

    /// Changes the state of a place that is the caller's.
    #[inline(always)]
    fn set(self, state: u64) {
        let word = self.word();
        word.swap(SumWord(word.load()).with_state(state).0);
    }
}

/// Counts an act.
#[inline(always)]
pub fn count(key: &SumKey, now: u64) -> Counted {
    let first = key.place();
    for step in 0..PLACES {
        let index = first.wrapping_add(step) & (SUMS_MAX as u32 - 1);
        let Some(place) = Place::at(index) else {
            return Counted::NoRoom;
        };
        let word = SumWord(place.word().load());
        if word.state() == SumWord::OPEN && place.is_of(key) && place.add(word) {
            place.last().store(now);
            return Counted::Added;
        }
        if word.state() == SumWord::FREE && place.begin(word, key) {
            return Counted::Begun(index);
        }
    }
    Counted::NoRoom
}

/// Gives up a place that [`count`] gave.
#[inline(always)]
pub fn give_up(index: u32) {
    if let Some(place) = Place::at(index) {
        place.set(SumWord::FREE);
    }
}

/// Keeps the record of the first act of a sum, and opens the sum; false where it
/// cannot be kept, and the place is given up.
///
/// # Safety
/// `record` must begin a scratch record of a [`Credential`] whose first `bytes` bytes
/// are written; the place must come from [`count`].
#[inline(always)]
pub unsafe fn keep(index: u32, record: *mut u8, bytes: usize) -> bool {
    let Some(place) = Place::at(index) else {
        return false;
    };
    // The verifier is to see the number that is compared.
    let bytes = watch::launder(bytes as u32);
    let kept = SUMS.get_ptr_mut(index);
    let Some(sum) = kept.filter(|_| bytes <= SUM_RECORD_BYTES_MAX as u32) else {
        place.set(SumWord::FREE);
        return false;
    };
    // SAFETY: a map value that nobody else uses.
    let room = unsafe { &raw mut (*sum).record };
    // SAFETY: at most as many bytes as there is room for; the source is written.
    unsafe { bpf_probe_read_kernel(room.cast(), bytes, record.cast()) };
    // SAFETY: as above.
    unsafe { (*sum).bytes = u64::from(bytes) };
    // SAFETY: a record begins with its header.
    place
        .last()
        .store(unsafe { (*record.cast::<Header>()).boot_ns });
    place.set(SumWord::OPEN);
    true
}

/// Tells the sum at a place, if there is one, and sets it free. One that finds no
/// room in the ring goes on.
#[inline(always)]
pub fn tell(index: u32) {
    let Some(place) = Place::at(index) else {
        return;
    };
    let Some(sum) = SUMS.get_ptr_mut(index) else {
        return;
    };
    if !sink::has_room_for(Ring::Priority, SUM_RECORD_BYTES_MAX as u64) {
        return;
    }
    let Some(word) = take(place) else {
        return;
    };
    // SAFETY: a map value that nobody else uses now.
    let bytes = unsafe { &raw const (*sum).bytes };
    // SAFETY: as above.
    let bytes = unsafe { bytes.read_volatile() } as usize;
    if bytes < size_of::<Credential>() || bytes > SUM_RECORD_BYTES_MAX {
        // Nothing was kept there: what was counted is one loss.
        sink::lost(Ring::Priority);
        place.set(SumWord::FREE);
        return;
    }
    // SAFETY: as above.
    let record = unsafe { &raw mut (*sum).record };
    // SAFETY: the record of a sum is a credential.
    let credential = unsafe { &mut *record.cast::<Credential>() };
    credential.count = word.count() as u32;
    let (first, last) = (credential.first_boot_ns, place.last().load());
    credential.header.boot_ns = if last > first { last } else { first };
    // SAFETY: `bytes` were written by who began the sum.
    let is_told = unsafe { sink::output(Ring::Priority, record.cast(), bytes) };
    place.set(if is_told {
        SumWord::FREE
    } else {
        SumWord::OPEN
    });
}

/// Takes an open place, with what was counted until then.
#[inline(always)]
fn take(place: Place) -> Option<SumWord> {
    let mut was = SumWord(place.word().load());
    for _ in 0..TRIES {
        if was.state() != SumWord::OPEN {
            return None;
        }
        let taken = was.with_state(SumWord::TAKEN);
        let found = SumWord(place.word().compare_exchange(was.0, taken.0));
        if found == was {
            return Some(was);
        }
        was = found;
    }
    None
}

const _: () = assert!(SUM_KEY_WORDS == 8, "two numbers and the key are a state");
const _: () = assert!(size_of::<SumState>() == 80 && size_of::<Sum>() > SUM_RECORD_BYTES_MAX);
