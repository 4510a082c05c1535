//! `conformance`: whether somebody's broker does what is asked of one.
//!
//! Every check has a name, says what it asks, and passed, failed or was skipped,
//! the latter two with the reason. `docs/reference/brokers.md` says the same in
//! words: change both together.
//!
//! # Layout
//! - [`check`]: the checks, and what one finds.
//! - [`peer`]: the broker, asked as anybody. [`answer`]: what its answer says of one credential.
//! - [`identity`]: checks of who may ask. [`orders`]: checks of what orders do.

use crate::{
    cli::ConformanceBroker,
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, note, table::Cell},
    settings::Settings,
};

pub mod answer;
pub mod check;
pub mod identity;
pub mod orders;
pub mod peer;

use check::{Check, Finding};
use orders::Run;
use peer::Peer;

const COLUMNS: [&str; 3] = ["CHECK", "RESULT", "WHY"];

/// What one check found.
struct Found {
    check: Check,
    finding: Finding,
}

/// Tries a broker.
///
/// # Errors
/// [`CliError::Nonconformant`] when a check failed, [`CliError::Usage`] for
/// serials that cannot be tried with, [`CliError::Tls`] or [`CliError::File`]
/// when the broker cannot be asked at all.
pub async fn run(
    asked: &ConformanceBroker,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let mut serials = asked.serial.clone();
    serials.sort_unstable();
    serials.dedup();
    if serials.len() != asked.serial.len() || serials.contains(&asked.unknown_serial) {
        return Err(CliError::Usage(
            "give each --serial once, and as --unknown-serial another".to_owned(),
        ));
    }
    let files = settings.tls_files()?;
    let peer = Peer::open(asked, &files).await?;
    let strangers = identity::strangers(asked, &files)?;
    let mut run = Run::new(asked, peer);
    let mut listing = Listing::new(screen, &COLUMNS);
    let (mut failed, mut skipped, mut passed) = (0, 0, 0);
    for check in Check::ALL {
        let finding = run.find(check, &strangers).await;
        match &finding {
            Finding::Passed => passed += 1,
            Finding::Failed(_) => failed += 1,
            Finding::Skipped(_) => skipped += 1,
        }
        listing.page(&[Found { check, finding }], row, record)?;
    }
    listing.end("nothing was checked")?;
    if failed > 0 {
        let ran = failed + passed;
        return Err(CliError::Nonconformant { failed, ran });
    }
    note(&format!("{passed} checks passed, {skipped} were skipped"));
    Ok(())
}

fn row(_: &Screen, found: &Found) -> Vec<Cell> {
    let tone = match &found.finding {
        Finding::Passed => Tone::Good,
        Finding::Failed(_) => Tone::Bad,
        Finding::Skipped(_) => Tone::Doubtful,
    };
    vec![
        Cell::new(found.check.as_str()),
        Cell::new(found.finding.as_str()).tone(tone),
        Cell::new(found.finding.reason().unwrap_or(found.check.asks())),
    ]
}

fn record(found: &Found) -> Record {
    Record::new("conformance_check")
        .with("check", found.check.as_str())
        .with("asks", found.check.asks())
        .with("result", found.finding.as_str())
        .with("reason", found.finding.reason())
}
