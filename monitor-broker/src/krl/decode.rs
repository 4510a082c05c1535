//! Bytes to a list. Any bytes give a list or an error, never a panic.

use super::{
    FILE_BYTES_MAX, FORMAT_VERSION, HEADER_BYTES, Krl, MAGIC, SECTION_CERTIFICATES, SERIAL_BITMAP,
    SERIAL_LIST, SERIAL_RANGE, SerialSet,
};

/// Why bytes are not a list that could be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KrlError {
    /// Shorter than the header of an empty list.
    #[error("it has {bytes} bytes; a revocation list has at least {HEADER_BYTES}")]
    Short {
        /// Its length.
        bytes: usize,
    },
    /// Longer than what is read.
    #[error("it has {bytes} bytes; at most {FILE_BYTES_MAX} are read")]
    Long {
        /// Its length.
        bytes: usize,
    },
    /// Not a KRL at all.
    #[error("it does not begin with the mark of an OpenSSH revocation list")]
    Magic,
    /// A version of the format that is not known.
    #[error("its format has version {version}; {FORMAT_VERSION} is known")]
    Format {
        /// The version found.
        version: u32,
    },
    /// A field ends behind the end.
    #[error("at byte {at} a field of {wanted} bytes begins, and {left} are left")]
    Cut {
        /// Where the field begins, within its section.
        at: usize,
        /// Its length.
        wanted: usize,
        /// What is there.
        left: usize,
    },
    /// Serials that cannot be.
    #[error("serials {first} to {last} are no range")]
    Range {
        /// Its first.
        first: u64,
        /// Its last.
        last: u64,
    },
    /// The comment is not text.
    #[error("its comment is not UTF-8")]
    Comment,
    /// Well formed, and of somebody else: writing it again would lose this.
    #[error("it holds {what}, which this broker did not write and would lose")]
    Foreign {
        /// What was found.
        what: String,
    },
}

impl Krl {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`KrlError`]; `Foreign` when the list may be right but is not one of ours.
    pub fn decode(bytes: &[u8]) -> Result<Self, KrlError> {
        if bytes.len() < HEADER_BYTES {
            return Err(KrlError::Short { bytes: bytes.len() });
        }
        if bytes.len() > FILE_BYTES_MAX {
            return Err(KrlError::Long { bytes: bytes.len() });
        }
        let mut reader = Reader { bytes, at: 0 };
        if reader.u64()? != MAGIC {
            return Err(KrlError::Magic);
        }
        match reader.u32()? {
            FORMAT_VERSION => {}
            version => return Err(KrlError::Format { version }),
        }
        let (version, generated_seconds) = (reader.u64()?, reader.u64()?);
        let _flags = reader.u64()?;
        let _reserved = reader.string()?;
        let comment = std::str::from_utf8(reader.string()?)
            .map_err(|_| KrlError::Comment)?
            .to_owned();
        let mut krl = Self {
            version,
            generated_seconds,
            comment,
            ca: None,
            serials: SerialSet::default(),
        };
        while !reader.is_done() {
            let (kind, section) = (reader.u8()?, reader.string()?);
            if kind != SECTION_CERTIFICATES {
                return Err(KrlError::Foreign {
                    what: format!("a section of type {kind}"),
                });
            }
            if krl.ca.is_some() {
                return Err(KrlError::Foreign {
                    what: "certificates of a second CA".to_owned(),
                });
            }
            let mut section = Reader {
                bytes: section,
                at: 0,
            };
            krl.ca = Some(section.string()?.to_vec());
            let _reserved = section.string()?;
            krl.serials = serials(section)?;
        }
        Ok(krl)
    }
}

fn serials(mut section: Reader<'_>) -> Result<SerialSet, KrlError> {
    let mut ranges = Vec::new();
    while !section.is_done() {
        let kind = section.u8()?;
        let mut part = Reader {
            bytes: section.string()?,
            at: 0,
        };
        match kind {
            SERIAL_LIST => {
                while !part.is_done() {
                    let serial = part.u64()?;
                    ranges.push((serial, serial));
                }
            }
            SERIAL_RANGE => ranges.push((part.u64()?, part.u64()?)),
            SERIAL_BITMAP => {
                let (offset, bits) = (part.u64()?, part.string()?);
                bitmap(offset, bits, &mut ranges)?;
            }
            other => {
                return Err(KrlError::Foreign {
                    what: format!("a certificate section of type {other:#x}"),
                });
            }
        }
    }
    match ranges
        .iter()
        .find(|(first, last)| *first == 0 || first > last)
    {
        Some(&(first, last)) => Err(KrlError::Range { first, last }),
        None => Ok(SerialSet::from_ranges(ranges)),
    }
}

fn bitmap(offset: u64, bits: &[u8], ranges: &mut Vec<(u64, u64)>) -> Result<(), KrlError> {
    let mut base = Some(offset);
    for byte in bits.iter().rev() {
        for bit in 0..8_u64 {
            if byte & (1 << bit) != 0 {
                let serial = base.and_then(|base| base.checked_add(bit));
                let serial = serial.ok_or(KrlError::Range {
                    first: offset,
                    last: u64::MAX,
                })?;
                match ranges.last_mut() {
                    Some(open) if open.1.checked_add(1) == Some(serial) => open.1 = serial,
                    _ => ranges.push((serial, serial)),
                }
            }
        }
        base = base.and_then(|base| base.checked_add(8));
    }
    Ok(())
}

/// Walks over the fields of a section.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    const fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn take(&mut self, wanted: usize) -> Result<&'a [u8], KrlError> {
        let cut = KrlError::Cut {
            at: self.at,
            wanted,
            left: self.bytes.len().saturating_sub(self.at),
        };
        let end = self.at.checked_add(wanted).ok_or_else(|| cut.clone())?;
        let field = self.bytes.get(self.at..end).ok_or(cut)?;
        self.at = end;
        Ok(field)
    }

    fn number(&mut self, width: usize) -> Result<u64, KrlError> {
        Ok(self
            .take(width)?
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn u8(&mut self) -> Result<u8, KrlError> {
        Ok(self.take(1)?.iter().copied().next().unwrap_or_default())
    }

    fn u32(&mut self) -> Result<u32, KrlError> {
        Ok(u32::try_from(self.number(4)?).unwrap_or(u32::MAX))
    }

    fn u64(&mut self) -> Result<u64, KrlError> {
        self.number(8)
    }

    fn string(&mut self) -> Result<&'a [u8], KrlError> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        self.take(length)
    }
}
