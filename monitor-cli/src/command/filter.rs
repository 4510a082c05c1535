//! Which events a person asks for, as the collector takes it.

use monitor_model::event::Kind;
use monitor_proto::v1::{EventFilter, VerdictKind};

use crate::{cli::Events, connection::Connection, error::CliError};

/// The filter of these flags: where no kind is named, every one but fork, exit
/// and read, or all of them.
///
/// # Errors
/// As [`Connection::session`], where the end of an id is given.
pub async fn of(
    events: &Events,
    connection: &Connection,
    everything: bool,
) -> Result<EventFilter, CliError> {
    let mut sessions = Vec::new();
    for text in &events.session {
        sessions.push(connection.session(text).await?.to_bytes().to_vec());
    }
    let kinds = match (events.kind.is_empty(), everything) {
        (false, _) => texts(&events.kind),
        (true, true) => Vec::new(),
        (true, false) => Kind::ALL
            .iter()
            .filter(|kind| !matches!(kind, Kind::Fork | Kind::Exit | Kind::Read))
            .map(ToString::to_string)
            .collect(),
    };
    let verdicts = events.verdict.iter();
    Ok(EventFilter {
        tenants: texts(&events.tenant),
        principals: texts(&events.principal),
        sessions,
        hosts: texts(&events.host),
        kinds,
        verdicts: verdicts
            .map(|verdict| VerdictKind::from(*verdict).into())
            .collect(),
        object_prefix: events.object.clone(),
        least_severity: 0,
    })
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
