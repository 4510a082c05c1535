//! The parts of one group: who is admitted, what is answered, who is acked.

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Denied, Failed, Fate, Job, Reply, Request, Review};
use crate::{
    core::{Batch, Core, CoreError, Refusal},
    tables::Tables,
};

/// An answer that goes out once the state is on disk.
pub(super) type Answer = Box<dyn FnOnce(&Tables) + Send>;

/// A stored batch whose agent waits.
pub(super) struct Waiting {
    number: u64,
    fate: watch::Sender<Fate>,
    _permit: OwnedSemaphorePermit,
}

/// Parts with batches whose set-aside events find no room.
pub(super) fn admitted(
    core: &mut Core,
    jobs: Vec<Job>,
) -> Result<(Vec<Batch>, Vec<Waiting>), CoreError> {
    let (mut batches, mut waiting) = (
        Vec::with_capacity(jobs.len()),
        Vec::with_capacity(jobs.len()),
    );
    for mut job in jobs {
        // After a batch that failed, none of the same stream is taken.
        if job.fate.borrow().failed.is_some() {
            continue;
        }
        core.tell_unreadable(&job.batch)?;
        core.aside_reused(job.number, &mut job.batch)?;
        if !core.takes_aside(&job.batch)? {
            fail(&[job], Failed::Quarantine);
            continue;
        }
        let Job {
            batch,
            number,
            fate,
            permit,
        } = job;
        batches.push(batch);
        waiting.push(Waiting {
            number,
            fate,
            _permit: permit,
        });
    }
    Ok((batches, waiting))
}

pub(super) fn ack(waiting: &[Waiting]) {
    for Waiting { number, fate, .. } in waiting {
        fate.send_modify(|fate| fate.acked = fate.acked.max(*number));
    }
}

pub(super) fn fail_waiting(waiting: &[Waiting]) {
    for Waiting { fate, .. } in waiting {
        fate.send_modify(|fate| fate.failed = Some(Failed::Disk));
    }
}

pub(super) fn fail(jobs: &[Job], failed: Failed) {
    for job in jobs {
        job.fate.send_modify(|fate| fate.failed = Some(failed));
    }
}

/// Carries out one request; the answer goes out once it is on disk.
pub(super) fn serve(core: &mut Core, request: Request) -> Result<Option<Answer>, CoreError> {
    fn answer<T: Send + 'static>(reply: Reply<T>, result: Result<T, Refusal>) -> Answer {
        Box::new(move |_| _ = reply.send(result.map_err(Denied::from)))
    }
    Ok(Some(match request {
        Request::PutGrant(grant, reply) => {
            let result = core.put_grant(*grant)?;
            Box::new(move |tables| {
                _ = reply.send(result.map(|_| tables.grants_version).map_err(Denied::from));
            })
        }
        Request::EndGrant(id, reason, reply) => {
            let result = core.end_grant(&id, &reason)?;
            Box::new(move |tables| {
                let version = tables.grants_version;
                _ = reply.send(result.map(|grant| (grant, version)).map_err(Denied::from));
            })
        }
        Request::EndSubject(ending, reply) => {
            let result = core.end_subject(&ending)?;
            Box::new(move |tables| {
                let version = tables.grants_version;
                _ = reply.send(result.map(|ended| (ended, version)).map_err(Denied::from));
            })
        }
        Request::ReviewGrant(review, reply) => {
            let Review { grant, by, note } = review;
            answer(reply, core.review_grant(&grant, by, note)?)
        }
        Request::GrantUse(ids, reply) => answer(reply, Ok(core.grant_use(&ids))),
        // Carried out before the turn, where the core can be opened anew, and
        // where what is said is kept.
        Request::Reload(_, _) | Request::Say(_) => return Ok(None),
        Request::Order(wanted, reply) => answer(reply, core.order(*wanted)?),
        Request::Decide(decision, reply) => answer(reply, core.decide(*decision)?),
        Request::Plan(wanted, reply) => answer(reply, core.plan(*wanted)?),
        Request::Live(asked, reply) => answer(reply, Ok(core.live(&asked)?)),
        Request::Attempted(attempt, reply) => {
            core.attempted(*attempt)?;
            answer(reply, Ok(()))
        }
        Request::Acked(acked, reply) => answer(reply, core.acked(*acked)?),
        Request::Handle(handling, reply) => answer(reply, core.handle(*handling)?),
        Request::Sweep(from, reply) => answer(reply, Ok(core.sweep(from)?)),
        Request::Look(present, reply) => {
            core.look(&present)?;
            answer(reply, Ok(()))
        }
        Request::PutList(list, reply) => answer(reply, core.put_list(*list)?),
        Request::ListChanged(change, reply) => answer(reply, Ok(core.list_changed(&change)?)),
        Request::ListInPlace(agent, place) => {
            match place {
                Some(place) => core.list_in_place(&agent, &place)?,
                None => core.no_list_in_place(&agent)?,
            }
            return Ok(None);
        }
        Request::Receipt(agent, receipt) => {
            core.receipt(&agent, &receipt)?;
            return Ok(None);
        }
    }))
}
