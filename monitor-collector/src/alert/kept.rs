//! What the alerter remembers over a restart, as rows of text.
//!
//! It is written in step with the place up to which alerts follow from the
//! ledgers: a start goes on from both, so that no alert is raised twice or lost.

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptKind {
    /// Matches of a subject.
    Count,
    /// A host's boot, clock and silence.
    Host,
    /// When a grant was used last.
    Grant,
    /// Whose credentials a key was seen in.
    Key,
}

impl KeptKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Count, Self::Host, Self::Grant, Self::Key];

    /// The name in the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Host => "host",
            Self::Grant => "grant",
            Self::Key => "key",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it is about.
    pub kind: KeptKind,
    /// Of whom.
    pub name: String,
    /// What is remembered; none when it was forgotten.
    pub text: Option<String>,
}
