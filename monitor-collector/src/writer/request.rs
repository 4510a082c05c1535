//! What others ask of the writer, and why it was not carried out.

use std::sync::Arc;

use monitor_model::{
    event::Receipt,
    grant::Grant,
    id::{AgentName, GrantId, PrincipalId},
    krl::{ListInPlace, RevocationList},
    revocation::Order,
};
use tokio::sync::oneshot;

use crate::{
    alert::hosts::Present,
    config::Config,
    core::{
        Refusal,
        acks::Acked,
        alerts::Handling,
        endings::{Ended, Ending},
        grants::GrantUse,
        krl::ListChange,
        live,
        orders::{Attempt, Wanted},
        retention::Place,
        standing::Decision,
        voice::Said,
    },
    state::Raised,
};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// It makes no sense as things stand.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The configuration cannot be gone on under; the one before stays.
    #[error("the configuration cannot be used, the one before stays: {cause}")]
    Reload {
        /// Why not.
        cause: String,
    },
    /// The disk, or the collector is stopping.
    #[error("the collector cannot write at the moment; try again")]
    Unavailable,
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, Denied>>;

/// What others ask of the writer.
#[derive(Debug)]
pub enum Request {
    /// Take a grant; answers with the version of the table that shows it.
    PutGrant(Box<Grant>, Reply<u64>),
    /// End a grant.
    EndGrant(GrantId, String, Reply<(Grant, u64)>),
    /// End what an engineer or ticket holds; answers with the version of the
    /// table of grants that shows it.
    EndSubject(Box<Ending>, Reply<(Ended, u64)>),
    /// Record a review of a grant.
    ReviewGrant(Review, Reply<Grant>),
    /// Say what of grants was used, and how many accesses were not counted.
    GrantUse(Vec<GrantId>, Reply<(Vec<GrantUse>, u64)>),
    /// Go on under another configuration; answers with the policy's version.
    Reload(Arc<Config>, Reply<String>),
    /// Give an order.
    Order(Box<Wanted>, Reply<Order>),
    /// Do something with an order.
    Decide(Box<Decision>, Reply<Order>),
    /// Say what an order would reach.
    Plan(Box<Wanted>, Reply<Order>),
    /// Say what lives in sessions.
    Live(Box<live::Asked>, Reply<live::Page>),
    /// Note how an attempt to ask the broker went.
    Attempted(Box<Attempt>, Reply<()>),
    /// Note the answer of a broker that dials in.
    Acked(Box<Acked>, Reply<()>),
    /// Take the broker's revocation list; answers with the newest number.
    PutList(Box<RevocationList>, Reply<u64>),
    /// Take that somebody changed the broker's own list; answers whether it is new.
    ListChanged(Box<ListChange>, Reply<bool>),
    /// Note which revocation list a host has; none: its agent keeps none.
    ListInPlace(AgentName, Option<ListInPlace>),
    /// Note what an agent did.
    Receipt(AgentName, Receipt),
    /// Note what somebody does with an alert.
    Handle(Box<Handling>, Reply<Raised>),
    /// Say something of the collector itself; kept until it is on disk.
    Say(Vec<Said>),
    /// Remove content whose time is over, from a place on; answers with the
    /// place to go on from.
    Sweep(Option<Place>, Reply<Option<Place>>),
    /// Note whose agents are there.
    Look(Present, Reply<()>),
}

/// A review as somebody gives it.
#[derive(Clone, Debug)]
pub struct Review {
    /// The grant.
    pub grant: GrantId,
    /// Who looked.
    pub by: PrincipalId,
    /// What they found.
    pub note: String,
}
