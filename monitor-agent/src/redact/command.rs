//! Secrets by their place in a command: what [`super::programs`] knows of the
//! program, what the names of its options tell, what is piped to whom.
//!
//! In: the words of a command. Out: where secrets stand in the arguments they
//! are from. Bound: texts for a shell are opened [`DEPTH_MAX`] deep; below that
//! they are read as any text.

use std::ops::Range;

use super::{
    carriers::{self, Carrier},
    file_name,
    inside::{self, Reading},
    names::{self, Telling},
    options::{self, Awaited, Is, has, is_option, is_plain_option, program_name, reads},
    programs::{self, Part, Program, Texts, Which},
    rule::{Found, Rule},
    shell::{self, Command, Word},
    statements::Statements,
};

/// How deep shells within shells are followed.
const DEPTH_MAX: usize = 4;

/// What is looked for in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// All.
    Whole,
    /// Programs and their options only: it may be no command at all.
    Programs,
}

/// Walks through the words of commands.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    statements: &'a Statements,
    /// By argument, in no order.
    pub(super) found: Vec<Vec<Found>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(statements: &'a Statements, arguments: usize) -> Self {
        Self {
            statements,
            found: vec![Vec::new(); arguments],
        }
    }

    /// One command. `exe`: the kernel's name of the program, where known.
    pub(super) fn command(&mut self, words: &[Word], exe: &[u8], (depth, look): (usize, Look)) {
        let at = words
            .iter()
            .position(|word| options::assigned(&word.bytes).is_none())
            .unwrap_or(words.len());
        let (before, mut rest) = words.split_at_checked(at).unwrap_or((words, &[]));
        if look == Look::Whole {
            self.part(before, (None, None), depth);
        }
        let mut exe = exe;
        while let Some(first) = rest.first() {
            let said = program_name(&first.bytes);
            let program = programs::find(said).or_else(|| programs::find(exe));
            let carrier = carriers::find(said).or_else(|| carriers::find(exe));
            exe = b"";
            if look == Look::Programs && program.is_none() && carrier.is_none() {
                return;
            }
            let inner = carrier
                .and_then(|carrier| carrier.inner(rest))
                .unwrap_or(rest.len());
            let (part, next) = rest.split_at_checked(inner).unwrap_or((rest, &[]));
            self.part(part, (program, carrier), depth);
            rest = next;
        }
    }

    /// The words of one program, its name first.
    fn part(
        &mut self,
        words: &[Word],
        (program, carrier): (Option<&Program>, Option<&Carrier>),
        depth: usize,
    ) {
        let texts = program.map_or(Texts::Any, |program| program.texts);
        let mut awaited: Option<Awaited> = None;
        let mut others: Vec<usize> = Vec::new();
        let mut is_value = false;
        let mut before: &[u8] = b"";
        for (at, word) in words.iter().enumerate() {
            let text = word.bytes.as_slice();
            let was = std::mem::replace(&mut before, text);
            let is_others = !std::mem::take(&mut is_value);
            if let Some(secret) = awaited.take()
                && !is_plain_option(text)
            {
                if !self.take(word, 0, secret) {
                    self.text(word, texts == Texts::Patterns, depth);
                }
                continue;
            }
            if carrier.is_some_and(|carrier| at > 0 && carrier.is_script(word, was)) {
                self.script(word, depth);
                continue;
            }
            let is = if at == 0 && program.is_some() {
                Is::Plain
            } else {
                options::option(program, words.get(..at).unwrap_or_default(), word)
            };
            match is {
                Is::Before(secret) => awaited = Some(secret),
                Is::From(from, secret) if self.take(word, from, secret) => {}
                Is::Plain | Is::Harmless | Is::From(..) => {
                    let is_message = texts == Texts::Messages && options::is_message(was, text);
                    self.text(
                        word,
                        is_message || texts == Texts::Patterns || matches!(is, Is::Harmless),
                        depth,
                    );
                    is_value = matches!(is, Is::Harmless)
                        || program.is_some_and(|program| has(program.valued, text));
                    if at > 0 && is_others && !is_option(text) {
                        awaited = options::named(texts, text, others.len());
                        others.push(at);
                    }
                }
            }
        }
        if let Some(program) = program {
            self.arguments(program, words, &others);
        }
    }

    /// Arguments that are no options.
    fn arguments(&mut self, program: &Program, words: &[Word], others: &[usize]) {
        for (after, which, part) in program.arguments {
            let mut sought = after
                .iter()
                .filter(|word| !word.starts_with('-'))
                .peekable();
            let mut first = 0;
            for (at, other) in others.iter().enumerate() {
                let said = words
                    .get(*other)
                    .map(|word| word.bytes.as_slice())
                    .unwrap_or_default();
                if sought
                    .next_if(|word| word.as_bytes().eq_ignore_ascii_case(said))
                    .is_some()
                {
                    first = at + 1;
                }
            }
            let letters_are_there = after
                .iter()
                .filter(|word| word.starts_with('-'))
                .all(|option| options::has_option(words, option));
            if sought.peek().is_some() || !letters_are_there {
                continue;
            }
            let rest = others.get(first..).unwrap_or_default();
            let chosen = match which {
                Which::Nth(nth) => rest.get(*nth..nth + 1),
                Which::From(nth) => rest.get(*nth..),
                Which::Last(least) => (rest.len() > *least)
                    .then(|| rest.get(rest.len() - 1..))
                    .flatten(),
            };
            let secret = Awaited {
                part: *part,
                rule: Rule::Argument,
                telling: Telling::Key,
            };
            for word in chosen
                .unwrap_or_default()
                .iter()
                .filter_map(|at| words.get(*at))
            {
                self.take(word, 0, secret);
            }
        }
    }

    /// Any text: what is inside, and commands if it has some.
    fn text(&mut self, word: &Word, is_prose: bool, depth: usize) {
        self.inside(word, is_prose);
        if is_prose || !word.has_blanks() {
            return;
        }
        self.statements(word);
        if depth < DEPTH_MAX {
            let commands = shell::commands(word);
            for command in &commands {
                self.command(&command.words, b"", (depth + 1, Look::Programs));
            }
            self.inputs(&commands);
        }
    }

    /// A text for a shell.
    fn script(&mut self, word: &Word, depth: usize) {
        if depth >= DEPTH_MAX {
            self.text(word, false, depth);
            return;
        }
        self.inside(word, true);
        self.statements(word);
        let commands = shell::commands(word);
        for command in &commands {
            self.command(&command.words, b"", (depth + 1, Look::Whole));
        }
        self.inputs(&commands);
    }

    /// What is written to programs that read a secret.
    fn inputs(&mut self, commands: &[Command]) {
        for (at, command) in commands.iter().enumerate() {
            if let Some(here) = command
                .words
                .iter()
                .position(|word| word.bytes == shell::HERE)
                && let Some(part) = reads(&command.words)
            {
                for word in command.words.get(here + 1..here + 2).unwrap_or_default() {
                    self.lines(word, part);
                }
            }
            let reader = commands.get(at + 1).filter(|_| command.piped);
            let Some(part) = reader.and_then(|reader| reads(&reader.words)) else {
                continue;
            };
            let Some((first, said)) = command.words.split_first() else {
                continue;
            };
            let is_format = file_name(&first.bytes) == b"printf" && said.len() > 1;
            if !matches!(file_name(&first.bytes), b"echo" | b"printf") {
                continue;
            }
            for word in said.iter().skip(usize::from(is_format)) {
                if !is_plain_option(&word.bytes)
                    && !matches!(word.bytes.as_slice(), b"-ne" | b"-en")
                {
                    self.lines(word, part);
                }
            }
        }
    }

    /// Secrets on lines, of which `\n` may tell the end.
    fn lines(&mut self, word: &Word, part: Part) {
        let mut start = 0;
        for at in 0..=word.bytes.len() {
            let rest = word.bytes.get(at..).unwrap_or_default();
            if rest.is_empty() || rest.starts_with(b"\\n") || rest.starts_with(b"\n") {
                let secret = Awaited {
                    part,
                    rule: Rule::Input,
                    telling: Telling::Password,
                };
                self.take_range(word, start..at, secret);
                start = at + if rest.starts_with(b"\n") { 1 } else { 2 };
            }
        }
    }

    fn inside(&mut self, word: &Word, is_prose: bool) {
        let reading = Reading {
            cut: word.cut,
            expands: word.expands,
            is_prose,
        };
        let mut found = Vec::new();
        inside::find(&word.bytes, reading, &mut found);
        for one in found {
            self.push(word, &one.range, one.rule);
        }
    }

    fn statements(&mut self, word: &Word) {
        let mut found = Vec::new();
        self.statements.find(&word.bytes, &mut found);
        for one in found {
            self.push(word, &one.range, one.rule);
        }
    }

    /// Takes the secret out of a value that begins there; whether there is one.
    fn take(&mut self, word: &Word, from: usize, secret: Awaited) -> bool {
        let end = if secret.rule == Rule::Name && from > 0 {
            inside::value_end(&word.bytes, from)
        } else {
            word.bytes.len()
        };
        self.take_range(word, from..end, secret)
    }

    fn take_range(&mut self, word: &Word, range: Range<usize>, secret: Awaited) -> bool {
        let (from, end) = (range.start, range.end);
        let Some(value) = word.bytes.get(range) else {
            return false;
        };
        let at = |byte: u8| value.iter().position(|one| *one == byte);
        let start = match secret.part {
            Part::Whole => Some(0),
            Part::Bare => options::assigned(value).is_none().then_some(0),
            Part::Colon => at(b':').map(|at| at + 1),
            Part::Percent => at(b'%').map(|at| at + 1),
            Part::Comma => at(b',').map(|at| at + 1),
            Part::Pair => at(b'=').map(|at| at + 1),
            Part::Slash => at(b'/')
                .filter(|at| *at > 0 && !value.contains(&b'='))
                .map(|at| at + 1),
            Part::At => at(b':').filter(|_| value.contains(&b'@')).map(|at| at + 1),
            Part::Openssl => ["pass:", "hexkey:", "key:"]
                .iter()
                .find(|start| value.starts_with(start.as_bytes()))
                .map(|start| start.len()),
            Part::Cookies => {
                let secrets = inside::cookies(&word.bytes, from..end);
                for range in &secrets {
                    self.push(word, range, secret.rule);
                }
                return !secrets.is_empty();
            }
        };
        let Some(start) = start else { return false };
        let last = matches!(secret.part, Part::Slash | Part::At)
            .then(|| value.iter().rposition(|byte| *byte == b'@'))
            .flatten()
            .filter(|at| *at >= start);
        let last = last.unwrap_or(value.len());
        let said = value.get(start..last).unwrap_or_default();
        let is_url = secret.rule == Rule::Name && super::position(said, b"://").is_some();
        if said.is_empty() || is_url || names::is_reference(said, secret.telling, word.expands) {
            return false;
        }
        self.push(word, &(from + start..from + last), secret.rule);
        true
    }

    fn push(&mut self, word: &Word, range: &Range<usize>, rule: Rule) {
        if let Some(found) = self.found.get_mut(word.argument) {
            found.push(Found {
                range: word.origin(range),
                rule,
            });
        }
    }
}
