//! What is done to a session on its host, and what the agent says of it.

use serde::Serialize;

use crate::{
    clock::UnixNs,
    id::{GrantId, OrderId, SessionId, TenantId},
};

/// What an order wants of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainMode {
    /// Every process is killed. What orders wanted before there were others.
    #[default]
    Kill,
    /// Every process stands still, and nothing that it holds open carries data.
    Freeze,
    /// What stands still goes on, and is refused nothing more. An order that is
    /// killing a session cannot be taken back so.
    Release,
}

impl ContainMode {
    /// The name used in messages and commands.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Release => "release",
        }
    }
}

impl std::fmt::Display for ContainMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// That a session stands still, since when and by which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Frozen {
    /// The order.
    pub order: OrderId,
    /// When its last process stood still.
    pub since: UnixNs,
}

/// What the agent did to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The order it carries out.
    pub order: OrderId,
    /// The session it was done to.
    pub session: SessionId,
    /// What the order wanted.
    pub mode: ContainMode,
    /// Processes that were killed.
    pub killed: u32,
    /// Processes that do not do what the order wants: that would not die, stand
    /// still or go on.
    pub left: u32,
    /// Processes that stand still now.
    pub frozen: u32,
    /// Those of them that sleep in the kernel, where no signal reaches them: they
    /// stop before their next instruction.
    pub asleep: u32,
    /// Processes that were let go on.
    pub released: u32,
    /// Connections that were cut: closed by the kernel, both ends told.
    pub sockets_closed: u32,
    /// Terminals that were told.
    pub told: u32,
    /// When the order reached the agent.
    pub received_at: UnixNs,
    /// When new logins and connections were refused; of a release, when they
    /// were no longer.
    pub denied_at: UnixNs,
    /// When the last process stood still; none where none does.
    pub frozen_at: Option<UnixNs>,
    /// When the last process was gone; none while some are left.
    pub gone_at: Option<UnixNs>,
    /// When the last process went on; none where none did.
    pub released_at: Option<UnixNs>,
    /// The grant whose end ended the session; none where an order did.
    pub expired: Option<GrantId>,
    /// The tenant whose credential the session used though all its grants are
    /// of another: the agent acted by itself. None where an order was given.
    pub foreign: Option<TenantId>,
    /// Whether the agent acted by itself because events could not be stored, or
    /// could be again.
    pub unstored: bool,
}

impl Receipt {
    /// That nothing was done yet for an order that came now.
    #[must_use]
    pub const fn new(
        order: OrderId,
        session: SessionId,
        mode: ContainMode,
        received_at: UnixNs,
    ) -> Self {
        Self {
            order,
            session,
            mode,
            killed: 0,
            left: 0,
            frozen: 0,
            asleep: 0,
            released: 0,
            sockets_closed: 0,
            told: 0,
            received_at,
            denied_at: received_at,
            frozen_at: None,
            gone_at: None,
            released_at: None,
            expired: None,
            foreign: None,
            unstored: false,
        }
    }

    /// Whether the order was carried out whole: repeating it does nothing more.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// That the session stands still, where this says so.
    #[must_use]
    pub const fn frozen(&self) -> Option<Frozen> {
        match (self.mode, self.frozen_at) {
            (ContainMode::Freeze, Some(since)) => Some(Frozen {
                order: self.order,
                since,
            }),
            (ContainMode::Kill | ContainMode::Freeze | ContainMode::Release, _) => None,
        }
    }
}
