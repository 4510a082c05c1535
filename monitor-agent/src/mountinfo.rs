//! The lines of `/proc/self/mountinfo` (proc(5)).
//!
//! Bound: [`MOUNTS_MAX`] lines; what is beyond is left out.

/// Where the lines are.
pub const PATH: &str = "/proc/self/mountinfo";
/// Most mounts that are looked at.
pub const MOUNTS_MAX: usize = 65_536;

/// One mount of a file system, or of a part of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Of what, as the kernel counts devices.
    pub device: u64,
    /// What of it: a directory from its root; empty for all of it.
    pub root: Vec<u8>,
    /// Where, without a slash at the end; empty for the root.
    pub point: Vec<u8>,
    /// The type of the file system: `ext4`, `fuse.sshfs`.
    pub kind: Vec<u8>,
}

/// The lines that are understood. Of a mount whose root was deleted there is
/// nothing to say.
pub fn lines(text: &[u8]) -> impl Iterator<Item = Line> {
    let lines = text.split(|byte| *byte == b'\n').take(MOUNTS_MAX);
    lines.filter_map(line)
}

/// `36 35 98:0 /root /mount/point ...`, spaces as `\040`.
fn line(line: &[u8]) -> Option<Line> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    // Behind the optional fields, which a dash ends.
    let mut behind = line.split(|byte| *byte == b' ').skip(6);
    let kind = behind
        .by_ref()
        .find(|field| *field == b"-")
        .and_then(|_| behind.next())?;
    let device = kernel_device(fields.next()?)?;
    let mut directory = || {
        let mut path = unescaped(fields.next()?);
        if path == b"/" {
            path.clear();
        } else if !path.starts_with(b"/") || path.ends_with(b"//deleted") {
            return None;
        }
        Some(path)
    };
    let (root, point) = (directory()?, directory()?);
    Some(Line {
        device,
        root,
        point,
        kind: kind.to_vec(),
    })
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
        if let Some(value) = escaped {
            out.push(value);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            out.push(*byte);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_at_the_end_of_a_field_are_what_they_look_like() {
        assert_eq!(unescaped(b"/a\\04"), b"/a\\04");
        assert_eq!(unescaped(b"/a\\999\\"), b"/a\\999\\");
        assert_eq!(unescaped(b"\\012\\011x"), b"\n\tx");
    }
}
