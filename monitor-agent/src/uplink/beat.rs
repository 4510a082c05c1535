//! The agent says that it lives, on each stream, whatever else goes on there.
//!
//! In: what the probes see. Out: [`v1::Alive`] once in [`BEAT`], and at once when
//! they go blind or see again; [`v1::Leaving`] at the end. Bound: one message that
//! waits. Loss: a beat that finds no room is late; the next says more than it.

use std::time::Duration;

use monitor_proto::v1::{self, stream_request};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;

use super::request;
use crate::sight::is_blind;

/// How often it is said.
const BEAT: Duration = Duration::from_secs(1);
/// The same, in milliseconds.
pub const BEAT_MS: u32 = 1_000;

/// What is said of the agent's own life.
#[derive(Clone, Debug)]
pub struct Life {
    /// What the probes see.
    pub alive: watch::Receiver<v1::Alive>,
    /// Whether the agent was asked to stop.
    pub leaving: watch::Receiver<bool>,
}

impl Life {
    /// The beats of one stream; they end with it, or with the agent.
    pub(super) fn beats(&self) -> ReceiverStream<v1::StreamRequest> {
        let (up, beats) = mpsc::channel(1);
        tokio::spawn(self.clone().beat(up));
        ReceiverStream::new(beats)
    }

    async fn beat(mut self, up: mpsc::Sender<v1::StreamRequest>) {
        let mut due = Instant::now();
        let mut was_blind = false;
        loop {
            tokio::select! {
                () = up.closed() => return,
                () = sleep_until(due) => {}
                Ok(()) = self.alive.changed() => {
                    if is_blind(&self.alive.borrow()) == was_blind {
                        continue;
                    }
                }
                true = is_left(&mut self.leaving) => {
                    let leaving = stream_request::Message::Leaving(v1::Leaving {});
                    // The stream may be gone: then silence tells the same.
                    let _ = up.send(request(leaving)).await;
                    return;
                }
            }
            let alive = self.alive.borrow_and_update().clone();
            was_blind = is_blind(&alive);
            let alive = stream_request::Message::Alive(alive);
            if up.send(request(alive)).await.is_err() {
                return;
            }
            due = Instant::now() + BEAT;
        }
    }
}

/// Waits until the agent is asked to stop; false where nobody can ask any more.
async fn is_left(leaving: &mut watch::Receiver<bool>) -> bool {
    leaving.wait_for(|leaves| *leaves).await.is_ok()
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    fn seen(unseen_ms: u64) -> v1::Alive {
        v1::Alive {
            unseen_ms,
            unhooked: Vec::new(),
        }
    }

    #[tokio::test]
    async fn it_beats_once_a_second_at_once_when_blind_and_says_when_it_leaves() {
        let (alive, alive_out) = watch::channel(seen(0));
        let (leaving, leaving_out) = watch::channel(false);
        let life = Life {
            alive: alive_out,
            leaving: leaving_out,
        };
        let mut beats = life.beats();
        let start = Instant::now();
        // Each with the second, since the beginning, in which it came.
        let mut next = async || {
            let message = beats.next().await.and_then(|request| request.message);
            (start.elapsed().as_secs(), message)
        };
        let of = |unseen_ms| Some(stream_request::Message::Alive(seen(unseen_ms)));
        assert_eq!(next().await, (0, of(0)));
        alive.send_replace(seen(500));
        assert_eq!(next().await, (1, of(500)), "not blind: in its time");
        alive.send_replace(seen(1_500));
        assert_eq!(next().await, (1, of(1_500)));
        alive.send_replace(seen(0));
        assert_eq!(next().await, (1, of(0)));
        leaving.send_replace(true);
        let left = Some(stream_request::Message::Leaving(v1::Leaving {}));
        assert_eq!(next().await, (1, left));
        assert_eq!(next().await, (1, None));
    }
}
