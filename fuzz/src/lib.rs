//! What every decoder must do with any bytes: give an answer or an error, never
//! a panic, and never without end.
//!
//! Each target hands bytes to the decoder as its program does, and checks what
//! must hold of an answer: written again and read again it is the same. The same
//! targets run under libFuzzer (`libfuzzer/`, `cargo xtask fuzz`) and over the
//! corpus in the tests of this crate.
//!
//! # Layout
//! - `kernel`: records of the rings
//! - `wire`: what agents send to the collector, events, cursors
//! - `disk`: the agent's spool, blocks and terms of ledgers
//! - `logins`: what sshd's hooks send, certificates, revocation lists
//! - `notes`: checkpoints, cosignatures, receipts, keys
//! - `configuration`: files that people write
//! - `messages`: what the collector sends to agents, messages of rows and answers
//! - `state`: rows of the collector's state
//! - `people`: certificates, tokens, keys of users
//! - `evidence`: bundles, what a witness is sent
//! - `host`: arguments of programs, private keys, `/proc`
//! - `outside`: a broker's answers, Sigma rules, grants in files

mod configuration;
mod disk;
mod evidence;
mod host;
mod kernel;
mod logins;
mod messages;
mod notes;
mod outside;
mod people;
mod state;
mod wire;

/// One decoder, or several that read the same.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    run: fn(&[u8]) -> bool,
}

impl Target {
    /// Decodes; whether it was what it should be.
    ///
    /// # Panics
    /// A decoder has a fault: it panics, or its answer is not the same when it is
    /// written and read again.
    #[must_use]
    pub fn is_accepted(&self, bytes: &[u8]) -> bool {
        (self.run)(bytes)
    }
}

/// All of them.
pub const TARGETS: [Target; 26] = [
    Target {
        name: "record",
        about: "a record of the kernel's rings",
        run: kernel::record,
    },
    Target {
        name: "event",
        about: "an encoded event, as spool, stream and ledgers have it",
        run: wire::event,
    },
    Target {
        name: "upward",
        about: "a message of the agent's stream: hello, batch, receipt",
        run: wire::upward,
    },
    Target {
        name: "cursor",
        about: "a reader's cursor",
        run: wire::cursor,
    },
    Target {
        name: "spool",
        about: "rows of the agent's spool",
        run: disk::spool,
    },
    Target {
        name: "block",
        about: "a block of a ledger, compressed",
        run: disk::block,
    },
    Target {
        name: "records",
        about: "the records in a block",
        run: disk::records,
    },
    Target {
        name: "terms",
        about: "numbers, terms and postings of a ledger",
        run: disk::terms,
    },
    Target {
        name: "hook",
        about: "what sshd's hooks send, with the certificate in it",
        run: logins::hook,
    },
    Target {
        name: "krl",
        about: "a key revocation list",
        run: logins::krl,
    },
    Target {
        name: "note",
        about: "checkpoints, cosignatures, receipts and keys",
        run: notes::note,
    },
    Target {
        name: "configuration",
        about: "configuration, policy and directory files",
        run: configuration::text,
    },
    Target {
        name: "message",
        about: "a message of a grant, an order, an alert, a session and the like",
        run: messages::message,
    },
    Target {
        name: "downward",
        about: "a message to an agent: grants, denials, scopes, lists, commands",
        run: messages::downward,
    },
    Target {
        name: "mask",
        about: "the parts of events that a reader wants",
        run: messages::mask,
    },
    Target {
        name: "state",
        about: "rows of the collector's state",
        run: state::row,
    },
    Target {
        name: "token",
        about: "tokens of people, and the keys of their issuer",
        run: people::token,
    },
    Target {
        name: "identity",
        about: "certificates of peers, public keys of users, tokens of pages",
        run: people::identity,
    },
    Target {
        name: "bundle",
        about: "files of a bundle: facts, key, checkpoints, tiles",
        run: evidence::bundle,
    },
    Target {
        name: "submission",
        about: "what a witness is sent",
        run: evidence::submission,
    },
    Target {
        name: "answer",
        about: "a broker's answer by HTTP",
        run: outside::broker,
    },
    Target {
        name: "sigma",
        about: "a Sigma rule",
        run: outside::sigma,
    },
    Target {
        name: "grant",
        about: "a grant in a file",
        run: outside::grant,
    },
    Target {
        name: "arguments",
        about: "arguments of programs, searched for secrets",
        run: host::arguments,
    },
    Target {
        name: "key",
        about: "a private key of OpenSSH",
        run: host::key,
    },
    Target {
        name: "procfs",
        about: "files of /proc with names in them",
        run: host::procfs,
    },
];

/// The target of a name.
///
/// # Errors
/// There is none: the names that there are.
pub fn named(name: &str) -> Result<Target, String> {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.ok_or_else(|| {
        let names = TARGETS.map(|target| target.name).join(", ");
        format!("there is no target `{name}`; the targets are: {names}")
    })
}
