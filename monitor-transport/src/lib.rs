//! Mutual TLS, the identity a certificate carries, configuration files and logging: what every service needs at its edge.
//!
//! # Layout
//! - [`blocking`]: work that waits for a disk.
//! - [`configuration`]: TOML files, with errors that name file, line, key and value.
//! - [`descriptors`]: how many files and connections may be open.
//! - [`dial`]: where to dial, and in which network.
//! - [`grant_file`]: grants as people write them.
//! - [`identity`]: roles and names, from certificates only.
//! - [`tls`]: files to TLS configurations, with errors that name the file and what is wrong.
//! - [`pki`]: a small certificate authority of one's own.
//! - [`logging`]: the one way that services log.
//! - [`memory`]: how a service takes memory.
#![forbid(unsafe_code)]

use std::error::Error;

pub mod blocking;
pub mod configuration;
pub mod descriptors;
pub mod dial;
pub mod grant_file;
pub mod identity;
pub mod logging;
pub mod memory;
pub mod pki;
pub mod tls;
pub mod token;

/// An error with all its causes in one line, outermost first.
///
/// Transport errors say "transport error" and hide the reason below; people
/// need the reason. A cause whose text the line already holds is left out.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}
