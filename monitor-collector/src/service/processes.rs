//! `ProcessService`: what lives in sessions, by page.
//!
//! An auditor sees the sessions of the tenants in the certificate, as in the
//! list of sessions. What another session did in a process of theirs, and which
//! session that was, is left out: it may be another tenant's.

use monitor_model::live::ProcessKey;
use monitor_proto::v1::{
    ListProcessesRequest, ListProcessesResponse, LiveSession as Message,
    process_service_server::ProcessService,
};
use monitor_transport::identity::Role;
use tonic::{Request, Response, Status};

use super::{Edge, bad, denied, name_opt, page, reads::Words, sight::Sight};
use crate::{
    core::live::{After, Asked, Page},
    state::read::{Place, SessionFilter},
    writer,
};

const READERS: [Role; 3] = [Role::Soc, Role::Admin, Role::Auditor];

#[tonic::async_trait]
impl ProcessService for Edge {
    async fn list_processes(
        &self,
        request: Request<ListProcessesRequest>,
    ) -> Result<Response<ListProcessesResponse>, Status> {
        let identity = Self::caller(&request, "ListProcesses", &READERS)?;
        let sight = Sight::of(&identity);
        let asked = request.into_inner();
        let size = page::size(asked.page_size)?;
        let after = after(&asked.page_token)?;
        let tenant = name_opt("tenant", &asked.tenant)?;
        let Some(tenants) = sight.narrow(tenant.as_slice()) else {
            return Ok(Response::new(ListProcessesResponse::default()));
        };
        let words = Words::default()
            .with("principal", asked.principal.as_str())
            .with("tenant", asked.tenant.as_str())
            .with("host", asked.host.as_str());
        let of = tenants.clone();
        let asked = Asked {
            filter: SessionFilter {
                principal: name_opt("principal", &asked.principal)?,
                tenants,
                host: name_opt("host", &asked.host)?,
                ended: false,
            },
            after,
            size: usize::try_from(size).unwrap_or(usize::MAX),
            within: match &sight {
                Sight::Everything => None,
                Sight::Tenants(tenants) => Some(tenants.clone()),
            },
        };
        self.enter_call(&identity, "ListProcesses", words, &of)
            .await?;
        // One of the places for look-ups: who asks often waits for others.
        let _seat = self.seated(&sight).seat().await?;
        let found = self
            .writer
            .ask(|reply| writer::Request::Live(Box::new(asked), reply))
            .await
            .map_err(denied)?;
        Ok(Response::new(self.answer(&sight, found)))
    }
}

impl Edge {
    fn answer(&self, sight: &Sight, found: Page) -> ListProcessesResponse {
        let grants = self.writer.tables().borrow().grants.clone();
        let connected = self.agents.connected();
        let next_page_token = page::token(found.next.map(|next| place(&next)));
        let sessions = found.sessions.into_iter().map(|mut live| {
            live.missing.agent_away = !connected.contains(&live.session.host);
            let mut message = Message::from(&live);
            let mut session = sight.session(&live.session, &grants);
            // Here it is known which sessions on the way the reader may see.
            session.way = live.session.way.iter().map(Into::into).collect();
            message.session = Some(session);
            message
        });
        ListProcessesResponse {
            sessions: sessions.collect(),
            next_page_token,
        }
    }
}

/// `SESSION`, or `SESSION/START/PID` within one.
fn place(after: &After) -> Place {
    let id = match after.process {
        None => after.session.to_string(),
        Some(key) => format!("{}/{:x}/{:x}", after.session, key.start_boot_ns, key.pid),
    };
    Place {
        at: after.opened_at,
        id,
    }
}

fn after(token: &str) -> Result<Option<After>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = || bad("page_token", "not a token from an earlier answer");
    let place = page::place(token)?;
    let mut parts = place.id.split('/');
    let session = parts.next().and_then(|id| id.parse().ok());
    let process = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => None,
        (Some(start), Some(pid), None) => Some(ProcessKey {
            start_boot_ns: u64::from_str_radix(start, 16).map_err(|_| wrong())?,
            pid: u32::from_str_radix(pid, 16).map_err(|_| wrong())?,
        }),
        _ => return Err(wrong()),
    };
    Ok(Some(After {
        opened_at: place.at,
        session: session.ok_or_else(wrong)?,
        process,
    }))
}

#[cfg(test)]
mod tests {
    use monitor_model::{clock::UnixNs, id::SessionId};

    use super::*;

    #[test]
    fn a_token_goes_on_where_the_page_ended_and_others_are_refused() {
        let session = SessionId::from_parts(UnixNs(1_000_000), 2);
        for process in [
            None,
            Some(ProcessKey {
                start_boot_ns: u64::MAX,
                pid: 7,
            }),
        ] {
            let next = After {
                opened_at: UnixNs(9),
                session,
                process,
            };
            let token = page::token(Some(place(&next)));
            assert_eq!(after(&token).unwrap(), Some(next));
        }
        assert_eq!(after("").unwrap(), None);
        for token in [
            "x",
            "9.",
            "9.x",
            &format!("9.{session}/1"),
            &format!("9.{session}/1/2/3"),
        ] {
            assert!(after(token).is_err(), "{token}");
        }
    }
}
