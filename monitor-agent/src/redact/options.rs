//! What a word of a command is: an option, a name with a value, a message.
//!
//! In: a word, those before it, and what is known of the program. Out: whether a
//! secret stands in it or after it.

use super::{
    file_name,
    names::{self, Telling},
    programs::{MESSAGES, Part, Place, Program, Texts},
    rule::Rule,
    shell::Word,
};

/// A value that is a secret, if it comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) part: Part,
    pub(super) rule: Rule,
    pub(super) telling: Telling,
}

/// What a word is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Is {
    /// Nothing with a secret.
    Plain,
    /// An option whose value is none, for sure.
    Harmless,
    /// An option whose value stands in the next word.
    Before(Awaited),
    /// The secret begins there.
    From(usize, Awaited),
}

/// What a word is to a program.
pub(super) fn option(program: Option<&Program>, before: &[Word], word: &Word) -> Is {
    let text = word.bytes.as_slice();
    for (name, place, part) in program.map(|program| program.options).unwrap_or_default() {
        let Some(rest) = text.strip_prefix(name.as_bytes()) else {
            continue;
        };
        let secret = Awaited {
            part: *part,
            rule: Rule::Option,
            telling: Telling::Password,
        };
        let is_long = name.starts_with("--") || (name.len() > 3 && !name.starts_with('/'));
        let (has_value, from) = match rest {
            [b'=', ..] if is_long => (true, name.len() + 1),
            [] => (false, 0),
            _ if is_long => continue,
            _ => (true, name.len()),
        };
        let is_meant = match place {
            Place::After(word) => before.iter().any(|one| one.bytes == word.as_bytes()),
            Place::Never | Place::Joined | Place::Next | Place::Both => true,
        };
        match (place, has_value) {
            _ if !is_meant => {}
            (Place::Never, _) | (Place::Joined, false) => return Is::Harmless,
            (Place::Next, true) => {}
            (_, true) => return Is::From(from, secret),
            (_, false) => return Is::Before(secret),
        }
    }
    if program.is_some_and(|program| program.texts == Texts::Patterns) {
        Is::Plain
    } else {
        telling_option(text)
    }
}

/// An option or assignment with a telling name.
fn telling_option(text: &[u8]) -> Is {
    let secret = |telling| Awaited {
        part: Part::Whole,
        rule: Rule::Name,
        telling,
    };
    if let Some((name, from)) = assigned(text) {
        return names::telling(name).map_or(Is::Plain, |telling| Is::From(from, secret(telling)));
    }
    let (name, sign) = match text {
        [b'-', b'-', name @ ..] | [b'-', name @ ..] => (name, b'='),
        [b'/', name @ ..] => (name, b':'),
        _ => return Is::Plain,
    };
    let length = name
        .iter()
        .position(|byte| *byte == sign)
        .unwrap_or(name.len());
    let from = text.len() - name.len() + length + 1;
    let is_option = sign == b'=';
    let name = name.get(..length).unwrap_or_default();
    // `--//registry.npmjs.org/:_authToken=...`
    let name = name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    if !name
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte))
    {
        return Is::Plain;
    }
    match names::telling(name) {
        Some(telling) if from <= text.len() => Is::From(from, secret(telling)),
        Some(telling) if is_option => Is::Before(secret(telling)),
        Some(_) | None => Is::Plain,
    }
}

/// The name of `name=value`, and where the value begins.
pub(super) fn assigned(text: &[u8]) -> Option<(&[u8], usize)> {
    let near = text.get(..text.len().min(names::NAME_BYTES_MAX))?;
    let length = near.iter().position(|byte| *byte == b'=')?;
    let name = near.get(..length)?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    (name.iter().all(is_name) && name.first()?.is_ascii_alphabetic() || name.starts_with(b"_"))
        .then_some((name, length + 1))
}

/// Names that stand before their values, as words.
pub(super) fn named(texts: Texts, text: &[u8], place: usize) -> Option<Awaited> {
    if texts != Texts::Pairs || place == 0 && !text.eq_ignore_ascii_case(b"password") {
        return None;
    }
    let name = text.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    let telling = names::telling(name)
        .or_else(|| (place > 2 && name == b"pass").then_some(Telling::Password))?;
    Some(Awaited {
        part: Part::Whole,
        rule: Rule::Argument,
        telling,
    })
}

/// Whether a letter is among the short options.
pub(super) fn has_option(words: &[Word], option: &str) -> bool {
    let letter = option.as_bytes().last().copied().unwrap_or_default();
    let is_short = |text: &[u8]| matches!(text, [b'-', second, ..] if *second != b'-');
    if option.starts_with("--") {
        return words.iter().any(|word| word.bytes == option.as_bytes());
    }
    words
        .iter()
        .any(|word| is_short(&word.bytes) && word.bytes.contains(&letter))
}

pub(super) fn is_message(before: &[u8], text: &[u8]) -> bool {
    has(MESSAGES, before)
        || MESSAGES
            .iter()
            .any(|option| option.len() > 2 && text.starts_with(option.as_bytes()))
}

pub(super) fn has(options: &[&str], text: &[u8]) -> bool {
    options.iter().any(|option| option.as_bytes() == text)
}

pub(super) fn is_option(text: &[u8]) -> bool {
    text.len() > 1 && text.first() == Some(&b'-')
}

/// Whether a word is an option rather than a value. A password may begin with a
/// dash; one that looks like a long option or a single letter is taken for an
/// option.
pub(super) fn is_plain_option(text: &[u8]) -> bool {
    match text {
        [b'-', b'-', first, ..] => first.is_ascii_lowercase(),
        [b'-', only] => only.is_ascii_alphabetic(),
        _ => false,
    }
}

/// What a person calls the program: no directories, no dash of a login shell.
pub(super) fn program_name(text: &[u8]) -> &[u8] {
    let name = file_name(text);
    let name = name.strip_prefix(b"-").unwrap_or(name);
    name.strip_suffix(b".exe").unwrap_or(name)
}

/// Whether a command reads a secret from its input, and which part of it.
pub(super) fn reads(words: &[Word]) -> Option<Part> {
    let has = |option: &str| words.iter().any(|word| word.bytes == option.as_bytes());
    let ends = |end: &str| {
        words
            .iter()
            .any(|word| word.bytes.ends_with(end.as_bytes()))
    };
    words.iter().take(8).find_map(|word| {
        let is_read = match file_name(&word.bytes) {
            b"chpasswd" => return Some(Part::Colon),
            b"passwd" => has("--stdin"),
            b"sudo" => has_option(words, "-S"),
            b"smbpasswd" => has("-s"),
            b"cryptsetup" => has("-") || ends("key-file=-"),
            b"vault" => has("login") && has("-"),
            b"openssl" => has("stdin"),
            b"htpasswd" => has("-i"),
            b"base64" => !has("-d") && !has("--decode") && !has("-D"),
            b"gpg" => has("--passphrase-fd") || has("--passphrase-fd=0"),
            b"kinit" | b"su" => true,
            _ => ends("password-stdin") || has("--with-token"),
        };
        is_read.then_some(Part::Whole)
    })
}
