//! Writes an initial file system: a `newc` cpio archive, uncompressed.
//!
//! Format: <https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>.
//! Written here because device nodes in it would otherwise need root.

use std::io::Write;

use anyhow::{Context, Result};

const MODE_FOLDER: u32 = 0o040_755;
const MODE_PROGRAM: u32 = 0o100_755;
const MODE_PRIVATE: u32 = 0o100_600;
const MODE_CONSOLE: u32 = 0o020_600;
/// `/dev/console`.
const CONSOLE: (u32, u32) = (5, 1);

/// An archive that is being written.
#[derive(Debug)]
pub(crate) struct Initramfs<W> {
    out: W,
    inode: u32,
    written: usize,
}

impl<W: Write> Initramfs<W> {
    /// Begins an archive.
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            inode: 0,
            written: 0,
        }
    }

    /// Adds a folder; its parents must be there already.
    pub(crate) fn folder(&mut self, path: &str) -> Result<()> {
        self.entry(path, MODE_FOLDER, (0, 0), &[])
    }

    /// Adds a file that can be run.
    pub(crate) fn program(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.entry(path, MODE_PROGRAM, (0, 0), content)
    }

    /// Adds a file that only root may read.
    pub(crate) fn private(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.entry(path, MODE_PRIVATE, (0, 0), content)
    }

    /// Adds the console: without it nothing that `/init` prints is seen.
    pub(crate) fn console(&mut self) -> Result<()> {
        self.entry("dev/console", MODE_CONSOLE, CONSOLE, &[])
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        self.inode = self.inode.saturating_add(1);
        let size =
            u32::try_from(content.len()).with_context(|| format!("{path} is larger than 4 GiB"))?;
        let name_size = u32::try_from(path.len())?.saturating_add(1);
        // inode, mode, uid, gid, links, mtime, size, device of the file (2),
        // device it stands for (2), size of the name, checksum
        let fields = [
            self.inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0,
        ];
        self.write(b"070701")?;
        for field in fields {
            self.write(format!("{field:08X}").as_bytes())?;
        }
        self.write(path.as_bytes())?;
        self.write(&[0])?;
        self.pad()?;
        self.write(content)?;
        self.pad()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.written = self.written.saturating_add(bytes.len());
        Ok(())
    }

    /// Names and contents end on a multiple of four.
    fn pad(&mut self) -> Result<()> {
        let missing = self
            .written
            .next_multiple_of(4)
            .saturating_sub(self.written);
        let zeros = [0; 4];
        self.write(zeros.get(..missing).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_is_aligned_and_ends_with_the_trailer() {
        let mut archive = Initramfs::new(Vec::new());
        archive.folder("bin").unwrap();
        archive.program("bin/odd", b"12345").unwrap();
        archive.console().unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(
            bytes
                .windows(6)
                .filter(|window| *window == b"070701")
                .count(),
            4
        );
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("TRAILER!!!\0"));
        let content = text.find("12345").unwrap();
        assert_eq!(content % 4, 0, "contents begin on a multiple of four");
    }

    #[test]
    fn sizes_are_written_in_hexadecimal() {
        let mut archive = Initramfs::new(Vec::new());
        archive.program("init", &[b'x'; 26]).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(&bytes[6 + 6 * 8..6 + 7 * 8], b"0000001A", "file size");
        assert_eq!(
            &bytes[6 + 11 * 8..6 + 12 * 8],
            b"00000005",
            "`init` and its zero"
        );
    }
}
