//! A list to bytes, each group of serials in its shortest form.

use super::{
    FORMAT_VERSION, Krl, MAGIC, SECTION_CERTIFICATES, SERIAL_BITMAP, SERIAL_LIST, SERIAL_RANGE,
};

/// Widest bitmap. OpenSSH refuses numbers beyond 16,384 bits.
const BITMAP_BITS_MAX: u64 = 8192;
/// Bytes of a range section, its own header included.
const RANGE_BYTES: u64 = 1 + 4 + 8 + 8;
/// Bytes of a serial in a list.
const LISTED_BYTES: u64 = 8;
/// Bytes of a bitmap section besides its bits.
const BITMAP_BYTES: u64 = 1 + 4 + 8 + 4 + 1;
/// A gap wider than this is cheaper as two sections than as zero bits.
const GAP_MAX: u64 = RANGE_BYTES * 8;

impl Krl {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.generated_seconds.to_be_bytes());
        out.extend_from_slice(&0_u64.to_be_bytes()); // flags: none are defined
        put_string(&mut out, &[]); // reserved
        put_string(&mut out, self.comment.as_bytes());
        if let Some(ca) = &self.ca {
            let mut section = Vec::new();
            put_string(&mut section, ca);
            put_string(&mut section, &[]); // reserved
            put_serials(&mut section, self.serials.ranges());
            out.push(SECTION_CERTIFICATES);
            put_string(&mut out, &section);
        }
        out
    }
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing here comes near 4 GiB; a longer one would be cut, and the check
    // after publication would refuse it.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn put_serials(out: &mut Vec<u8>, mut ranges: &[(u64, u64)]) {
    let mut listed = Vec::new();
    while !ranges.is_empty() {
        let (group, rest) = ranges.split_at(group_length(ranges));
        ranges = rest;
        if bitmap_bytes(group) < plain_bytes(group) {
            put_bitmap(out, group);
            continue;
        }
        for &(first, last) in group {
            if is_range(first, last) {
                out.push(SERIAL_RANGE);
                put_string(out, &[first.to_be_bytes(), last.to_be_bytes()].concat());
            } else {
                (first..=last).for_each(|serial| listed.extend_from_slice(&serial.to_be_bytes()));
            }
        }
    }
    if !listed.is_empty() {
        out.push(SERIAL_LIST);
        put_string(out, &listed);
    }
}

const fn is_range(first: u64, last: u64) -> bool {
    last - first >= 2
}

/// How many of the first ranges might share a bitmap; at least one.
fn group_length(ranges: &[(u64, u64)]) -> usize {
    let Some(&(first, mut end)) = ranges.first() else {
        return 0;
    };
    let more = ranges.iter().skip(1).take_while(|&&(next, last)| {
        let near = next - end <= GAP_MAX && last - first < BITMAP_BITS_MAX;
        end = last;
        near
    });
    1 + more.count()
}

fn plain_bytes(group: &[(u64, u64)]) -> u64 {
    let bytes = |&(first, last): &(u64, u64)| {
        if is_range(first, last) {
            RANGE_BYTES
        } else {
            (last - first + 1) * LISTED_BYTES
        }
    };
    group.iter().map(bytes).sum()
}

fn bitmap_bytes(group: &[(u64, u64)]) -> u64 {
    match (group.first(), group.last()) {
        (Some(&(first, _)), Some(&(_, last))) if last - first < BITMAP_BITS_MAX => {
            BITMAP_BYTES + (last - first) / 8 + 1
        }
        _ => u64::MAX,
    }
}

fn put_bitmap(out: &mut Vec<u8>, group: &[(u64, u64)]) {
    let Some((&(offset, _), &(_, end))) = group.first().zip(group.last()) else {
        return;
    };
    // Bit n, counted from the right of a big-endian number, is serial offset + n.
    let bytes = usize::try_from((end - offset) / 8 + 1).unwrap_or(0);
    let mut bits = vec![0_u8; bytes];
    for serial in group.iter().flat_map(|&(first, last)| first..=last) {
        let bit = serial - offset;
        let place = usize::try_from(bit / 8)
            .ok()
            .and_then(|byte| bytes.checked_sub(byte + 1));
        if let Some(byte) = place.and_then(|place| bits.get_mut(place)) {
            *byte |= 1 << (bit % 8);
        }
    }
    // A number whose first bit is set would be negative.
    if bits.first().is_some_and(|byte| byte & 0x80 != 0) {
        bits.insert(0, 0);
    }
    let mut section = offset.to_be_bytes().to_vec();
    put_string(&mut section, &bits);
    out.push(SERIAL_BITMAP);
    put_string(out, &section);
}
