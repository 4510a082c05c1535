//! How often one address may ask.
//!
//! In: who asks, and when. Out: whether to answer. Bound: [`ADDRESSES_MAX`]
//! addresses a minute; further ones wait for the next. Loss: none that
//! matters: who is refused asks again.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use monitor_model::clock::UnixNs;

/// Most addresses within a minute.
pub const ADDRESSES_MAX: usize = 4_096;
/// How long requests are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Requests of this minute, by address.
#[derive(Debug)]
pub struct Rate {
    most: u32,
    began: UnixNs,
    asked: HashMap<IpAddr, u32>,
}

impl Rate {
    /// At most so many requests of one address a minute.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self {
            most,
            began: UnixNs(0),
            asked: HashMap::new(),
        }
    }

    /// Whether a request is within the limit; it is counted.
    pub fn admits(&mut self, from: IpAddr, now: UnixNs) -> bool {
        let waited = now.0.checked_sub(self.began.0);
        // A clock that was set back begins a new minute as well.
        if waited.is_none_or(|waited| u128::from(waited) >= WINDOW.as_nanos()) {
            self.began = now;
            self.asked.clear();
        }
        if self.asked.len() >= ADDRESSES_MAX && !self.asked.contains_key(&from) {
            return false;
        }
        let asked = self.asked.entry(from).or_default();
        *asked = asked.saturating_add(1);
        *asked <= self.most
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn an_address_that_asks_too_often_waits_for_the_next_minute() {
        let mut rate = Rate::new(2);
        let now = UnixNs::from_seconds(1_000);
        let asked: Vec<bool> = (0..3).map(|_| rate.admits(address(1), now)).collect();
        assert_eq!(asked, [true, true, false]);
        assert!(rate.admits(address(2), now));
        assert!(!rate.admits(address(1), now.plus(Duration::from_secs(59))));
        assert!(rate.admits(address(1), now.plus(WINDOW)));
        assert!(rate.admits(address(1), UnixNs(0)));
    }

    #[test]
    fn the_table_of_addresses_has_an_end() {
        let mut rate = Rate::new(1);
        let now = UnixNs::from_seconds(1_000);
        let most = u32::try_from(ADDRESSES_MAX).unwrap();
        assert!((0..most).all(|number| rate.admits(address(number), now)));
        assert!(!rate.admits(address(most), now));
        assert_eq!(rate.asked.len(), ADDRESSES_MAX);
    }
}
