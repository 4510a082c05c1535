//! What proves a ledger: checkpoints, entries, tiles and proofs, and for whom they are.

use monitor_ledger::{
    bundle::{self, Opened, Writer},
    check::Trust,
    checkpoint::Checkpoint,
    key::VerifierKey,
    leaf::Leaf,
    merkle::Hash,
    proof::{Tree, proves_consistency, proves_inclusion},
};
use monitor_model::id::Source;
use monitor_proto::v1::{
    EntryPart, GetCheckpointRequest, GetConsistencyProofRequest, GetInclusionProofRequest,
    GetTileRequest, ListEntriesRequest, evidence_service_client::EvidenceServiceClient,
};
use tonic::Code;

use super::*;
use crate::testing::{credential, event_id, log_key};

type Client = EvidenceServiceClient<Channel>;

/// A collector with so many entries in the ledger of globex, read in a session
/// for acme, all of them signed.
async fn globex(scene: &Scene, entries: u64) -> Collector {
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(scene, &collector, "jump-1").await;
    let events: Vec<Event> = (1..=entries)
        .map(|n| {
            credential(
                event_id("jump-1", Source::Bulk { cpu: 0 }, n),
                "globex",
                "/srv/key",
            )
        })
        .collect();
    agent.send(1, &events).await;
    agent.acked(1).await;
    let soc = EvidenceServiceClient::new(scene.dial("monitor://soc/carol", &collector).await);
    eventually(async || {
        let newest = newest(&mut soc.clone(), "globex").await;
        (newest.tree.size == entries).then_some(())
    })
    .await;
    collector
}

async fn note(client: &mut Client, tenant: &str) -> Vec<u8> {
    let tenant = tenant.to_owned();
    let answer = client.get_checkpoint(GetCheckpointRequest { tenant }).await;
    answer.unwrap().into_inner().note
}

/// The newest checkpoint, signed with the collector's key; of an empty tree before the first.
async fn newest(client: &mut Client, tenant: &str) -> Checkpoint {
    let signer = log_key().signer(tenant).unwrap();
    let note = note(client, tenant).await;
    if note.is_empty() {
        return Checkpoint {
            origin: String::new(),
            tree: Tree {
                size: 0,
                root: [0; 32],
            },
        };
    }
    Checkpoint::open(&note, signer.verifier()).unwrap()
}

fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap()
}

fn hashes(bytes: &[Vec<u8>]) -> Vec<Hash> {
    bytes.iter().map(|bytes| hash(bytes)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_of_the_newest_checkpoint_hold_and_what_is_beyond_it_is_refused() {
    let scene = Scene::new();
    let collector = globex(&scene, 300).await;
    let mut soc = EvidenceServiceClient::new(scene.dial("monitor://soc/carol", &collector).await);
    let newest = newest(&mut soc, "globex").await.tree;
    for position in [1u64, 256, 257, 300] {
        let request = GetInclusionProofRequest {
            tenant: "globex".into(),
            position,
            size: 0,
        };
        let proof = soc.get_inclusion_proof(request).await.unwrap().into_inner();
        let (path, leaf) = (hashes(&proof.hashes), hash(&proof.leaf_hash));
        assert!(proves_inclusion(
            &path,
            &leaf,
            position - 1,
            newest.size,
            &newest.root
        ));
        let request = GetConsistencyProofRequest {
            tenant: "globex".into(),
            old_size: position,
            new_size: 0,
        };
        let proof = soc
            .get_consistency_proof(request)
            .await
            .unwrap()
            .into_inner();
        let request = GetInclusionProofRequest {
            tenant: "globex".into(),
            position: 1,
            size: position,
        };
        let old = soc.get_inclusion_proof(request).await.unwrap().into_inner();
        let old = Tree {
            size: position,
            root: hash(&old.root),
        };
        assert!(proves_consistency(&hashes(&proof.hashes), &old, &newest));
    }
    for (position, size) in [(0, 0), (301, 0), (1, 301), (5, 4)] {
        let request = GetInclusionProofRequest {
            tenant: "globex".into(),
            position,
            size,
        };
        let status = soc.get_inclusion_proof(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    for (level, index, width) in [(0, 0, 256), (0, 1, 44), (1, 0, 1)] {
        let request = GetTileRequest {
            tenant: "globex".into(),
            level,
            index,
        };
        let tile = soc.get_tile(request).await.unwrap().into_inner();
        assert_eq!(tile.hashes.len(), width * 32);
    }
    collector.drain().await;
}

fn opened(part: Option<&EntryPart>) -> Option<Opened<'_>> {
    part.map(|part| Opened {
        blind: part.blind.as_slice().try_into().unwrap(),
        part: &part.part,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditors_bundle_is_whole_and_holds_nothing_of_another_tenant() {
    let scene = Scene::new();
    let collector = globex(&scene, 3).await;
    let identity = "monitor://auditor/eve?tenant=globex";
    let mut eve = EvidenceServiceClient::new(scene.dial(identity, &collector).await);
    let request = ListEntriesRequest {
        tenant: "globex".into(),
        first: 0,
        page_size: 0,
    };
    let entries = eve
        .list_entries(request)
        .await
        .unwrap()
        .into_inner()
        .entries;
    assert_eq!(entries.len(), 3);
    let folder = scene.path().join("bundle");
    let note = note(&mut eve, "globex").await;
    let signer = log_key().signer("globex").unwrap();
    let tree = Checkpoint::open(&note, signer.verifier()).unwrap().tree;
    let mut writer = Writer::new(&folder, "globex", tree).unwrap();
    for entry in &entries {
        let leaf = Leaf::parse(&entry.leaf).unwrap();
        let (event, judgement) = (
            opened(entry.event.as_ref()),
            opened(entry.judgement.as_ref()),
        );
        writer.record(&leaf, event, judgement).unwrap();
        let shown = String::from_utf8_lossy(&prost::Message::encode_to_vec(entry)).into_owned();
        assert!(
            !shown.contains("acme") && !shown.contains("01JG"),
            "{shown}"
        );
    }
    writer.end(&note, signer.verifier().as_str()).unwrap();
    let trust = Trust {
        keys: vec![VerifierKey::parse(signer.verifier().as_str()).unwrap()],
        held: vec![note],
        ..Trust::default()
    };
    let report = bundle::check(&folder, &trust).unwrap();
    assert_eq!(report.records, 3);
    assert!(report.withheld >= 3, "{report:?}");
    collector.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_another_tenant_answers_as_one_that_is_not_there() {
    let scene = Scene::new();
    let collector = globex(&scene, 1).await;
    let identity = "monitor://auditor/eve?tenant=acme";
    let mut eve = EvidenceServiceClient::new(scene.dial(identity, &collector).await);
    let mut told = Vec::new();
    for tenant in ["globex", "nobody"] {
        let tenant = tenant.to_owned();
        let mut statuses = Vec::new();
        let request = GetCheckpointRequest {
            tenant: tenant.clone(),
        };
        statuses.push(eve.get_checkpoint(request).await.unwrap_err());
        let request = ListEntriesRequest {
            tenant: tenant.clone(),
            ..ListEntriesRequest::default()
        };
        statuses.push(eve.list_entries(request).await.unwrap_err());
        let request = GetTileRequest {
            tenant: tenant.clone(),
            ..GetTileRequest::default()
        };
        statuses.push(eve.get_tile(request).await.unwrap_err());
        let request = GetInclusionProofRequest {
            tenant: tenant.clone(),
            ..GetInclusionProofRequest::default()
        };
        statuses.push(eve.get_inclusion_proof(request).await.unwrap_err());
        let request = GetConsistencyProofRequest {
            tenant: tenant.clone(),
            ..GetConsistencyProofRequest::default()
        };
        statuses.push(eve.get_consistency_proof(request).await.unwrap_err());
        let texts = statuses.iter().map(|status| {
            assert_eq!(status.code(), Code::NotFound, "{status}");
            status.message().replace(&tenant, "TENANT")
        });
        told.push(texts.collect::<Vec<String>>());
    }
    assert_eq!(told[0], told[1]);
    collector.drain().await;
}
