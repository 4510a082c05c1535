//! The bpf system call, for what aya has no type for: maps by their pins, and
//! task storage by pidfd.

#![expect(unsafe_code, reason = "the bpf system call has no safe wrapper")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use tokio::io::{Interest, unix::AsyncFd};
use zerocopy::{FromBytes, IntoBytes};

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;

/// Make the entry, or change it.
pub(super) const ANY: u64 = 0;
/// Make the entry; fail where it exists.
pub(super) const NO_EXIST: u64 = 1;

/// The part of `union bpf_attr` for entries of maps.
#[repr(C)]
struct Entry {
    map: u32,
    pad: u32,
    key: u64,
    value_or_next: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for pins.
#[repr(C)]
struct Pin {
    path: u64,
    fd: u32,
    flags: u32,
}

/// The part of `union bpf_attr` for running a program once.
#[derive(Default)]
#[repr(C)]
struct Run {
    program: u32,
    returned: u32,
    data_bytes_in: u32,
    data_bytes_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_bytes_in: u32,
    context_bytes_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    pad: u32,
}

/// The part of `union bpf_attr` for what the kernel knows of an object.
#[repr(C)]
struct Look {
    object: u32,
    info_bytes: u32,
    info: u64,
}

/// `struct bpf_link_info`, as far as every kind of link has it.
#[derive(Default, IntoBytes, FromBytes)]
#[repr(C)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
}

/// `struct bpf_link_info` of a link to a control group: what is held, and by
/// which group.
#[derive(Default, IntoBytes, FromBytes)]
#[repr(C)]
struct GroupLinkInfo {
    link: LinkInfo,
    group: u64,
}

/// `BPF_LINK_TYPE_CGROUP` of linux/bpf.h.
const LINK_TYPE_CGROUP: u32 = 3;

/// `struct bpf_prog_info` up to its misses, which are there since Linux 5.12.
#[derive(IntoBytes, FromBytes)]
#[repr(C)]
struct ProgramInfo {
    before: [u64; 26],
    misses: u64,
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    let attributes: *mut T = attributes;
    // SAFETY: every caller passes the structure that the kernel reads for the
    // command, whose pointers are valid during the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The address of bytes, as the kernel wants it.
fn address(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.as_ptr().addr()).unwrap_or(0)
}

fn entry(map: BorrowedFd<'_>, key: u64, value_or_next: u64, flags: u64) -> Entry {
    let map = u32::try_from(map.as_raw_fd()).unwrap_or(u32::MAX);
    Entry {
        map,
        pad: 0,
        key,
        value_or_next,
        flags,
    }
}

/// Reads an entry into `value`, which must be as long as the map's values (for
/// maps by processor: of all possible processors). `false` is no such entry.
pub(super) fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let mut attributes = entry(map, address(key), address(value), 0);
    found(bpf(BPF_MAP_LOOKUP_ELEM, &mut attributes))
}

/// Writes an entry.
pub(super) fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
    bpf(
        BPF_MAP_UPDATE_ELEM,
        &mut entry(map, address(key), address(value), flags),
    )
    .map(drop)
}

/// Removes an entry. `false` is no such entry.
pub(super) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    found(bpf(
        BPF_MAP_DELETE_ELEM,
        &mut entry(map, address(key), 0, 0),
    ))
}

/// Writes the key after `key` into `next`; without `key`, the first one.
/// `false` is the end.
pub(super) fn next_key(
    map: BorrowedFd<'_>,
    key: Option<&[u8]>,
    next: &mut [u8],
) -> io::Result<bool> {
    let mut attributes = entry(map, key.map_or(0, address), address(next), 0);
    found(bpf(BPF_MAP_GET_NEXT_KEY, &mut attributes))
}

fn found(result: io::Result<libc::c_long>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Runs a raw tracepoint program here and now, in this thread, with these
/// arguments. Minimum kernel: 5.10.
pub(super) fn run(program: BorrowedFd<'_>, arguments: [u64; 2]) -> io::Result<()> {
    let mut attributes = Run {
        program: u32::try_from(program.as_raw_fd()).unwrap_or(u32::MAX),
        context_bytes_in: 16,
        context_in: address(arguments.as_bytes()),
        ..Run::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut attributes).map(drop)
}

/// Opens what is pinned at `path`.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Pin {
        path: address(path.as_bytes_with_nul()),
        fd: 0,
        flags: 0,
    };
    owned(bpf(BPF_OBJ_GET, &mut attributes)?)
}

/// Pins a map, program or link at `path`, beside the pins that it has.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Pin {
        path: address(path.as_bytes_with_nul()),
        fd: u32::try_from(object.as_raw_fd()).unwrap_or(u32::MAX),
        flags: 0,
    };
    bpf(BPF_OBJ_PIN, &mut attributes).map(drop)
}

/// Waits until the kernel has left every program that it was in
/// (`synchronize_rcu`, which `MEMBARRIER_CMD_GLOBAL` is made of: all programs that
/// are attached here run inside of it).
///
/// # Errors
/// `InvalidInput` on machines with processors without a tick (`nohz_full`).
pub(super) fn wait_for_programs() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes three numbers, and no memory.
    let waited = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if waited < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A descriptor that the kernel has just given.
fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The program that a link holds. Needs `CAP_SYS_ADMIN`.
pub(super) fn program_of(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut info = LinkInfo::default();
    look(link, info.as_mut_bytes())?;
    // The first field of `union bpf_attr` for this command is the id.
    let mut attributes = [info.program, 0, 0];
    let fd = bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes)?;
    owned(fd)
}

/// The number of the program that a link holds; none where the link is detached
/// from its control group.
pub(super) fn held_by(link: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let mut info = GroupLinkInfo::default();
    look(link, info.as_mut_bytes())?;
    let GroupLinkInfo { link, group } = info;
    let is_held = link.kind != LINK_TYPE_CGROUP || group != 0;
    Ok(is_held.then_some(link.program))
}

/// How often the kernel did not run a program because it was in the middle of
/// its work on that processor. Minimum kernel: 5.12.
pub(super) fn misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = ProgramInfo {
        before: [0; 26],
        misses: 0,
    };
    look(program, info.as_mut_bytes())?;
    Ok(info.misses)
}

/// What the kernel knows of an object: as much as there is room for.
fn look(object: BorrowedFd<'_>, info: &mut [u8]) -> io::Result<()> {
    let mut attributes = Look {
        object: u32::try_from(object.as_raw_fd()).unwrap_or(u32::MAX),
        info_bytes: u32::try_from(info.len()).unwrap_or(0),
        info: address(info),
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes).map(drop)
}

/// `FS_IOC_GETVERSION` of linux/fs.h: `_IOR('v', 1, long)`, though file systems
/// write an int.
const FS_IOC_GETVERSION: libc::c_ulong = 0x8008_7601;

/// Generation of an open file's inode, where its file system tells it.
pub(super) fn generation(file: BorrowedFd<'_>) -> Option<u32> {
    let mut version: libc::c_long = 0;
    let place: *mut libc::c_long = &raw mut version;
    // SAFETY: the request writes at most a long.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_GETVERSION, place) };
    if result != 0 {
        return None;
    }
    let bytes = version.to_ne_bytes();
    bytes
        .first_chunk::<4>()
        .map(|first| u32::from_ne_bytes(*first))
}

/// Watches a descriptor for reading in the current tokio runtime.
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned, so it stays open and the same for as
    // long as the registration.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::from)
}
