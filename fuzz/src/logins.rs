//! What sshd's hooks send, and what sshd reads.

use monitor_agent::login::{
    credential::{Certificate, KeyId, Presented},
    protocol::{Ask, line, read_request},
};
use monitor_broker::krl::Krl;

/// A request, the credential in it, and the key id in that.
pub(crate) fn hook(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    // Whether or not it is a request: PAM's variable alone is read the same way.
    let alone = Presented::read(&text).is_ok_and(|presented| is_certificate(&presented));
    let Ok(request) = read_request(bytes) else {
        return alone;
    };
    let again = line(&request).map(|line| read_request(&line));
    assert!(
        matches!(&again, Ok(Ok(again)) if *again == request) || again.is_err(),
        "{request:?} became {again:?}"
    );
    match &request.ask {
        Ask::Open(login) | Ask::Close(login) => Presented::read(&login.auth_info).is_ok(),
        Ask::Principals(asked) => {
            let read = Certificate::read(&asked.key_type, &asked.certificate);
            read.is_ok_and(|certificate| {
                // What it says is a hint, of any form.
                let _ = certificate.key_id.parse::<KeyId>();
                true
            })
        }
    }
}

fn is_certificate(presented: &Presented) -> bool {
    match presented {
        Presented::Certificate(certificate) => {
            let _ = certificate.key_id.parse::<KeyId>();
            true
        }
        Presented::Other(_) => false,
    }
}

/// A list that is taken is written again as the same list: a broker that starts
/// goes on with what sshd has.
pub(crate) fn krl(bytes: &[u8]) -> bool {
    let Ok(krl) = Krl::decode(bytes) else {
        return false;
    };
    let again = Krl::decode(&krl.encode());
    assert!(
        again.as_ref().is_ok_and(|again| *again == krl),
        "{krl:?} became {again:?}"
    );
    true
}
