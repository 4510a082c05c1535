//! How many secrets of a labelled set of command lines the rules find, and how
//! many other things they take. The set and its format: `redaction/README.md`;
//! the bars: `docs/reference/redaction.md`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; figures are printed"
)]

use std::{collections::BTreeMap, fmt::Write as _, fs, ops::Range, path::Path};

use monitor_agent::redact::{Cut, Redactor, rule::Found};

const KEY: [u8; 32] = [7; 32];

/// What a half must reach, in thousandths.
struct Bar {
    file: &'static str,
    lines_min: usize,
    recall: usize,
    precision: usize,
    line_recall: usize,
    line_precision: usize,
}

const BARS: [Bar; 2] = [
    Bar {
        file: "developed",
        lines_min: 300,
        recall: 1_000,
        precision: 1_000,
        line_recall: 1_000,
        line_precision: 1_000,
    },
    Bar {
        file: "held-out",
        lines_min: 400,
        recall: 970,
        precision: 960,
        line_recall: 970,
        line_precision: 960,
    },
];

/// One command line, and where its secrets stand.
struct Line {
    number: usize,
    section: String,
    argv: Vec<Vec<u8>>,
    secrets: Vec<Vec<Range<usize>>>,
}

/// Characters that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap()
    }

    fn text(&mut self, kind: char, length: usize) -> String {
        const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
        const DIGITS: &str = "0123456789";
        let from = match kind {
            'a' => [UPPER, LOWER, DIGITS].concat(),
            'b' => [UPPER, LOWER, DIGITS, "+/"].concat(),
            'd' => DIGITS.to_owned(),
            'l' => [LOWER, DIGITS].concat(),
            't' => [UPPER, "234567"].concat(),
            'u' => [UPPER, DIGITS].concat(),
            'U' => "0123456789ABCDEF".to_owned(),
            'x' => "0123456789abcdef".to_owned(),
            'g' => {
                let parts = [8, 4, 4, 4, 12].map(|length| self.text('x', length));
                return parts.join("-");
            }
            _ => panic!("no such kind: {kind}"),
        };
        let from = from.as_bytes();
        (0..length)
            .map(|_| char::from(from[self.next() % from.len()]))
            .collect()
    }
}

/// An argument without its signs, and where its secrets stand.
fn expanded(marked: &str, random: &mut Random) -> (Vec<u8>, Vec<Range<usize>>) {
    let (mut text, mut secrets, mut start) = (String::new(), Vec::new(), 0);
    let mut rest = marked.chars();
    while let Some(next) = rest.next() {
        match next {
            '⟦' => start = text.len(),
            '⟧' => secrets.push(start..text.len()),
            '‹' => {
                let sign: String = rest.by_ref().take_while(|end| *end != '›').collect();
                let length = sign[1..].parse().unwrap_or(0);
                text.push_str(&random.text(sign.chars().next().unwrap(), length));
            }
            other => text.push(other),
        }
    }
    (text.into_bytes(), secrets)
}

fn lines(file: &str) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/redaction")
        .join(format!("{file}.jsonl"));
    let mut section = String::new();
    let mut lines = Vec::new();
    for (at, text) in fs::read_to_string(path).unwrap().lines().enumerate() {
        if let Some(title) = text.strip_prefix('#') {
            title.trim().clone_into(&mut section);
            continue;
        }
        let mut random = Random(u64::try_from(at).unwrap());
        let argv: Vec<String> =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{file}:{}: {error}", at + 1));
        let (argv, secrets) = argv
            .iter()
            .map(|argument| expanded(argument, &mut random))
            .unzip();
        lines.push(Line {
            number: at + 1,
            section: section.clone(),
            argv,
            secrets,
        });
    }
    lines
}

/// Counts of one half.
#[derive(Default)]
struct Score {
    secrets: usize,
    found: usize,
    taken: usize,
    right: usize,
    lines_with: usize,
    lines_found: usize,
    lines_changed: usize,
    lines_right: usize,
    report: String,
    rules: BTreeMap<&'static str, usize>,
}

fn per_mille(part: usize, whole: usize) -> usize {
    (part * 1_000).checked_div(whole).unwrap_or(1_000)
}

impl Score {
    fn add(&mut self, line: &Line, found: &[Vec<Found>]) {
        let (mut missed, mut wrong) = (Vec::new(), Vec::new());
        for ((argument, secrets), found) in line.argv.iter().zip(&line.secrets).zip(found) {
            let said = |range: &Range<usize>| {
                String::from_utf8_lossy(&argument[range.clone()]).into_owned()
            };
            for secret in secrets {
                let covered = |at: usize| found.iter().any(|one| one.range.contains(&at));
                if !secret.clone().all(covered) {
                    missed.push(said(secret));
                }
            }
            for one in found {
                let is_inside = |secret: &Range<usize>| {
                    secret.start <= one.range.start && one.range.end <= secret.end
                };
                if !secrets.iter().any(is_inside) {
                    wrong.push(format!("{} by {}", said(&one.range), one.rule.as_str()));
                }
                *self.rules.entry(one.rule.as_str()).or_default() += 1;
            }
        }
        let secrets: usize = line.secrets.iter().map(Vec::len).sum();
        let taken: usize = found.iter().map(Vec::len).sum();
        self.secrets += secrets;
        self.found += secrets - missed.len();
        self.taken += taken;
        self.right += taken - wrong.len();
        self.lines_with += usize::from(secrets > 0);
        self.lines_found += usize::from(secrets > 0 && missed.is_empty());
        self.lines_changed += usize::from(taken > 0);
        self.lines_right += usize::from(taken > 0 && wrong.is_empty());
        if !missed.is_empty() || !wrong.is_empty() {
            let argv: Vec<_> = line
                .argv
                .iter()
                .map(|argument| String::from_utf8_lossy(argument))
                .collect();
            let _ = writeln!(
                self.report,
                "{} ({}): missed {missed:?}, wrong {wrong:?}: {argv:?}",
                line.number, line.section
            );
        }
    }
}

#[test]
fn secrets_are_found_and_other_things_are_not_taken() {
    let redactor = Redactor::new(&KEY).unwrap();
    let (mut failed, mut with, mut all) = (String::new(), 0, 0);
    for bar in BARS {
        let lines = lines(bar.file);
        assert!(
            lines.len() >= bar.lines_min,
            "{}: {}",
            bar.file,
            lines.len()
        );
        let mut score = Score::default();
        for line in &lines {
            let argv: Vec<&[u8]> = line.argv.iter().map(Vec::as_slice).collect();
            score.add(line, &redactor.find(&argv, b"", Cut::No));
        }
        (with, all) = (with + score.lines_with, all + lines.len());
        println!(
            "{}: {} lines, {} with secrets, {} secrets",
            bar.file,
            lines.len(),
            score.lines_with,
            score.secrets
        );
        println!("  rules: {:?}", score.rules);
        for (what, part, whole, least) in [
            ("recall of secrets", score.found, score.secrets, bar.recall),
            (
                "precision of secrets",
                score.right,
                score.taken,
                bar.precision,
            ),
            (
                "recall of lines",
                score.lines_found,
                score.lines_with,
                bar.line_recall,
            ),
            (
                "precision of lines",
                score.lines_right,
                score.lines_changed,
                bar.line_precision,
            ),
        ] {
            let reached = per_mille(part, whole);
            println!(
                "  {what}: {part} of {whole}, {}.{} %",
                reached / 10,
                reached % 10
            );
            if reached < least {
                let _ = writeln!(
                    failed,
                    "{}: {what} is {reached}, the bar {least} of 1000",
                    bar.file
                );
            }
        }
        if std::env::var_os("REDACTION_REPORT").is_some_and(|half| half == bar.file) {
            println!("{}", score.report);
        }
    }
    assert!(
        all >= 500 && with * 2 <= all,
        "{with} of {all} lines have secrets"
    );
    assert!(failed.is_empty(), "{failed}");
}

/// Texts that are hard on rules that look ahead or behind, over and over.
const HARD: &[&str] = &[
    "://",
    "a://b:",
    "eyJ-",
    "eyJa.",
    "sk-",
    "=a:",
    "?a=",
    ";key=",
    "token=\"",
    "password: ",
    "=authorization:",
    "cookie:;",
    "-----BEGIN ",
    "-----BEGIN PRIVATE ",
    "' ",
    "\"\\\"",
    "echo a|sudo -S;",
    "<<<",
    "$(",
    "a ",
    "    ",
    "identified  by ",
    "auth = ( ' ",
    "send \"x",
    "open -u a",
    "/api/webhooks/",
    "mysql -p",
    "sudo ",
    "\\n",
    "x=y,",
];

/// Processor time of this thread, in microseconds.
fn spent_us(work: impl FnOnce()) -> u64 {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        u64::try_from(time.tv_sec).unwrap() * 1_000_000
            + u64::try_from(time.tv_nsec).unwrap() / 1_000
    };
    let before = now();
    work();
    now() - before
}

/// The least of some rounds.
fn least_us(redactor: &Redactor, argv: &[&[u8]], rounds: usize) -> u64 {
    let run = || spent_us(|| drop(redactor.find(argv, b"", Cut::No)));
    (0..rounds).map(|_| run()).min().unwrap()
}

/// One argument with a hard text, the same as a command for a shell, and as many
/// arguments.
fn shaped(hard: &str, shape: usize, length: usize) -> Vec<Vec<u8>> {
    let text = hard.repeat(length / hard.len()).into_bytes();
    match shape {
        0 => vec![b"x".to_vec(), text],
        1 => vec![b"sh".to_vec(), b"-c".to_vec(), text],
        _ => text.chunks(hard.len()).map(<[u8]>::to_vec).collect(),
    }
}

/// Four times the text takes about four times as long, not sixteen times.
#[test]
fn time_grows_with_the_length_alone() {
    const SHORT: usize = 8 << 10;
    let redactor = Redactor::new(&KEY).unwrap();
    for hard in HARD {
        for shape in 0..3 {
            let measured = |length: usize, rounds: usize| {
                let argv = shaped(hard, shape, length);
                let argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
                least_us(&redactor, &argv, rounds)
            };
            let is_linear =
                |rounds: usize| measured(4 * SHORT, rounds) < 8 * measured(SHORT, rounds) + 2_000;
            assert!(is_linear(1) || is_linear(5), "{hard:?} as {shape}");
        }
    }
}

/// What a command line costs:
/// `cargo test -p monitor-agent --config profile.dev.package.monitor-agent.opt-level=3
/// --test redaction -- --ignored --nocapture`.
#[test]
#[ignore = "measures; asserts nothing"]
fn cost_of_a_command_line() {
    const ROUNDS: u64 = 200;
    let redactor = Redactor::new(&KEY).unwrap();
    for file in ["developed", "held-out"] {
        let lines = lines(file);
        let argvs: Vec<Vec<&[u8]>> = lines
            .iter()
            .map(|line| line.argv.iter().map(Vec::as_slice).collect())
            .collect();
        let bytes: usize = argvs
            .iter()
            .flatten()
            .map(|argument| argument.len() + 1)
            .sum();
        let us = spent_us(|| {
            for _ in 0..ROUNDS {
                for argv in &argvs {
                    drop(redactor.arguments(argv, b"", Cut::No));
                }
            }
        });
        let runs = ROUNDS * u64::try_from(argvs.len()).unwrap();
        let per_line = bytes / argvs.len();
        println!(
            "{file}: {} ns a command line of {per_line} bytes",
            us * 1_000 / runs
        );
    }
    let text = "some words of a long text. ".repeat((128 << 10) / 27);
    let spent = least_us(&redactor, &[b"x", text.as_bytes()], 3);
    println!("128 KiB of prose: {spent} us");
    let hard = HARD
        .iter()
        .flat_map(|hard| (0..3).map(move |shape| (hard, shape)));
    let longest = hard.map(|(hard, shape)| {
        let argv = shaped(hard, shape, 128 << 10);
        let argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        (least_us(&redactor, &argv, 1), hard, shape)
    });
    println!("128 KiB that are hard: {:?} us", longest.max().unwrap());
}
