//! The flags of `verify`.

use std::path::PathBuf;

use clap::Args;

/// What to check, and what to check it against.
#[derive(Debug, Args)]
#[command(
    after_help = "No collector is asked. Without --verifier-key, the key that lies beside the records is taken: that
finds accidents and changes by whoever has no key, but not a ledger that was
signed anew as a whole. A ledger that was cut off is found by a checkpoint from
before: keep one, and give it with --checkpoint. Another history, written by
whoever has the collector's key, is found by a witness's signature: give the
witness's key with --witness-key.

Exit codes: 0 everything is there and proved, 1 broken, 4 whole, but the newest
records are not signed yet, or the witness signed none, or not of late.

Examples:
  monitorctl verify /var/lib/monitor-collector
  monitorctl verify acme-bundle --verifier-key acme.key --checkpoint acme-january.checkpoint
  monitorctl verify --receipt alice.receipt --verifier-key acme.key"
)]
pub struct Verify {
    /// A collector's data_dir, a ledger's .db file, or the folder of a bundle.
    #[arg(required_unless_present = "receipt")]
    pub path: Option<PathBuf>,
    /// A receipt of a revocation order instead, as revoke --receipt writes it; it wants --verifier-key.
    #[arg(long, value_name = "FILE", requires = "verifier_key", conflicts_with_all = ["path", "checkpoint", "witness_key", "seal_key"])]
    pub receipt: Option<PathBuf>,
    /// File with a verifier key (NAME+ID+DATA) that was handed over before, one a line; repeat for more.
    #[arg(long, value_name = "FILE")]
    pub verifier_key: Vec<PathBuf>,
    /// The collector's key that its ledgers are sealed with, where they are; a bundle is not.
    #[arg(long, value_name = "FILE")]
    pub seal_key: Option<PathBuf>,
    /// Checkpoint that was handed over before; repeat for more.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
    /// Key of a witness that must have signed (NAME+ID+DATA), or a file with such keys; repeat for more.
    #[arg(long, value_name = "KEY")]
    pub witness_key: Vec<String>,
    /// Seconds that the newest record may have been stored after the witness signed.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3_600,
        requires = "witness_key"
    )]
    pub witness_lag: u64,
}
