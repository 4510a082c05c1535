//! `GrantService`: permissions, as brokers give and end them.

use std::sync::Arc;

use monitor_model::{
    clock::UnixNs,
    grant::{Grant, Life, REVIEW_BYTES_MAX},
    id::{PrincipalId, TenantId},
};
use monitor_proto::v1::{
    self, EndGrantRequest, EndGrantResponse, EndSubjectRequest, EndSubjectResponse,
    ListGrantUseRequest, ListGrantUseResponse, ListGrantsRequest, ListGrantsResponse,
    PutGrantRequest, PutGrantResponse, ReviewGrantRequest, ReviewGrantResponse,
    grant_service_server::GrantService,
};
use monitor_transport::identity::Role;
use tonic::{Request, Response, Status};

use super::{Edge, bad, denied, name_opt, page, reads::Words, reason, sight::Sight};
use crate::{
    core::grants::GrantUse,
    ledger::read::within,
    state::read::Place,
    writer::{Request as Ask, Review},
};

/// Which grants.
struct Wanted {
    /// Of these tenants; empty for all.
    tenants: Vec<TenantId>,
    principal: Option<PrincipalId>,
    include_ended: bool,
    after: Place,
}

impl Wanted {
    fn admits(&self, grant: &Grant, now: UnixNs) -> bool {
        let principal = self.principal.as_ref();
        let is_open = matches!(grant.life(now), Life::Alive | Life::NotStarted);
        within(&self.tenants, Some(&grant.tenant))
            && principal.is_none_or(|wanted| grant.principal == *wanted)
            && (self.include_ended || is_open || grant.awaits_review())
            && grant.id.as_str() > self.after.id.as_str()
    }
}

fn grant_use(sight: &Sight, grant: &Grant, used: &GrantUse) -> v1::GrantUse {
    let entries = used.entries.iter().map(|(entry, used)| v1::EntryUse {
        part: v1::ScopePart::from(entry.part).into(),
        entry: grant.scope.entry_text(*entry),
        accesses: used.accesses,
        last_unix_ns: used.last.0,
    });
    v1::GrantUse {
        grant: Some(sight.grant(grant)),
        entries: entries.collect(),
        accesses: used.whole.accesses,
        last_unix_ns: used.whole.last.0,
    }
}

impl Edge {
    /// Grants by name, and the token of the next page.
    fn page_of_grants(&self, wanted: &Wanted, size: u32) -> (Vec<Grant>, String) {
        let known = self.writer.tables().borrow().grants.clone();
        let now = self.clock.now();
        let mut grants: Vec<&Grant> = known
            .values()
            .filter(|grant| wanted.admits(grant, now))
            .collect();
        grants.sort_by(|one, two| one.id.cmp(&two.id));
        let next = page::cut(&mut grants, size, |grant| Place {
            at: UnixNs(0),
            id: grant.id.to_string(),
        });
        (grants.into_iter().cloned().collect(), next)
    }
}

#[tonic::async_trait]
impl GrantService for Edge {
    async fn put_grant(
        &self,
        request: Request<PutGrantRequest>,
    ) -> Result<Response<PutGrantResponse>, Status> {
        Self::caller(&request, "PutGrant", &[Role::Broker, Role::Admin])?;
        let message = request
            .into_inner()
            .grant
            .ok_or_else(|| bad("grant", "is missing"))?;
        let grant: Grant = message.try_into().map_err(|error| bad("grant", error))?;
        let policy = Arc::clone(&self.writer.tables().borrow().policy);
        if !policy.has_tenant(&grant.tenant) {
            return Err(bad(
                "grant.tenant",
                format!("no tenant {} is configured", grant.tenant),
            ));
        }
        let version = self
            .writer
            .ask(|reply| Ask::PutGrant(Box::new(grant), reply))
            .await
            .map_err(denied)?;
        let hosts = self.agents.shown(version).await;
        Ok(Response::new(PutGrantResponse {
            hosts: hosts.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn end_grant(
        &self,
        request: Request<EndGrantRequest>,
    ) -> Result<Response<EndGrantResponse>, Status> {
        let identity = Self::caller(&request, "EndGrant", &[Role::Broker, Role::Admin])?;
        let asked = request.into_inner();
        let id = asked.grant.parse().map_err(|error| bad("grant", error))?;
        let reason = format!(
            "{} (by {})",
            reason("reason", &asked.reason)?,
            identity.name
        );
        let ended = self
            .writer
            .ask(|reply| Ask::EndGrant(id, reason, reply))
            .await;
        let (grant, version) = ended.map_err(denied)?;
        self.agents.shown(version).await;
        Ok(Response::new(EndGrantResponse {
            grant: Some((&grant).into()),
        }))
    }

    async fn end_subject(
        &self,
        request: Request<EndSubjectRequest>,
    ) -> Result<Response<EndSubjectResponse>, Status> {
        let identity = Self::caller(&request, "EndSubject", &[Role::Broker])?;
        let answer = self.end(&identity, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn list_grants(
        &self,
        request: Request<ListGrantsRequest>,
    ) -> Result<Response<ListGrantsResponse>, Status> {
        let roles = [Role::Soc, Role::Admin, Role::Broker, Role::Auditor];
        let identity = Self::caller(&request, "ListGrants", &roles)?;
        let asked = request.into_inner();
        let size = page::size(asked.page_size)?;
        let place = page::place(&asked.page_token)?;
        let tenant: Option<TenantId> = name_opt("tenant", &asked.tenant)?;
        let principal: Option<PrincipalId> = name_opt("principal", &asked.principal)?;
        let sight = Sight::of(&identity);
        let Some(tenants) = sight.narrow(tenant.as_slice()) else {
            return Ok(Response::new(ListGrantsResponse::default()));
        };
        let words = Words::default()
            .with("principal", asked.principal.as_str())
            .with("tenant", asked.tenant.as_str())
            .with("include_ended", asked.include_ended);
        self.enter_call(&identity, "ListGrants", words, &tenants)
            .await?;
        let wanted = Wanted {
            tenants,
            principal,
            include_ended: asked.include_ended,
            after: place,
        };
        let (grants, next_page_token) = self.page_of_grants(&wanted, size);
        Ok(Response::new(ListGrantsResponse {
            grants: grants.iter().map(|grant| sight.grant(grant)).collect(),
            next_page_token,
        }))
    }

    async fn list_grant_use(
        &self,
        request: Request<ListGrantUseRequest>,
    ) -> Result<Response<ListGrantUseResponse>, Status> {
        let roles = [Role::Soc, Role::Admin, Role::Broker, Role::Auditor];
        let identity = Self::caller(&request, "ListGrantUse", &roles)?;
        let asked = request.into_inner();
        let size = page::size(asked.page_size)?;
        let after = page::place(&asked.page_token)?;
        let tenant: Option<TenantId> = name_opt("tenant", &asked.tenant)?;
        let principal: Option<PrincipalId> = name_opt("principal", &asked.principal)?;
        let sight = Sight::of(&identity);
        let Some(tenants) = sight.narrow(tenant.as_slice()) else {
            return Ok(Response::new(ListGrantUseResponse::default()));
        };
        let words = Words::default()
            .with("principal", asked.principal.as_str())
            .with("tenant", asked.tenant.as_str())
            .with("include_ended", asked.include_ended);
        self.enter_call(&identity, "ListGrantUse", words, &tenants)
            .await?;
        let wanted = Wanted {
            tenants,
            principal,
            include_ended: asked.include_ended,
            after,
        };
        let (grants, next_page_token) = self.page_of_grants(&wanted, size);
        let ids = grants.iter().map(|grant| grant.id.clone()).collect();
        let ask = |reply| Ask::GrantUse(ids, reply);
        let (uses, uncounted) = self.writer.ask(ask).await.map_err(denied)?;
        let of = |used: &GrantUse| {
            let grant = grants.iter().find(|grant| grant.id == used.grant)?;
            Some(grant_use(&sight, grant, used))
        };
        let uncounted = match sight {
            Sight::Everything => uncounted,
            // How many there are is all tenants' doing; that there are any is not hidden.
            Sight::Tenants(_) => uncounted.min(1),
        };
        Ok(Response::new(ListGrantUseResponse {
            uses: uses.iter().filter_map(of).collect(),
            next_page_token,
            uncounted,
        }))
    }

    async fn review_grant(
        &self,
        request: Request<ReviewGrantRequest>,
    ) -> Result<Response<ReviewGrantResponse>, Status> {
        let identity = Self::caller(&request, "ReviewGrant", &[Role::Soc, Role::Admin])?;
        let asked = request.into_inner();
        let grant = asked.grant.parse().map_err(|error| bad("grant", error))?;
        let note = asked.note.trim().to_owned();
        if note.is_empty() || note.len() > REVIEW_BYTES_MAX {
            let wanted = format!("give what was found, 1 to {REVIEW_BYTES_MAX} bytes");
            return Err(bad("note", wanted));
        }
        let by = identity.name.as_str().parse();
        let by = by.map_err(|error| bad("certificate", error))?;
        let review = Review { grant, by, note };
        let ask = |reply| Ask::ReviewGrant(review, reply);
        let grant = self.writer.ask(ask).await.map_err(denied)?;
        Ok(Response::new(ReviewGrantResponse {
            grant: Some((&grant).into()),
        }))
    }
}
