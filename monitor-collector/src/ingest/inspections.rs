//! What one agent is asked of sessions, and who waits for its answer.
//!
//! In: questions of people, answers of the agent. Out: each answer to who asked.
//! Bound: [`WAITING_MAX`] questions of one stream; who has one more is told so.
//! Loss: with the stream all questions end, and who waits is told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use monitor_model::{
    id::SessionId,
    inspect::{NotShown, Snapshot},
};
use monitor_proto::v1::InspectCommand;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

/// Most questions of one stream that wait for an answer.
pub const WAITING_MAX: usize = 16;
/// How long an answer is waited for.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Too many wait already.
    #[error(
        "{WAITING_MAX} others wait for an answer of this host already, which is the most; ask again in some seconds"
    )]
    Full,
    /// The stream is gone.
    #[error("the host's agent was disconnected meanwhile")]
    Gone,
    /// Nothing came in time.
    #[error("the host's agent has not answered in time")]
    Late,
    /// It is the answer to something else.
    #[error("the host's agent answered for another session")]
    Other,
    /// The agent shows nothing.
    #[error(transparent)]
    NotShown(#[from] NotShown),
}

type Answer = Result<Snapshot, NotShown>;

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_question: HashMap<u64, oneshot::Sender<Answer>>,
    is_closed: bool,
}

/// Who waits for answers of one stream.
#[derive(Clone, Debug)]
pub struct Inspections {
    waiting: Arc<Mutex<Waiting>>,
    questions: mpsc::Sender<InspectCommand>,
    timeout: Duration,
}

/// A new stream's, which waits so long for an answer, and what is to be sent on
/// it.
#[must_use]
pub fn channel(timeout: Duration) -> (Inspections, mpsc::Receiver<InspectCommand>) {
    let (questions, asked) = mpsc::channel(WAITING_MAX);
    let inspections = Inspections {
        waiting: Arc::default(),
        questions,
        timeout,
    };
    (inspections, asked)
}

impl Inspections {
    /// Asks what lives in a session.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn ask(&self, session: SessionId) -> Result<Snapshot, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let question = {
            let mut waiting = self.lock();
            if waiting.is_closed {
                return Err(Unanswered::Gone);
            }
            if waiting.by_question.len() >= WAITING_MAX {
                return Err(Unanswered::Full);
            }
            waiting.next += 1;
            let question = waiting.next;
            waiting.by_question.insert(question, answer);
            question
        };
        // Also when who asks goes away.
        let _over = Over(self, question);
        let command = InspectCommand {
            question,
            session: session.to_bytes().to_vec(),
        };
        let wait = async {
            let sent = self.questions.send(command).await;
            sent.map_err(|_| Unanswered::Gone)?;
            answered.await.map_err(|_| Unanswered::Gone)
        };
        let answer = tokio::time::timeout(self.timeout, wait).await;
        let snapshot = answer.map_err(|_| Unanswered::Late)???;
        if snapshot.session == session {
            Ok(snapshot)
        } else {
            Err(Unanswered::Other)
        }
    }

    /// Hands an answer to who asked.
    pub fn answer(&self, question: u64, answer: Answer) {
        let asked = self.lock().by_question.remove(&question);
        // Who asked has gone, or it was never asked.
        if asked.is_none_or(|asked| asked.send(answer).is_err()) {
            debug!(question, "Nobody waits for an agent's answer.");
        }
    }

    /// The stream is gone: nothing is answered any more.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        waiting.by_question.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that nobody waits for any more once this is dropped.
struct Over<'a>(&'a Inspections, u64);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().by_question.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use monitor_model::{clock::UnixNs, inspect::Stance};

    use super::*;
    use crate::testing::session_id;

    fn seen(session: SessionId) -> Snapshot {
        Snapshot {
            session,
            taken_at: UnixNs(1),
            stance: Stance::Frozen,
            processes: Vec::new(),
            more_processes: 0,
        }
    }

    #[tokio::test]
    async fn each_answer_goes_to_who_asked_and_one_of_another_session_to_nobody() {
        let (inspections, mut asked) = channel(ANSWER_TIMEOUT);
        let ask = |session| {
            let inspections = inspections.clone();
            tokio::spawn(async move { inspections.ask(session).await })
        };
        let (one, two) = (ask(session_id(1)), ask(session_id(2)));
        for _ in 0..2 {
            let command = asked.recv().await.unwrap();
            let session = SessionId::from_slice(&command.session).unwrap();
            inspections.answer(command.question, Ok(seen(session)));
        }
        assert_eq!(one.await.unwrap(), Ok(seen(session_id(1))));
        assert_eq!(two.await.unwrap(), Ok(seen(session_id(2))));
        let wrong = ask(session_id(3));
        let command = asked.recv().await.unwrap();
        // What nobody asked is nobody's.
        inspections.answer(command.question + 1, Ok(seen(session_id(3))));
        inspections.answer(command.question, Ok(seen(session_id(1))));
        assert_eq!(wrong.await.unwrap(), Err(Unanswered::Other));
        assert!(inspections.lock().by_question.is_empty());
    }

    #[tokio::test]
    async fn who_waits_is_told_when_nothing_comes_and_when_the_stream_ends() {
        let (hasty, _asked) = channel(Duration::from_millis(1));
        assert_eq!(hasty.ask(session_id(1)).await, Err(Unanswered::Late));
        assert!(hasty.lock().by_question.is_empty());
        let (inspections, mut asked) = channel(ANSWER_TIMEOUT);
        let waits = inspections.clone();
        let waits = tokio::spawn(async move { waits.ask(session_id(1)).await });
        asked.recv().await.unwrap();
        inspections.close();
        assert_eq!(waits.await.unwrap(), Err(Unanswered::Gone));
        assert_eq!(inspections.ask(session_id(1)).await, Err(Unanswered::Gone));
    }

    #[tokio::test]
    async fn one_more_than_may_wait_is_told_so() {
        let (inspections, _asked) = channel(ANSWER_TIMEOUT);
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let inspections = inspections.clone();
                tokio::spawn(async move { inspections.ask(session_id(1)).await })
            })
            .collect();
        while inspections.lock().by_question.len() < WAITING_MAX {
            tokio::task::yield_now().await;
        }
        assert_eq!(inspections.ask(session_id(1)).await, Err(Unanswered::Full));
        inspections.close();
        for one in waiting {
            assert_eq!(one.await.unwrap(), Err(Unanswered::Gone));
        }
    }
}
