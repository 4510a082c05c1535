//! Who may ask: whoever may not is refused, whatever the order is.

use monitor_proto::v1::RevokeCredentialsRequest;
use monitor_transport::tls::TlsFiles;
use tonic::Code;

use super::{
    check::Finding,
    peer::{Failure, Stranger},
};
use crate::{cli::ConformanceBroker, error::CliError};

/// Those who may not ask; none where no certificate was given.
#[derive(Debug)]
pub struct Strangers {
    /// Shows no certificate.
    pub nobody: Stranger,
    /// Of the same authority, and another role.
    pub wrong_role: Option<Stranger>,
    /// Of another authority.
    pub other_authority: Option<Stranger>,
}

/// Makes them from the flags.
///
/// # Errors
/// As [`Stranger::new`].
pub fn strangers(asked: &ConformanceBroker, files: &TlsFiles) -> Result<Strangers, CliError> {
    let stranger = |certificate, key| match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Stranger::new(asked, &files.ca, Some((certificate, key))).map(Some)
        }
        (_, _) => Ok(None),
    };
    Ok(Strangers {
        nobody: Stranger::new(asked, &files.ca, None)?,
        wrong_role: stranger(
            asked.wrong_role_certificate.as_ref(),
            asked.wrong_role_key.as_ref(),
        )?,
        other_authority: stranger(
            asked.other_authority_certificate.as_ref(),
            asked.other_authority_key.as_ref(),
        )?,
    })
}

/// Whether somebody is refused; `flags` are named where there is nobody to try.
pub async fn refused(
    asked: &ConformanceBroker,
    stranger: Option<&Stranger>,
    flags: &str,
    order: &RevokeCredentialsRequest,
) -> Finding {
    let Some(stranger) = stranger else {
        return Finding::Skipped(format!("no such certificate was given: {flags}"));
    };
    let Some(peer) = stranger.dial(asked).await else {
        return Finding::Passed;
    };
    let given = peer.revoke(order).await.map(drop);
    let told = peer.describe(asked.engineer.as_str()).await.map(drop);
    let both = is_refusal("RevokeCredentials", given).and(is_refusal("Describe", told));
    both.into()
}

fn is_refusal(call: &str, result: Result<(), Failure>) -> Result<(), String> {
    match result {
        Ok(()) => Err(format!(
            "{call} was carried out: the broker does not look at who asks"
        )),
        Err(
            Failure::Broke(_)
            | Failure::Status {
                code: Code::PermissionDenied | Code::Unauthenticated,
                ..
            },
        ) => Ok(()),
        Err(failure) => Err(format!(
            "{call} is to be refused with PERMISSION_DENIED or UNAUTHENTICATED, and {failure}"
        )),
    }
}
