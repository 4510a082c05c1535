//! `EvidenceService`: what proves a ledger.

use monitor_ledger::{checkpoint::Checkpoint, leaf::Blind};
use monitor_model::id::TenantId;
use monitor_proto::v1::{
    EntryPart, GetCheckpointRequest, GetCheckpointResponse, GetConsistencyProofRequest,
    GetConsistencyProofResponse, GetInclusionProofRequest, GetInclusionProofResponse,
    GetTileRequest, GetTileResponse, LedgerEntry, ListEntriesRequest, ListEntriesResponse,
    evidence_service_server::EvidenceService,
};
use monitor_transport::identity::Role;
use tonic::{Request, Response, Status};

use super::{Edge, bad, page, sight::Sight};
use crate::ledger::{LedgerError, evidence::Evidence};

const READERS: [Role; 3] = [Role::Soc, Role::Admin, Role::Auditor];

#[tonic::async_trait]
impl EvidenceService for Edge {
    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let sight = Sight::of(&Self::caller(&request, "GetCheckpoint", &READERS)?);
        let tenant = request.into_inner().tenant;
        let found = self.evidence(&sight, &tenant, |evidence| {
            let newest = evidence.newest().cloned();
            let cosigned = evidence.cosigned().unwrap_or_default().to_vec();
            Ok(newest.map(|newest| (newest, cosigned)))
        });
        let Some((newest, cosigned_note)) = found.await? else {
            return Ok(Response::new(GetCheckpointResponse::default()));
        };
        let cosigned = Checkpoint::read(&cosigned_note);
        Ok(Response::new(GetCheckpointResponse {
            note: newest.note,
            key: newest.key,
            size: newest.size,
            cosigned_size: cosigned.map_or(0, |cosigned| cosigned.tree.size),
            cosigned_note,
        }))
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let sight = Sight::of(&Self::caller(&request, "ListEntries", &READERS)?);
        let asked = request.into_inner();
        let (first, limit) = (asked.first.max(1), page::size(asked.page_size)?);
        let grants = self.writer.tables().borrow().grants.clone();
        let shown = sight.clone();
        let entries = self.evidence(&sight, &asked.tenant, move |evidence| {
            let found = evidence.entries(first, limit)?;
            let entries = found.into_iter().map(|hashed| {
                let position = hashed.entry.position;
                let (event_blind, judgement_blind) = evidence.blinding().at(position);
                let whole = shown.whole(&hashed.entry, &grants);
                LedgerEntry {
                    position,
                    leaf: hashed.leaf.to_bytes().to_vec(),
                    event: part(whole.event, event_blind, hashed.entry.judged.event_bytes),
                    judgement: part(whole.judgement, judgement_blind, hashed.judgement_bytes),
                }
            });
            Ok(entries.collect())
        });
        Ok(Response::new(ListEntriesResponse {
            entries: entries.await?,
        }))
    }

    async fn get_tile(
        &self,
        request: Request<GetTileRequest>,
    ) -> Result<Response<GetTileResponse>, Status> {
        let sight = Sight::of(&Self::caller(&request, "GetTile", &READERS)?);
        let asked = request.into_inner();
        let most = monitor_ledger::tile::LEVELS_MAX - 1;
        let level = u8::try_from(asked.level)
            .ok()
            .filter(|level| *level <= most);
        let level =
            level.ok_or_else(|| bad("level", format!("{}; give 0 to {most}", asked.level)))?;
        let hashes = self
            .evidence(&sight, &asked.tenant, move |evidence| {
                evidence.tile(level, asked.index)
            })
            .await?;
        if hashes.is_empty() {
            return Err(Status::not_found("the tree has no such tile"));
        }
        let hashes = hashes.concat();
        Ok(Response::new(GetTileResponse { hashes }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        let sight = Sight::of(&Self::caller(&request, "GetInclusionProof", &READERS)?);
        let asked = request.into_inner();
        let found = self.evidence(&sight, &asked.tenant, move |evidence| {
            let size = wanted(asked.size, evidence);
            if asked.position == 0 || asked.position > size || size > evidence.size() {
                return Ok(Err(evidence.size()));
            }
            evidence.inclusion(asked.position, size).map(Ok)
        });
        let found = found.await?;
        let (leaf, proof) = found.map_err(|signed| {
            let what =
                format!("give a position of 1 to size, and a size of at most {signed}, or 0");
            bad("position", what)
        })?;
        Ok(Response::new(GetInclusionProofResponse {
            leaf_hash: leaf.to_vec(),
            hashes: proof.hashes.iter().map(|hash| hash.to_vec()).collect(),
            size: proof.size,
            root: proof.root.to_vec(),
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        let sight = Sight::of(&Self::caller(&request, "GetConsistencyProof", &READERS)?);
        let asked = request.into_inner();
        let found = self.evidence(&sight, &asked.tenant, move |evidence| {
            let size = wanted(asked.new_size, evidence);
            if asked.old_size == 0 || asked.old_size > size || size > evidence.size() {
                return Ok(Err(evidence.size()));
            }
            evidence.consistency(asked.old_size, size).map(Ok)
        });
        let proof = found.await?.map_err(|signed| {
            let what = format!("give 1 to new_size, and a new_size of at most {signed}, or 0");
            bad("old_size", what)
        })?;
        Ok(Response::new(GetConsistencyProofResponse {
            hashes: proof.hashes.iter().map(|hash| hash.to_vec()).collect(),
            new_size: proof.size,
            new_root: proof.root.to_vec(),
        }))
    }
}

impl Edge {
    /// Asks the ledger of a tenant that the caller sees. One that is not seen
    /// answers as one that is not there.
    async fn evidence<T: Send + 'static>(
        &self,
        sight: &Sight,
        tenant: &str,
        ask: impl FnOnce(&Evidence) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Status> {
        let tenant: TenantId = tenant.parse().map_err(|error| bad("tenant", error))?;
        self.ledgers(sight, std::slice::from_ref(&tenant))?;
        self.seated(sight)
            .look_up(move |data_dir| Ok(ask(&Evidence::open(&data_dir, &tenant)?)?))
            .await
    }
}

/// The size asked for; 0 means the newest.
fn wanted(asked: u64, evidence: &Evidence) -> u64 {
    if asked == 0 { evidence.size() } else { asked }
}

fn part(is_whole: bool, blind: Blind, part: Vec<u8>) -> Option<EntryPart> {
    is_whole.then(|| EntryPart {
        blind: blind.to_vec(),
        part,
    })
}
