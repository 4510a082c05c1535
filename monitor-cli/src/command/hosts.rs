//! `hosts`: jump hosts, and what their agents cannot see.

use monitor_model::{event::HookState, host::Host, krl::ListInPlace};
use monitor_proto::v1::ListHostsRequest;

use crate::{
    cli::Hosts,
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, table::Cell},
};

const COLUMNS: [&str; 8] = [
    "HOST", "STATE", "AGENT", "KERNEL", "SINCE", "SEEN", "BLIND", "KRL",
];
const COLUMNS_BLIND: [&str; 5] = ["HOST", "KERNEL", "FAMILY", "TIER", "UNSEEN"];

/// A host as it stands now.
struct Status {
    host: Host,
    connected: bool,
    /// The revocation list there; none where the agent keeps none.
    list: Option<ListInPlace>,
    /// The number of the broker's newest.
    newest: Option<u64>,
}

/// Something that a host's agent cannot see.
struct Spot {
    host: Host,
    hook: HookState,
}

/// Lists hosts by name, or what stays unseen on them.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub async fn run(
    hosts: &Hosts,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let columns: &[&str] = if hosts.blind {
        &COLUMNS_BLIND
    } else {
        &COLUMNS
    };
    let mut listing = Listing::new(screen, columns);
    let mut paging = Paging::new(hosts.limit.limit);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListHostsRequest {
            host: super::text(hosts.host.as_ref()),
            page_size,
            page_token,
        };
        let answer = connection.hosts().list_hosts(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page = Vec::with_capacity(answer.hosts.len());
        for status in answer.hosts {
            page.push(Status {
                host: status.host.unwrap_or_default().try_into()?,
                connected: status.connected,
                list: status.list.map(Into::into),
                newest: answer.list_number,
            });
        }
        paging.fetched(&mut page, answer.next_page_token);
        if hosts.blind {
            let spots: Vec<Spot> = page.iter().flat_map(spots).collect();
            listing.page(&spots, spot_row, |spot| {
                Record::new("blind_spot")
                    .with("host", &spot.host.host)
                    .with("kernel", &spot.host.kernel)
                    .with("hook", &spot.hook)
            })?;
        } else {
            listing.page(&page, row, |status| {
                Record::new("host")
                    .with("host", &status.host)
                    .with("connected", status.connected)
                    .with("list", &status.list)
                    .with("list_newest", status.newest)
            })?;
        }
    }
    listing.end(if hosts.blind {
        "no host says of anything that it stays unseen"
    } else {
        "no agent has told of its host yet"
    })?;
    Ok(())
}

/// What one host's agent does not see, wholly blind families first.
fn spots(status: &Status) -> Vec<Spot> {
    let told = |hook: &&HookState| hook.tier.is_none() || !hook.unseen.is_empty();
    let mut hooks: Vec<&HookState> = status.host.hooks.iter().filter(told).collect();
    hooks.sort_by_key(|hook| hook.tier.is_some());
    let spot = |hook: &HookState| Spot {
        host: status.host.clone(),
        hook: hook.clone(),
    };
    hooks.into_iter().map(spot).collect()
}

fn row(screen: &Screen, status: &Status) -> Vec<Cell> {
    let host = &status.host;
    let blind: Vec<&str> = host.blind().map(|hook| hook.family.as_str()).collect();
    let seen = host.hooks.len() - blind.len();
    let state = if status.connected {
        Cell::new("connected").tone(Tone::Good)
    } else {
        Cell::new("away").tone(Tone::Bad)
    };
    vec![
        Cell::new(host.host.as_str()),
        state,
        Cell::new(&host.version),
        Cell::new(&host.kernel),
        Cell::new(screen.moment(host.started_at)),
        Cell::new(format!("{seen} of {}", host.hooks.len())),
        Cell::new(blind.join(", ")).tone(Tone::Doubtful),
        list(status),
    ]
}

/// Which revocation list a host has, of which newest.
fn list(status: &Status) -> Cell {
    let Some(list) = &status.list else {
        return Cell::new("");
    };
    let has = list
        .number
        .map_or_else(|| "none".to_owned(), |number| number.to_string());
    let is_newest = list.number >= status.newest;
    match (is_newest, list.problem.as_str()) {
        (true, "") => Cell::new(has).tone(Tone::Good),
        (true, problem) => Cell::new(format!("{has}: {problem}")).tone(Tone::Bad),
        (false, problem) => {
            let newest = status.newest.unwrap_or_default();
            let why = if problem.is_empty() {
                String::new()
            } else {
                format!(": {problem}")
            };
            Cell::new(format!("{has} of {newest}{why}")).tone(Tone::Bad)
        }
    }
}

fn spot_row(_: &Screen, spot: &Spot) -> Vec<Cell> {
    let tier = match &spot.hook.tier {
        Some(tier) => Cell::new(tier),
        None => Cell::new("blind").tone(Tone::Bad),
    };
    vec![
        Cell::new(spot.host.host.as_str()),
        Cell::new(&spot.host.kernel),
        Cell::new(&spot.hook.family),
        tier,
        Cell::new(&spot.hook.unseen),
    ]
}
