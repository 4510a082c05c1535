//! What sessions may reach: compiled grants.

use std::time::Duration;

use monitor_model::{
    clock::UnixNs,
    enforce::{
        Away, Block, Cell, CompiledGrant, Mode, RANGES_MAX, Range, Says, ScopeTable, Scoped,
    },
};

use super::{
    InvalidMessage,
    wire::{closed_enum, meaning, meaning_opt, name},
};
use crate::v1;

closed_enum!(Mode, v1::EnforceMode, "over", {
    Off => Off, Observe => Observe, Enforce => Enforce,
});
closed_enum!(Away, v1::WhenAway, "when_away", {
    Keep => Keep, Tighten => Tighten, Release => Release,
});
closed_enum!(Says, v1::ScopeAnswer, "answer", {
    Open => Open, Observed => Observed, Refused => Refused, Granted => Granted,
});

impl From<&ScopeTable> for v1::ScopeTable {
    fn from(value: &ScopeTable) -> Self {
        let ScopeTable {
            version,
            lease,
            when_away,
            grants,
        } = value;
        Self {
            version: *version,
            lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            when_away: v1::WhenAway::from(*when_away).into(),
            grants: grants.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::ScopeTable> for ScopeTable {
    type Error = InvalidMessage;
    fn try_from(value: v1::ScopeTable) -> Result<Self, InvalidMessage> {
        let away = meaning_opt::<v1::WhenAway, Away>("when_away", value.when_away)?;
        let grants = value.grants.into_iter().map(TryInto::try_into);
        Ok(Self {
            version: value.version,
            lease: Duration::from_millis(value.lease_ms),
            when_away: away.unwrap_or_default(),
            grants: grants.collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Scoped> for v1::CompiledGrant {
    fn from(value: &Scoped) -> Self {
        match value {
            Scoped::Compiled(CompiledGrant {
                grant,
                from,
                until,
                over,
                cells,
            }) => Self {
                grant: grant.to_string(),
                from_unix_ns: from.0,
                until_unix_ns: until.0,
                over: v1::EnforceMode::from(*over).into(),
                cells: cells.iter().map(Into::into).collect(),
                unfit: String::new(),
            },
            Scoped::Unfit { grant, why } => Self {
                grant: grant.to_string(),
                unfit: why.clone(),
                ..Self::default()
            },
        }
    }
}

impl TryFrom<v1::CompiledGrant> for Scoped {
    type Error = InvalidMessage;
    fn try_from(value: v1::CompiledGrant) -> Result<Self, InvalidMessage> {
        let grant = name("grant", &value.grant)?;
        if !value.unfit.is_empty() {
            return Ok(Self::Unfit {
                grant,
                why: value.unfit,
            });
        }
        let cells = value.cells.into_iter().map(TryInto::try_into);
        Ok(Self::Compiled(CompiledGrant {
            grant,
            from: UnixNs(value.from_unix_ns),
            until: UnixNs(value.until_unix_ns),
            over: meaning::<v1::EnforceMode, _>("over", value.over)?,
            cells: cells.collect::<Result<_, _>>()?,
        }))
    }
}

impl From<&Cell> for v1::ScopeCell {
    fn from(value: &Cell) -> Self {
        let Cell { block, ranges } = value;
        let range = |range: &Range| {
            let Range { first, says } = range;
            v1::ScopeRange {
                first_port: u32::from(*first),
                answer: v1::ScopeAnswer::from(*says).into(),
            }
        };
        Self {
            address: block.address().to_vec(),
            bits: u32::from(block.bits()),
            ranges: ranges.iter().map(range).collect(),
        }
    }
}

impl TryFrom<v1::ScopeCell> for Cell {
    type Error = InvalidMessage;
    fn try_from(value: v1::ScopeCell) -> Result<Self, InvalidMessage> {
        let bytes = value.address.len();
        let address: [u8; 16] = value
            .address
            .try_into()
            .map_err(|_| InvalidMessage::Address {
                field: "cell.address",
                bytes,
            })?;
        let bits = u8::try_from(value.bits).ok();
        let block = bits.and_then(|bits| Block::new(u128::from_be_bytes(address), bits));
        let block = block.ok_or(InvalidMessage::Range {
            field: "cell.bits",
            value: value.bits.into(),
            max: 128,
        })?;
        let ranges = value.ranges.iter().map(|range| {
            let first = u16::try_from(range.first_port).map_err(|_| InvalidMessage::Range {
                field: "range.first_port",
                value: range.first_port.into(),
                max: u16::MAX.into(),
            })?;
            let says = meaning::<v1::ScopeAnswer, _>("range.answer", range.answer)?;
            Ok(Range { first, says })
        });
        let ranges = ranges.collect::<Result<Vec<Range>, InvalidMessage>>()?;
        let begins = ranges.first().is_some_and(|range| range.first == 0);
        if !begins || ranges.len() > RANGES_MAX || !ranges.is_sorted_by(|a, b| a.first < b.first) {
            return Err(InvalidMessage::Ranges {
                field: "cell.ranges",
                max: RANGES_MAX,
            });
        }
        Ok(Self { block, ranges })
    }
}
