//! What cannot be decoded is told, and taken up by a collector that can decode it.

use monitor_ledger::seal::SealKey;

use super::*;
use crate::state::SetAside;

/// Bytes that no collector can decode.
const DAMAGED: &[u8] = b"\xff\xff no event";

fn aside(event: &[u8]) -> SetAside {
    SetAside {
        agent: "jump-1".parse().unwrap(),
        batch: 7,
        at: BASE,
        reason: "a kind of event that is not known".into(),
        event: event.to_vec(),
    }
}

/// A batch as the ingest makes it: what it could decode, and what it could not.
fn parted(events: &[Event], unreadable: &[&[u8]]) -> Batch {
    Batch {
        aside: unreadable.iter().map(|bytes| aside(bytes)).collect(),
        ..batch(events)
    }
}

/// Goes the way that it goes in the writer; the alerts that came of no event.
fn sent(core: &mut Core, batch: Batch) -> Vec<Arc<Raised>> {
    core.tell_unreadable(&batch).unwrap();
    let raised = core.take_raised();
    settled(core, vec![batch]);
    core.publish().unwrap();
    raised
}

fn with_rules(folder: &Path, seal: bool) -> Core {
    let mut config = config(folder);
    config.rules = crate::config::rules::standard(config.silent).unwrap();
    config.ledger_seal = seal.then(|| {
        let path = folder.join("seal.key");
        if !path.exists() {
            SealKey::new([3; 32]).store(&path).unwrap();
        }
        path
    });
    Core::open(&config, Arc::new(SystemClock)).unwrap()
}

fn waiting(core: &Core) -> u64 {
    core.state.set_aside(&"jump-1".parse().unwrap()).unwrap()
}

#[test]
fn what_cannot_be_decoded_is_told_once_and_names_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = with_rules(folder.path(), false);
    let told = sent(&mut core, parted(&[], &[b"first"]));
    assert!(told.is_empty(), "of a host that never said anything");
    assert!(sent(&mut core, parted(&[read(1, "acme")], &[])).is_empty());
    let told = sent(&mut core, parted(&[], &[b"second"]));
    assert_eq!(told.len(), 1);
    let alert = &told[0].alert;
    assert_eq!(alert.rule, "events-unreadable");
    assert_eq!(alert.host.as_str(), "jump-1");
    assert_eq!(alert.event, read(1, "acme").id);
    assert!(alert.sentence.contains("not known"), "{}", alert.sentence);
    // Not again with each batch, nor after a start.
    assert!(sent(&mut core, parted(&[read(2, "acme")], &[b"third"])).is_empty());
    drop(core);
    let mut core = with_rules(folder.path(), false);
    assert!(sent(&mut core, parted(&[read(3, "acme")], &[b"fourth"])).is_empty());
    assert_eq!(waiting(&core), 4);
}

#[test]
fn what_can_be_decoded_now_is_taken_up_and_everything_follows_from_it() {
    for seal in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut core = with_rules(folder.path(), seal);
        let bytes = monitor_proto::encode_event;
        let (late, login, taken) = (
            bytes(&read(2, "acme")),
            bytes(&login(1, session_id(1), 7)),
            bytes(&read(1, "globex")),
        );
        let foreign = event_id("jump-2", Source::Priority { cpu: 0 }, 1);
        let foreign = bytes(&credential(foreign, "acme", "/srv/acme/key"));
        // As an older collector left them, which knew neither of these kinds.
        let unreadable = [&late[..], &login, &taken, &foreign, DAMAGED];
        sent(&mut core, parted(&[read(1, "acme")], &unreadable));
        assert_eq!(waiting(&core), 5);
        drop(core);
        let core = with_rules(folder.path(), seal);
        assert_eq!(
            waiting(&core),
            3,
            "another's number, another's name, and damage stay"
        );
        assert!(core.sessions.get(session_id(1)).is_some());
        drop(core);
        let core = with_rules(folder.path(), seal);
        assert_eq!(waiting(&core), 3);
        let position = |tenant: &str| core.ledgers[&tenant.parse().unwrap()].head().position;
        assert_eq!((position("acme"), position("globex")), (3, 0), "each once");
    }
}

#[test]
fn what_is_taken_up_when_a_start_is_broken_off_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = with_rules(folder.path(), false);
    let late = monitor_proto::encode_event(&read(2, "acme"));
    sent(&mut core, parted(&[read(1, "acme")], &[&late]));
    // In a ledger, and the state does not know it.
    core.take_up_aside().unwrap();
    drop(core);
    let core = with_rules(folder.path(), false);
    assert_eq!(waiting(&core), 0);
    assert_eq!(kept(folder.path(), "acme"), 2);
}
