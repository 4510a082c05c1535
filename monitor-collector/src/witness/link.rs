//! The connection to a witness.
//!
//! In: a body. Out: the [`Answer`]. Bound: one request at a time,
//! [`ANSWER_BYTES_MAX`] of an answer, the witness's `timeout` for all of it.

use std::time::Duration;

use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use tokio::time::timeout;

use crate::{
    config::Witness,
    http::{self, HttpError, Place, Trust},
};

/// Most bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 65_536;

/// Why the witness gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It cannot be asked, or nothing whole came back.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer did not come in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It cannot answer now.
    #[error("it answers {status}: {text}")]
    Busy {
        /// The status.
        status: u16,
        /// What it said.
        text: String,
    },
    /// The collector is stopping.
    #[error("the collector is stopping")]
    Ended,
}

/// What a witness answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Signature lines.
    Signed(Vec<u8>),
    /// The size of the tree that it signed last.
    Size(u64),
    /// Anything else.
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        text: String,
    },
}

/// The way to one witness.
#[derive(Debug)]
pub struct Link {
    place: Place,
    fields: HeaderMap,
    timeout: Duration,
}

impl Link {
    /// To a witness; nothing is dialled yet.
    ///
    /// # Errors
    /// [`HttpError::Address`], [`HttpError::Authority`].
    pub fn new(witness: &Witness) -> Result<Self, LinkError> {
        let url = format!("{}/add-checkpoint", witness.url);
        let trust = witness.ca.as_deref().map_or(Trust::Plain, Trust::Authority);
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        Ok(Self {
            place: Place::new(&url, trust, ANSWER_BYTES_MAX)?,
            fields: HeaderMap::from_iter([(CONTENT_TYPE, kind)]),
            timeout: witness.timeout,
        })
    }

    /// Sends a body, on the connection that is open or on a new one.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn post(&mut self, body: Vec<u8>) -> Result<Answer, LinkError> {
        let longest = self.timeout;
        let answer = timeout(longest, self.place.post(&self.fields, body.into())).await;
        answer_of(&answer.map_err(|_| LinkError::Late(longest))??)
    }
}

fn answer_of(answer: &http::Answer) -> Result<Answer, LinkError> {
    if answer.status == StatusCode::OK {
        return Ok(Answer::Signed(answer.body.to_vec()));
    }
    let text = answer.text();
    if let (StatusCode::CONFLICT, Ok(size)) = (answer.status, text.parse()) {
        return Ok(Answer::Size(size));
    }
    let status = answer.status.as_u16();
    // These say nothing of the ledger.
    if matches!(status, 408 | 429 | 500 | 502..=504) {
        return Err(LinkError::Busy { status, text });
    }
    Ok(Answer::Refused { status, text })
}
