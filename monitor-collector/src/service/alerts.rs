//! `AlertService`: alerts by page, what people do with them, and the rules.

use monitor_model::{
    alert::{AlertState, Severity},
    clock::UnixNs,
    id::{AlertId, SessionId, TenantId},
};
use monitor_proto::v1::{
    self, GetAlertRequest, GetAlertResponse, HandleAlertRequest, HandleAlertResponse,
    ListAlertsRequest, ListAlertsResponse, ListRulesRequest, ListRulesResponse,
    alert_service_server::AlertService,
};
use monitor_transport::identity::Role;
use tonic::{Request, Response, Status};

use super::{Edge, bad, denied, name_opt, page, reads, reads::Words, reason, sight::Sight};
use crate::{
    alert::{rule::Rule, sigma::SigmaFile},
    core::alerts::Handling,
    state::{
        Raised,
        read::{AlertFilter, Place},
    },
    writer::Request as Ask,
};

const READERS: [Role; 3] = [Role::Soc, Role::Admin, Role::Auditor];
/// Most states that a question names.
const STATES_MAX: usize = 16;

#[tonic::async_trait]
impl AlertService for Edge {
    async fn list_alerts(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<ListAlertsResponse>, Status> {
        let identity = Self::caller(&request, "ListAlerts", &READERS)?;
        let sight = Sight::of(&identity);
        let asked = request.into_inner();
        let (size, place) = (
            page::size(asked.page_size)?,
            page::place(&asked.page_token)?,
        );
        let tenant = name_opt("tenant", &asked.tenant)?;
        let Some(ledgers) = sight.narrow(tenant.as_slice()) else {
            return Ok(Response::new(ListAlertsResponse::default()));
        };
        let words = Words::default()
            .with("principal", asked.principal.as_str())
            .with("tenant", asked.tenant.as_str())
            .with("session", reads::session(&asked.session))
            .with("severity_min", asked.severity_min)
            .with("states", asked.states.clone());
        let of = ledgers.clone();
        let filter = AlertFilter {
            principal: name_opt("principal", &asked.principal)?,
            ledgers,
            session: session(&asked.session)?,
            severity_min: severity("severity_min", asked.severity_min)?,
            states: states(&asked.states)?,
            id: None,
        };
        self.enter_call(&identity, "ListAlerts", words, &of).await?;
        let mut found = self
            .seated(&sight)
            .ask_state(move |state| state.alerts(&filter, place.at, size + 1))
            .await?;
        let next_page_token = page::cut(&mut found, size, |raised| Place {
            at: raised.stamp,
            id: String::new(),
        });
        let alerts = found.iter().map(|raised| sight.alert(raised)).collect();
        Ok(Response::new(ListAlertsResponse {
            alerts,
            next_page_token,
        }))
    }

    async fn get_alert(
        &self,
        request: Request<GetAlertRequest>,
    ) -> Result<Response<GetAlertResponse>, Status> {
        let identity = Self::caller(&request, "GetAlert", &READERS)?;
        let sight = Sight::of(&identity);
        let id = alert_id(&request.into_inner().id)?;
        let raised = self.seen(&sight, id).await;
        let of = match &raised {
            Ok(raised) => raised.alert.ledger.clone(),
            Err(_) => TenantId::provider(),
        };
        let words = Words::default().with("id", id.to_string());
        self.enter_call(&identity, "GetAlert", words, &[of]).await?;
        let raised = raised?;
        Ok(Response::new(GetAlertResponse {
            alert: Some(sight.alert(&raised)),
        }))
    }

    async fn handle_alert(
        &self,
        request: Request<HandleAlertRequest>,
    ) -> Result<Response<HandleAlertResponse>, Status> {
        let identity = Self::caller(&request, "HandleAlert", &[Role::Soc, Role::Admin])?;
        let asked = request.into_inner();
        let handling = Handling {
            alert: alert_id(&asked.id)?,
            state: match v1::AlertState::try_from(asked.state) {
                Ok(v1::AlertState::Acknowledged) => AlertState::Acknowledged,
                Ok(v1::AlertState::Closed) => AlertState::Closed,
                Ok(v1::AlertState::Unspecified | v1::AlertState::Open) | Err(_) => {
                    return Err(bad("state", "give ACKNOWLEDGED or CLOSED"));
                }
            },
            author: format!("{}/{}", identity.role.as_str(), identity.name),
            note: reason("note", &asked.note)?,
        };
        let handled = self
            .writer
            .ask(|reply| Ask::Handle(Box::new(handling), reply))
            .await;
        let raised = handled.map_err(denied)?;
        Ok(Response::new(HandleAlertResponse {
            alert: Some(Sight::of(&identity).alert(&raised)),
        }))
    }

    async fn list_rules(
        &self,
        request: Request<ListRulesRequest>,
    ) -> Result<Response<ListRulesResponse>, Status> {
        let sight = Sight::of(&Self::caller(&request, "ListRules", &READERS)?);
        // Names of files, and words of those that do not run, may name anybody.
        let sigma_files = match sight {
            Sight::Everything => self.config.sigma_files.iter().map(file).collect(),
            Sight::Tenants(_) => Vec::new(),
        };
        Ok(Response::new(ListRulesResponse {
            rules: self.config.rules.iter().map(shown).collect(),
            sigma_files,
        }))
    }
}

impl Edge {
    /// An alert in a ledger that is seen; one that is not seen answers as one
    /// that is not there.
    async fn seen(&self, sight: &Sight, id: AlertId) -> Result<Raised, Status> {
        let missing = || Status::not_found(format!("no alert {id} is known"));
        let ledgers = sight.narrow(&[]).ok_or_else(missing)?;
        let filter = AlertFilter {
            ledgers,
            id: Some(id),
            ..AlertFilter::default()
        };
        let found = self
            .seated(sight)
            .ask_state(move |state| state.alerts(&filter, UnixNs::MAX, 1))
            .await?;
        found.into_iter().next().ok_or_else(missing)
    }
}

fn shown(rule: &Rule) -> v1::Rule {
    v1::Rule {
        id: rule.id.clone(),
        version: rule.version,
        title: rule.title.clone(),
        severity: v1::Severity::from(rule.severity).into(),
        technique: rule.technique.clone(),
        attack_version: rule.attack_version.clone(),
        controls: rule.controls.clone(),
        response: v1::AlertResponse::from(rule.response).into(),
    }
}

fn file(file: &SigmaFile) -> v1::SigmaFile {
    v1::SigmaFile {
        path: file.path.clone(),
        id: file.id.clone().unwrap_or_default(),
        title: file.title.clone(),
        refused: file.refused.clone().unwrap_or_default(),
    }
}

fn alert_id(bytes: &[u8]) -> Result<AlertId, Status> {
    AlertId::from_slice(bytes).map_err(|error| bad("id", error))
}

fn session(bytes: &[u8]) -> Result<Option<SessionId>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    SessionId::from_slice(bytes)
        .map(Some)
        .map_err(|error| bad("session", error))
}

/// A severity that is absent when not stated.
pub(super) fn severity(field: &str, number: i32) -> Result<Option<Severity>, Status> {
    match v1::Severity::try_from(number) {
        Ok(v1::Severity::Unspecified) => Ok(None),
        Ok(severity) => severity
            .try_into()
            .map(Some)
            .map_err(|error| bad(field, error)),
        Err(_) => Err(bad(field, format!("{number} is no severity"))),
    }
}

fn states(numbers: &[i32]) -> Result<Vec<AlertState>, Status> {
    if numbers.len() > STATES_MAX {
        return Err(bad("states", format!("more than {STATES_MAX} values")));
    }
    let wrong = |number| bad("states", format!("{number} is no state of alerts"));
    numbers
        .iter()
        .map(|&number| {
            v1::AlertState::try_from(number)
                .ok()
                .and_then(|state| state.try_into().ok())
                .ok_or_else(|| wrong(number))
        })
        .collect()
}
