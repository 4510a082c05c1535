//! The list on its way to the collector, for hosts.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use monitor_model::krl::{LIST_BYTES_MAX, RevocationList};
use monitor_proto::v1::{self, revocation_list_service_client::RevocationListServiceClient};
use monitor_transport::tls::PeerChannel;
use tonic::transport::Channel;
use tracing::{debug, error, info};

use super::{CourierError, answer, in_time};
use crate::store::ListChange;

/// The way of lists.
#[derive(Debug)]
pub(super) struct ListWay {
    peer: Arc<PeerChannel>,
    /// The number of the list that the collector was put.
    told: AtomicU64,
    /// Whether it may have lost that: it is put again.
    is_doubted: AtomicBool,
}

impl ListWay {
    pub(super) fn new(peer: Arc<PeerChannel>) -> Self {
        Self {
            peer,
            told: AtomicU64::new(0),
            is_doubted: AtomicBool::new(true),
        }
    }

    fn client(&self) -> RevocationListServiceClient<Channel> {
        RevocationListServiceClient::new(self.peer.channel())
    }

    /// The collector may have lost the list that it was put.
    pub(super) fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Relaxed);
    }

    /// Tells what somebody else made of the list's file; also true where the
    /// collector will not know of it.
    pub(super) async fn tell(&self, change: &ListChange) -> Result<(), CourierError> {
        let ListChange { at, number, found } = change;
        let request = v1::ReportChangeRequest {
            number: *number,
            found: found.clone(),
            found_at_unix_ns: at.0,
        };
        let mut client = self.client();
        match answer(client.report_change(in_time(request))).await {
            Ok(_) => info!(%at, "The collector knows that the revocation list was changed."),
            Err(CourierError::Refused { text } | CourierError::NotAllowed { text }) => {
                error!(%at, %text, "The collector does not take a change of the revocation list.");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Puts the newest list to the collector, where it may not have it.
    pub(super) async fn put(&self, list: Option<Arc<RevocationList>>) -> Result<(), CourierError> {
        let Some(list) = list else {
            return Ok(());
        };
        let (number, bytes) = (list.number, list.bytes.len());
        let is_known = self.told.load(Ordering::Relaxed) == number;
        if is_known && !self.is_doubted.load(Ordering::Relaxed) {
            return Ok(());
        }
        if bytes > LIST_BYTES_MAX {
            error!(
                number,
                bytes,
                bytes_max = LIST_BYTES_MAX,
                "The revocation list is too long to be carried: hosts get it by other means or not at all."
            );
        } else {
            let request = v1::PutListRequest {
                list: Some(list.as_ref().into()),
            };
            let mut client = self.client();
            match answer(client.put_list(in_time(request))).await {
                Ok(_) if is_known => debug!(number, "The collector has the revocation list."),
                Ok(_) => info!(number, "The collector has the revocation list."),
                // Trying again soon would not help.
                Err(CourierError::Refused { text } | CourierError::NotAllowed { text }) => {
                    error!(number, %text, "The collector does not take the revocation list: hosts get it by other means or not at all.");
                }
                Err(error) => return Err(error),
            }
        }
        self.told.store(number, Ordering::Relaxed);
        self.is_doubted.store(false, Ordering::Relaxed);
        Ok(())
    }
}
