//! Answers of a broker that dials in: the same as those of one that is asked.

use monitor_model::revocation::{Mode, Target};

use super::{Core, CoreError, Refusal, orders::Attempt, reach::unknown};

/// An answer as the broker sent it.
#[derive(Clone, Debug)]
pub struct Acked {
    /// What the broker says that the order revokes.
    pub target: Target,
    /// The attempt and what came of it.
    pub attempt: Attempt,
}

impl Core {
    /// Notes a broker's answer; one to an order that is answered changes nothing.
    /// On disk after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]. A [`Refusal`] when no order of that name was ever for a
    /// broker, or it revokes something else.
    pub fn acked(&mut self, acked: Acked) -> Result<Result<(), Refusal>, CoreError> {
        let id = acked.attempt.order;
        // What never was in force, or freezes, no broker was told of.
        let told = self
            .orders
            .get(&id)
            .filter(|order| order.mode == Mode::Kill && order.times.ordered.is_some());
        let Some(order) = told else {
            return Ok(Err(unknown("order", &id)));
        };
        if order.target != acked.target {
            return Ok(Err(Refusal::AckDiffers {
                id,
                target: order.target.to_string(),
                said: acked.target.to_string(),
            }));
        }
        if !order.is_answered() {
            self.attempted(acked.attempt)?;
        }
        Ok(Ok(()))
    }
}
