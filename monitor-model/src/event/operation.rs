//! What was done to a watched file.

use serde::Serialize;

macro_rules! operations {
    ($($variant:ident => $name:literal, $verb:literal, $doc:literal;)*) => {
        /// What was done to a watched file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Operation { $(#[doc = $doc] $variant,)* }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in filters and JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The verb a person would use.
            #[must_use]
            pub const fn verb(self) -> &'static str {
                match self { $(Self::$variant => $verb,)* }
            }
        }
    };
}

operations! {
    Read => "read", "read", "Opened to read.";
    Write => "write", "wrote", "Opened to write.";
    ReadWrite => "read_write", "opened for change", "Opened to read and write.";
    PathOnly => "path_only", "took a handle on", "Opened as a path only (`O_PATH`).";
    Execute => "execute", "executed", "Opened by execve.";
    Received => "received", "received a descriptor of", "A descriptor of it arrived from another process.";
    UsedElsewhere => "used_elsewhere", "used through a descriptor from elsewhere", "Read or written through a descriptor that the session did not open.";
    Mapped => "mapped", "mapped through a descriptor from elsewhere", "Mapped into memory through such a descriptor.";
    Created => "created", "made a file in", "A file, directory, socket or node was made.";
    Truncated => "truncated", "set the size of", "Its size was set.";
    ModeChanged => "mode_changed", "set the permissions of", "Its permissions were set.";
    OwnerChanged => "owner_changed", "set the owner of", "Its owner or group was set.";
    Renamed => "renamed", "renamed", "It was renamed.";
    Linked => "linked", "made another name for", "It got a further name.";
    Symlinked => "symlinked", "made a symbolic link in", "A symbolic link was made.";
    Removed => "removed", "removed", "A name of it was removed.";
    AttributesChanged => "attributes_changed", "set attributes of", "An extended attribute or access list was set.";
    Connected => "connected", "connected to", "A watched socket was connected.";
}

impl Operation {
    /// What an open is, from the flags of open(2).
    #[must_use]
    pub const fn of_open(flags: u32) -> Self {
        const O_PATH: u32 = 0o10_000_000;
        match (flags & O_PATH != 0, flags & 0o3) {
            (true, _) => Self::PathOnly,
            (false, 0) => Self::Read,
            (false, 1) => Self::Write,
            (false, _) => Self::ReadWrite,
        }
    }

    /// Whether it changes the file, or what there is beside it.
    #[must_use]
    pub const fn is_change(self) -> bool {
        match self {
            Self::Write
            | Self::ReadWrite
            | Self::Created
            | Self::Truncated
            | Self::ModeChanged
            | Self::OwnerChanged
            | Self::Renamed
            | Self::Linked
            | Self::Symlinked
            | Self::Removed
            | Self::AttributesChanged => true,
            Self::Read
            | Self::PathOnly
            | Self::Execute
            | Self::Received
            | Self::UsedElsewhere
            | Self::Mapped
            | Self::Connected => false,
        }
    }

    /// Whether it went through a descriptor that another process opened.
    #[must_use]
    pub const fn is_from_elsewhere(self) -> bool {
        matches!(self, Self::Received | Self::UsedElsewhere | Self::Mapped)
    }
}
