//! Whatever is done to a ledger or a bundle, the check finds it.
