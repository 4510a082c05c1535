//! A set of serial numbers as ranges: ascending, apart, never adjacent.

/// Serial numbers. Dense ones take next to no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SerialSet {
    ranges: Vec<(u64, u64)>,
}

impl SerialSet {
    /// Takes ranges (first, last) in any order, overlapping or not.
    #[must_use]
    pub fn from_ranges(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged }
    }

    /// The ranges (first, last), ascending.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether a serial is in the set.
    #[must_use]
    pub fn contains(&self, serial: u64) -> bool {
        let at = self.ranges.partition_point(|&(_, last)| last < serial);
        self.ranges
            .get(at)
            .is_some_and(|&(first, _)| first <= serial)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many there are, saturating.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().fold(0_u64, |sum, &(first, last)| {
            sum.saturating_add(last - first).saturating_add(1)
        })
    }

    /// The largest, if there is one.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|&(_, last)| last)
    }
}

impl FromIterator<u64> for SerialSet {
    fn from_iter<I: IntoIterator<Item = u64>>(serials: I) -> Self {
        Self::from_ranges(serials.into_iter().map(|serial| (serial, serial)).collect())
    }
}
