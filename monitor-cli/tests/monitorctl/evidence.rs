//! export, verify, complete: a ledger as a bundle, with a witness's signature and
//! without; whether everything is there.

use monitor_ledger::{
    checkpoint,
    cosignature::{self, CosigningKey},
    key::LogKey,
    leaf::Leaf,
    merkle::Frontier,
    proof::Tree,
};
use monitor_proto::v1;

use crate::{
    collector::World,
    program::{Ran, Site},
};

fn witness() -> CosigningKey {
    CosigningKey::new("witness.test", &[9; 32]).unwrap()
}

fn leaf(stored_at_unix_ns: u64) -> Leaf {
    Leaf {
        stored_at_unix_ns,
        event: [1; 32],
        judgement: [2; 32],
    }
}

/// A checkpoint of the first records, signed by the log alone.
fn note(records: u64) -> Vec<u8> {
    let key = LogKey::new("monitor.test", &[7; 32]).unwrap();
    let mut frontier = Frontier::default();
    (1..=records).for_each(|at| frontier.push(leaf(at).hash(), |_| {}));
    let (size, root) = (frontier.size(), frontier.root());
    checkpoint::sign(&key.signer("acme").unwrap(), &Tree { size, root }).unwrap()
}

/// Three records, of which a witness signed so many.
fn world(cosigned: Option<u64>) -> World {
    let key = LogKey::new("monitor.test", &[7; 32]).unwrap();
    let cosigned_note = cosigned.map_or_else(Vec::new, |records| {
        let note = note(records);
        let text = cosignature::text(&note).unwrap();
        let line = witness().cosign(&text, 1_790_000_000).unwrap();
        [note, line].concat()
    });
    let entry = |position| v1::LedgerEntry {
        position,
        leaf: leaf(position).to_bytes().to_vec(),
        event: None,
        judgement: None,
    };
    World {
        checkpoint: v1::GetCheckpointResponse {
            note: note(3),
            key: key.signer("acme").unwrap().verifier().as_str().to_owned(),
            size: 3,
            cosigned_note,
            cosigned_size: cosigned.unwrap_or_default(),
        },
        entries: (1..=3).map(entry).collect(),
        ..World::default()
    }
}

/// Exports, and checks the bundle with the witness's key.
fn exported_and_verified(cosigned: Option<u64>, format: &str) -> Ran {
    let site = Site::new();
    let collector = site.collector(world(cosigned));
    let folder = site.path("bundle").display().to_string();
    let exported = site.run(
        &collector,
        &["export", "--tenant", "acme", "--dir", &folder],
    );
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    let key = witness().verifier().as_str().to_owned();
    let verify = ["verify", &folder, "--witness-key", &key, "-o", format];
    site.run(&collector, &verify)
}

#[test]
fn an_exported_bundle_holds_what_the_witness_signed() {
    let ran = exported_and_verified(Some(2), "table");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let told =
        "acme: witness.test signed 2 records at 2026-09-21T14:13:20.000000000Z; 1 came later";
    assert!(ran.out.contains(told), "{}", ran.out);
    let ran = exported_and_verified(Some(3), "ndjson");
    for part in [
        "\"cosigned\":3",
        "\"witness\":\"witness.test\"",
        "\"cosigned_at\":1790000000000000000",
        "\"cosigned_at_rfc3339\":\"2026-09-21T14:13:20.000000000Z\"",
    ] {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
}

#[test]
fn a_bundle_that_no_witness_signed_ends_with_4() {
    let ran = exported_and_verified(None, "table");
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    let told = "no checkpoint of acme is signed by the witness";
    assert!(ran.err.contains(told), "{}", ran.err);
}

/// An answer about a host that has numbers 1 to 90, of which so many are missing.
fn completeness(missing: Vec<(u64, u64, &str)>) -> v1::GetCompletenessResponse {
    let numbers = |first, last| v1::StreamNumbers {
        boot: vec![1; 16],
        source: "p0".into(),
        first,
        last,
    };
    v1::GetCompletenessResponse {
        complete: missing.is_empty(),
        host: "jump-1".into(),
        from_unix_ns: 1_790_000_000_000_000_000,
        to_unix_ns: 1_790_000_060_000_000_000,
        known_to_unix_ns: 1_790_000_060_000_000_000,
        streams: vec![numbers(1, 90)],
        missing: missing
            .into_iter()
            .map(|(first, last, cause)| v1::MissingNumbers {
                numbers: Some(numbers(first, last)),
                cause: cause.into(),
            })
            .collect(),
        notes: Vec::new(),
        truncated: false,
    }
}

#[test]
fn what_is_complete_is_said_so_and_ends_with_0() {
    let site = Site::new();
    let collector = site.collector(World {
        completeness: completeness(Vec::new()),
        ..World::default()
    });
    let asked = [
        "complete",
        "--host",
        "jump-1",
        "--from",
        "2026-09-21T14:13:20Z",
    ];
    let ran = site.run(&collector, &[&asked[..], &["-o", "table"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("complete: jump-1, "), "{}", ran.out);
    let sent = collector.world().completeness_asked.clone();
    assert_eq!(sent.host, "jump-1");
    assert_eq!(sent.from_unix_ns, 1_790_000_000_000_000_000);
    assert_eq!(sent.to_unix_ns, 0);
}

#[test]
fn what_is_missing_is_listed_with_its_cause_and_ends_with_4() {
    let site = Site::new();
    let mut answer = completeness(vec![(4, 5, "ring full"), (9, 11, "")]);
    answer.notes = vec![
        v1::CoverageNote {
            at_unix_ns: 1_790_000_001_000_000_000,
            boot: vec![1; 16],
            impaired: String::new(),
            times: 0,
        },
        v1::CoverageNote {
            at_unix_ns: 1_790_000_002_000_000_000,
            boot: vec![1; 16],
            impaired: "not_run".into(),
            times: 3,
        },
    ];
    answer.known_to_unix_ns = 1_790_000_030_000_000_000;
    let collector = site.collector(World {
        completeness: answer,
        ..World::default()
    });
    let ran = site.run(&collector, &["complete", "--host", "jump-1", "-o", "table"]);
    assert_eq!(ran.code, Some(4), "{}", ran.err);
    for told in [
        "not complete: jump-1",
        "/p0 4 to 5: ring full",
        "/p0 9 to 11: unexplained",
        "nothing watched before",
        "not_run, at most 3 times",
        "the host was quiet since, or its agent is away",
    ] {
        assert!(ran.out.contains(told), "{told} is not in {}", ran.out);
    }
    assert!(
        ran.err
            .contains("not everything of jump-1 is in the ledgers")
    );
    let ran = site.run(
        &collector,
        &["complete", "--host", "jump-1", "-o", "ndjson"],
    );
    for part in [
        "\"complete\":false",
        "\"cause\":\"ring full\"",
        "\"known_to_rfc3339\"",
    ] {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
}

#[test]
fn complete_takes_a_session_or_a_host_and_not_both() {
    let site = Site::new();
    let collector = site.collector(World::default());
    for wrong in [
        &["complete"][..],
        &["complete", "--session", "A1B0", "--host", "jump-1"],
        &["complete", "--session", "A1B0", "--from", "2h"],
    ] {
        let ran = site.run(&collector, wrong);
        assert_eq!(ran.code, Some(2), "{wrong:?}: {}", ran.err);
    }
}
