//! The tonic edge: who may call, messages to the model and back, errors to codes.

use std::{sync::Arc, time::Duration};

use monitor_model::{
    clock::UnixNs,
    grant::Grant,
    id::{GrantId, OrderId, PrincipalId},
};
use monitor_proto::v1::{
    self, broker_service_server::BrokerService, issuer_service_server::IssuerService,
};
use monitor_transport::identity::{Identity, Role};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Request, Response, Status};

use crate::{
    broker::{Broker, IssueError, RegisterError, RevokeError, TEXT_BYTES_MAX, check_text},
    ca::CertifyError,
    courier::{Courier, CourierError, RETRY_MIN, blocking},
    key_id,
    store::{Ending, Issued, RevokeOrder, StoreError, Subject},
};

/// How long a grant is put to the collector when the caller gives no deadline.
const REGISTER_TIME: Duration = Duration::from_secs(10);
/// Kept of the caller's deadline for the answer itself.
const ANSWER_TIME: Duration = Duration::from_millis(200);
/// Most serials or grants that one order names.
const NAMED_MAX: usize = 10_000;

/// `BrokerService` and `IssuerService`.
#[derive(Clone, Debug)]
pub struct Service {
    broker: Arc<Broker>,
    courier: Arc<Courier>,
}

impl Service {
    /// Serves a broker.
    #[must_use]
    pub const fn new(broker: Arc<Broker>, courier: Arc<Courier>) -> Self {
        Self { broker, courier }
    }

    /// Puts a grant to the collector until it is there, refused, or too late.
    async fn put(&self, id: &GrantId, until: Instant) -> Result<Vec<String>, Status> {
        let mut pause = RETRY_MIN / 2;
        let mut last = "no answer in time".to_owned();
        loop {
            match timeout_at(until, self.courier.put(id)).await {
                Ok(Ok(hosts)) => return Ok(hosts),
                Ok(Err(
                    error @ (CourierError::Refused { .. } | CourierError::NotAllowed { .. }),
                )) => {
                    return Err(Status::failed_precondition(format!("grant {id}: {error}")));
                }
                Ok(Err(error @ (CourierError::Store(_) | CourierError::Stopping))) => {
                    return Err(Status::internal(error.to_string()));
                }
                Ok(Err(error @ CourierError::Unreachable { .. })) => last = error.to_string(),
                Err(_) => {}
            }
            if Instant::now() + pause >= until {
                self.courier.wake();
                return Err(Status::unavailable(format!(
                    "grant {id} is stored and will be put to the collector as soon as possible; \
                     until then nothing is issued for it: {last}"
                )));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

#[tonic::async_trait]
impl IssuerService for Service {
    async fn register_grant(
        &self,
        request: Request<v1::RegisterGrantRequest>,
    ) -> Result<Response<v1::RegisterGrantResponse>, Status> {
        Identity::of(&request)?.require(&[Role::Admin])?;
        let time =
            deadline(&request).map_or(REGISTER_TIME, |time| time.saturating_sub(ANSWER_TIME));
        let until = Instant::now() + time;
        let message = request.into_inner().grant;
        let message = message.ok_or_else(|| Status::invalid_argument("field grant is missing"))?;
        let grant = Grant::try_from(message)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (broker, id) = (Arc::clone(&self.broker), grant.id.clone());
        blocking(move || broker.register(&grant))
            .await
            .map_err(stopping)?
            .map_err(register_status)?;
        let hosts = self.put(&id, until).await?;
        Ok(Response::new(v1::RegisterGrantResponse { hosts }))
    }

    async fn issue_certificate(
        &self,
        request: Request<v1::IssueCertificateRequest>,
    ) -> Result<Response<v1::IssueCertificateResponse>, Status> {
        Identity::of(&request)?.require(&[Role::Admin])?;
        let v1::IssueCertificateRequest {
            grant,
            public_key,
            also,
        } = request.into_inner();
        let id: GrantId = grant.parse().map_err(|error| invalid("grant", &error))?;
        let also = also.iter().map(|id| id.parse());
        let also = also.collect::<Result<Vec<GrantId>, _>>();
        let also = also.map_err(|error| invalid("also", &error))?;
        let broker = Arc::clone(&self.broker);
        let issued = blocking(move || broker.issue((&id, &also), &public_key))
            .await
            .map_err(stopping)?;
        let (issued, signed) = issued.map_err(issue_status)?;
        Ok(Response::new(v1::IssueCertificateResponse {
            certificate: signed.openssh,
            issued: Some(message(issued)),
        }))
    }

    async fn tell_ending(
        &self,
        request: Request<v1::TellEndingRequest>,
    ) -> Result<Response<v1::TellEndingResponse>, Status> {
        let caller = Identity::of(&request)?;
        caller.require(&[Role::Admin])?;
        let time =
            deadline(&request).map_or(REGISTER_TIME, |time| time.saturating_sub(ANSWER_TIME));
        let ending = ending(request.into_inner(), &caller, self.broker.now())?;
        let (broker, id) = (Arc::clone(&self.broker), ending.id);
        let revoked = blocking(move || broker.end_subject(&ending))
            .await
            .map_err(stopping)?;
        // Whatever becomes of the list, the collector is told.
        self.courier.wake();
        let revoked = revoked.map_err(revoke_status)?;
        let late = || CourierError::Unreachable {
            text: "no answer in time".to_owned(),
        };
        let told = timeout_at(Instant::now() + time, self.courier.tell_ending(id)).await;
        let (collector, waits) = match told.unwrap_or_else(|_| Err(late())) {
            Ok(answer) => (answer, String::new()),
            Err(error) => (None, error.to_string()),
        };
        Ok(Response::new(v1::TellEndingResponse {
            revoked: revoked.iter().map(Into::into).collect(),
            collector,
            waits,
        }))
    }
}

fn ending(
    message: v1::TellEndingRequest,
    caller: &Identity,
    now: UnixNs,
) -> Result<Ending, Status> {
    use v1::tell_ending_request::Subject as Named;
    let v1::TellEndingRequest {
        id,
        subject,
        reason,
    } = message;
    let subject = match subject {
        None => {
            return Err(Status::invalid_argument(
                "field subject is missing; give engineer or ticket",
            ));
        }
        Some(Named::Engineer(name)) => {
            Subject::Engineer(name.parse().map_err(|error| invalid("engineer", &error))?)
        }
        Some(Named::Ticket(ticket)) => {
            key_id::check_ticket(&ticket).map_err(|error| invalid("ticket", &error))?;
            Subject::Ticket(ticket)
        }
    };
    check_text("reason", &reason).map_err(register_status)?;
    Ok(Ending {
        id: OrderId::from_slice(&id).map_err(|error| invalid("id", &error))?,
        subject,
        reason,
        initiator: caller.to_string(),
        at: now,
    })
}

#[tonic::async_trait]
impl BrokerService for Service {
    async fn revoke_credentials(
        &self,
        request: Request<v1::RevokeCredentialsRequest>,
    ) -> Result<Response<v1::RevokeCredentialsResponse>, Status> {
        let caller = Identity::of(&request)?;
        caller.require(&[Role::Collector, Role::Admin])?;
        let order =
            order(request.into_inner(), caller.to_string()).map_err(Status::invalid_argument)?;
        let broker = Arc::clone(&self.broker);
        let answer = blocking(move || broker.revoke(&order))
            .await
            .map_err(stopping)?;
        // Grants that were ended: the collector is told of all of them, since
        // it may not have known each when it gave the order.
        self.courier.wake();
        let answer = answer.map_err(revoke_status)?;
        Ok(Response::new(v1::RevokeCredentialsResponse {
            revoked: answer.revoked.iter().map(Into::into).collect(),
            published_at_unix_ns: answer.published_at.map(|at| at.0),
            list_number: answer.list,
        }))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Identity::of(&request)?.require(&[Role::Collector, Role::Admin])?;
        let text = request.into_inner().principal;
        let principal: PrincipalId = text.parse().map_err(|error| invalid("principal", &error))?;
        let broker = Arc::clone(&self.broker);
        let held = blocking(move || broker.describe(&principal))
            .await
            .map_err(stopping)?;
        let (grants, certificates) = held.map_err(store_status)?;
        Ok(Response::new(v1::DescribeResponse {
            grants: grants.iter().map(Into::into).collect(),
            certificates: certificates.into_iter().map(message).collect(),
        }))
    }
}

/// An order, checked; what is wrong with it otherwise.
pub(crate) fn order(
    message: v1::RevokeCredentialsRequest,
    initiator: String,
) -> Result<RevokeOrder, String> {
    let v1::RevokeCredentialsRequest {
        order,
        attempt: _,
        issued_at_unix_ns: _,
        target,
        serials,
        grants,
        reason,
    } = message;
    let target = target.ok_or("field target is missing")?;
    let wrong = |field: &str, error: &dyn std::error::Error| format!("field {field}: {error}");
    if serials.len() > NAMED_MAX || grants.len() > NAMED_MAX {
        return Err(format!(
            "an order names at most {NAMED_MAX} serials and {NAMED_MAX} grants"
        ));
    }
    if reason.trim().is_empty() || reason.len() > TEXT_BYTES_MAX {
        return Err(format!(
            "field reason has {} bytes; give 1 to {TEXT_BYTES_MAX}",
            reason.len()
        ));
    }
    let grants: Result<Vec<GrantId>, _> = grants.iter().map(|text| text.parse()).collect();
    Ok(RevokeOrder {
        id: OrderId::from_slice(&order).map_err(|error| wrong("order", &error))?,
        target: target
            .try_into()
            .map_err(|error: monitor_proto::InvalidMessage| error.to_string())?,
        serials,
        grants: grants.map_err(|error| wrong("grants", &error))?,
        reason,
        initiator,
    })
}

fn message(issued: Issued) -> v1::IssuedCertificate {
    let Issued {
        serial,
        grant,
        key_id,
        expires,
        revoked_at,
    } = issued;
    v1::IssuedCertificate {
        serial,
        grant: grant.to_string(),
        key_id,
        expires_unix_ns: expires.0,
        revoked_at_unix_ns: revoked_at.map(|at| at.0),
    }
}

/// The time that the caller gives, from gRPC's `grpc-timeout`: up to eight
/// digits and a unit.
fn deadline<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

fn invalid(field: &str, error: &dyn std::error::Error) -> Status {
    Status::invalid_argument(format!("field {field}: {error}"))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes"
)]
fn stopping(error: CourierError) -> Status {
    Status::unavailable(error.to_string())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes"
)]
fn store_status(error: StoreError) -> Status {
    let text = error.to_string();
    match error {
        StoreError::Conflict { .. } => Status::already_exists(text),
        StoreError::Ended { .. } => Status::failed_precondition(text),
        StoreError::OrderReused { .. } | StoreError::EndingReused { .. } => {
            Status::invalid_argument(text)
        }
        StoreError::Sql(_) | StoreError::Newer { .. } | StoreError::Corrupt { .. } => {
            Status::internal(text)
        }
    }
}

fn register_status(error: RegisterError) -> Status {
    match error {
        RegisterError::Store(error) => store_status(error),
        RegisterError::Over { .. } => Status::failed_precondition(error.to_string()),
        RegisterError::Ticket(_) | RegisterError::Text { .. } => {
            Status::invalid_argument(error.to_string())
        }
    }
}

fn issue_status(error: IssueError) -> Status {
    let text = error.to_string();
    match error {
        IssueError::NotFound { .. } => Status::not_found(text),
        IssueError::NotAlive { .. }
        | IssueError::NotAtCollector { .. }
        | IssueError::Differs { .. }
        | IssueError::Certify(CertifyError::NoTime) => Status::failed_precondition(text),
        IssueError::Certify(CertifyError::Crypto(_)) => Status::internal(text),
        IssueError::Certify(_) | IssueError::TooMany { .. } => Status::invalid_argument(text),
        IssueError::Store(error) => store_status(error),
    }
}

fn revoke_status(error: RevokeError) -> Status {
    match error {
        RevokeError::Store(error) => store_status(error),
        RevokeError::Publish(_) => Status::unavailable(error.to_string()),
        RevokeError::Ca(_) => Status::internal(error.to_string()),
    }
}
