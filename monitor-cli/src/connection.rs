//! The collector, dialled with this person's certificate or token.
//!
//! Every error of the way there and every status that comes back ends up as
//! one line that says what was wrong and what would be right.

use std::{io, path::Path, time::Duration};

use monitor_model::{
    clock::{Clock as _, SystemClock},
    id::{AlertId, InvalidId, OrderId, SessionId},
};
use monitor_proto::v1::{
    ListAlertsRequest, ListOrdersRequest, ListSessionsRequest,
    alert_service_client::AlertServiceClient, event_service_client::EventServiceClient,
    evidence_service_client::EvidenceServiceClient, grant_service_client::GrantServiceClient,
    host_service_client::HostServiceClient, inspect_service_client::InspectServiceClient,
    process_service_client::ProcessServiceClient,
    revocation_service_client::RevocationServiceClient,
    session_service_client::SessionServiceClient,
};
use monitor_transport::{
    causes,
    tls::{TlsError, Trust},
    token::TOKEN_BYTES_MAX,
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::{error::CliError, settings::Dial};

/// How long one question may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Items asked for at once.
const PAGE_SIZE: u32 = 500;
/// Largest answer that is taken.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Fewest characters of an id's end that are taken for it.
const SHORT_ID_MIN: usize = 4;
/// Most items looked through for the end of an id.
const SHORT_ID_SEARCH_MAX: usize = 10_000;

/// A connection to the collector.
#[derive(Clone, Debug)]
pub struct Connection {
    address: String,
    shown: String,
    line: Line,
}

/// The connection, with the token on every call.
pub type Line = InterceptedService<Channel, Bearer>;

/// Puts a token on calls, where there is one.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Bearer {
    /// Reads the token anew: what renews it writes the file.
    fn read(path: &Path) -> Result<Self, CliError> {
        let file = |source| CliError::File {
            path: path.to_owned(),
            source,
        };
        let wrong = || {
            let most = format!("no token of 1 to {TOKEN_BYTES_MAX} bytes in it");
            file(io::Error::new(io::ErrorKind::InvalidData, most))
        };
        let text = std::fs::read_to_string(path).map_err(file)?;
        let token = text.trim();
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(wrong());
        }
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Connection {
    /// Checks the certificate files and dials.
    ///
    /// # Errors
    /// [`CliError::Tls`] names the file, or why the address cannot be reached;
    /// [`CliError::File`] a token's file.
    pub async fn open(dial: &Dial) -> Result<Self, CliError> {
        let now = SystemClock.now();
        let unusable = |error| CliError::Tls(error, None);
        let bearer = match &dial.token_file {
            Some(path) => Bearer::read(path)?,
            None => Bearer(None),
        };
        let (shown, channel) = if let Some(files) = &dial.tls {
            let tls = files.load(now).map_err(unusable)?;
            let shown = format!("the certificate of {}", tls.identity());
            (shown, tls.connect(&dial.address).await)
        } else {
            let trust = Trust::load(&dial.ca, now).map_err(unusable)?;
            let shown = "a token without a certificate".to_owned();
            (shown, trust.connect(&dial.address).await)
        };
        let channel = channel.map_err(|error| undialled(error, &shown))?;
        Ok(Self {
            address: dial.address.clone(),
            shown,
            line: InterceptedService::new(channel, bearer),
        })
    }

    /// The address dialled.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Streams and explanations.
    #[must_use]
    pub fn events(&self) -> EventServiceClient<Line> {
        EventServiceClient::new(self.line.clone())
    }

    /// Checkpoints, entries and proofs.
    #[must_use]
    pub fn evidence(&self) -> EvidenceServiceClient<Line> {
        // A page of entries may be larger than a message usually is.
        EvidenceServiceClient::new(self.line.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Sessions.
    #[must_use]
    pub fn sessions(&self) -> SessionServiceClient<Line> {
        SessionServiceClient::new(self.line.clone())
    }

    /// What lives in sessions.
    #[must_use]
    pub fn processes(&self) -> ProcessServiceClient<Line> {
        ProcessServiceClient::new(self.line.clone())
    }

    /// What lives in one session now.
    #[must_use]
    pub fn inspect(&self) -> InspectServiceClient<Line> {
        InspectServiceClient::new(self.line.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Alerts.
    #[must_use]
    pub fn alerts(&self) -> AlertServiceClient<Line> {
        AlertServiceClient::new(self.line.clone())
    }

    /// Grants.
    #[must_use]
    pub fn grants(&self) -> GrantServiceClient<Line> {
        GrantServiceClient::new(self.line.clone())
    }

    /// Hosts.
    #[must_use]
    pub fn hosts(&self) -> HostServiceClient<Line> {
        HostServiceClient::new(self.line.clone())
    }

    /// Orders.
    #[must_use]
    pub fn orders(&self) -> RevocationServiceClient<Line> {
        RevocationServiceClient::new(self.line.clone())
    }

    /// What a status means for a person.
    #[must_use]
    pub fn error(&self, status: &Status) -> CliError {
        let text = status_text(status);
        let is = |codes: &[Code]| codes.contains(&status.code());
        if is(&[Code::PermissionDenied, Code::Unauthenticated]) {
            CliError::Refused(text)
        } else if is(&[Code::NotFound]) {
            CliError::NotFound(text)
        } else if is(&[Code::Unimplemented]) {
            let hint = format!(
                "{} does not offer this: is it the collector, and as new as monitorctl?",
                self.address
            );
            CliError::Answer(text, Some(hint))
        } else if is_transient(status) {
            let hint = advice(&text, &self.shown);
            CliError::Unreachable {
                address: self.address.clone(),
                cause: text,
                hint,
            }
        } else {
            CliError::Answer(text, None)
        }
    }

    /// The session that an id, or the end of one, names.
    ///
    /// # Errors
    /// [`CliError::NotFound`] when there is none, [`CliError::Usage`] when
    /// several end so.
    pub async fn session(&self, text: &str) -> Result<SessionId, CliError> {
        let Some(end) = id_end(text, text.parse::<SessionId>())? else {
            return Ok(text.parse()?);
        };
        let mut found = Vec::new();
        let mut seen = 0;
        let mut page_token = String::new();
        loop {
            let request = ListSessionsRequest {
                include_ended: true,
                page_size: PAGE_SIZE,
                page_token: page_token.clone(),
                ..ListSessionsRequest::default()
            };
            let answer = self.sessions().list_sessions(ask(request)).await;
            let answer = answer.map_err(|status| self.error(&status))?.into_inner();
            seen += answer.sessions.len();
            for session in &answer.sessions {
                let id = SessionId::from_slice(&session.id)?;
                if id.to_string().ends_with(&end) {
                    found.push(id);
                }
            }
            if !goes_on(&page_token, &answer.next_page_token) || seen >= SHORT_ID_SEARCH_MAX {
                return single("session", text, &found);
            }
            page_token = answer.next_page_token;
        }
    }

    /// The alert that an id, or the end of one, names.
    ///
    /// # Errors
    /// As [`Connection::session`].
    pub async fn alert(&self, text: &str) -> Result<AlertId, CliError> {
        let Some(end) = id_end(text, text.parse::<AlertId>())? else {
            return Ok(text.parse()?);
        };
        let mut found = Vec::new();
        let mut seen = 0;
        let mut page_token = String::new();
        loop {
            let request = ListAlertsRequest {
                page_size: PAGE_SIZE,
                page_token: page_token.clone(),
                ..ListAlertsRequest::default()
            };
            let answer = self.alerts().list_alerts(ask(request)).await;
            let answer = answer.map_err(|status| self.error(&status))?.into_inner();
            seen += answer.alerts.len();
            for alert in &answer.alerts {
                let id = AlertId::from_slice(&alert.id)?;
                if id.to_string().ends_with(&end) {
                    found.push(id);
                }
            }
            if !goes_on(&page_token, &answer.next_page_token) || seen >= SHORT_ID_SEARCH_MAX {
                return single("alert", text, &found);
            }
            page_token = answer.next_page_token;
        }
    }

    /// The order that an id, or the end of one, names.
    ///
    /// # Errors
    /// As [`Connection::session`].
    pub async fn order(&self, text: &str) -> Result<OrderId, CliError> {
        let Some(end) = id_end(text, text.parse::<OrderId>())? else {
            return Ok(text.parse()?);
        };
        let mut found = Vec::new();
        let mut seen = 0;
        let mut page_token = String::new();
        loop {
            let request = ListOrdersRequest {
                page_size: PAGE_SIZE,
                page_token: page_token.clone(),
                states: Vec::new(),
            };
            let answer = self.orders().list_orders(ask(request)).await;
            let answer = answer.map_err(|status| self.error(&status))?.into_inner();
            seen += answer.orders.len();
            for order in &answer.orders {
                let id = OrderId::from_slice(&order.id)?;
                if id.to_string().ends_with(&end) {
                    found.push(id);
                }
            }
            if !goes_on(&page_token, &answer.next_page_token) || seen >= SHORT_ID_SEARCH_MAX {
                return single("order", text, &found);
            }
            page_token = answer.next_page_token;
        }
    }
}

/// A list that is fetched page by page, up to a limit.
#[derive(Debug)]
pub struct Paging {
    left: Option<usize>,
    token: String,
    ended: bool,
}

impl Paging {
    /// From the first page on.
    #[must_use]
    pub fn new(limit: Option<u32>) -> Self {
        Self {
            left: limit.and_then(|limit| usize::try_from(limit).ok()),
            token: String::new(),
            ended: false,
        }
    }

    /// Size and token of the next page; none when all is fetched.
    #[must_use]
    pub fn next(&self) -> Option<(u32, String)> {
        let size = self.left.map_or(PAGE_SIZE, |left| {
            u32::try_from(left).unwrap_or(PAGE_SIZE).min(PAGE_SIZE)
        });
        (!self.ended && size > 0).then(|| (size, self.token.clone()))
    }

    /// Takes note of a page, and cuts it at the limit.
    pub fn fetched<T>(&mut self, items: &mut Vec<T>, next_token: String) {
        if let Some(left) = &mut self.left {
            items.truncate(*left);
            *left -= items.len();
        }
        self.ended = !goes_on(&self.token, &next_token);
        self.token = next_token;
    }
}

/// A question with a deadline, so that a silent collector does not hang anybody.
pub fn ask<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_TIMEOUT);
    request
}

/// Whether trying again later may help.
#[must_use]
pub fn is_transient(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable
        | Code::Unknown
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted => true,
        // A stream that breaks off in the middle is told as an internal error
        // of HTTP/2, with its cause; one that the collector tells has none.
        Code::Internal => {
            std::error::Error::source(status).is_some() || status.message().contains("h2 protocol")
        }
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// A status in words, without its number.
#[must_use]
pub fn status_text(status: &Status) -> String {
    let source = std::error::Error::source(status)
        .map(causes)
        .unwrap_or_default();
    if source.contains("close_notify") || status.message().contains("close_notify") {
        return "it hung up".to_owned();
    }
    match (status.message(), source.as_str()) {
        ("", "") => format!("{}, without a word", status.code()),
        (message, "") => message.to_owned(),
        ("", source) => source.to_owned(),
        (message, source) if source.contains(message) => source.to_owned(),
        (message, source) => format!("{message}: {source}"),
    }
}

/// Why no connection came about.
fn undialled(error: TlsError, shown: &str) -> CliError {
    let hint = if let TlsError::Connect { cause, .. } = &error {
        advice(cause, shown)
    } else {
        None
    };
    CliError::Tls(error, hint)
}

/// What would be right, by what the connection's causes say.
fn advice(cause: &str, shown: &str) -> Option<String> {
    let has = |parts: &[&str]| parts.iter().any(|part| cause.contains(part));
    let text = if has(&["onnection refused"]) {
        "nothing listens there: is monitor-collector running, and is the port right?".to_owned()
    } else if has(&["dns error", "failed to lookup"]) {
        "the host name is not known: is it spelled right?".to_owned()
    } else if has(&["received fatal alert", "CertificateRequired"]) {
        format!(
            "the collector does not take {shown}: it wants a certificate that its own authority issued and that holds now"
        )
    } else if has(&["UnknownIssuer", "BadSignature"]) {
        "the collector's certificate is of another authority: give with --ca the ca.pem of the one that issued it".to_owned()
    } else if has(&["NotValidForName", "not valid for name"]) {
        "the collector's certificate does not hold this name: dial it by a name it holds, or issue one with --host".to_owned()
    } else if has(&["certificate expired", "Expired"]) {
        "the collector's certificate is over: issue a new one".to_owned()
    } else if has(&["NotValidYet", "not valid yet"]) {
        "the collector's certificate has not begun: is the clock of this machine right?".to_owned()
    } else if has(&["CaUsedAsEndEntity", "InvalidPurpose", "EndEntity"]) {
        "what answers there shows no certificate for a server: is it the collector?".to_owned()
    } else if has(&["InvalidContentType", "corrupt message"]) {
        "what answers there speaks no TLS: is it the collector?".to_owned()
    } else if has(&["connection closed", "onnection reset", "roken pipe"]) {
        // A server that refuses a client's certificate under TLS 1.3 hangs up,
        // and its reason is often lost on the way.
        format!(
            "no answer before it was closed: either the collector stopped, or it does not take {shown}: a certificate must be of its own authority, a token needs [tokens] in its configuration"
        )
    } else if has(&["imed out", "deadline has elapsed", "imeout expired"]) {
        "no answer came: is the way there open?".to_owned()
    } else {
        return None;
    };
    Some(text)
}

/// Whether there is a further page; one that repeats its token never ends.
fn goes_on(token: &str, next: &str) -> bool {
    !next.is_empty() && next != token
}

/// The end that is looked for; none when the text is a whole id.
fn id_end<T>(text: &str, parsed: Result<T, InvalidId>) -> Result<Option<String>, CliError> {
    match parsed {
        Ok(_) => Ok(None),
        Err(_)
            if (SHORT_ID_MIN..26).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric()) =>
        {
            Ok(Some(text.to_ascii_uppercase()))
        }
        Err(error) => Err(CliError::Usage(format!(
            "{error}, or the last {SHORT_ID_MIN} or more of them"
        ))),
    }
}

fn single<T: Copy + ToString>(what: &str, text: &str, found: &[T]) -> Result<T, CliError> {
    match found {
        [one] => Ok(*one),
        [] => Err(CliError::NotFound(format!("no {what} ends in {text}"))),
        several => {
            let all: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(CliError::Usage(format!(
                "several {what}s end in {text}; give one in full: {}",
                all.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_id_stands_for_it_when_it_is_the_only_one() {
        let ids = ["01JG3Y2E8QW0X9V5T4R3S2A1B0", "01JG3Y2E8QW0X9V5T4R3S2A1C0"];
        let ids: Vec<SessionId> = ids.iter().map(|id| id.parse().unwrap()).collect();
        let end = |text: &str| id_end(text, text.parse::<SessionId>());
        assert_eq!(end("s2a1b0").unwrap().unwrap(), "S2A1B0");
        assert_eq!(end("01JG3Y2E8QW0X9V5T4R3S2A1B0").unwrap(), None);
        assert_eq!(end("b0").unwrap_err().code(), 2);
        assert_eq!(end("a/b/c/d").unwrap_err().code(), 2);
        assert_eq!(single("session", "x", &ids[..1]).unwrap(), ids[0]);
        assert_eq!(single("session", "x", &ids).unwrap_err().code(), 2);
        assert_eq!(single("session", "x", &ids[..0]).unwrap_err().code(), 3);
    }

    #[test]
    fn paging_ends_at_the_limit_and_at_a_token_that_repeats() {
        let mut paging = Paging::new(Some(3));
        assert_eq!(paging.next(), Some((3, String::new())));
        let mut items = vec![1, 2];
        paging.fetched(&mut items, "a".into());
        assert_eq!(paging.next(), Some((1, "a".into())));
        let mut items = vec![3, 4];
        paging.fetched(&mut items, "b".into());
        assert_eq!(items, [3]);
        assert_eq!(paging.next(), None);
        let mut paging = Paging::new(None);
        paging.fetched(&mut vec![1], "a".into());
        paging.fetched(&mut vec![1], "a".into());
        assert_eq!(paging.next(), None);
    }

    #[test]
    fn a_status_is_told_in_words() {
        assert_eq!(
            status_text(&Status::permission_denied("eve has the role auditor")),
            "eve has the role auditor"
        );
        assert!(status_text(&Status::new(Code::Aborted, "")).contains("aborted"));
        assert!(is_transient(&Status::unavailable("")));
        assert!(!is_transient(&Status::internal("the ledger is damaged")));
    }
}
