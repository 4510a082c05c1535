//! Where settings of sshd stand, and which `Match` blocks there are.
//!
//! What is in force says `sshd -T`; this only finds the lines. As sshd reads
//! them: the first line of a keyword counts, `Include` brings in files, and a
//! block that begins in an included file ends with it. Bound: [`LINES_MAX`]
//! lines, [`DEPTH_MAX`] files in one another, [`READS_MAX`] in all.

use std::path::{Path, PathBuf};

use globset::Glob;

use crate::doctor::root::{At, Root};

/// Most lines with settings.
const LINES_MAX: usize = 16_384;
/// As sshd has it.
const DEPTH_MAX: usize = 16;
/// Most times that a file is read: some may be included more than once.
const READS_MAX: usize = 1_024;
/// Where names that are not whole are looked for.
const FOLDER: &str = "/etc/ssh";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    at: At,
    /// In lower case.
    keyword: String,
    /// The `Match` block it is in.
    block: Option<usize>,
}

/// A `Match` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub at: At,
    /// As written, without `Match`.
    pub criteria: String,
}

/// The lines of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    settings: Vec<Setting>,
    pub blocks: Vec<Block>,
    reads: usize,
}

impl Lines {
    pub(super) fn read(root: Root<'_>, file: &Path) -> Self {
        let mut lines = Self::default();
        lines.file(root, (file, 0), None);
        lines
    }

    /// The line that sets a keyword: in the block, else outside of all.
    pub(super) fn place(&self, keyword: &str, block: Option<usize>) -> Option<&At> {
        let of = |block: Option<usize>| {
            let mut settings = self.settings.iter();
            settings.find(|found| found.keyword == keyword && found.block == block)
        };
        let found = block.and_then(|block| of(Some(block))).or_else(|| of(None));
        found.map(|setting| &setting.at)
    }

    fn file(&mut self, root: Root<'_>, (file, depth): (&Path, usize), outer: Option<usize>) {
        self.reads += 1;
        if self.reads > READS_MAX {
            return;
        }
        let Ok(text) = root.read(file) else {
            return;
        };
        let mut block = outer;
        for (line, text) in (1..).zip(text.lines()) {
            let Some((keyword, value)) = setting(text) else {
                continue;
            };
            if self.settings.len() + self.blocks.len() >= LINES_MAX {
                return;
            }
            let at = At {
                file: file.to_owned(),
                line,
            };
            match keyword.as_str() {
                "match" => {
                    block = Some(self.blocks.len());
                    let criteria = value.to_owned();
                    self.blocks.push(Block { at, criteria });
                }
                "include" if depth < DEPTH_MAX => {
                    for pattern in value.split_ascii_whitespace() {
                        let pattern = Path::new(FOLDER).join(pattern.trim_matches('"'));
                        for file in root.glob(&pattern) {
                            self.file(root, (&file, depth + 1), block);
                        }
                    }
                }
                _ => self.settings.push(Setting { at, keyword, block }),
            }
        }
    }
}

/// Keyword and value, which blanks or one `=` part.
fn setting(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|sign: char| sign.is_whitespace() || sign == '=');
    let (keyword, rest) = line.split_at_checked(end.unwrap_or(line.len()))?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let value = rest.split(" #").next().unwrap_or_default().trim();
    Some((keyword.to_ascii_lowercase(), value))
}

/// A connection that fits a block, as `sshd -T -C` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    user: String,
    host: String,
    address: String,
    local_address: String,
    local_port: String,
    routing_domain: Option<String>,
}

impl Default for Connection {
    /// One that no rule means.
    fn default() -> Self {
        Self {
            user: "nobody".to_owned(),
            host: "monitor.invalid".to_owned(),
            address: "192.0.2.1".to_owned(),
            local_address: "192.0.2.2".to_owned(),
            local_port: "22".to_owned(),
            routing_domain: None,
        }
    }
}

impl std::fmt::Display for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            user,
            host,
            address,
            local_address,
            local_port,
            routing_domain,
        } = self;
        write!(
            f,
            "user={user},host={host},addr={address},laddr={local_address},lport={local_port}"
        )?;
        match routing_domain {
            Some(domain) => write!(f, ",rdomain={domain}"),
            None => Ok(()),
        }
    }
}

impl Connection {
    /// One that fits the criteria of a block; else what nothing fits.
    pub(super) fn fitting(criteria: &str, accounts: &Accounts) -> Result<Self, String> {
        let mut fitting = Self::default();
        let mut words = criteria.split(|sign: char| sign.is_whitespace() || sign == '=');
        let mut words = words.by_ref().filter(|word| !word.is_empty());
        while let Some(criterion) = words.next() {
            let name = criterion.to_ascii_lowercase();
            if name == "all" {
                continue;
            }
            let patterns = words.next().unwrap_or_default().trim_matches('"');
            // What is excluded names nothing that fits.
            let wanted = || {
                patterns
                    .split(',')
                    .filter(|pattern| !pattern.starts_with('!'))
            };
            let found = match name.as_str() {
                "user" => wanted().find_map(|pattern| accounts.user(pattern)),
                "group" => wanted().find_map(|pattern| accounts.member(pattern)),
                "host" => wanted()
                    .next()
                    .map(|pattern| pattern.replace(['*', '?'], "x")),
                "address" | "localaddress" => wanted().find_map(address),
                "localport" | "rdomain" => wanted().next().map(str::to_owned),
                _ => None,
            };
            // A comma would begin another part of the specification.
            let found = found.filter(|found| !found.is_empty() && !found.contains(','));
            let found = found.ok_or_else(|| format!("{criterion} {patterns}").trim().to_owned())?;
            match name.as_str() {
                "user" | "group" => fitting.user = found,
                "host" => fitting.host = found,
                "address" => fitting.address = found,
                "localaddress" => fitting.local_address = found,
                "localport" => fitting.local_port = found,
                _ => fitting.routing_domain = Some(found),
            }
        }
        Ok(fitting)
    }
}

/// An address that fits a pattern: of a network its own.
fn address(pattern: &str) -> Option<String> {
    let base = pattern.split('/').next().unwrap_or_default();
    let mut filled = base.replace('*', "0");
    while !filled.contains(':') && filled.matches('.').count() < 3 {
        filled.push_str(".0");
    }
    let found = filled.replace('?', "0");
    found
        .parse::<std::net::IpAddr>()
        .ok()
        .map(|found| found.to_string())
}

/// The accounts and groups of the host.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    /// Name and main group.
    users: Vec<(String, String)>,
    /// Name, number and members.
    groups: Vec<(String, String, Vec<String>)>,
}

impl Accounts {
    pub(super) fn read(root: Root<'_>) -> Self {
        let text = |file: &str| root.read(&PathBuf::from(file)).unwrap_or_default();
        Self::of(&text("/etc/passwd"), &text("/etc/group"))
    }

    pub(super) fn of(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?.to_owned(), fields.nth(2)?.to_owned()))
        });
        let groups = group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, number) = (fields.next()?.to_owned(), fields.nth(1)?.to_owned());
            let members = fields.next()?.split(',').filter(|name| !name.is_empty());
            Some((name, number, members.map(str::to_owned).collect()))
        });
        Self {
            users: users.collect(),
            groups: groups.collect(),
        }
    }

    /// A name that stands for itself, or an account that fits a pattern.
    fn user(&self, pattern: &str) -> Option<String> {
        if !pattern.contains(['*', '?']) {
            return Some(pattern.to_owned());
        }
        let matcher = Glob::new(pattern).ok()?.compile_matcher();
        let mut users = self.users.iter();
        users
            .find(|(name, _)| matcher.is_match(name))
            .map(|(name, _)| name.clone())
    }

    /// An account in a group that fits.
    fn member(&self, pattern: &str) -> Option<String> {
        let matcher = Glob::new(pattern).ok()?.compile_matcher();
        let groups = self
            .groups
            .iter()
            .filter(|(name, ..)| matcher.is_match(name));
        groups.into_iter().find_map(|(_, number, members)| {
            let main = || self.users.iter().find(|(_, group)| group == number);
            members
                .first()
                .cloned()
                .or_else(|| main().map(|(name, _)| name.clone()))
        })
    }
}

#[cfg(test)]
mod tests;
