//! One agent's stream, the way down: by level, so that nothing is ever missed.

use std::sync::Arc;

use monitor_model::{clock::Clock, id::AgentName};
use monitor_proto::v1::{
    Ack, ContainCommand, ContainMode, DenyTable, GrantTable, InspectCommand, ScopeLease,
    stream_response::Message,
};
use monitor_transport::blocking;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Down, agents::Place, response};
use crate::{
    contain::{CommandDesk, REPEAT_AFTER},
    scopes::Scopes,
    tables::Tables,
    writer::Fate,
};

pub(super) struct Downlink {
    pub(super) agent: AgentName,
    pub(super) tables: watch::Receiver<Tables>,
    pub(super) fate: watch::Receiver<Fate>,
    pub(super) place: Place,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) scopes: Arc<Scopes>,
    pub(super) keeps_list: bool,
    /// What is asked of the agent; none where it does not answer.
    pub(super) questions: Option<mpsc::Receiver<InspectCommand>>,
    pub(super) down: Down,
    pub(super) stop: CancellationToken,
}

/// What the agent was sent on this stream.
#[derive(Default)]
struct Sent {
    grants: u64,
    denied: u64,
    list: Option<u64>,
    acked: u64,
    /// When the lease of its scopes is to be renewed; none where none runs.
    renew: Option<Instant>,
}

impl Downlink {
    pub(super) async fn run(mut self) -> Result<(), Status> {
        let mut desk = CommandDesk::new(self.agent.clone());
        let mut sent = Sent::default();
        loop {
            let fate = self.fate.borrow_and_update().clone();
            if fate.acked > sent.acked {
                sent.acked = fate.acked;
                self.send(Message::Ack(Ack { number: fate.acked })).await?;
            }
            if let Some(failed) = fate.failed {
                return Err(match failed {
                    crate::writer::Failed::Disk => Status::unavailable(failed.to_string()),
                    crate::writer::Failed::Quarantine => {
                        Status::resource_exhausted(failed.to_string())
                    }
                });
            }
            let tables = self.tables.borrow_and_update().clone();
            self.show(&tables, &mut desk, &mut sent).await?;
            let repeat = async {
                if desk.waits() {
                    tokio::time::sleep(REPEAT_AFTER).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            let asked = next_question(&mut self.questions);
            let renew = sent.renew;
            let renewal = async {
                match renew {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending::<()>().await,
                }
            };
            tokio::select! {
                changed = self.fate.changed() => if changed.is_err() { return Ok(()) },
                changed = self.tables.changed() => {
                    changed.map_err(|_| Status::unavailable("the collector is stopping"))?;
                }
                () = repeat => {}
                question = asked => self.send(Message::Inspect(question)).await?,
                () = renewal => {
                    self.send(Message::ScopeLease(ScopeLease {})).await?;
                    sent.renew = Some(next_renewal(&tables));
                }
                () = self.stop.cancelled() => return Err(self.place.why_ended()),
            }
        }
    }

    /// Sends what the agent does not have: denials and commands first, since
    /// they cannot wait.
    async fn show(
        &self,
        tables: &Tables,
        desk: &mut CommandDesk,
        sent: &mut Sent,
    ) -> Result<(), Status> {
        if sent.denied != tables.denied_version {
            sent.denied = tables.denied_version;
            let serials = tables.denied.serials.keys().copied().collect();
            let principals = tables
                .denied
                .principals
                .keys()
                .map(ToString::to_string)
                .collect();
            self.send(Message::Deny(DenyTable {
                serials,
                principals,
            }))
            .await?;
        }
        for command in desk.due(&tables.commands, self.clock.now()) {
            let order = command.order.to_bytes().to_vec();
            let session = command.session.to_bytes().to_vec();
            self.send(Message::Contain(ContainCommand {
                order,
                session,
                reason: command.reason,
                mode: ContainMode::from(command.mode).into(),
            }))
            .await?;
        }
        if let Some(list) = tables.lists.newest.as_ref().filter(|_| self.keeps_list)
            && sent.list != Some(list.number)
        {
            sent.list = Some(list.number);
            self.send(Message::List(list.as_ref().into())).await?;
        }
        if sent.grants != tables.grants_version {
            sent.grants = tables.grants_version;
            // First: who logs in under a new grant is held to it from the start.
            self.show_scopes(tables, sent).await?;
            let alive = tables.grants_alive(self.clock.now());
            let grants = alive.into_iter().map(Into::into).collect();
            self.send(Message::Grants(GrantTable { grants })).await?;
            self.place.shown(tables.grants_version);
        }
        Ok(())
    }

    async fn show_scopes(&self, tables: &Tables, sent: &mut Sent) -> Result<(), Status> {
        let (scopes, shown) = (Arc::clone(&self.scopes), tables.clone());
        let (agent, now) = (self.agent.clone(), self.clock.now());
        let made = blocking::aside(move || scopes.of(&shown, &agent, now));
        let table = made
            .await
            .map_err(|_| Status::internal("scopes could not be compiled"))?;
        let is_on = table.version != 0;
        self.send(Message::Scopes(table.as_ref().clone())).await?;
        sent.renew = is_on.then(|| next_renewal(tables));
        Ok(())
    }

    async fn send(&self, message: Message) -> Result<(), Status> {
        tokio::select! {
            sent = self.down.send(Ok(response(message))) => {
                sent.map_err(|_| Status::cancelled("the agent takes no more"))
            }
            () = self.stop.cancelled() => Err(self.place.why_ended()),
        }
    }
}

/// Never where nothing is asked any more.
async fn next_question(questions: &mut Option<mpsc::Receiver<InspectCommand>>) -> InspectCommand {
    let next = match questions {
        Some(questions) => questions.recv().await,
        None => None,
    };
    match next {
        Some(question) => question,
        None => std::future::pending().await,
    }
}

/// Three times within a lease.
fn next_renewal(tables: &Tables) -> Instant {
    Instant::now() + tables.enforce.lease / 3
}
