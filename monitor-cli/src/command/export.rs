//! `export`: a tenant's ledger as a bundle, checked while it comes.

use monitor_ledger::{
    bundle::{Opened, Writer},
    checkpoint::Checkpoint,
    key::VerifierKey,
    leaf::Leaf,
};
use monitor_proto::v1::{EntryPart, GetCheckpointRequest, LedgerEntry, ListEntriesRequest};

use crate::{
    cli::Export,
    connection::{Connection, ask},
    error::CliError,
    output::{Screen, Tone, count, json::Record},
};

/// Entries asked for at once.
const PAGE_SIZE: u32 = 1_000;

/// Fetches everything that the newest checkpoint signs.
///
/// # Errors
/// [`CliError::Bundle`] when what comes is not what was signed; otherwise as
/// the connection tells it.
pub async fn run(
    export: &Export,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let tenant = export.tenant.to_string();
    let request = GetCheckpointRequest {
        tenant: tenant.clone(),
    };
    let newest = connection.evidence().get_checkpoint(ask(request)).await;
    let newest = newest
        .map_err(|status| connection.error(&status))?
        .into_inner();
    if newest.note.is_empty() {
        let text = format!(
            "no checkpoint of {tenant} is signed yet: has the collector a [ledger] key, and has it entries?"
        );
        return Err(CliError::NotFound(text));
    }
    let key = VerifierKey::parse(&newest.key).map_err(wrong)?;
    let tree = Checkpoint::open(&newest.note, &key).map_err(wrong)?.tree;
    let mut writer = Writer::new(&export.dir, &tenant, tree)?;
    while writer.records() < tree.size {
        let request = ListEntriesRequest {
            tenant: tenant.clone(),
            first: writer.records() + 1,
            page_size: PAGE_SIZE,
        };
        let answer = connection.evidence().list_entries(ask(request)).await;
        let entries = answer
            .map_err(|status| connection.error(&status))?
            .into_inner()
            .entries;
        if entries.is_empty() {
            break;
        }
        // Entries that came in between are beyond the checkpoint.
        let room = tree.size - writer.records();
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        for entry in entries.iter().take(room) {
            add(&mut writer, entry)?;
        }
    }
    let records = writer.records();
    if !newest.cosigned_note.is_empty() {
        writer.cosigned(&newest.cosigned_note)?;
    }
    writer.end(&newest.note, key.as_str())?;
    if screen.is_table() {
        let records = count(usize::try_from(records).unwrap_or(usize::MAX), "record");
        let text = format!("{tenant}: {records} in {}", export.dir.display());
        screen.line(Tone::Good, &text)?;
    } else {
        let record = Record::new("exported")
            .with("tenant", &tenant)
            .with("entries", records)
            .with("key", key.as_str());
        screen.record(&record)?;
    }
    Ok(screen.flush()?)
}

fn add(writer: &mut Writer, entry: &LedgerEntry) -> Result<(), CliError> {
    let position = writer.records() + 1;
    let leaf = Leaf::parse(&entry.leaf).filter(|_| entry.position == position);
    let leaf = leaf.ok_or_else(|| wrong(format!("entry {position} is none")))?;
    let (event, judgement) = (
        opened(entry.event.as_ref())?,
        opened(entry.judgement.as_ref())?,
    );
    Ok(writer.record(&leaf, event, judgement)?)
}

fn opened(part: Option<&EntryPart>) -> Result<Option<Opened<'_>>, CliError> {
    part.map(|part| {
        let blind = part.blind.as_slice().try_into();
        let blind = blind.map_err(|_| wrong("a blind has not 16 bytes"))?;
        let part = part.part.as_slice();
        Ok(Opened { blind, part })
    })
    .transpose()
}

/// An answer that makes no sense.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn wrong(what: impl ToString) -> CliError {
    CliError::Answer(what.to_string(), None)
}
