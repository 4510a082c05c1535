//! `verify`: checks ledgers or a bundle, without any collector.

use std::{fs, path::Path};

use monitor_ledger::{
    check::{
        Report, Trust,
        folder::{self, Place},
    },
    cosignature::WitnessKey,
    key::{KeyError, VerifierKey},
    seal::SealKey,
};
use monitor_model::clock::UnixNs;

use crate::{
    cli::Verify,
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, table::Cell, time},
};

mod receipt;

const COLUMNS: [&str; 9] = [
    "TENANT",
    "STATE",
    "RECORDS",
    "WITHHELD",
    "CHECKPOINTS",
    "PROOFS",
    "GAPS",
    "COSIGNED",
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
/// [`CliError::Broken`], [`CliError::Unwitnessed`], [`CliError::WitnessLags`],
/// [`CliError::Unsigned`]; the others when nothing could be checked.
pub fn run(verify: &Verify, screen: &mut Screen) -> Result<(), CliError> {
    let trust = trust(verify)?;
    if let Some(path) = &verify.receipt {
        return receipt::run(path, &trust.keys, screen);
    }
    let Some(path) = &verify.path else {
        return Err(CliError::Usage(
            "give a ledger, a data_dir or a bundle, or --receipt FILE".to_owned(),
        ));
    };
    let places = folder::find(path)?;
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
    outcome(&checked, &trust, verify)
}

fn outcome(checked: &[Checked], trust: &Trust, verify: &Verify) -> Result<(), CliError> {
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
    if !trust.witnesses.is_empty() {
        witnessed(&whole, verify.witness_lag)?;
    }
    match whole.iter().map(|report| report.unsigned).sum() {
        0 => Ok(()),
        unsigned => Err(CliError::Unsigned { unsigned }),
    }
}

/// A witness signed each ledger that has records, and not long before the newest.
fn witnessed(whole: &[&Report], lag_seconds: u64) -> Result<(), CliError> {
    let names = |wanted: &dyn Fn(&Report) -> bool| {
        let found = whole.iter().filter(|report| wanted(report));
        let names: Vec<&str> = found.map(|report| report.tenant.as_str()).collect();
        names.join(", ")
    };
    let tenants = names(&|report| report.records > 0 && report.witness.is_empty());
    if !tenants.is_empty() {
        return Err(CliError::Unwitnessed { tenants });
    }
    let lag_ns = lag_seconds.saturating_mul(1_000_000_000);
    let tenants = names(&|report| {
        let signed_at = report.cosigned_at.unwrap_or_default();
        let newest_at = report.newest_at.unwrap_or_default();
        report.records > report.cosigned && newest_at.saturating_sub(signed_at) > lag_ns
    });
    if !tenants.is_empty() {
        let seconds = lag_seconds;
        return Err(CliError::WitnessLags { tenants, seconds });
    }
    Ok(())
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
    if let Some(path) = &verify.seal_key {
        // Errors of key files name them.
        trust.seal = Some(SealKey::load(path).map_err(CliError::SealKey)?);
    }
    for given in &verify.witness_key {
        trust.witnesses.extend(witness_keys(given)?);
    }
    Ok(trust)
}

/// A key itself, or those of a file.
fn witness_keys(given: &str) -> Result<Vec<WitnessKey>, CliError> {
    if let Ok(key) = WitnessKey::parse(given) {
        return Ok(vec![key]);
    }
    let path = Path::new(given);
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let keys: Result<Vec<WitnessKey>, KeyError> = lines.map(WitnessKey::parse).collect();
    // No key at all would mean that none is asked for.
    let keys = keys.and_then(|keys| {
        let found = (!keys.is_empty()).then_some(keys);
        found.ok_or(KeyError::WitnessVerifier)
    });
    keys.map_err(|source| CliError::VerifierKey {
        path: path.into(),
        source,
    })
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
            if let Some(at) = report.cosigned_at {
                let text = format!(
                    "{}: {} signed {} records at {}; {} came later",
                    report.tenant,
                    report.witness,
                    report.cosigned,
                    time::rfc3339(UnixNs(at)).unwrap_or_default(),
                    report.records.saturating_sub(report.cosigned)
                );
                screen.line(Tone::Good, &text)?;
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
        cosigned(report),
        Cell::new(if report.key.is_empty() { "" } else { key }),
    ]
}

/// How many records a witness signed, and whether its signature was checked.
fn cosigned(report: &Report) -> Cell {
    match (report.cosigned, report.witness.is_empty()) {
        (0, _) => Cell::new(""),
        (size, true) => Cell::new(format!("{size} unchecked")).tone(Tone::Doubtful),
        (size, false) => Cell::new(size.to_string()).tone(Tone::Good),
    }
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
        bundle::{COSIGNED, Writer},
        checkpoint,
        cosignature::{self, CosigningKey},
        key::{LogKey, LogSigner},
        leaf::Leaf,
        merkle::Frontier,
        proof::Tree,
    };

    use super::*;
    use crate::output::Format;

    fn leaf(stored_at_unix_ns: u64) -> Leaf {
        Leaf {
            stored_at_unix_ns,
            event: [1; 32],
            judgement: [2; 32],
        }
    }

    fn signer() -> LogSigner {
        let key = LogKey::new("monitor.test", &[7; 32]).unwrap();
        key.signer("acme").unwrap()
    }

    fn witness(seed: u8) -> CosigningKey {
        CosigningKey::new("witness.test", &[seed; 32]).unwrap()
    }

    /// The tree of leaves at these times.
    fn tree(times: &[u64]) -> Tree {
        let mut frontier = Frontier::default();
        for at in times {
            frontier.push(leaf(*at).hash(), |_| {});
        }
        Tree {
            size: frontier.size(),
            root: frontier.root(),
        }
    }

    /// A checkpoint of a tree with the witness's signature.
    fn cosigned_note(tree: &Tree, at_unix_s: u64) -> Vec<u8> {
        let note = checkpoint::sign(&signer(), tree).unwrap();
        let text = cosignature::text(&note).unwrap();
        let line = witness(9).cosign(&text, at_unix_s).unwrap();
        [note, line].concat()
    }

    /// A bundle of records of these times, all of them withheld, and the key's file.
    fn bundle(folder: &Path, times: &[u64]) -> (PathBuf, PathBuf) {
        let signer = signer();
        let tree = tree(times);
        let path = folder.join("bundle");
        let mut writer = Writer::new(&path, "acme", tree).unwrap();
        for at in times {
            writer.record(&leaf(*at), None, None).unwrap();
        }
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
        let (path, key) = bundle(folder.path(), &[1, 2, 3]);
        let mut verify = Verify {
            seal_key: None,
            checkpoint: vec![path.join("checkpoint")],
            verifier_key: vec![key],
            witness_key: Vec::new(),
            witness_lag: 3_600,
            path: Some(path),
            receipt: None,
        };
        verified(&verify).unwrap();
        fs::write(verify.path.clone().unwrap().join("content/000.p/3"), b"").unwrap();
        let error = verified(&verify).unwrap_err();
        assert!(matches!(error, CliError::Broken { .. }) && error.code() == 1);
        verify.path = Some(folder.path().join("nothing"));
        assert!(matches!(verified(&verify), Err(CliError::Check(_))));
    }

    #[test]
    fn a_witness_must_have_signed_this_tree_when_its_key_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = bundle(folder.path(), &[1, 2, 3]);
        let keys = folder.path().join("witness.vkey");
        fs::write(&keys, format!("{}\n", witness(9).verifier().as_str())).unwrap();
        let mut verify = Verify {
            seal_key: None,
            checkpoint: Vec::new(),
            verifier_key: vec![key],
            witness_key: vec![witness(9).verifier().as_str().to_owned()],
            witness_lag: 3_600,
            path: Some(path.clone()),
            receipt: None,
        };
        let lacks = |verify: &Verify| {
            let error = verified(verify).unwrap_err();
            let is_lack = matches!(&error, CliError::Unwitnessed { tenants } if tenants == "acme");
            assert!(is_lack && error.code() == 4, "{error}");
        };
        lacks(&verify);
        // Signed at two records: what came later is told, and no fault.
        fs::write(path.join(COSIGNED), cosigned_note(&tree(&[1, 2]), 9)).unwrap();
        verified(&verify).unwrap();
        verify.witness_key = vec![keys.display().to_string()];
        verified(&verify).unwrap();
        verify.witness_key = vec![witness(8).verifier().as_str().to_owned()];
        lacks(&verify);
        // Another history, signed by the log and the witness; or a longer one.
        for (other, what) in [([1, 4].as_slice(), "fork"), (&[1, 2, 3, 4], "cut off")] {
            fs::write(path.join(COSIGNED), cosigned_note(&tree(other), 9)).unwrap();
            let error = verified(&verify).unwrap_err();
            assert!(
                matches!(error, CliError::Broken { .. }) && error.code() == 1,
                "{what}"
            );
        }
        // A key that is none does not mean that none is asked for.
        fs::write(&keys, "\n").unwrap();
        verify.witness_key = vec![keys.display().to_string()];
        assert!(matches!(
            verified(&verify),
            Err(CliError::VerifierKey { .. })
        ));
    }

    #[test]
    fn records_long_after_the_witness_signed_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let times = [1, 2, 4_000_000_000_000];
        let (path, key) = bundle(folder.path(), &times);
        let mut verify = Verify {
            seal_key: None,
            checkpoint: Vec::new(),
            verifier_key: vec![key],
            witness_key: vec![witness(9).verifier().as_str().to_owned()],
            witness_lag: 3_600,
            path: Some(path.clone()),
            receipt: None,
        };
        let put = |size: usize, at_unix_s| {
            let note = cosigned_note(&tree(&times[..size]), at_unix_s);
            fs::write(path.join(COSIGNED), note).unwrap();
        };
        put(2, 400);
        verified(&verify).unwrap();
        put(2, 399);
        let error = verified(&verify).unwrap_err();
        assert!(
            matches!(&error, CliError::WitnessLags { tenants, .. } if tenants == "acme"),
            "{error}"
        );
        assert_eq!(error.code(), 4);
        verify.witness_lag = 3_601;
        verified(&verify).unwrap();
        // What is signed may be as old as it is.
        verify.witness_lag = 0;
        put(3, 0);
        verified(&verify).unwrap();
    }
}
