//! Alerts that follow from stored entries, and what people do with them.

use std::sync::Arc;

use monitor_model::{
    alert::{AlertState, AlertStep, STEPS_MAX},
    clock::UnixNs,
    id::AlertId,
    revocation::life::Standing,
    verdict::Verdict,
};
use tracing::info;

use super::{Core, CoreError, Refusal};
use crate::{
    alert::{
        Answer, Looked, Moment,
        hosts::{OfHost, Present},
        sign::Sign,
        telling,
    },
    ledger::Entry,
    state::Raised,
};

/// What somebody does with an alert.
#[derive(Clone, Debug)]
pub struct Handling {
    /// The alert.
    pub alert: AlertId,
    /// What it becomes: acknowledged or closed.
    pub state: AlertState,
    /// Who, as the certificate says.
    pub author: String,
    /// Why.
    pub note: String,
}

impl Core {
    /// Takes back what the alerter knew of events that were followed.
    pub(super) fn remember_alerts(&mut self) -> Result<(), CoreError> {
        for kept in self.state.kept()? {
            self.alerter.restore(&kept);
        }
        let memory = u64::try_from(self.alerter.memory().as_nanos()).unwrap_or(u64::MAX);
        let from = UnixNs(self.followed.0.saturating_sub(memory.saturating_mul(2)));
        // Of sessions that live everything counts, however late it came.
        let live: Vec<_> = self.sessions.iter().map(|login| login.session.id).collect();
        for raised in self.state.alerts_after(from, &live)? {
            self.alerter.remember(raised);
        }
        for order in self.orders.values().filter(|order| order.is_by_rule()) {
            match order.standing() {
                Standing::Proposed
                | Standing::InForce
                | Standing::Observed
                | Standing::Superseded => self.alerter.remember_order(order),
                Standing::Rejected | Standing::Lifted | Standing::Expired => {}
            }
        }
        Ok(())
    }

    pub(super) fn follow_alert(&mut self, entry: &Entry) -> Result<Vec<Raised>, CoreError> {
        let stamp = UnixNs(self.stamp.0.saturating_add(1)).max(self.clock.now());
        let grants = &self.world.grants;
        let of_session = entry.judged.event.attribution.grants.first();
        let standing = of_session
            .and_then(|id| grants.get(id))
            .map(telling::Standing::from);
        let granted_from = match &entry.judged.judgement.verdict {
            Verdict::InScope { grant } => grants.get(grant).map(|grant| grant.not_before),
            Verdict::OutOfScope { .. } | Verdict::Unattributed { .. } | Verdict::Exempt { .. } => {
                None
            }
        };
        let moment = Moment {
            at: self.clock.now(),
            stamp,
            standing: standing.as_ref(),
            granted_from,
        };
        match self.alerter.answer(entry, &moment) {
            Answer::Nothing => Ok(Vec::new()),
            Answer::Fold(folded) => {
                self.state.put_alert(&folded)?;
                Ok(Vec::new())
            }
            Answer::Raise(raised) => {
                self.raise(&raised)?;
                let notice = self.order_for(&raised.alert)?;
                if let Some(notice) = &notice {
                    self.raise(notice)?;
                }
                Ok([raised].into_iter().chain(notice).collect())
            }
        }
    }

    fn raise(&mut self, raised: &Raised) -> Result<(), CoreError> {
        self.stamp = raised.stamp;
        self.state.put_alert(raised)?;
        info!(alert = %raised.alert.id, rule = %raised.alert.rule, severity = %raised.alert.severity,
            event = %raised.alert.event, response = raised.alert.response.as_str(),
            sentence = %raised.alert.sentence, "Alert raised.");
        Ok(())
    }

    /// Notes whose agents are there now, and raises an alert for each host that
    /// fell silent or is there twice; orders whose time is over end. On disk after
    /// [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]; the core must be opened anew.
    pub fn look(&mut self, present: &Present) -> Result<(), CoreError> {
        let looked = self.alerter.look(present, &self.no_events_moment());
        let Looked {
            raised,
            well,
            moved,
        } = looked;
        for (sign, raised) in raised {
            self.raise_lost(sign, raised)?;
        }
        for host in &well {
            info!(%host, "Host is well again.");
        }
        if moved {
            self.note_followed()?;
        }
        self.leases_run_on(&well)?;
        self.expire()?;
        if present.is_settled() {
            self.end_leases()?;
        }
        Ok(())
    }

    /// Raises an alert about a host, with the order that policy wants then.
    fn raise_lost(&mut self, sign: Sign, mut raised: Raised) -> Result<(), CoreError> {
        // A notice of before may have taken its place.
        raised.stamp = raised.stamp.max(UnixNs(self.stamp.0.saturating_add(1)));
        self.stamp = raised.stamp;
        let notice = self.shorten_leases(sign, &mut raised)?;
        for raised in [raised].into_iter().chain(notice) {
            self.raise(&raised)?;
            self.raised.push(Arc::new(raised));
        }
        Ok(())
    }

    /// Raises an alert about what a host shows, unless it was raised. On disk
    /// after [`Core::publish`].
    pub(super) fn raise_of_host(&mut self, of: OfHost) -> Result<(), CoreError> {
        let (sign, moment) = (of.sign, self.no_events_moment());
        match self.alerter.of_host(of, &moment) {
            Some(raised) => self.raise_lost(sign, raised),
            None => Ok(()),
        }
    }

    /// The moment of an alert that no stored event raises.
    fn no_events_moment(&self) -> Moment<'static> {
        Moment {
            at: self.clock.now(),
            stamp: UnixNs(self.stamp.0.saturating_add(1)).max(self.clock.now()),
            standing: None,
            granted_from: None,
        }
    }

    /// Alerts that no stored event raised since the last time.
    pub fn take_raised(&mut self) -> Vec<Arc<Raised>> {
        std::mem::take(&mut self.raised)
    }

    /// Notes what somebody does with an alert.
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when there is no such alert, when it is
    /// closed and would be opened, or when it has [`STEPS_MAX`] steps.
    pub fn handle(&mut self, handling: Handling) -> Result<Result<Raised, Refusal>, CoreError> {
        let Handling {
            alert: id,
            state,
            author,
            note,
        } = handling;
        let Some(mut raised) = self.state.alert(id)? else {
            return Ok(Err(Refusal::Unknown {
                what: "alert",
                name: id.to_string(),
            }));
        };
        let alert = &mut raised.alert;
        if state < alert.state {
            return Ok(Err(Refusal::AlertClosed { id }));
        }
        if alert.steps.len() >= STEPS_MAX {
            return Ok(Err(Refusal::StepsFull { id, max: STEPS_MAX }));
        }
        alert.state = state;
        alert.steps.push(AlertStep {
            state,
            author,
            note,
            at: self.clock.now(),
        });
        self.state.put_handled(alert)?;
        if state == AlertState::Closed {
            self.alerter.forget(&raised);
        }
        Ok(Ok(raised))
    }
}
