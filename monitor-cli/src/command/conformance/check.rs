//! The checks, in the order in which they run, and what one finds.

/// One thing that is asked of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// What may be revoked is held, and valid.
    DescribedBefore,
    /// Nobody without a certificate.
    NoCertificate,
    /// Nobody of another role.
    WrongRole,
    /// Nobody of another authority.
    OtherAuthority,
    /// Orders that make no sense.
    Malformed,
    /// What was never issued.
    Unknown,
    /// Known and unknown in one order.
    Partial,
    /// The same order again.
    SameAgain,
    /// The same order, sent for the second time.
    LaterAttempt,
    /// The same name for another order.
    OtherTarget,
    /// An order whose caller does not wait.
    Deadline,
    /// Two orders for one certificate.
    AtOnce,
    /// What was revoked is told as revoked.
    DescribedAfter,
}

impl Check {
    /// Every check, in the order in which they run.
    pub const ALL: [Self; 13] = [
        Self::DescribedBefore,
        Self::NoCertificate,
        Self::WrongRole,
        Self::OtherAuthority,
        Self::Malformed,
        Self::Unknown,
        Self::Partial,
        Self::SameAgain,
        Self::LaterAttempt,
        Self::OtherTarget,
        Self::Deadline,
        Self::AtOnce,
        Self::DescribedAfter,
    ];

    /// Its name, on screens and in JSON; never another.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DescribedBefore => "described-before",
            Self::NoCertificate => "no-certificate",
            Self::WrongRole => "wrong-role",
            Self::OtherAuthority => "other-authority",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Partial => "partial",
            Self::SameAgain => "same-again",
            Self::LaterAttempt => "later-attempt",
            Self::OtherTarget => "other-target",
            Self::Deadline => "deadline",
            Self::AtOnce => "at-once",
            Self::DescribedAfter => "described-after",
        }
    }

    /// What it asks of a broker.
    #[must_use]
    pub const fn asks(self) -> &'static str {
        match self {
            Self::DescribedBefore => "Describe names what an engineer holds, valid until revoked",
            Self::NoCertificate => "who shows no certificate is refused",
            Self::WrongRole => "a certificate of another role is refused",
            Self::OtherAuthority => "a certificate of another authority is refused",
            Self::Malformed => {
                "an order that makes no sense is INVALID_ARGUMENT, and nothing is revoked"
            }
            Self::Unknown => "what was never issued is not_found or left out, and no error",
            Self::Partial => "each credential of an order has an outcome of its own",
            Self::SameAgain => {
                "the same order again is a success: nothing is revoked twice, the times of the first stay"
            }
            Self::LaterAttempt => "a later attempt of the same order is the same order",
            Self::OtherTarget => "the id of an order is refused for another target",
            Self::Deadline => {
                "an order whose caller stopped waiting is whole when it is asked again"
            }
            Self::AtOnce => {
                "of two orders at once for one certificate one revokes it, and both say when"
            }
            Self::DescribedAfter => "Describe tells as revoked what an answer told so, and when",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The broker does what is asked.
    Passed,
    /// It does not, and this is what it did.
    Failed(String),
    /// It could not be tried, for this reason.
    Skipped(String),
}

impl Finding {
    /// The name in JSON and on screens.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Why it did not pass.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Failed(reason) | Self::Skipped(reason) => Some(reason),
        }
    }
}

impl From<Result<(), String>> for Finding {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}
