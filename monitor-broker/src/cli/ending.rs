//! `left` and `close`: what ended here, and what the collector did.

use std::{io, process::ExitCode};

use monitor_model::{clock::UnixNs, id::PrincipalId, revocation::Revoked};
use monitor_proto::v1::{
    EndSubjectResponse, SubjectEnding, TellEndingRequest, tell_ending_request::Subject,
};

use super::{CliError, EndingArgs, new_id, show_revoked};
use crate::client::ClientError;

/// Of somebody who left.
pub(super) fn left(who: &PrincipalId) -> Subject {
    Subject::Engineer(who.to_string())
}

/// Of a ticket.
pub(super) const fn closed(ticket: String) -> Subject {
    Subject::Ticket(ticket)
}

/// Tells the broker, and says what came of it. What is not found is a success.
pub(super) async fn tell(
    subject: Subject,
    args: EndingArgs,
    now: UnixNs,
    out: &mut impl io::Write,
) -> Result<ExitCode, CliError> {
    let EndingArgs { reason, id, dial } = args;
    let id = id.unwrap_or_else(|| new_id(now));
    let request = TellEndingRequest {
        id: id.to_bytes().to_vec(),
        subject: Some(subject),
        reason,
    };
    let answer = dial.client(now).await?.tell_ending(request).await?;
    let revoked = answer.revoked.into_iter().map(Revoked::try_from);
    let revoked = revoked.collect::<Result<Vec<_>, _>>();
    let revoked = revoked.map_err(ClientError::from)?;
    show_revoked(&revoked, out)?;
    if revoked.is_empty() {
        writeln!(out, "nothing held here")?;
    }
    match answer.collector {
        Some(told) => writeln!(out, "collector: {}", words(&told))?,
        None => writeln!(
            out,
            "collector: not told yet, it will be as soon as possible: {}",
            answer.waits
        )?,
    }
    writeln!(out, "ending {id}")?;
    Ok(ExitCode::SUCCESS)
}

/// What the collector did.
fn words(told: &EndSubjectResponse) -> String {
    let sessions = told.sessions;
    match told.ending() {
        SubjectEnding::Unspecified => "it does not say what it did".to_owned(),
        SubjectEnding::NothingHeld => "nothing held".to_owned(),
        SubjectEnding::GrantsEnded => "no live session stood on it alone".to_owned(),
        SubjectEnding::SessionsEnding => format!("{sessions} live sessions are being ended"),
        SubjectEnding::Observed => {
            format!("observe mode: {sessions} live sessions would have been ended")
        }
        SubjectEnding::Proposed => format!(
            "{sessions} live sessions are more than one order may end: a person must approve (monitorctl orders --state proposed)"
        ),
    }
}
