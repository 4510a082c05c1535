//! What a process has open, by `/proc/PID/fd` and `fdinfo`.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use monitor_model::inspect::{DESCRIPTORS_OF_ONE_MAX, Descriptor, DescriptorKind};

use super::{Look, count, process::link};
use crate::kernel::KernelError;

/// Most descriptors of one process that are counted.
const COUNTED_MAX: usize = 1 << 20;
/// The bits of open(2)'s flags that say how it is used.
const ACCESS: u32 = 3;
const WRITE_ONLY: u32 = 1;
const READ_AND_WRITE: u32 = 2;
/// `O_PATH`: a name, through which nothing is read or written.
const NAME_ONLY: u32 = 0o10_000_000;

impl Look<'_> {
    /// By number, and how many more there are.
    pub(super) fn descriptors(&mut self, pid: u32) -> Result<(Vec<Descriptor>, u32), KernelError> {
        // Gone meanwhile, or a kernel thread's.
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return Ok((Vec::new(), 0));
        };
        let mut numbers: Vec<u32> = entries
            .flatten()
            .take(COUNTED_MAX)
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let mut shown = Vec::new();
        let mut more = 0;
        for number in numbers {
            if shown.len() >= DESCRIPTORS_OF_ONE_MAX || !self.room.take_descriptor() {
                more += 1;
                continue;
            }
            shown.extend(self.descriptor(pid, number)?);
        }
        Ok((shown, count(more)))
    }

    /// None where it was closed meanwhile.
    fn descriptor(&mut self, pid: u32, number: u32) -> Result<Option<Descriptor>, KernelError> {
        let at = format!("/proc/{pid}/fd/{number}");
        let (Some(text), Ok(found)) = (link(&at), fs::metadata(&at)) else {
            return Ok(None);
        };
        let kind = kind(&found, &text);
        let file = match kind {
            DescriptorKind::File | DescriptorKind::Directory | DescriptorKind::Device => {
                self.inspector.objects.identify(Path::new(&at)).ok()
            }
            DescriptorKind::Link
            | DescriptorKind::Socket
            | DescriptorKind::Pipe
            | DescriptorKind::Fifo
            | DescriptorKind::Anonymous => None,
        };
        let credential = match file {
            Some(file) => self.inspector.credential(&file, &text)?,
            None => None,
        };
        if kind == DescriptorKind::Socket {
            self.held.insert(found.ino());
        }
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"));
        let (reads, writes) = access(&info.unwrap_or_default());
        Ok(Some(Descriptor {
            number,
            kind,
            object: self.object(file, text, Path::new(&at)),
            reads,
            writes,
            credential,
            socket: None,
        }))
    }
}

fn kind(found: &fs::Metadata, text: &[u8]) -> DescriptorKind {
    let format = found.file_type();
    if text.starts_with(b"anon_inode:") {
        DescriptorKind::Anonymous
    } else if format.is_file() {
        DescriptorKind::File
    } else if format.is_dir() {
        DescriptorKind::Directory
    } else if format.is_symlink() {
        DescriptorKind::Link
    } else if format.is_socket() {
        DescriptorKind::Socket
    } else if format.is_fifo() && text.starts_with(b"pipe:[") {
        DescriptorKind::Pipe
    } else if format.is_fifo() {
        DescriptorKind::Fifo
    } else if format.is_char_device() || format.is_block_device() {
        DescriptorKind::Device
    } else {
        DescriptorKind::Anonymous
    }
}

/// Whether it is read and written, of its `fdinfo`; neither where that is not
/// told.
fn access(info: &str) -> (bool, bool) {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    match flags {
        None => (false, false),
        Some(flags) if flags & NAME_ONLY != 0 => (false, false),
        Some(flags) => match flags & ACCESS {
            WRITE_ONLY => (false, true),
            READ_AND_WRITE => (true, true),
            _ => (true, false),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_descriptor_is_used_is_read_from_its_flags() {
        let of = |flags: &str| access(&format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t9\n"));
        assert_eq!(of("0100000"), (true, false));
        assert_eq!(of("0102001"), (false, true));
        assert_eq!(of("02"), (true, true));
        assert_eq!(of("012100000"), (false, false), "a name alone");
        assert_eq!(access("pos:\t0\n"), (false, false));
    }
}
