//! The flags of `conformance`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use monitor_model::id::PrincipalId;

/// What is tried.
#[derive(Debug, Subcommand)]
pub enum Conformance {
    /// Tries a broker that serves BrokerService: each rule of docs/reference/brokers.md, told as passed or failed and why
    Broker(ConformanceBroker),
}

/// Which broker, and what of it may be used up.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  monitorctl conformance broker --target https://broker.example:7444 --engineer test-user --serial 41 --serial 42 \\
    --ca ca.pem --certificate collector.pem --key collector.key
  monitorctl conformance broker --target https://broker.example:7444 --engineer test-user --serial 43 -o json \\
    --wrong-role-certificate agent.pem --wrong-role-key agent.key

The certificates behind --serial are revoked, for good: have them issued for this, to a user of their own.
--certificate and --key are what the broker takes orders from: of the role collector.
Exit codes: 0 when every check that ran passed, 1 when one failed. What was skipped is told.")]
pub struct ConformanceBroker {
    /// Address of the broker, as in https://broker.example:7444.
    #[arg(long, value_name = "URL")]
    pub target: String,
    /// Who holds the certificates that may be revoked.
    #[arg(long, value_name = "NAME")]
    pub engineer: PrincipalId,
    /// A certificate that is valid and may be revoked for good; give two, and two orders at once are tried as well.
    #[arg(long, value_name = "N", required = true, num_args = 1)]
    pub serial: Vec<u64>,
    /// A serial that the broker never issued.
    #[arg(long, value_name = "N", default_value_t = 9_000_000_000_000_000_000)]
    pub unknown_serial: u64,
    /// Longest wait for one answer; a collector waits ten seconds.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub answer_seconds: u64,
    /// A certificate of the same authority that may not revoke, as an agent's.
    #[arg(long, value_name = "FILE", requires = "wrong_role_key")]
    pub wrong_role_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "wrong_role_certificate")]
    pub wrong_role_key: Option<PathBuf>,
    /// A certificate that another authority signed.
    #[arg(long, value_name = "FILE", requires = "other_authority_key")]
    pub other_authority_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "other_authority_certificate")]
    pub other_authority_key: Option<PathBuf>,
}
