//! What the agent decides alone: a session that stands on grants of one tenant
//! uses a credential of another.
//!
//! In: attributed events. Out: the session is held in the kernel at once, and
//! the rest is done by the way of orders; the collector is not waited for.
//! Sessions whose grants this agent does not know, or that are of several
//! tenants, are the collector's to judge. Bound: [`COMMANDS_MAX`] commands on
//! their way; more are finished by the keeper, since the kernel holds them.

use std::{collections::BTreeSet, sync::Arc};

use monitor_common::SessionMark;
use monitor_model::{
    contain::ContainMode,
    event::{Action, Event, Expected},
    id::{OrderId, TenantId},
};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::{error, warn};

use super::{Command, Containment, Origin, order_named};
use crate::{
    attribute::SharedSessions,
    marks::{self, Marks},
    standing::Standing,
};

/// Most commands on their way.
pub const COMMANDS_MAX: usize = 64;

/// What happens to a session that uses a credential of another tenant than all
/// its grants are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnForeign {
    /// It is told as all use of credentials is; the collector judges it.
    #[default]
    Report,
    /// It stands still until somebody decides.
    Freeze,
    /// It is ended.
    Kill,
}

/// Looks at events as they are attributed.
#[derive(Debug)]
pub struct Foreign {
    mode: ContainMode,
    standing: Standing,
    sessions: SharedSessions,
    marks: Arc<dyn Marks>,
    commands: mpsc::Sender<Command>,
}

impl Foreign {
    /// The look, and the task that carries out; none where it only reports.
    #[must_use]
    pub fn new(on: OnForeign, containment: &Arc<Containment>) -> Option<(Self, CarryOut)> {
        let mode = match on {
            OnForeign::Report => return None,
            OnForeign::Freeze => ContainMode::Freeze,
            OnForeign::Kill => ContainMode::Kill,
        };
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let looks = Self {
            mode,
            standing: containment.standing.clone(),
            sessions: containment.sessions.clone(),
            marks: Arc::clone(&containment.marks),
            commands,
        };
        let carries_out = CarryOut {
            waiting,
            containment: Arc::clone(containment),
        };
        Some((looks, carries_out))
    }

    /// Takes one event of a process with this mark.
    pub fn look(&self, event: &Event, mark: SessionMark) {
        let Some((command, tenant)) = self.judge(event) else {
            return;
        };
        let of_process = marks::session_of(mark);
        for one in [Some(command.session), of_process].into_iter().flatten() {
            if let Err(error) = self.marks.hold(one) {
                error!(%error, session = %one, "The kernel does not hold back a session that used a credential of another tenant.");
            }
        }
        warn!(session = %command.session, %tenant, mode = %command.mode, event = %event.id,
            "A session used a credential of another tenant than its grants are of; it is held.");
        if self.commands.try_send(command).is_err() {
            error!(event = %event.id, "Too many sessions are contained at a time; this one is held in the kernel and stopped within a second.");
        }
    }

    fn judge(&self, event: &Event) -> Option<(Command, TenantId)> {
        let Action::Credential {
            tenant: Some(tenant),
            denied: false,
            expected,
            ..
        } = &event.action
        else {
            return None;
        };
        if *expected == Some(Expected::Program) {
            return None;
        }
        let session = event.attribution.session?;
        let sessions = self.sessions.lock();
        let grants = sessions
            .get(session)
            .filter(|row| row.frozen.is_none())
            .map(|row| row.grants.clone())?;
        drop(sessions);
        let tables = self.standing.lock();
        let tenants: Option<BTreeSet<&TenantId>> = grants
            .iter()
            .map(|id| tables.grants.get(id).map(|grant| &grant.tenant))
            .collect();
        let tenants = tenants?;
        let is_foreign = tenants.len() == 1 && !tenants.contains(tenant);
        is_foreign.then(|| {
            let command = Command {
                order: order_of(event),
                session,
                mode: self.mode,
                reason: format!("it used a credential of {tenant}"),
                origin: Origin::Foreign(tenant.clone()),
            };
            (command, tenant.clone())
        })
    }
}

/// The name of what answers an event: the same however often it is read.
fn order_of(event: &Event) -> OrderId {
    order_named(event.at, &format!("monitor.v1 foreign\0{}", event.id))
}

/// Carries out what was decided.
#[derive(Debug)]
pub struct CarryOut {
    waiting: mpsc::Receiver<Command>,
    containment: Arc<Containment>,
}

impl CarryOut {
    /// Goes on until nothing can come any more, and all is done.
    pub async fn run(mut self) {
        let mut running = JoinSet::new();
        while let Some(command) = self.waiting.recv().await {
            while running.len() >= COMMANDS_MAX {
                running.join_next().await;
            }
            while running.try_join_next().is_some() {}
            let Some(ticket) = self.containment.line_up(&command) else {
                continue;
            };
            let (containment, now) = (Arc::clone(&self.containment), self.containment.clock.now());
            running.spawn(async move { containment.in_turn(ticket, &command, now).await });
        }
        running.join_all().await;
    }
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        bytes::{ByteText, PathLabel},
        clock::UnixNs,
        event::{FileObject, Operation},
        id::{BootId, EventId, Source},
    };
    use monitor_proto::v1;

    use super::*;
    use crate::{
        attribute::sessions::tests::session, contain::tests::bench_at, marks::mark_of, note,
        standing::tests::grant,
    };

    /// A use of a credential of a tenant's, by the first session.
    fn use_of(tenant: Option<&str>) -> Event {
        Event {
            id: EventId {
                agent: "jump-1".parse().unwrap(),
                boot: BootId::from_parts(UnixNs(1), 1),
                source: Source::Priority { cpu: 0 },
                sequence: 7,
            },
            at: UnixNs(9),
            boot_ns: 9,
            process: None,
            attribution: note::attribution(&session(1)),
            action: Action::Credential {
                object: FileObject {
                    device: 1,
                    inode: 2,
                    generation: 0,
                    path: PathLabel {
                        text: ByteText::from("/srv/globex/kubeconfig"),
                        truncated: false,
                    },
                },
                key: None,
                injected: false,
                class: "kubeconfig".into(),
                tenant: tenant.map(|tenant| tenant.parse().unwrap()),
                tier: None,
                technique: None,
                operation: Operation::Read,
                flags: 0,
                other: None,
                denied: false,
                expected: None,
                counted: None,
            },
        }
    }

    fn grants(standing: &Standing, of: &[(&str, &str)]) {
        let grants = of.iter().map(|(id, tenant)| {
            let mut grant = grant(id);
            grant.tenant = tenant.parse().unwrap();
            v1::Grant::from(&grant)
        });
        let grants = grants.collect();
        standing.replace_grants(v1::GrantTable { grants }).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_credential_of_another_tenant_holds_the_session_at_once_and_only_then() {
        let mut bench = bench_at(Arc::new(monitor_model::clock::SystemClock));
        let id = session(1).id;
        let standing = bench.containment.standing.clone();
        bench.containment.sessions.lock().put(session(1)).unwrap();
        let marks = bench.marks.clone();
        marks.marked.lock().unwrap().insert(id, vec![4_000_001]);
        let containment = Arc::new(bench.containment);
        assert!(Foreign::new(OnForeign::Report, &containment).is_none());
        let (foreign, carries_out) = Foreign::new(OnForeign::Freeze, &containment).unwrap();
        let looks = |event: &Event| {
            foreign.look(event, mark_of(id));
            marks.take_asked()
        };
        // Grants that nobody told of, of several tenants, of this one; nobody's file.
        assert!(looks(&use_of(Some("globex"))).is_empty());
        let two = Chosen::with(&containment, &["G1", "G2"]);
        grants(&standing, &[("G1", "acme"), ("G2", "globex")]);
        assert!(looks(&use_of(Some("globex"))).is_empty());
        two.with_grants(&["G1"]);
        assert!(looks(&use_of(Some("acme"))).is_empty());
        assert!(looks(&use_of(None)).is_empty());
        let asked = looks(&use_of(Some("globex")));
        assert!(asked.contains(&format!("hold {id}")), "{asked:?}");
        drop(foreign);
        carries_out.run().await;
        let Action::Contained { receipt } = bench.notes.try_recv().unwrap().action else {
            panic!("no receipt")
        };
        assert_eq!(receipt.foreign, Some("globex".parse().unwrap()));
        assert_eq!((receipt.mode, receipt.frozen), (ContainMode::Freeze, 1));
    }

    /// The first session, on grants that a test chooses.
    struct Chosen<'a>(&'a Containment);

    impl<'a> Chosen<'a> {
        fn with(containment: &'a Containment, grants: &[&str]) -> Self {
            let this = Self(containment);
            this.with_grants(grants);
            this
        }

        fn with_grants(&self, grants: &[&str]) {
            let mut row = session(1);
            row.grants = grants.iter().map(|id| id.parse().unwrap()).collect();
            self.0.sessions.lock().put(row).unwrap();
        }
    }
}
