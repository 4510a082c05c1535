//! The lines of a PAM service, in the order in which libpam runs them.
//!
//! As libpam reads them: `#` begins a comment, a backslash at the end joins
//! lines, `@include` (Debian), `include` and `substack` bring in other files, a
//! type without lines falls back to the service `other`. Bound: [`LINES_MAX`]
//! lines, [`DEPTH_MAX`] files in one another, [`READS_MAX`] in all; what is beyond is told as odd.

use std::path::{Path, PathBuf};

use crate::doctor::root::{At, Root};

/// Most lines of one type.
pub(super) const LINES_MAX: usize = 4_096;
/// Most files in one another.
const DEPTH_MAX: usize = 16;
/// Most times that a file is read: some may be included more than once.
const READS_MAX: usize = 1_024;
/// Where services are, the first that has one counts.
const FOLDERS: [&str; 3] = ["/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d"];
/// What stands for services and types that are not configured.
const OTHER: &str = "other";

/// What a line does with a module's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Required,
    Requisite,
    Sufficient,
    Optional,
    /// `[answer=deed ...]`, in lower case.
    Deeds(Vec<(String, String)>),
    /// A stack of its own begins: its lines are one level deeper.
    Substack,
    /// None that libpam knows.
    Unknown(String),
}

impl Control {
    fn read(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        if let Some(inside) = text.strip_prefix('[') {
            let pairs = inside.trim_end_matches(']').split_ascii_whitespace();
            return Self::Deeds(
                pairs
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(answer, deed)| (answer.to_owned(), deed.to_owned()))
                    .collect(),
            );
        }
        match text.as_str() {
            "required" => Self::Required,
            "requisite" => Self::Requisite,
            "sufficient" => Self::Sufficient,
            "optional" => Self::Optional,
            _ => Self::Unknown(text),
        }
    }

    /// What is done with an answer; none where the line does not say.
    fn deed<'a>(deeds: &'a [(String, String)], answer: &str) -> Option<&'a str> {
        let named = |name: &str| deeds.iter().find(|(of, _)| of == name);
        let found = named(answer).or_else(|| named("default"));
        found.map(|(_, deed)| deed.as_str())
    }

    /// Whether a module that fails makes the login fail.
    pub(super) fn is_binding(&self) -> bool {
        match self {
            Self::Required | Self::Requisite => true,
            Self::Deeds(deeds) => ["session_err", "perm_denied", "system_err"]
                .iter()
                .all(|answer| matches!(Self::deed(deeds, answer), Some("bad" | "die"))),
            Self::Sufficient | Self::Optional | Self::Substack | Self::Unknown(_) => false,
        }
    }

    /// Whether the stack may end here with success.
    pub(super) fn may_end(&self) -> bool {
        match self {
            Self::Sufficient => true,
            Self::Deeds(deeds) => deeds.iter().any(|(_, deed)| deed == "done"),
            Self::Required
            | Self::Requisite
            | Self::Optional
            | Self::Substack
            | Self::Unknown(_) => false,
        }
    }

    /// The most lines that are jumped over.
    fn jump(&self) -> usize {
        let Self::Deeds(deeds) = self else {
            return 0;
        };
        let jumps = deeds.iter().filter_map(|(_, deed)| deed.parse().ok());
        jumps.max().unwrap_or(0)
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub at: At,
    /// How many substacks it is in.
    pub level: usize,
    pub control: Control,
    /// The module as written; the service, where a substack begins.
    pub module: String,
    pub arguments: Vec<String>,
}

impl Entry {
    /// Whether it is this module, wherever it is.
    pub(super) fn is(&self, module: &str) -> bool {
        self.module.rsplit('/').next() == Some(module)
    }

    pub(super) fn has(&self, argument: &str) -> bool {
        self.arguments.iter().any(|found| found == argument)
    }

    /// The value of `name=value`.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let values = self
            .arguments
            .iter()
            .filter_map(|found| found.split_once('='));
        values
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .next_back()
    }

    /// Whether it is the agent's hook.
    pub(super) fn is_hook(&self) -> bool {
        self.is("pam_exec.so") && self.has("pam-session")
    }
}

/// The lines of one type of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stack {
    pub entries: Vec<Entry>,
    /// What libpam cannot make sense of, in words, with its place.
    pub odd: Vec<String>,
}

impl Stack {
    /// Reads a service's lines of a type; none where neither the service nor
    /// `other` is there.
    pub(super) fn read(root: Root<'_>, service: &str, kind: &str) -> Option<Self> {
        let own = of_file(root, service, kind);
        match own {
            Some(stack) if !stack.entries.is_empty() || !stack.odd.is_empty() => Some(stack),
            Some(_) | None if service != OTHER => of_file(root, OTHER, kind).or(own),
            Some(_) | None => own,
        }
    }

    /// The line before which libpam may leave, so that the one at `to` does
    /// not run, though all before it succeed or are ignored.
    pub(super) fn leaves_before(&self, to: usize) -> Option<&Entry> {
        let before = self.entries.iter().enumerate().take(to);
        before
            .filter(|(at, entry)| {
                let ends = entry.control.may_end() && self.end_of_level(*at) > to;
                ends || self.lands(*at, entry.control.jump()) > to
            })
            .map(|(_, entry)| entry)
            .next()
    }

    /// The first line after the substack in which a line is.
    fn end_of_level(&self, at: usize) -> usize {
        let level = self.entries.get(at).map_or(0, |entry| entry.level);
        let mut rest = self.entries.iter().enumerate().skip(at);
        rest.find(|(_, entry)| entry.level < level)
            .map_or(self.entries.len(), |(end, _)| end)
            // The end of the whole is the end of all.
            .max(if level == 0 { usize::MAX } else { 0 })
    }

    /// The line that runs after a jump over so many of the same level.
    fn lands(&self, at: usize, jump: usize) -> usize {
        if jump == 0 {
            return at;
        }
        let level = self.entries.get(at).map_or(0, |entry| entry.level);
        let end = self.end_of_level(at);
        let rest = self.entries.iter().enumerate().skip(at + 1);
        rest.take_while(|(next, _)| *next < end)
            .filter(|(_, entry)| entry.level == level)
            .nth(jump)
            .map_or(end, |(landing, _)| landing)
    }
}

fn of_file(root: Root<'_>, service: &str, kind: &str) -> Option<Stack> {
    let file = find(root, service)?;
    let mut stack = Stack::default();
    let mut reader = Reader {
        root,
        kind,
        stack: &mut stack,
        chain: Vec::new(),
        reads: 0,
    };
    reader.file(&file, 0);
    Some(stack)
}

fn find(root: Root<'_>, service: &str) -> Option<PathBuf> {
    if service.starts_with('/') {
        return Some(PathBuf::from(service));
    }
    let files = FOLDERS.iter().map(|folder| Path::new(folder).join(service));
    files.into_iter().find(|file| root.exists(file))
}

struct Reader<'a> {
    root: Root<'a>,
    kind: &'a str,
    stack: &'a mut Stack,
    chain: Vec<PathBuf>,
    reads: usize,
}

impl Reader<'_> {
    fn file(&mut self, file: &Path, level: usize) {
        let text = match self.root.read(file) {
            Ok(text) => text,
            Err(error) => {
                self.stack.odd.push(format!("{}: {error}", file.display()));
                return;
            }
        };
        self.reads += 1;
        self.chain.push(file.to_owned());
        for (line, text) in joined(&text) {
            let at = At {
                file: file.to_owned(),
                line,
            };
            if self.stack.entries.len() >= LINES_MAX {
                self.odd(
                    &at,
                    &format!("more than {LINES_MAX} lines, the rest was not read"),
                );
                break;
            }
            self.line(at, &text, level);
        }
        self.chain.pop();
    }

    fn line(&mut self, at: At, text: &str, level: usize) {
        let mut words = words(text).into_iter();
        let Some(first) = words.next() else {
            return;
        };
        if first == "@include" {
            let name = words.next().unwrap_or_default();
            return self.include(&at, &name, level);
        }
        let kind = first.trim_start_matches('-').to_ascii_lowercase();
        if !["auth", "account", "password", "session"].contains(&kind.as_str()) {
            return self.odd(&at, &format!("{first:?} is no type of lines"));
        }
        if kind != self.kind {
            return;
        }
        let (Some(control), Some(module)) = (words.next(), words.next()) else {
            return self.odd(&at, "the line ends before its module");
        };
        match control.to_ascii_lowercase().as_str() {
            "include" => return self.include(&at, &module, level),
            "substack" => {
                self.stack.entries.push(Entry {
                    at: at.clone(),
                    level,
                    control: Control::Substack,
                    module: module.clone(),
                    arguments: Vec::new(),
                });
                return self.include(&at, &module, level + 1);
            }
            _ => {}
        }
        let control = Control::read(&control);
        if let Control::Unknown(text) = &control {
            self.odd(&at, &format!("{text:?} is no control that libpam knows"));
        }
        self.stack.entries.push(Entry {
            at,
            level,
            control,
            module,
            arguments: words.collect(),
        });
    }

    fn include(&mut self, at: &At, name: &str, level: usize) {
        let Some(file) = find(self.root, name).filter(|_| !name.is_empty()) else {
            return self.odd(at, &format!("it includes {name:?}, which is not there"));
        };
        if self.chain.contains(&file) {
            return self.odd(at, &format!("it includes {name:?}, which includes it"));
        }
        if self.reads >= READS_MAX {
            return self.odd(at, &format!("more than {READS_MAX} files are included"));
        }
        if self.chain.len() >= DEPTH_MAX {
            return self.odd(at, &format!("more than {DEPTH_MAX} files in one another"));
        }
        self.file(&file, level);
    }

    fn odd(&mut self, at: &At, what: &str) {
        // One for each line is enough, and a file of noise has many.
        if self.stack.odd.len() < 16 {
            self.stack.odd.push(format!("{at}: {what}"));
        }
    }
}

/// Lines without comments, those that a backslash joins as one, each with its
/// number.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (start, mut whole) = open.take().unwrap_or((number, String::new()));
        if let Some(part) = line.strip_suffix('\\') {
            whole.push_str(part);
            whole.push(' ');
            open = Some((start, whole));
        } else {
            whole.push_str(line);
            all.push((start, whole));
        }
    }
    all.extend(open);
    all
}

/// Words; what stands in brackets is one, as libpam has it.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, after) = if let Some(inside) = rest.strip_prefix('[') {
            let (inside, after) = inside.split_once(']').unwrap_or((inside, ""));
            (format!("[{inside}]"), after)
        } else {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            (word.to_owned(), after)
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests;
