//! `EvidenceService`: what proves a ledger.

use monitor_ledger::{checkpoint::Checkpoint, leaf::Blind, sequences::Stream};
use monitor_model::{
    clock::UnixNs,
    id::{SessionId, TenantId},
};
use monitor_proto::v1::{
    CoverageNote, EntryPart, GetCheckpointRequest, GetCheckpointResponse, GetCompletenessRequest,
    GetCompletenessResponse, GetConsistencyProofRequest, GetConsistencyProofResponse,
    GetInclusionProofRequest, GetInclusionProofResponse, GetTileRequest, GetTileResponse,
    LedgerEntry, ListEntriesRequest, ListEntriesResponse, MissingNumbers, StreamNumbers,
    evidence_service_server::EvidenceService,
};
use monitor_transport::identity::{Identity, Role};
use tonic::{Request, Response, Status};

use super::{Edge, bad, page, reads, reads::Words, sight::Sight};
use crate::ledger::{
    LedgerError,
    coverage::{Asked, Coverage, Note, Noted},
    evidence::Evidence,
    read::Reader,
};

const READERS: [Role; 3] = [Role::Soc, Role::Admin, Role::Auditor];

#[tonic::async_trait]
impl EvidenceService for Edge {
    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let identity = Self::caller(&request, "GetCheckpoint", &READERS)?;
        let sight = Sight::of(&identity);
        let tenant = request.into_inner().tenant;
        self.enter_evidence(&identity, "GetCheckpoint", &tenant)
            .await?;
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
        let identity = Self::caller(&request, "ListEntries", &READERS)?;
        let sight = Sight::of(&identity);
        let asked = request.into_inner();
        let (first, limit) = (asked.first.max(1), page::size(asked.page_size)?);
        self.enter_evidence(&identity, "ListEntries", &asked.tenant)
            .await?;
        let grants = self.writer.tables().borrow().grants.clone();
        let shown = sight.clone();
        let entries = self.evidence(&sight, &asked.tenant, move |evidence| {
            let found = evidence.entries(first, limit)?;
            let entries = found.into_iter().map(|hashed| {
                let position = hashed.position;
                let leaf = hashed.leaf.to_bytes().to_vec();
                let Some((entry, judgement)) = hashed.stored else {
                    return LedgerEntry {
                        position,
                        leaf,
                        event: None,
                        judgement: None,
                    };
                };
                let (event_blind, judgement_blind) = evidence.blinding().at(position);
                let whole = shown.whole(&entry, &grants);
                LedgerEntry {
                    position,
                    leaf,
                    event: part(whole.event, event_blind, entry.judged.event_bytes),
                    judgement: part(whole.judgement, judgement_blind, judgement),
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
        let identity = Self::caller(&request, "GetTile", &READERS)?;
        let sight = Sight::of(&identity);
        let asked = request.into_inner();
        let most = monitor_ledger::tile::LEVELS_MAX - 1;
        let level = u8::try_from(asked.level)
            .ok()
            .filter(|level| *level <= most);
        let level =
            level.ok_or_else(|| bad("level", format!("{}; give 0 to {most}", asked.level)))?;
        self.enter_evidence(&identity, "GetTile", &asked.tenant)
            .await?;
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
        let identity = Self::caller(&request, "GetInclusionProof", &READERS)?;
        let sight = Sight::of(&identity);
        let asked = request.into_inner();
        self.enter_evidence(&identity, "GetInclusionProof", &asked.tenant)
            .await?;
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
        let identity = Self::caller(&request, "GetConsistencyProof", &READERS)?;
        let sight = Sight::of(&identity);
        let asked = request.into_inner();
        self.enter_evidence(&identity, "GetConsistencyProof", &asked.tenant)
            .await?;
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

    async fn get_completeness(
        &self,
        request: Request<GetCompletenessRequest>,
    ) -> Result<Response<GetCompletenessResponse>, Status> {
        let identity = Self::caller(&request, "GetCompleteness", &READERS)?;
        let sight = Sight::of(&identity);
        let asked = request.into_inner();
        let words = Words::default()
            .with("session", reads::session(&asked.session))
            .with("host", asked.host.as_str())
            .with("from_unix_ns", asked.from_unix_ns)
            .with("to_unix_ns", asked.to_unix_ns);
        let (until, asked, of) = if asked.session.is_empty() {
            let (until, asked) = of_host(&sight, &asked)?;
            (until, asked, TenantId::provider())
        } else {
            self.of_session(&sight, &asked).await?
        };
        self.enter_call(&identity, "GetCompleteness", words, &[of])
            .await?;
        let all = self.ledgers(&Sight::Everything, &[])?;
        let span = asked.clone();
        let found = self
            .seated(&sight)
            .look_up(move |data_dir| {
                let readers = all.iter().map(|tenant| Reader::open(&data_dir, tenant));
                let readers: Vec<Reader> = readers.collect::<Result<_, _>>()?;
                Ok(Coverage::of(&readers, &span)?)
            })
            .await?;
        // Of what goes on, as far as is known.
        let to = until.unwrap_or(found.known_to);
        Ok(Response::new(answer(&asked, to, found)))
    }
}

impl Edge {
    /// Until when a session's host is asked for, of what, and whose it is. A session that is
    /// not seen answers as one that is not there.
    async fn of_session(
        &self,
        sight: &Sight,
        asked: &GetCompletenessRequest,
    ) -> Result<(Option<UnixNs>, Asked, TenantId), Status> {
        if !asked.host.is_empty() {
            return Err(bad("host", "give a session or a host, not both"));
        }
        let id = SessionId::from_slice(&asked.session).map_err(|error| bad("session", error))?;
        let edge = self.seated(sight);
        let missing = || Status::not_found(format!("no session {id} is known"));
        let seen = sight.narrow(&[]).ok_or_else(missing)?;
        let found = edge.ask_state(move |state| state.session(id, &seen));
        let login = found.await?.ok_or_else(missing)?;
        let session = login.session;
        let asked = Asked {
            host: session.host,
            from: session.opened_at,
            to: session.ended_at.unwrap_or(UnixNs::MAX),
            boot: Some(login.boot),
        };
        let of = session.tenant.unwrap_or_else(TenantId::provider);
        Ok((session.ended_at, asked, of))
    }

    /// Enters that a ledger's evidence was read; pages of it are counted as one.
    /// Of a tenant that the caller may not see nothing is, since nothing is shown.
    async fn enter_evidence(
        &self,
        identity: &Identity,
        call: &'static str,
        tenant: &str,
    ) -> Result<(), Status> {
        let tenant: TenantId = tenant.parse().map_err(|error| bad("tenant", error))?;
        let of = [tenant];
        self.ledgers(&Sight::of(identity), &of)?;
        self.enter_call(identity, call, Words::default(), &of).await
    }

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

/// Until when is asked, none for as far as is known; and of what.
fn of_host(
    sight: &Sight,
    asked: &GetCompletenessRequest,
) -> Result<(Option<UnixNs>, Asked), Status> {
    if *sight != Sight::Everything {
        return Err(Status::permission_denied(
            "auditors ask by session: a host has sessions of others",
        ));
    }
    if asked.host.is_empty() {
        return Err(bad("host", "give a session or a host"));
    }
    let until = (asked.to_unix_ns > 0).then_some(UnixNs(asked.to_unix_ns));
    let asked = Asked {
        host: asked.host.parse().map_err(|error| bad("host", error))?,
        from: UnixNs(asked.from_unix_ns),
        to: until.unwrap_or(UnixNs::MAX),
        boot: None,
    };
    if asked.from > asked.to {
        return Err(bad("to_unix_ns", "is before from_unix_ns"));
    }
    Ok((until, asked))
}

fn answer(asked: &Asked, to: UnixNs, found: Coverage) -> GetCompletenessResponse {
    let numbers = |stream: &Stream, first, last| StreamNumbers {
        boot: stream.boot.to_bytes().to_vec(),
        source: stream.source.to_string(),
        first,
        last,
    };
    GetCompletenessResponse {
        complete: found.is_complete(to),
        host: asked.host.to_string(),
        from_unix_ns: asked.from.0,
        to_unix_ns: to.0,
        // What came after what was asked for is not told.
        known_to_unix_ns: found.known_to.min(to).0,
        streams: found
            .held
            .iter()
            .map(|held| numbers(&held.stream, held.first, held.last))
            .collect(),
        missing: found
            .missing
            .into_iter()
            .map(|missing| MissingNumbers {
                numbers: Some(numbers(&missing.stream, missing.first, missing.last)),
                cause: missing.cause.unwrap_or_default(),
            })
            .collect(),
        notes: found.notes.into_iter().map(note).collect(),
        truncated: found.is_cut,
    }
}

fn note(note: Note) -> CoverageNote {
    let (impaired, times) = match note.what {
        Noted::Unwatched => (String::new(), 0),
        Noted::Impaired { reason, times } => (reason, times),
    };
    CoverageNote {
        at_unix_ns: note.at.0,
        boot: note.boot.to_bytes().to_vec(),
        impaired,
        times,
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
