//! Where file systems are mounted, by device: for labels that begin at the root
//! of a file system.
//!
//! Read from `/proc/self/mountinfo`, once, and again when the kernel says that
//! mounts have changed (proc(5): the file becomes readable with an error).
//! Bound: [`MOUNTS_MAX`]; what is beyond has no mount point.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Seek as _},
    os::fd::AsFd as _,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Most mounts that are kept.
pub(super) const MOUNTS_MAX: usize = 65_536;

/// Mount points by device, as the kernel counts devices.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    file: Option<File>,
    points: HashMap<u64, Vec<u8>>,
}

impl Mounts {
    /// Where the root of a file system is mounted, without a slash at its end:
    /// the shortest of several places. None: nowhere in this mount namespace.
    pub(super) fn point_of(&mut self, device: u64) -> Option<Vec<u8>> {
        if self.is_stale() {
            self.read();
        }
        self.points.get(&device).cloned()
    }

    fn is_stale(&self) -> bool {
        let Some(file) = &self.file else { return true };
        let mut files = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut files, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    fn read(&mut self) {
        let file = match self.file.take() {
            Some(file) => Ok(file),
            None => File::open("/proc/self/mountinfo"),
        };
        let Ok(mut file) = file else { return };
        let mut text = Vec::new();
        if file.rewind().is_ok() && file.read_to_end(&mut text).is_ok() {
            self.points = parse(&text);
            self.file = Some(file);
        }
    }
}

/// `36 35 98:0 /root /mount/point ...` of proc(5), spaces as `\040`.
fn parse(text: &[u8]) -> HashMap<u64, Vec<u8>> {
    let mut points: HashMap<u64, Vec<u8>> = HashMap::new();
    for line in text.split(|byte| *byte == b'\n').take(MOUNTS_MAX) {
        let mut fields = line.split(|byte| *byte == b' ').skip(2);
        let (Some(device), Some(root), Some(point)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let Some(device) = kernel_device(device).filter(|_| root == b"/") else {
            continue;
        };
        let mut point = unescaped(point);
        if point == b"/" {
            point.clear();
        }
        let shorter = points
            .get(&device)
            .is_none_or(|known| point.len() < known.len());
        if shorter {
            points.insert(device, point);
        }
    }
    points
}

fn kernel_device(field: &[u8]) -> Option<u64> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some(major.parse::<u64>().ok()? << 20 | minor.parse::<u64>().ok()?)
}

/// Undoes the escapes of the kernel: a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, tail)) = rest.split_first() {
        let escaped = tail
            .get(..3)
            .filter(|_| *byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(value) => {
                out.push(value);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_file_systems_are_found_by_device_at_their_shortest_place() {
        let points = parse(
            b"22 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
              30 22 0:25 / /mnt/a\\040b rw - tmpfs tmpfs rw\n\
              31 22 0:25 / /m rw - tmpfs tmpfs rw\n\
              32 22 0:26 /sub /bound rw - tmpfs tmpfs rw\n\
              nonsense\n",
        );
        assert_eq!(points.get(&(254 << 20 | 1)), Some(&Vec::new()));
        assert_eq!(points.get(&25), Some(&b"/m".to_vec()));
        assert_eq!(points.get(&26), None);
        assert_eq!(unescaped(b"/mnt/a\\040b\\"), b"/mnt/a b\\");
    }

    #[test]
    fn mounts_of_this_machine_are_read_once() {
        let mut mounts = Mounts::default();
        assert!(mounts.is_stale());
        mounts.point_of(0);
        assert!(!mounts.points.is_empty());
        assert!(!mounts.is_stale());
    }
}
