//! Programs that take secrets in their arguments, and by which.
//!
//! What a row of [`super::table`] may say. Nothing is decided here: the table is
//! read by [`super::command`].

use super::table;

/// Which part of a value is the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// All of it, unless it is `name=value`, where the name tells.
    Bare,
    /// After the first colon: `user:password`.
    Colon,
    /// After the first percent sign: `user%password`.
    Percent,
    /// After the first comma: `user,password`.
    Comma,
    /// Between slash and at sign: `user/password@database`.
    Slash,
    /// Between the first colon and the last at sign: `domain/user:password@host`.
    At,
    /// After the first equals sign: `name=value`.
    Pair,
    /// After `pass:` or `hexkey:`; nothing in `file:...`, `env:...`.
    Openssl,
    /// The values of cookies.
    Cookies,
}

/// Where the value of an option stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the same argument only: the bare option asks for it, or is a switch.
    Joined,
    /// In the next argument only.
    Next,
    /// In either.
    Both,
    /// As `Both`, once this word has come: elsewhere the option means something
    /// else.
    After(&'static str),
    /// Nowhere: the name is telling, the value no secret.
    Never,
}

/// An option: its name, where its value stands, what of it is secret.
pub(super) type Opt = (&'static str, Place, Part);

/// Which of the arguments that are no options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// That one, from 0.
    Nth(usize),
    /// That one and all later ones.
    From(usize),
    /// The last, if it is not before that one.
    Last(usize),
}

/// Words that have come in this order, and which argument after them. A word
/// that begins with a dash is a letter among the program's short options.
pub(super) type Argument = (&'static [&'static str], Which, Part);

/// What is known of a family of programs.
#[derive(Debug)]
pub(super) struct Program {
    /// Their names.
    pub(super) names: &'static [&'static str],
    /// Options with secrets.
    pub(super) options: &'static [Opt],
    /// Other arguments that are secrets.
    pub(super) arguments: &'static [Argument],
    /// Options whose value is not among the other arguments.
    pub(super) valued: &'static [&'static str],
    /// What its texts are.
    pub(super) texts: Texts,
}

/// What the arguments of a program are, beside what the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    /// Anything.
    Any,
    /// Patterns and prose: a telling name in them tells nothing.
    Patterns,
    /// Names and values, one after the other.
    Pairs,
    /// Prose after the options that take it ([`MESSAGES`]), anything elsewhere.
    Messages,
}

/// What is known of a program.
pub(super) fn find(name: &[u8]) -> Option<&'static Program> {
    let mut all = table::SERVICES.iter().chain(table::SYSTEM);
    all.find(|program| program.names.iter().any(|known| known.as_bytes() == name))
}

/// Options by which version control is told prose.
pub(super) const MESSAGES: &[&str] = &["-m", "--message", "-am", "--grep", "--author"];
