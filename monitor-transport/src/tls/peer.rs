//! A way to one service that outlives certificates.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tonic::transport::Channel;

use super::{CurrentTls, TlsError, connect};
use crate::dial::Destination;

/// A channel to one service. Where another certificate is to be shown, what is asked
/// from then on goes over a connection that shows it; what is under way goes on.
#[derive(Debug)]
pub struct PeerChannel {
    address: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tls: CurrentTls,
    to: Destination,
    channel: Option<Channel>,
}

impl PeerChannel {
    /// To a service; nothing is dialled yet.
    ///
    /// # Errors
    /// [`TlsError::Address`] when the address is none.
    pub fn new(address: &str, mut tls: CurrentTls) -> Result<Self, TlsError> {
        let now = tls.changed().unwrap_or_else(|| tls.get());
        let state = State {
            to: now.endpoint(address)?,
            tls,
            channel: None,
        };
        Ok(Self {
            address: address.to_owned(),
            state: Mutex::new(state),
        })
    }

    /// Where it leads.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The channel; it dials when there is something to say.
    pub fn channel(&self) -> Channel {
        let mut state = self.current();
        let to = state.to.clone();
        let channel = state.channel.get_or_insert_with(|| to.connect_lazy());
        channel.clone()
    }

    /// The channel, once it was connected; after that it connects by itself.
    ///
    /// # Errors
    /// [`TlsError::Connect`].
    pub async fn connected(&self) -> Result<Channel, TlsError> {
        let to = {
            let state = self.current();
            if let Some(channel) = &state.channel {
                return Ok(channel.clone());
            }
            state.to.clone()
        };
        let channel = connect(&self.address, &to).await?;
        // Somebody else may have connected meanwhile: one channel is enough.
        Ok(self.current().channel.get_or_insert(channel).clone())
    }

    /// Without the channel of a certificate that is no longer shown.
    fn current(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = state.tls.changed()
            && let Ok(to) = tls.endpoint(&self.address)
        {
            state.to = to;
            state.channel = None;
        }
        state
    }
}
