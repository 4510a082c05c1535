//! What is watched on every jump host, as data: `catalogue.toml`, built in.
//!
//! In: that file, and what the configuration says of it. Out: rules, and whose
//! use of what is [expected](super::programs). The rules of the configuration
//! come first: of two that fit a file the first counts.
//!
//! - [`page`]: the same as a page to read.

use std::path::{Path, PathBuf};

use monitor_model::{grant::Tier, id::TenantId};
use monitor_transport::configuration::{ConfigError, Document};
use serde::Deserialize;
use toml::Spanned;

use super::{Label, Pattern, Rule, programs::Expectation};
use crate::kernel::Operations;

pub mod page;

/// The file, as `monitor-agent config --catalogue` prints it.
pub const TEXT: &str = include_str!("catalogue.toml");

/// Who may use what an item names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The host is the provider's: who touches it needs a grant of the provider.
    Host,
    /// The person whose file it is.
    Person,
}

/// [`Operations`] as configurations spell them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Reads and changes.
    #[default]
    All,
    /// Changes.
    Changes,
}

impl From<Told> for Operations {
    fn from(told: Told) -> Self {
        match told {
            Told::All => Self::All,
            Told::Changes => Self::Changes,
        }
    }
}

/// What the catalogue is.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// In the order of the file.
    pub items: Vec<Item>,
}

/// One kind of thing that is watched.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name, for ever.
    pub id: String,
    /// What it is, for people.
    pub what: String,
    /// The technique's name in ATT&CK.
    pub technique_name: String,
    /// Which files.
    pub patterns: Vec<Pattern>,
    /// Names that do not count.
    pub except: Vec<String>,
    /// Class, technique, operations, item; neither tenant nor tier.
    pub label: Label,
    /// Whose use is expected.
    pub expectation: Expectation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    item: Vec<RawItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawItem {
    id: Spanned<String>,
    what: String,
    class: String,
    technique: Spanned<String>,
    technique_name: String,
    #[serde(default)]
    operations: Told,
    owner: Owner,
    patterns: Vec<Spanned<String>>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    readers: Vec<PathBuf>,
    #[serde(default)]
    writers: Vec<PathBuf>,
}

/// What a configuration says of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The item.
    pub id: String,
    /// Whose its files are.
    pub tenant: Option<TenantId>,
    /// The tier that they need.
    pub tier: Option<Tier>,
    /// Further programs whose reading is expected.
    pub readers: Vec<PathBuf>,
}

impl Catalogue {
    /// The one that is built in.
    ///
    /// # Errors
    /// [`ConfigError`]; a test sees to it that there is none.
    pub fn built_in() -> Result<Self, ConfigError> {
        Self::parse(TEXT)
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let document = Document::new(Path::new("catalogue.toml"), text);
        let raw: RawCatalogue = document.parse()?;
        let mut items: Vec<Item> = Vec::with_capacity(raw.item.len());
        for item in raw.item {
            if items.iter().any(|known| known.id == *item.id.get_ref()) {
                return Err(document.wrong("item.id", &item.id, "an id that no other item has"));
            }
            items.push(checked(&document, item)?);
        }
        Ok(Self { items })
    }

    /// Whether there is an item of this name.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.items.iter().any(|item| item.id == id)
    }

    /// The rules and expectations of the items that are not off.
    #[must_use]
    pub fn rules(self, off: &[String], given: &[Given]) -> (Vec<Rule>, Vec<Expectation>) {
        let (mut rules, mut expectations) = (Vec::new(), Vec::new());
        for mut item in self.items {
            if off.contains(&item.id) {
                continue;
            }
            if let Some(given) = given.iter().find(|given| given.id == item.id) {
                item.label.tenant.clone_from(&given.tenant);
                item.label.tier = given.tier;
                item.expectation.readers.extend_from_slice(&given.readers);
            }
            rules.extend(item.patterns.into_iter().map(|pattern| Rule {
                pattern,
                label: item.label.clone(),
            }));
            expectations.push(item.expectation);
        }
        (rules, expectations)
    }
}

fn checked(document: &Document<'_>, raw: RawItem) -> Result<Item, ConfigError> {
    let technique = raw.technique.get_ref();
    if !is_technique(technique) {
        return Err(document.wrong("item.technique", &raw.technique, TECHNIQUE_FORM));
    }
    let wrong = |text: &Spanned<String>, error: super::PatternError| {
        document.wrong("item.patterns", text, error.to_string())
    };
    let patterns: Result<Vec<_>, _> = raw
        .patterns
        .iter()
        .map(|text| {
            let pattern = Pattern::new(text.get_ref());
            pattern
                .and_then(|pattern| pattern.except(&raw.except))
                .map_err(|error| wrong(text, error))
        })
        .collect();
    let id = raw.id.into_inner();
    Ok(Item {
        what: raw.what,
        technique_name: raw.technique_name,
        patterns: patterns?,
        except: raw.except,
        label: Label {
            technique: Some(raw.technique.into_inner()),
            operations: raw.operations.into(),
            item: Some(id.clone()),
            ..Label::of_class(raw.class)
        },
        expectation: Expectation {
            item: id.clone(),
            owner: raw.owner,
            readers: raw.readers,
            writers: raw.writers,
        },
        id,
    })
}

/// What a technique's number looks like, for error messages.
pub const TECHNIQUE_FORM: &str = "a technique of ATT&CK such as \"T1552.004\"";

/// Whether a text is a number as ATT&CK gives techniques: `T1078`, `T1552.004`.
#[must_use]
pub fn is_technique(text: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = text.strip_prefix('T') else {
        return false;
    };
    match number.split_once('.') {
        Some((technique, part)) => digits(technique, 4) && digits(part, 3),
        None => digits(number, 4),
    }
}

#[cfg(test)]
mod tests;
