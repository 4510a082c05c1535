//! The three programs that the stage is about.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// `monitor-agent`.
    Agent,
    /// `monitor-collector`.
    Collector,
    /// `monitor-broker`.
    Broker,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Collector, Self::Broker];

    /// The program's file name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "monitor-agent",
            Self::Collector => "monitor-collector",
            Self::Broker => "monitor-broker",
        }
    }

    /// What it is called in words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Collector => "collector",
            Self::Broker => "broker",
        }
    }

    /// Its configuration file, below the stage's folder.
    #[must_use]
    pub const fn config(self) -> &'static str {
        match self {
            Self::Agent => "agent.toml",
            Self::Collector => "collector.toml",
            Self::Broker => "broker.toml",
        }
    }
}
