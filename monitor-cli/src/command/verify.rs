//! `verify`: checks ledgers or a bundle, without any collector.

use std::{fs, path::Path};

use monitor_ledger::{
    check::{
        Report, Trust,
        folder::{self, Place},
    },
    key::VerifierKey,
};

use crate::{
    cli::Verify,
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, table::Cell},
};

const COLUMNS: [&str; 8] = [
    "TENANT",
    "STATE",
    "RECORDS",
    "WITHHELD",
    "CHECKPOINTS",
    "PROOFS",
    "GAPS",
    "KEY",
];

/// What became of one ledger.
struct Checked {
    place: Place,
    found: Result<Report, String>,
}

/// Checks everything at a path, tells of each ledger, and fails if one is broken.
///
/// # Errors
/// [`CliError::Broken`], [`CliError::Unsigned`]; the others when nothing could be checked.
pub fn run(verify: &Verify, screen: &mut Screen) -> Result<(), CliError> {
    let trust = trust(verify)?;
    let places = folder::find(&verify.path)?;
    let mut checked = Vec::with_capacity(places.len());
    for place in places {
        let found = place.check(&trust).map_err(|error| error.to_string());
        checked.push(Checked { place, found });
    }
    let mut listing = Listing::new(screen, &COLUMNS);
    listing.page(&checked, row, record)?;
    listing.end("nothing was checked")?;
    if screen.is_table() {
        for one in &checked {
            told(screen, one)?;
        }
    }
    screen.flush()?;
    outcome(&checked, &trust)
}

fn outcome(checked: &[Checked], trust: &Trust) -> Result<(), CliError> {
    let whole: Vec<&Report> = checked
        .iter()
        .filter_map(|one| one.found.as_ref().ok())
        .collect();
    if whole.len() < checked.len() {
        return Err(CliError::Broken {
            broken: checked.len() - whole.len(),
            checked: checked.len(),
        });
    }
    let tenants: Vec<String> = whole.iter().map(|report| report.tenant.clone()).collect();
    folder::covers(&tenants, trust)?;
    match whole.iter().map(|report| report.unsigned).sum() {
        0 => Ok(()),
        unsigned => Err(CliError::Unsigned { unsigned }),
    }
}

fn trust(verify: &Verify) -> Result<Trust, CliError> {
    let mut trust = Trust::default();
    for path in &verify.verifier_key {
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let key = VerifierKey::parse(line).map_err(|source| CliError::VerifierKey {
                path: path.clone(),
                source,
            })?;
            trust.keys.push(key);
        }
    }
    for path in &verify.checkpoint {
        trust.held.push(read(path)?);
    }
    Ok(trust)
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|source| CliError::File {
        path: path.into(),
        source,
    })
}

/// What does not fit into a table: what is wrong, and what it stands on.
fn told(screen: &mut Screen, checked: &Checked) -> Result<(), CliError> {
    match &checked.found {
        Err(error) => screen.line(Tone::Bad, error)?,
        Ok(report) => {
            if report.key_unproved {
                let text = format!(
                    "{}: the key was found beside the records; compare it with the one handed over: {}",
                    report.tenant, report.key
                );
                screen.line(Tone::Doubtful, &text)?;
            }
            for gap in report.sequences.named() {
                let cause = gap.cause.unwrap_or_default();
                let stream = &gap.stream;
                let text = format!(
                    "{}: gap {}/{}/{} {} to {}: {cause}",
                    report.tenant, stream.agent, stream.boot, stream.source, gap.first, gap.last
                );
                screen.line(Tone::Doubtful, &text)?;
            }
        }
    }
    Ok(())
}

fn row(_: &Screen, checked: &Checked) -> Vec<Cell> {
    let Ok(report) = &checked.found else {
        let name = checked.place.path().display().to_string();
        return vec![Cell::new(name), Cell::new("BROKEN").tone(Tone::Bad)];
    };
    let state = match (report.unsigned, report.key.is_empty()) {
        (0, _) => Cell::new("whole").tone(Tone::Good),
        (_, true) => Cell::new("not signed").tone(Tone::Doubtful),
        (unsigned, false) => Cell::new(format!("{unsigned} not signed")).tone(Tone::Doubtful),
    };
    let key = if report.key_unproved {
        "found beside"
    } else {
        "given"
    };
    vec![
        Cell::new(&report.tenant),
        state,
        Cell::new(report.records.to_string()),
        Cell::new(report.withheld.to_string()),
        Cell::new(report.checkpoints.to_string()),
        Cell::new(report.proofs.to_string()),
        Cell::new(report.gaps.to_string()),
        Cell::new(if report.key.is_empty() { "" } else { key }),
    ]
}

fn record(checked: &Checked) -> Record {
    let record = Record::new("verified").with("path", checked.place.path().display().to_string());
    match &checked.found {
        Ok(report) => record.with("ok", true).with("report", report),
        Err(error) => record.with("ok", false).with("error", error),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use monitor_ledger::{
        bundle::Writer, checkpoint, key::LogKey, leaf::Leaf, merkle::Frontier, proof::Tree,
    };

    use super::*;
    use crate::output::Format;

    /// A bundle of three records, all of them withheld, and the key's file.
    fn bundle(folder: &Path) -> (PathBuf, PathBuf) {
        let signer = LogKey::new("monitor.test", &[7; 32]).unwrap();
        let signer = signer.signer("acme").unwrap();
        let leaf = |stored_at_unix_ns| Leaf {
            stored_at_unix_ns,
            event: [1; 32],
            judgement: [2; 32],
        };
        let mut frontier = Frontier::default();
        (1..=3).for_each(|at| frontier.push(leaf(at).hash(), |_| {}));
        let tree = Tree {
            size: frontier.size(),
            root: frontier.root(),
        };
        let path = folder.join("bundle");
        let mut writer = Writer::new(&path, "acme", tree).unwrap();
        (1..=3).for_each(|at| writer.record(&leaf(at), None, None).unwrap());
        let note = checkpoint::sign(&signer, &tree).unwrap();
        writer.end(&note, signer.verifier().as_str()).unwrap();
        let key = folder.join("acme.vkey");
        fs::write(&key, signer.verifier().as_str()).unwrap();
        (path, key)
    }

    fn verified(verify: &Verify) -> Result<(), CliError> {
        run(
            verify,
            &mut Screen::new(Box::new(Vec::new()), Format::Table),
        )
    }

    #[test]
    fn a_whole_bundle_ends_with_0_and_a_broken_one_with_1() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = bundle(folder.path());
        let mut verify = Verify {
            checkpoint: vec![path.join("checkpoint")],
            verifier_key: vec![key],
            path,
        };
        verified(&verify).unwrap();
        fs::write(verify.path.join("content/000.p/3"), b"").unwrap();
        let error = verified(&verify).unwrap_err();
        assert!(matches!(error, CliError::Broken { .. }) && error.code() == 1);
        verify.path = folder.path().join("nothing");
        assert!(matches!(verified(&verify), Err(CliError::Check(_))));
    }
}
