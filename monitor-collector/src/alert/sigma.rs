//! Sigma rules for Linux: which of them run, and what they are shown of an event.
//!
//! In: a folder of files, one rule each. Out: rules beside the others, and for
//! every file whether it runs, or why not. A rule runs when its log source is
//! Linux and of a kind that is told here, and when every field that it names is
//! known: one that could never match is refused. Bound: [`FILES_MAX`] files of
//! [`FILE_BYTES_MAX`] bytes, folders [`DEPTH_MAX`] deep.
//!
//! What such rules look at, arguments above all, is text of the caller: they
//! tell people and revoke nothing. Text that was cut is not shown to them.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use monitor_model::{alert::Severity, event::Kind};
use serde::{Deserialize, Serialize, Serializer};
use serde_norway::Value;
use sha2::{Digest as _, Sha256};

mod showing;

pub(super) use showing::{Shown, shown};

/// Most files of rules.
pub const FILES_MAX: usize = 5_000;
/// Most bytes of one file.
pub const FILE_BYTES_MAX: u64 = 64 << 10;
/// Most folders below each other.
pub const DEPTH_MAX: usize = 8;

/// A file of rules, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigmaFile {
    /// Its path below the folder.
    pub path: String,
    /// Name of the rule; none when it could not be read.
    pub id: Option<String>,
    /// Its title; empty when it could not be read.
    pub title: String,
    /// Why it does not run; none when it does.
    pub refused: Option<String>,
}

/// A rule that runs.
#[derive(Clone, Debug)]
pub struct SigmaRule {
    /// `sigma:` and the rule's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its level; medium where it has none.
    pub severity: Severity,
    /// The first technique among its tags; may be empty.
    pub technique: String,
    /// The kind of events that it looks at.
    pub kind: Kind,
    /// What it looks for.
    pub detection: Detection,
}

/// What a Sigma rule looks for.
#[derive(Clone, Debug)]
pub struct Detection {
    rule: Arc<sigma_rust::Rule>,
    fields: BTreeSet<String>,
    digest: String,
}

impl PartialEq for Detection {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Detection {}

impl Serialize for Detection {
    /// The digest of its text: what names the policy follows from it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.digest)
    }
}

impl Detection {
    pub(super) fn fits(&self, shown: &Shown) -> bool {
        !shown.cut.iter().any(|field| self.fields.contains(*field))
            && self.rule.is_match(&shown.event)
    }
}

/// Log sources, the kind of events that is shown as each, and its fields.
const CATEGORIES: [(&str, Kind, &[&str]); 3] = [
    (
        "process_creation",
        Kind::Exec,
        &["Image", "CommandLine", "ProcessId", "ParentProcessId"],
    ),
    (
        "network_connection",
        Kind::Connect,
        &[
            "Image",
            "DestinationIp",
            "DestinationPort",
            "Protocol",
            "Initiated",
            "ProcessId",
        ],
    ),
    (
        "file_event",
        Kind::Credential,
        &["Image", "TargetFilename", "ProcessId"],
    ),
];

/// The parts of a rule that are looked at here; the rest is the library's.
#[derive(Deserialize)]
struct Head {
    title: String,
    id: Option<String>,
    level: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    logsource: LogSource,
    detection: Value,
}

#[derive(Deserialize)]
struct LogSource {
    category: Option<String>,
    product: Option<String>,
    service: Option<String>,
}

/// Reads every `.yml` and `.yaml` below a folder, in the order of their paths.
///
/// # Errors
/// What the system says of the folder, or that there are too many files. A
/// file that cannot be used is none: its [`SigmaFile`] says why.
pub fn read(folder: &Path) -> io::Result<(Vec<SigmaRule>, Vec<SigmaFile>)> {
    let mut paths = Vec::new();
    find(folder, DEPTH_MAX, &mut paths)?;
    paths.sort();
    let (mut rules, mut files) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for path in paths {
        let name = path.strip_prefix(folder).unwrap_or(&path);
        let mut file = SigmaFile {
            path: name.display().to_string(),
            id: None,
            title: String::new(),
            refused: None,
        };
        match text(&path).and_then(|text| parse(&text, &mut file)) {
            Ok(rule) if seen.insert(rule.id.clone()) => rules.push(rule),
            Ok(_) => file.refused = Some("another file has a rule of this id".to_owned()),
            Err(refused) => file.refused = Some(refused),
        }
        files.push(file);
    }
    Ok((rules, files))
}

fn find(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_rule = path
            .extension()
            .is_some_and(|extension| extension == "yml" || extension == "yaml");
        if kind.is_dir() {
            let less = depth.checked_sub(1).ok_or_else(|| {
                io::Error::other(format!("folders more than {DEPTH_MAX} deep below it"))
            })?;
            find(&path, less, paths)?;
        } else if is_rule {
            if paths.len() >= FILES_MAX {
                let many = format!("more than {FILES_MAX} files of rules; take some out");
                return Err(io::Error::other(many));
            }
            paths.push(path);
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, String> {
    let bytes = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!(
            "{bytes} bytes; a rule has at most {FILE_BYTES_MAX}"
        ));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

/// A rule from its text; the file's name and title are noted on the way.
fn parse(text: &str, file: &mut SigmaFile) -> Result<SigmaRule, String> {
    let head: Head = serde_norway::from_str(text).map_err(|error| format!("no rule: {error}"))?;
    file.id.clone_from(&head.id);
    file.title.clone_from(&head.title);
    let id = head
        .id
        .ok_or("no id: give it one, so that alerts can name it")?;
    let (kind, known) = source(&head.logsource)?;
    let fields = fields(&head.detection);
    let unknown: Vec<&str> = fields
        .iter()
        .map(String::as_str)
        .filter(|field| !known.contains(field))
        .collect();
    if !unknown.is_empty() {
        return Err(format!(
            "fields that are not known here: {}; known are {}",
            unknown.join(", "),
            known.join(", ")
        ));
    }
    let rule = sigma_rust::rule_from_yaml(text).map_err(|error| format!("no rule: {error}"))?;
    Ok(SigmaRule {
        id: format!("sigma:{id}"),
        title: head.title,
        severity: severity(head.level.as_deref())?,
        technique: technique(&head.tags),
        kind,
        detection: Detection {
            rule: Arc::new(rule),
            fields,
            digest: crate::hex::text(&Sha256::digest(text)),
        },
    })
}

fn source(source: &LogSource) -> Result<(Kind, &'static [&'static str]), String> {
    let product = source.product.as_deref().unwrap_or("none");
    if product != "linux" {
        return Err(format!("for product {product}; only linux is seen here"));
    }
    if let Some(service) = &source.service {
        return Err(format!(
            "for the logs of service {service}, which are not read here"
        ));
    }
    let category = source.category.as_deref().unwrap_or("none");
    let known = CATEGORIES.iter().find(|(name, ..)| *name == category);
    known
        .map(|(_, kind, fields)| (*kind, *fields))
        .ok_or_else(|| {
            let names: Vec<&str> = CATEGORIES.iter().map(|(name, ..)| *name).collect();
            format!("for category {category}; known are {}", names.join(", "))
        })
}

/// The names of fields in all selections: keys of maps, less their modifiers.
fn fields(detection: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Value::Mapping(selections) = detection else {
        return found;
    };
    for (name, selection) in selections {
        if name.as_str() != Some("condition") {
            keys(selection, &mut found);
        }
    }
    found
}

fn keys(selection: &Value, found: &mut BTreeSet<String>) {
    if let Value::Mapping(fields) = selection {
        let names = fields.keys().filter_map(Value::as_str);
        let bare = names.filter_map(|name| name.split('|').next());
        found.extend(bare.map(str::to_owned));
    }
    if let Value::Sequence(several) = selection {
        for selection in several {
            keys(selection, found);
        }
    }
}

fn severity(level: Option<&str>) -> Result<Severity, String> {
    match level {
        Some("informational" | "low") => Ok(Severity::Low),
        Some("medium") | None => Ok(Severity::Medium),
        Some("high") => Ok(Severity::High),
        Some("critical") => Ok(Severity::Critical),
        Some(other) => Err(format!(
            "level {other}; known are informational, low, medium, high, critical"
        )),
    }
}

/// Of tags such as `attack.t1059.004` the first.
fn technique(tags: &[String]) -> String {
    let techniques = tags.iter().filter_map(|tag| tag.strip_prefix("attack.t"));
    let mut numbered =
        techniques.filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    numbered
        .next()
        .map(|rest| format!("T{rest}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
