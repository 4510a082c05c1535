//! Secrets inside one text: keys in PEM, URLs, headers, names with values.
//!
//! In: a text, and how it is read. Out: where secrets stand. Bound: a fixed
//! number of passes, each over every byte once; a name is looked back for over
//! at most [`names::NAME_BYTES_MAX`] bytes.

use std::ops::Range;

use super::{
    names::{self, Telling},
    position,
    rule::{Found, Rule},
    tokens,
};

/// How far a password in a URL, or a value in its query, is looked for.
const NEAR_BYTES: usize = 512;

/// How a text is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// The text goes on, unseen.
    pub(super) cut: bool,
    /// A shell puts variables in.
    pub(super) expands: bool,
    /// Names tell nothing: patterns, prose.
    pub(super) is_prose: bool,
}

/// Where secrets stand, in no order.
pub(super) fn find(text: &[u8], reading: Reading, found: &mut Vec<Found>) {
    private_keys(text, found);
    tokens::find(text, reading.cut, found);
    urls(text, reading, found);
    if !reading.is_prose {
        values(text, reading, found);
    }
}

/// Keys in PEM, with the lines around them; to the end where theirs is missing.
fn private_keys(text: &[u8], found: &mut Vec<Found>) {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let mut at = 0;
    while let Some(start) = text
        .get(at..)
        .and_then(|rest| position(rest, BEGIN))
        .map(|next| at + next)
    {
        at = start + BEGIN.len();
        let rest = text.get(at..).unwrap_or_default();
        let title = rest.get(..rest.len().min(40)).unwrap_or_default();
        let title = title
            .get(..position(title, b"-----").unwrap_or(title.len()))
            .unwrap_or_default();
        if position(title, b"PRIVATE KEY").is_none() {
            continue;
        }
        let end = position(rest, b"-----END ")
            .map(|end| at + end + 9)
            .and_then(|end| {
                let line = text.get(end..)?;
                position(line, b"-----").map(|close| end + close + 5)
            });
        let end = end.unwrap_or(text.len());
        found.push(Found {
            range: start..end,
            rule: Rule::PrivateKey,
        });
        at = end;
    }
}

/// Passwords in the user's part of URLs, and tokens in place of a user.
fn urls(text: &[u8], reading: Reading, found: &mut Vec<Found>) {
    let mut at = 0;
    while let Some(start) = text
        .get(at..)
        .and_then(|rest| position(rest, b"://"))
        .map(|next| at + next + 3)
    {
        let rest = text.get(start..).unwrap_or_default();
        let rest = rest.get(..rest.len().min(NEAR_BYTES)).unwrap_or_default();
        let whole = length_until(rest, |byte| {
            byte.is_ascii_whitespace() || b"\"'<>,`".contains(&byte)
        });
        let rest = rest.get(..whole).unwrap_or_default();
        let authority = length_until(rest, |byte| b"/?#;".contains(&byte));
        at = start + authority.max(1);
        let near = rest
            .get(..authority)
            .and_then(|near| near.iter().rposition(|byte| *byte == b'@'));
        let colon = rest
            .get(..near.unwrap_or(authority))
            .and_then(|user| user.iter().position(|byte| *byte == b':'));
        // A password may hold a slash; a port is a number.
        let far = || {
            let port = rest.get(colon? + 1..authority)?;
            let is_port = port.iter().all(u8::is_ascii_digit);
            let at = rest.iter().rposition(|byte| *byte == b'@');
            // Where the text was cut, the sign may be missing.
            let is_cut = reading.cut && start + rest.len() == text.len();
            at.or(is_cut.then_some(rest.len())).filter(|_| !is_port)
        };
        let Some(end) = near.or_else(far) else {
            continue;
        };
        let from = colon.map_or(0, |colon| colon + 1);
        let Some(secret) = rest.get(from..end) else {
            continue;
        };
        let is_token = secret.len() >= 20 && secret.iter().any(u8::is_ascii_digit);
        if !names::is_variable(secret, reading.expands) && (colon.is_some() || is_token) {
            found.push(Found {
                range: start + from..start + end,
                rule: Rule::Url,
            });
        }
    }
}

fn length_until(text: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    text.iter()
        .position(|byte| ends(*byte))
        .unwrap_or(text.len())
}

/// `NAME=VALUE`, `"name": "value"`, `Name: value`.
fn values(text: &[u8], reading: Reading, found: &mut Vec<Found>) {
    let mut done = 0;
    for (at, sign) in text.iter().copied().enumerate() {
        if at < done || !matches!(sign, b'=' | b':') {
            continue;
        }
        let Some(name) = name_before(text, at) else {
            continue;
        };
        let before = name
            .start
            .checked_sub(1)
            .and_then(|before| text.get(before))
            .copied();
        let word = text.get(name.clone()).unwrap_or_default();
        let is_near = name.end == at && (sign == b':' || word.ends_with(b"uthorization"));
        if is_near
            && is_header_place(text, name.start)
            && let Some((secrets, end)) = header(text, word, at + 1)
        {
            done = end;
            for range in secrets {
                keep(text, range, (Telling::Key, Rule::Header), reading, found);
            }
            continue;
        }
        if sign == b':' && before.is_some_and(|before| b"/.:@".contains(&before)) {
            continue;
        }
        let Some(telling) = names::telling(word).or_else(|| in_query(text, (before, word), at + 1))
        else {
            continue;
        };
        let Some(range) = value_after(text, at + 1, (sign, before)) else {
            continue;
        };
        done = range.end;
        keep(text, range, (telling, Rule::Name), reading, found);
    }
}

fn keep(
    text: &[u8],
    range: Range<usize>,
    (telling, rule): (Telling, Rule),
    reading: Reading,
    found: &mut Vec<Found>,
) {
    let value = text.get(range.clone()).unwrap_or_default();
    let calls = text.get(range.end) == Some(&b'(') || value.ends_with(b"(");
    if !value.is_empty() && !calls && !names::is_reference(value, telling, reading.expands) {
        found.push(Found { range, rule });
    }
}

/// The name before a sign: quotes, brackets and blanks may stand between.
fn name_before(text: &[u8], sign: usize) -> Option<Range<usize>> {
    let least = sign.saturating_sub(names::NAME_BYTES_MAX);
    let before = text.get(least..sign)?;
    let is_between = |byte: &u8| matches!(byte, b'"' | b'\'' | b']' | b'}' | b'\\' | b' ');
    let end = before.iter().rposition(|byte| !is_between(byte))? + 1;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let start = before
        .get(..end)?
        .iter()
        .rposition(|byte| !is_name(byte))
        .map_or(0, |at| at + 1);
    (start < end).then_some(least + start..least + end)
}

/// Whether a header may begin here: at the beginning of the text or a line, or
/// behind what a program's option leaves before it.
fn is_header_place(text: &[u8], start: usize) -> bool {
    let before = text.get(..start).unwrap_or_default();
    match before.last() {
        None => true,
        Some(last) => b"\n\r\"'=".contains(last) || before.ends_with(b"-H ") || before == b"-H",
    }
}

/// The secrets of a header, and where it ends; none for headers without.
fn header(text: &[u8], name: &[u8], from: usize) -> Option<(Vec<Range<usize>>, usize)> {
    let name = name.strip_prefix(b"-H").unwrap_or(name);
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let has_cookies = is("cookie") || is("set-cookie");
    let has_scheme = is("authorization") || is("proxy-authorization");
    if !has_cookies && !has_scheme && names::telling(name).is_none() {
        return None;
    }
    let rest = text.get(from..)?;
    let line = from..from + length_until(rest, |byte| b"\"'\r\n".contains(&byte));
    let end = line.end;
    let secrets = if has_cookies {
        cookies(text, line)
    } else if has_scheme {
        credentials(text, line)
    } else {
        vec![trimmed(text, line)]
    };
    Some((secrets, end))
}

/// The values of `a=b; c=d`.
pub(super) fn cookies(text: &[u8], line: Range<usize>) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut start = line.start;
    while start < line.end {
        let pair = text.get(start..line.end).unwrap_or_default();
        let length = length_until(pair, |byte| byte == b';');
        if let Some(equals) = pair
            .get(..length)
            .and_then(|pair| pair.iter().position(|byte| *byte == b'='))
        {
            secrets.push(trimmed(text, start + equals + 1..start + length));
        }
        start += length + 1;
    }
    secrets
}

/// What follows the scheme; of a scheme with parameters, the secret ones are
/// found by their names.
fn credentials(text: &[u8], line: Range<usize>) -> Vec<Range<usize>> {
    let line = trimmed(text, line);
    let said = text.get(line.clone()).unwrap_or_default();
    let scheme = length_until(said, |byte| byte.is_ascii_whitespace());
    let rest = trimmed(text, line.start + scheme..line.end);
    let parameters = text.get(rest.clone()).unwrap_or_default();
    if rest.is_empty() {
        vec![line]
    } else if parameters.contains(&b',') && parameters.contains(&b'=') {
        // Digest and AWS4: `name=value, name=value`.
        let sought = [&b"ignature="[..], b"response="]
            .into_iter()
            .find_map(|name| position(parameters, name).map(|at| at + name.len()));
        let secret = sought.map_or(rest.clone(), |at| {
            let value = parameters.get(at..).unwrap_or_default();
            let length = length_until(value, |byte| byte == b',');
            rest.start + at..rest.start + at + length
        });
        vec![secret]
    } else {
        vec![rest]
    }
}

fn trimmed(text: &[u8], range: Range<usize>) -> Range<usize> {
    let said = text.get(range.clone()).unwrap_or_default();
    let start = said.len() - said.trim_ascii_start().len();
    let end = said.trim_ascii_end().len();
    range.start + start.min(end)..range.start + end
}

/// Names that tell in the query of a URL only.
fn in_query(text: &[u8], (before, name): (Option<u8>, &[u8]), from: usize) -> Option<Telling> {
    if !before.is_some_and(|before| b"?&;#".contains(&before)) && !name.ends_with(b"ignature") {
        return None;
    }
    let value = text.get(from..)?;
    let value = value.get(..value.len().min(NEAR_BYTES)).unwrap_or_default();
    let length = length_until(value, |byte| b"&#\"' ".contains(&byte));
    let is_random = length >= 16 && value.iter().take(length).any(u8::is_ascii_digit);
    let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    (is_random
        && [
            "sig",
            "signature",
            "x-amz-signature",
            "x-goog-signature",
            "key",
            "auth",
            "hmac",
            "sid",
            "code",
            "hash",
            "s",
        ]
        .iter()
        .any(is))
    .then_some(Telling::Key)
}

/// The value after a sign. `before`: what stands before the name.
fn value_after(text: &[u8], from: usize, (sign, before): (u8, Option<u8>)) -> Option<Range<usize>> {
    let rest = text.get(from..)?;
    // Comparisons; `=>` stands for a sign.
    let (skipped, rest) = match rest {
        [b'=' | b'~', ..] => return None,
        [b'>', rest @ ..] => (1, rest),
        _ => (0, rest),
    };
    let blanks = length_until(rest, |byte| byte != b' ');
    let start = from + skipped + blanks;
    let rest = rest.get(blanks..)?;
    let is_quoted_name = text
        .get(..from.checked_sub(1)?)?
        .trim_ascii_end()
        .ends_with(b"\"")
        || sign == b'=';
    match rest {
        [b'\\', quote @ (b'"' | b'\''), rest @ ..] => {
            Some(start + 2..start + 2 + length_until(rest, |byte| byte == *quote || byte == b'\\'))
        }
        [quote @ (b'"' | b'\''), rest @ ..] => {
            Some(start + 1..start + 1 + length_until(rest, |byte| byte == *quote))
        }
        // `name = value` without quotes is code or prose.
        _ if blanks > 0 && sign == b'=' => None,
        _ if blanks > 0 && !is_quoted_name && before.is_some_and(|before| before == b' ') => None,
        _ => {
            let in_url = before.is_some_and(|before| b"?&".contains(&before));
            let length = length_until(rest, |byte| {
                byte.is_ascii_whitespace()
                    || b"\"'&;,|)<>}`".contains(&byte)
                    || (in_url && byte == b'#')
            });
            Some(start..start + length)
        }
    }
}

/// Where the value of a whole argument `name=value` ends: before what looks like
/// the next name.
pub(super) fn value_end(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    for (at, byte) in rest.iter().enumerate() {
        if byte.is_ascii_whitespace() || b"&;,".contains(byte) {
            let next = rest.get(at + 1..).unwrap_or_default();
            let next = next
                .get(..next.len().min(names::NAME_BYTES_MAX))
                .unwrap_or_default()
                .trim_ascii_start();
            let name = next.iter().position(|byte| {
                !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
            });
            if name.is_some_and(|name| name > 0 && next.get(name) == Some(&b'=')) {
                return from + at;
            }
        }
    }
    text.len()
}
