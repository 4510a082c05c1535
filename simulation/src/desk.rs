//! The people: an administrator who has grants registered and certificates issued,
//! and somebody on duty who gives orders, whatever is down, until they are taken.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use monitor_model::{
    clock::{Clock as _, UnixNs},
    grant::{Grant, GrantKind, GrantState, Holder, Scope, Tier},
    id::OrderId,
};
use monitor_proto::v1::{
    IssueCertificateRequest, ListOrdersRequest, Order, OrderState, RegisterGrantRequest,
    RevocationTarget, RevokeRequest, issuer_service_client::IssuerServiceClient,
    revocation_service_client::RevocationServiceClient, revocation_target::Target,
};
use monitor_transport::tls::Tls;
use tokio::time::{sleep, timeout};
use tonic::{Status, transport::Channel};

use crate::{
    chance::Chance,
    clock::{EPOCH, HostClock},
    ground::{Engineer, Given, Ground},
    keys::{BROKER, COLLECTOR, DESK},
    network::Network,
};

/// How many engineers there are.
pub const ENGINEERS: u64 = 6;
/// How many of them somebody may give orders against; the others are neighbours.
pub const ORDERED_MAX: u64 = 3;
/// Longest wait for an answer, and the pause before the next try.
const ANSWER: Duration = Duration::from_secs(4);
const AGAIN: Duration = Duration::from_millis(700);
/// How long before and after the beginning grants hold: eight hours.
const HOURS_NS: u64 = 8 * 3_600 * 1_000_000_000;
/// Milliseconds between two orders.
const BETWEEN_MS: std::ops::Range<u64> = 1_500..9_000;

/// Works until all orders are carried out everywhere.
///
/// # Errors
/// The keys are wrong.
pub async fn run(ground: Arc<Ground>) -> turmoil::Result {
    let mut desk = Desk::new(Arc::clone(&ground))?;
    let mut engineers = Vec::new();
    for number in 1..=ENGINEERS {
        engineers.push(desk.certifies(number).await?);
    }
    ground.people.certified(engineers.clone());
    ground.trace.note(DESK, "everybody has a certificate");
    for engineer in engineers.iter().take(usize::try_from(ORDERED_MAX)?) {
        sleep(desk.chance.ms(BETWEEN_MS)).await;
        if desk.chance.happens(80) {
            desk.orders(engineer).await;
        }
    }
    desk.sees_all_enforced().await;
    Ok(())
}

/// Who works at the desk.
struct Desk {
    ground: Arc<Ground>,
    clock: HostClock,
    chance: Chance,
    admin: Tls,
    soc: Tls,
}

impl Desk {
    fn new(ground: Arc<Ground>) -> Result<Self> {
        let clock = ground.time.clock();
        let of = |role, name| -> Result<Tls> {
            let files = ground.keys.of(role, name);
            Ok(files.load(clock.now())?.within(Arc::new(Network)))
        };
        Ok(Self {
            admin: of("admin", "eve")?,
            soc: of("soc", "sam")?,
            chance: Chance::of(ground.seed, 80),
            clock,
            ground,
        })
    }

    /// An engineer gets a grant and a certificate.
    async fn certifies(&self, number: u64) -> Result<Engineer> {
        let grant = Self::grant(number)?;
        loop {
            let issued = timeout(ANSWER, self.issue(&grant)).await;
            match issued {
                Ok(Ok(serial)) => {
                    return Ok(Engineer {
                        name: grant.principal,
                        tenant: grant.tenant,
                        grant: grant.id,
                        serial,
                    });
                }
                Ok(Err(error)) => tracing::debug!(%error, "No certificate yet."),
                Err(_) => tracing::debug!("No answer."),
            }
            sleep(AGAIN).await;
        }
    }

    async fn issue(&self, grant: &Grant) -> Result<u64> {
        let channel = channel(&self.admin, BROKER).await?;
        let mut client = IssuerServiceClient::new(channel);
        let request = RegisterGrantRequest {
            grant: Some(grant.into()),
        };
        client.register_grant(request).await?;
        let request = IssueCertificateRequest {
            grant: grant.id.to_string(),
            public_key: public_key(),
            also: Vec::new(),
        };
        let answer = client.issue_certificate(request).await?.into_inner();
        Ok(answer
            .issued
            .context("a certificate without a serial")?
            .serial)
    }

    fn grant(number: u64) -> Result<Grant> {
        let tenant = if number.is_multiple_of(2) {
            "acme"
        } else {
            "globex"
        };
        Ok(Grant {
            id: format!("grant-{number}").parse()?,
            principal: format!("engineer-{number}").parse()?,
            tenant: tenant.parse()?,
            ticket: "INC-1".to_owned(),
            purpose: "simulated".to_owned(),
            approved_by: "bob".parse()?,
            tier: Tier::Production,
            kind: GrantKind::JustInTime,
            // Whoever is a little early finds it in force.
            not_before: UnixNs(EPOCH.0.saturating_sub(HOURS_NS)),
            expires: UnixNs(EPOCH.0.saturating_add(HOURS_NS)),
            scope: Scope::default(),
            state: GrantState::Standing,
            holder: Holder::Staff,
            task: String::new(),
            review: None,
        })
    }

    /// Gives one order, again and again under its name until it is taken.
    async fn orders(&mut self, engineer: &Engineer) {
        let bits = u128::from(self.chance.next());
        let session = if self.chance.happens(50) {
            self.session_of(engineer)
        } else {
            None
        };
        let given = Given {
            id: OrderId::from_parts(self.clock.now(), bits),
            engineer: engineer.name.clone(),
            serial: engineer.serial,
            session,
        };
        self.ground.people.orders_now(given.clone());
        self.ground
            .trace
            .note(DESK, &format!("orders {}", engineer.name));
        loop {
            match timeout(ANSWER, self.revoke(&given)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tracing::debug!(%error, "The order is not taken yet."),
                Err(_) => tracing::debug!("No answer."),
            }
            sleep(AGAIN).await;
        }
        self.ground.trace.note(DESK, "is heard");
    }

    /// A session of an engineer that lives somewhere.
    fn session_of(&mut self, engineer: &Engineer) -> Option<monitor_model::id::SessionId> {
        let hosts = self.ground.hosts.iter();
        let sessions = hosts.flat_map(|host| host.kernel.sessions());
        let its: Vec<_> = sessions
            .filter(|known| {
                known.is_answered
                    && !known.processes.is_empty()
                    && known.session.principal.as_ref() == Some(&engineer.name)
            })
            .collect();
        let place = self.chance.index(its.len());
        its.get(place).map(|known| known.session.id)
    }

    async fn revoke(&self, given: &Given) -> Result<()> {
        let target = match given.session {
            Some(session) => Target::Session(session.to_bytes().to_vec()),
            None => Target::Engineer(given.engineer.to_string()),
        };
        let request = RevokeRequest {
            target: Some(RevocationTarget {
                target: Some(target),
            }),
            reason: "simulated".to_owned(),
            order: given.id.to_bytes().to_vec(),
            ..RevokeRequest::default()
        };
        self.service().await?.revoke(request).await?;
        Ok(())
    }

    async fn service(&self) -> Result<RevocationServiceClient<Channel>> {
        Ok(RevocationServiceClient::new(
            channel(&self.soc, COLLECTOR).await?,
        ))
    }

    /// Looks until nothing is open.
    async fn sees_all_enforced(&self) {
        let wanted = self.ground.people.orders().len();
        loop {
            sleep(AGAIN).await;
            if !self.ground.people.is_over() {
                continue;
            }
            match timeout(ANSWER, self.list()).await {
                Ok(Ok(orders)) => {
                    let is_done = |order: &Order| order.state() == OrderState::Enforced;
                    if orders.len() == wanted && orders.iter().all(is_done) {
                        break;
                    }
                    let states: Vec<_> = orders.iter().map(Order::state).collect();
                    tracing::debug!(?states, wanted, "Orders are open.");
                }
                Ok(Err(error)) => tracing::debug!(%error, "No list."),
                Err(_) => tracing::debug!("No answer."),
            }
        }
        self.ground.trace.note(DESK, "sees every order enforced");
    }

    async fn list(&self) -> Result<Vec<Order>, anyhow::Error> {
        let mut service = self.service().await?;
        let listed = service.list_orders(ListOrdersRequest::default()).await;
        Ok(listed
            .map_err(|status: Status| anyhow::anyhow!("{status}"))?
            .into_inner()
            .orders)
    }
}

async fn channel(tls: &Tls, (host, port): (&str, u16)) -> Result<Channel> {
    Ok(tls.connect(&format!("https://{host}:{port}")).await?)
}

/// A public key in OpenSSH's form: the base point, whose private half nobody needs.
fn public_key() -> String {
    const KIND: &[u8] = b"ssh-ed25519";
    let mut point = [0x66; 32];
    point[0] = 0x58;
    let part = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
        [&length[..], bytes].concat()
    };
    let blob = [part(KIND), part(&point)].concat();
    format!("ssh-ed25519 {} simulated", STANDARD.encode(blob))
}
