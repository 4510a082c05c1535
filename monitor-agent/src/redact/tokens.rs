//! Tokens that show their maker: a beginning that is fixed, characters and a
//! length that are known.
//!
//! In: a text. Out: where tokens stand. Bound: from each beginning at most one
//! run of its characters is read, and what is found is not read again. The
//! formats are from the makers' documents; a checksum (GitHub, npm) is not
//! asked for: one with a slip of the pen is as good as the right one to who
//! knows the slip.

use super::rule::{Found, Rule};

/// Characters of a token's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// `A-Z a-z 0-9`.
    Alnum,
    /// `A-Z 0-9`.
    Upper,
    /// `a-z 0-9`.
    Lower,
    /// `0-9 a-f`.
    Hex,
    /// As `Alnum`, and `_ -`.
    Url,
    /// As `Url`, and `.`.
    Dotted,
    /// As `Url`, and `. = + / ~ :`.
    Wide,
}

impl Of {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Lower => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => Self::Url.has(byte) || byte == b'.',
            Self::Wide => {
                Self::Dotted.has(byte) || matches!(byte, b'=' | b'+' | b'/' | b'~' | b':')
            }
        }
    }
}

/// One format: its beginning, its body, how long that is at least, and whether
/// the body must look random (a digit, small and capital letters).
type Format = (&'static str, Of, usize, bool);

/// The formats, those with longer beginnings before those they contain.
const FORMATS: &[Format] = &[
    ("1//0", Of::Url, 40, true),
    ("A3-", Of::Url, 31, false),
    ("ABIA", Of::Upper, 16, false),
    ("ACCA", Of::Upper, 16, false),
    ("AGE-SECRET-KEY-1", Of::Upper, 50, false),
    ("AIza", Of::Url, 35, false),
    ("AKIA", Of::Upper, 16, false),
    ("ASIA", Of::Upper, 16, false),
    ("ATATT3", Of::Wide, 30, false),
    ("ATBB", Of::Alnum, 28, true),
    ("ATCTT3", Of::Wide, 30, false),
    ("CFPAT-", Of::Url, 40, false),
    ("EZAK", Of::Alnum, 54, true),
    ("HRKU-", Of::Url, 36, false),
    ("LTAI", Of::Alnum, 16, true),
    ("NRAK-", Of::Upper, 27, false),
    ("PMAK-", Of::Url, 50, false),
    ("SG.", Of::Dotted, 60, true),
    ("apify_api_", Of::Alnum, 30, false),
    ("bkua_", Of::Hex, 40, false),
    ("cio", Of::Alnum, 32, true),
    ("dapi", Of::Hex, 32, false),
    ("dckr_oat_", Of::Url, 20, false),
    ("dckr_pat_", Of::Url, 20, false),
    ("doo_v1_", Of::Hex, 40, false),
    ("dop_v1_", Of::Hex, 40, false),
    ("dor_v1_", Of::Hex, 40, false),
    ("dp.ct.", Of::Alnum, 40, false),
    ("dp.pt.", Of::Alnum, 40, false),
    ("dp.st.", Of::Dotted, 40, false),
    ("figd_", Of::Url, 38, false),
    ("fm1_", Of::Wide, 60, false),
    ("fm2_", Of::Wide, 60, false),
    ("gh", Of::Alnum, 0, false),
    ("github_pat_", Of::Url, 20, false),
    ("gldt-", Of::Url, 20, false),
    ("glptt-", Of::Url, 20, false),
    ("glpat-", Of::Dotted, 20, false),
    ("glrt-", Of::Dotted, 20, false),
    ("glsa_", Of::Url, 38, false),
    ("gsk_", Of::Alnum, 40, true),
    ("hf_", Of::Alnum, 30, true),
    ("hvb.", Of::Url, 20, false),
    ("hvr.", Of::Url, 20, false),
    ("hvs.", Of::Url, 20, false),
    ("lin_api_", Of::Alnum, 32, false),
    ("lsv2_pt_", Of::Url, 36, false),
    ("nfp_", Of::Alnum, 36, true),
    ("npm_", Of::Alnum, 36, false),
    ("ntn_", Of::Alnum, 40, true),
    ("ops_eyJ", Of::Wide, 60, false),
    ("oy2", Of::Lower, 43, false),
    ("phx_", Of::Alnum, 30, true),
    ("pplx-", Of::Alnum, 40, true),
    ("pul-", Of::Hex, 40, false),
    ("pypi-AgE", Of::Url, 40, false),
    ("r8_", Of::Alnum, 36, true),
    ("rk_live_", Of::Alnum, 16, false),
    ("rk_test_", Of::Alnum, 16, false),
    ("rubygems_", Of::Hex, 40, false),
    ("sbp_", Of::Hex, 40, false),
    ("sha256~", Of::Url, 40, false),
    ("shpat_", Of::Hex, 32, false),
    ("shpca_", Of::Hex, 32, false),
    ("shppa_", Of::Hex, 32, false),
    ("shpss_", Of::Hex, 32, false),
    ("sk-", Of::Url, 32, true),
    ("sk_live_", Of::Alnum, 10, false),
    ("sk_test_", Of::Alnum, 10, false),
    ("sntrys_", Of::Wide, 40, false),
    ("sntryu_", Of::Hex, 40, false),
    ("sq0atp-", Of::Url, 22, false),
    ("sq0csp-", Of::Url, 43, false),
    ("tskey-", Of::Url, 20, false),
    ("whsec_", Of::Wide, 20, false),
    ("xai-", Of::Alnum, 60, true),
    ("xapp-", Of::Url, 20, false),
    ("xkeysib-", Of::Url, 60, false),
    ("xox", Of::Url, 12, false),
    ("ya29.", Of::Url, 20, false),
];

/// Beginnings inside of URLs, after which the last part of the path is secret.
const WEBHOOKS: &[(&str, usize)] = &[
    ("hooks.slack.com/services/", 2),
    ("/api/webhooks/", 1),
    ("api.telegram.org/bot", 0),
];

/// Bytes by which a beginning is judged; the rest is read only of a token.
const NEAR_BYTES: usize = 128;
/// The same of a JSON Web Token: its first part may be long.
const JSON_NEAR_BYTES: usize = 512;
/// Least bytes of a token's body at the end of a text that was cut.
const CUT_BYTES_MIN: usize = 4;

/// Where tokens stand. `cut`: the text goes on, unseen.
pub(super) fn find(text: &[u8], cut: bool, found: &mut Vec<Found>) {
    let mut at = 0;
    let mut before = b' ';
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.first().copied().unwrap_or_default();
        let length = if before.is_ascii_alphanumeric() || before == b'_' {
            0
        } else {
            token(rest, cut)
        };
        if length > 0 {
            found.push(Found {
                range: at..at + length,
                rule: Rule::Token,
            });
            before = b'a';
            at += length;
        } else {
            before = first;
            at += 1;
        }
    }
    webhooks(text, found);
}

/// Length of the token at the beginning of a text; 0 where there is none.
fn token(text: &[u8], cut: bool) -> usize {
    let [first, second, ..] = text else { return 0 };
    if (*first, *second) == (b'e', b'y') {
        return web_token(text, cut);
    }
    let from = FORMATS.partition_point(|(start, ..)| start.as_bytes().first() < Some(first));
    for (start, of, least, is_random) in FORMATS.get(from..).unwrap_or_default() {
        if start.as_bytes().first() != Some(first) {
            break;
        }
        let Some(rest) = text.strip_prefix(start.as_bytes()) else {
            continue;
        };
        let Some((start_bytes, of, least)) = github_or(text, (start, *of, *least)) else {
            continue;
        };
        let rest = if start_bytes == start.len() {
            rest
        } else {
            text.get(start_bytes..).unwrap_or_default()
        };
        let near = rest.get(..rest.len().min(NEAR_BYTES)).unwrap_or_default();
        let body = run(near, of);
        let is_cut = cut && body == rest.len() && body >= CUT_BYTES_MIN;
        let looks_random = !*is_random || rest.get(..body).is_some_and(is_mixed);
        if is_cut || (body >= least && looks_random) {
            return start_bytes + run(rest, of);
        }
    }
    0
}

/// GitHub's beginnings differ in one letter; what comes after them.
fn github_or(text: &[u8], (start, of, least): (&str, Of, usize)) -> Option<(usize, Of, usize)> {
    match (start, text) {
        ("gh", [_, _, b'p' | b'o' | b'u' | b's' | b'r', b'_', ..]) => Some((4, Of::Alnum, 20)),
        (
            "xox",
            [
                _,
                _,
                _,
                b'a' | b'b' | b'c' | b'd' | b'e' | b'o' | b'p' | b'r' | b's',
                b'-',
                ..,
            ],
        ) => Some((5, of, 10)),
        ("gh" | "xox", _) => None,
        _ => Some((start.len(), of, least)),
    }
}

/// A JSON Web Token: two or three parts, of which the first is `{"...` in
/// base64; or one long part of that kind.
fn web_token(text: &[u8], cut: bool) -> usize {
    let Some(rest) = text.strip_prefix(b"eyJ") else {
        return 0;
    };
    let near = rest
        .get(..rest.len().min(JSON_NEAR_BYTES))
        .unwrap_or_default();
    let length = 3 + run(near, Of::Dotted);
    let whole = text.get(..length).unwrap_or_default();
    let parts = whole.split(|byte| *byte == b'.');
    let long = parts.filter(|part| part.len() >= 8).count();
    let is_cut = cut && length == text.len() && length > 8;
    let is_token = long >= 2 || (length >= 60 && is_mixed(whole));
    if is_token || is_cut {
        3 + run(rest, Of::Dotted)
    } else {
        0
    }
}

fn webhooks(text: &[u8], found: &mut Vec<Found>) {
    for (start, skipped) in WEBHOOKS {
        let mut at = 0;
        while let Some(next) = text
            .get(at..)
            .and_then(|rest| super::position(rest, start.as_bytes()))
        {
            at += next + start.len();
            let mut from = at;
            for _ in 0..*skipped {
                from += run(text.get(from..).unwrap_or_default(), Of::Url) + 1;
            }
            let length = text.get(from..).map_or(0, |rest| {
                rest.iter()
                    .take_while(|byte| Of::Url.has(**byte) || **byte == b':')
                    .count()
            });
            if length >= 20 {
                found.push(Found {
                    range: from..from + length,
                    rule: Rule::Token,
                });
            }
        }
    }
}

fn run(text: &[u8], of: Of) -> usize {
    text.iter().take_while(|byte| of.has(**byte)).count()
}

/// Whether a text has digits, and letters of both cases.
pub(super) fn is_mixed(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
        && text.iter().any(u8::is_ascii_uppercase)
        && text.iter().any(u8::is_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str, cut: bool) -> Vec<&str> {
        let mut found = Vec::new();
        find(text.as_bytes(), cut, &mut found);
        found.into_iter().map(|one| &text[one.range]).collect()
    }

    #[test]
    fn formats_are_in_the_order_of_their_first_bytes() {
        assert!(FORMATS.is_sorted_by_key(|(start, ..)| start.as_bytes()[0]));
    }

    #[test]
    fn tokens_are_found_between_other_things() {
        let token = format!("ghp_{}", "aB3".repeat(12));
        assert_eq!(tokens(&format!("x={token},y"), false), [token.as_str()]);
        assert_eq!(tokens(&format!("x{token}"), false), [""; 0]);
        let github = format!("github_pat_{}", "aB3".repeat(12));
        assert_eq!(tokens(&github, false), [github.as_str()]);
    }

    #[test]
    fn token_that_is_cut_is_found_by_its_beginning() {
        assert_eq!(tokens("x ghp_abcd", true), ["ghp_abcd"]);
        assert_eq!(tokens("x ghp_abcd", false), [""; 0]);
    }
}
