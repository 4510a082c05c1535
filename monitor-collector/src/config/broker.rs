//! How the broker is reached, and how it is asked again.

use std::{path::PathBuf, time::Duration};

use hyper::Uri;
use monitor_model::id::PrincipalId;
use monitor_transport::configuration::Document;
use toml::Spanned;

use super::{
    check::{Wrong, wrong},
    raw,
};

/// Longest pause between attempts that can be configured: an hour.
pub const RETRY_MS_MAX: u64 = 3_600_000;

/// Where the broker is and how it is asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// How it is reached.
    pub way: BrokerWay,
    /// First pause between attempts.
    pub retry_min: Duration,
    /// Longest pause between attempts.
    pub retry_max: Duration,
}

/// How the broker is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerWay {
    /// It serves `BrokerService`.
    Grpc {
        /// Its address, `https://...`.
        address: String,
    },
    /// It takes signed webhooks.
    Webhook {
        /// Where they are sent, `https://...`.
        url: String,
        /// The file of what they are signed with.
        secret: PathBuf,
        /// Certificate of the authority that signed the broker's; none where one
        /// of the machine's authorities did.
        ca: Option<PathBuf>,
    },
    /// It dials in, and watches the feed.
    Feed {
        /// Its name, as its certificate says.
        name: PrincipalId,
    },
}

impl Broker {
    /// Whether it is the broker that dials.
    #[must_use]
    pub const fn dials_in(&self) -> bool {
        match self.way {
            BrokerWay::Feed { .. } => true,
            BrokerWay::Grpc { .. } | BrokerWay::Webhook { .. } => false,
        }
    }
}

/// The broker, where one is configured.
pub(super) fn checked(
    raw: Option<Spanned<raw::Broker>>,
    document: &Document<'_>,
) -> Result<Option<Broker>, Wrong> {
    raw.map(|raw| configured(raw, document)).transpose()
}

fn configured(raw: Spanned<raw::Broker>, document: &Document<'_>) -> Result<Broker, Wrong> {
    let span = raw.span();
    let raw::Broker {
        address,
        webhook,
        feed,
        secret,
        ca,
        retry_ms_min,
        retry_ms_max,
    } = raw.into_inner();
    let one_way = "a broker is reached in one way: give address, webhook or feed";
    let way = match (address, webhook, feed) {
        (Some(address), None, None) => grpc(address, secret.as_ref().or(ca.as_ref()))?,
        (None, Some(webhook), None) => by_webhook(webhook, secret, ca, document)?,
        (None, None, Some(feed)) => by_feed(&feed, secret.as_ref().or(ca.as_ref()))?,
        (Some(_), Some(webhook), _) => return Err(wrong("broker.webhook", &webhook, one_way)),
        (_, _, Some(feed)) => return Err(wrong("broker.feed", &feed, one_way)),
        (None, None, None) => {
            return Err(Wrong {
                span,
                key: "broker",
                value: "neither address nor webhook nor feed".to_owned(),
                wanted: "give address = \"https://...\" of a broker that serves BrokerService, webhook = \"https://...\" and secret, or feed = \"NAME\" of a broker that dials in".to_owned(),
            });
        }
    };
    let (retry_min, retry_max) = pauses(&retry_ms_min, &retry_ms_max)?;
    Ok(Broker {
        way,
        retry_min,
        retry_max,
    })
}

/// A broker that dials in, by the name in its certificate.
fn by_feed(name: &Spanned<String>, alien: Option<&Spanned<PathBuf>>) -> Result<BrokerWay, Wrong> {
    if let Some(alien) = alien {
        let wanted = "secret and ca are a webhook's: a broker that dials in shows its certificate of the authority of [tls], so leave it out";
        return Err(wrong("broker", alien, wanted));
    }
    let wanted = "give the broker's name as its certificate says: NAME of monitor://broker/NAME";
    match name.get_ref().parse() {
        Ok(name) => Ok(BrokerWay::Feed { name }),
        Err(_) => Err(wrong("broker.feed", name, wanted)),
    }
}

fn grpc(address: Spanned<String>, alien: Option<&Spanned<PathBuf>>) -> Result<BrokerWay, Wrong> {
    if let Some(alien) = alien {
        let wanted =
            "secret and ca are a webhook's: with address the files of [tls] hold, so leave it out";
        return Err(wrong("broker", alien, wanted));
    }
    if !address.get_ref().starts_with("https://") {
        let wanted = "give an https:// address, as in https://localhost:7444";
        return Err(wrong("broker.address", &address, wanted));
    }
    Ok(BrokerWay::Grpc {
        address: address.into_inner(),
    })
}

fn by_webhook(
    url: Spanned<String>,
    secret: Option<Spanned<PathBuf>>,
    ca: Option<Spanned<PathBuf>>,
    document: &Document<'_>,
) -> Result<BrokerWay, Wrong> {
    let parsed: Option<Uri> = url.get_ref().parse().ok();
    let is_right = parsed.is_some_and(|uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let is_bare = !authority.is_empty() && !authority.contains('@');
        uri.scheme_str() == Some("https") && is_bare
    });
    if !is_right {
        let wanted =
            "give an https:// address without a user, as in https://broker.example/monitor/orders";
        return Err(wrong("broker.webhook", &url, wanted));
    }
    let Some(secret) = secret else {
        let wanted = "give secret as well: a file with what its orders are signed with, whsec_..., mode 0600";
        return Err(wrong("broker.webhook", &url, wanted));
    };
    Ok(BrokerWay::Webhook {
        url: url.into_inner(),
        secret: document.beside(secret.into_inner()),
        ca: ca.map(|ca| document.beside(ca.into_inner())),
    })
}

fn pauses(least: &Spanned<u64>, most: &Spanned<u64>) -> Result<(Duration, Duration), Wrong> {
    let (from, to) = (*least.get_ref(), *most.get_ref());
    if !(1..=RETRY_MS_MAX).contains(&from) {
        return Err(wrong("broker.retry_ms_min", least, "give 1 to 3600000"));
    }
    if to < from || to > RETRY_MS_MAX {
        let wanted = "give retry_ms_min to 3600000";
        return Err(wrong("broker.retry_ms_max", most, wanted));
    }
    Ok((Duration::from_millis(from), Duration::from_millis(to)))
}
