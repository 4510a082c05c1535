//! The key id: the one text of a certificate that sshd logs and hands on.
//!
//! `v1;eng=alice;tenant=acme;ticket=INC-4711;tier=production;grant=01JG...`, and
//! `;also=01JH...,01JI...` where it stands on further grants.
//! A hint for people and logs; the grant looked up by its id is the truth.

use monitor_model::grant::Grant;

/// Longest ticket, in bytes: sshd's log line holds 1,021 in all.
pub const TICKET_BYTES_MAX: usize = 64;

/// Why a grant cannot stand in a key id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTicket {
    /// No ticket.
    #[error("ticket is empty; a certificate names the ticket it was issued for, as in INC-4711")]
    Empty,
    /// Too long.
    #[error("ticket has {bytes} bytes; at most {TICKET_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A character that would break the key id or a log line.
    #[error(
        "ticket {text:?} holds {found:?}; allowed are printable ASCII characters without space, ; and ="
    )]
    Character {
        /// The ticket.
        text: String,
        /// The first character that is not allowed.
        found: char,
    },
}

/// Checks that a ticket can stand in a key id. Every other field is a name,
/// which can.
///
/// # Errors
/// [`InvalidTicket`] says what would be right.
pub fn check_ticket(text: &str) -> Result<(), InvalidTicket> {
    if text.is_empty() {
        return Err(InvalidTicket::Empty);
    }
    if text.len() > TICKET_BYTES_MAX {
        return Err(InvalidTicket::TooLong { bytes: text.len() });
    }
    let wrong = text
        .chars()
        .find(|c| !c.is_ascii_graphic() || matches!(c, ';' | '='));
    wrong.map_or(Ok(()), |found| {
        Err(InvalidTicket::Character {
            text: text.to_owned(),
            found,
        })
    })
}

/// The key id of certificates for a grant, and for further ones of the same
/// engineer and tenant.
///
/// # Errors
/// [`InvalidTicket`] when the ticket cannot stand in it.
pub fn of(grant: &Grant, also: &[Grant]) -> Result<String, InvalidTicket> {
    check_ticket(&grant.ticket)?;
    let Grant {
        id,
        principal,
        tenant,
        ticket,
        tier,
        ..
    } = grant;
    let mut text =
        format!("v1;eng={principal};tenant={tenant};ticket={ticket};tier={tier};grant={id}");
    for (place, grant) in also.iter().enumerate() {
        text.push_str(if place == 0 { ";also=" } else { "," });
        text.push_str(grant.id.as_str());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_that_would_break_the_key_id_is_refused() {
        assert_eq!(check_ticket("INC-4711"), Ok(()));
        assert_eq!(check_ticket(""), Err(InvalidTicket::Empty));
        assert!(matches!(
            check_ticket(&"x".repeat(65)),
            Err(InvalidTicket::TooLong { bytes: 65 })
        ));
        for (text, bad) in [
            ("a;tier=x", ';'),
            ("a=b", '='),
            ("a b", ' '),
            ("a\n", '\n'),
            ("ä", 'ä'),
        ] {
            assert!(
                matches!(check_ticket(text), Err(InvalidTicket::Character { found, .. }) if found == bad)
            );
        }
    }
}
