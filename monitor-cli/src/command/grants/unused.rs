//! `grants --unused`: what was granted and never used.

use monitor_model::{
    clock::{Clock as _, SystemClock, UnixNs},
    grant::{Grant, GrantKind},
    usage::Part,
};
use monitor_proto::v1::{self, ListGrantUseRequest};
use serde::Serialize;

use crate::{
    cli::Grants,
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, note, table::Cell},
};

const COLUMNS: [&str; 7] = [
    "GRANT",
    "ENGINEER",
    "TENANT",
    "KIND",
    "ACCESSES",
    "USED",
    "NEVER TOUCHED",
];
const DAY_NS: u64 = 86_400 * 1_000_000_000;

/// What of one grant was used.
struct GrantUse {
    grant: Grant,
    accesses: u64,
    last: UnixNs,
    entries: Vec<EntryUse>,
}

#[derive(Serialize)]
struct EntryUse {
    part: Part,
    entry: String,
    accesses: u64,
    last: UnixNs,
}

/// How long ago a grant was used, in whole days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// Not since it began, or since counting began.
    Never,
    /// For this many days, which is longer than asked for.
    Days(u64),
    /// It was used of late.
    No,
}

impl GrantUse {
    fn idle(&self, now: UnixNs, days: u32) -> Idle {
        if self.accesses == 0 {
            return Idle::Never;
        }
        let idle = now.0.saturating_sub(self.last.0) / DAY_NS;
        if idle >= u64::from(days) {
            Idle::Days(idle)
        } else {
            Idle::No
        }
    }

    fn untouched(&self) -> impl Iterator<Item = &EntryUse> {
        self.entries.iter().filter(|entry| entry.accesses == 0)
    }
}

impl TryFrom<v1::GrantUse> for GrantUse {
    type Error = CliError;
    fn try_from(value: v1::GrantUse) -> Result<Self, CliError> {
        let missing = || CliError::Answer("a use came without its grant".to_owned(), None);
        let entries = value.entries.into_iter().map(|entry| {
            let part = v1::ScopePart::try_from(entry.part).ok();
            let wrong = || CliError::Answer("a part of a scope is not known".to_owned(), None);
            Ok(EntryUse {
                part: part
                    .and_then(|part| part.try_into().ok())
                    .ok_or_else(wrong)?,
                entry: entry.entry,
                accesses: entry.accesses,
                last: UnixNs(entry.last_unix_ns),
            })
        });
        Ok(Self {
            grant: value.grant.ok_or_else(missing)?.try_into()?,
            accesses: value.accesses,
            last: UnixNs(value.last_unix_ns),
            entries: entries.collect::<Result<_, CliError>>()?,
        })
    }
}

/// Lists what of each grant was never used.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub(super) async fn run(
    grants: &Grants,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let (now, days) = (SystemClock.now(), grants.days);
    let mut listing = Listing::new(screen, &COLUMNS);
    let mut paging = Paging::new(grants.limit.limit);
    let mut uncounted = 0;
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListGrantUseRequest {
            principal: crate::command::text(grants.principal.as_ref()),
            tenant: crate::command::text(grants.tenant.as_ref()),
            include_ended: grants.all,
            page_size,
            page_token,
        };
        let answer = connection.grants().list_grant_use(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        uncounted = answer.uncounted;
        let page = answer.uses.into_iter().map(TryInto::try_into);
        let mut page: Vec<GrantUse> = page.collect::<Result<_, _>>()?;
        paging.fetched(&mut page, answer.next_page_token);
        page.retain(|used| used.idle(now, days) != Idle::No || used.untouched().next().is_some());
        listing.page(
            &page,
            |screen, used| row(screen, used, now, days),
            |used| record(used, now, days),
        )?;
    }
    listing.end("every grant was used, in every part")?;
    if uncounted > 0 {
        note(&format!(
            "{uncounted} accesses found no room to be counted: what is shown as unused may have been used"
        ));
    }
    Ok(())
}

fn row(screen: &Screen, used: &GrantUse, now: UnixNs, days: u32) -> Vec<Cell> {
    let grant = &used.grant;
    let lasting = grant.kind == GrantKind::Standing;
    let since = match used.idle(now, days) {
        Idle::Never if lasting => Cell::new("never").tone(Tone::Bad),
        Idle::Never => Cell::new("never").tone(Tone::Doubtful),
        Idle::Days(days) => Cell::new(format!("dormant for {days} d")).tone(Tone::Bad),
        Idle::No => Cell::new(screen.moment(used.last)),
    };
    let untouched: Vec<String> = used
        .untouched()
        .map(|entry| match entry.entry.as_str() {
            "*" => format!("all {}", entry.part),
            text => format!("{} {text}", entry.part),
        })
        .collect();
    vec![
        Cell::new(grant.id.as_str()),
        Cell::new(super::holder(grant)),
        Cell::new(grant.tenant.as_str()),
        Cell::new(grant.kind.as_str()),
        Cell::new(used.accesses.to_string()),
        since,
        Cell::new(untouched.join(", ")),
    ]
}

fn record(used: &GrantUse, now: UnixNs, days: u32) -> Record {
    let record = Record::new("grant_use")
        .with("grant", &used.grant)
        .with("accesses", used.accesses)
        .with("dormant", used.idle(now, days) != Idle::No)
        .with("entries", &used.entries);
    if used.accesses == 0 {
        record
    } else {
        record.with_time("last_used_at", used.last)
    }
}
