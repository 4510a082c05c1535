//! `expect.toml`: read, and refused where it says what nobody understands.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use toml::Value;

/// What a case says of itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// What is done, in a few words.
    pub title: String,
    /// What it wants of the machine: see [`super::needs`].
    pub needs: Vec<String>,
    /// Who logs in.
    #[serde(default)]
    pub account: Account,
    /// The longest that the script may take, natively.
    #[serde(default = "default_seconds")]
    pub seconds: u64,
    /// The exit codes that the script may end with.
    #[serde(default = "default_exit")]
    pub exit: Vec<i32>,
    /// Whether the session has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether processes outlive the script.
    #[serde(default)]
    pub leaves: bool,
    /// What becomes of the agent when the script asks, before it starts again.
    pub agent: Option<Interruption>,
    /// What must be seen.
    #[serde(default)]
    pub expect: Vec<Sight>,
    /// What must not be said.
    #[serde(default)]
    pub never: Vec<Sight>,
    /// Where it cannot be seen.
    #[serde(default)]
    pub blind: Vec<Blind>,
    /// How many alerts it may raise; without it nobody counts.
    pub alerts: Option<AlertsMost>,
}

/// How many alerts may be raised at most, by severity; of one that is not
/// named none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsMost {
    /// Of severity critical.
    pub critical: usize,
    /// Of severity high.
    pub high: usize,
    /// Of severity medium.
    pub medium: usize,
    /// Of severity low.
    pub low: usize,
    /// How often a host and day is assumed to see what is played.
    pub plays_a_day: usize,
}

impl Default for AlertsMost {
    fn default() -> Self {
        Self {
            critical: 0,
            high: 0,
            medium: 0,
            low: 0,
            plays_a_day: 1,
        }
    }
}

impl AlertsMost {
    /// The most of a severity, by its name.
    #[must_use]
    pub fn of(&self, severity: &str) -> usize {
        match severity {
            "critical" => self.critical,
            "high" => self.high,
            "medium" => self.medium,
            "low" => self.low,
            _ => 0,
        }
    }
}

const fn default_seconds() -> u64 {
    20
}

fn default_exit() -> Vec<i32> {
    vec![0]
}

/// Who logs in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// The account that engineers share.
    #[default]
    Ops,
    /// Root.
    Root,
}

/// What becomes of the agent in the middle of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// Killed; its probes and its marks stay in the kernel.
    Killed,
    /// Killed, and its probes and marks taken out of the kernel.
    Detached,
}

/// One value, or any of several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum OneOf<T> {
    /// Any of these.
    Many(Vec<T>),
    /// This one.
    One(T),
}

impl<T> OneOf<T> {
    /// All that it may be.
    pub fn all(&self) -> &[T] {
        match self {
            Self::Many(all) => all,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

/// Whose an event must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// The session that plays the script.
    #[default]
    Own,
    /// A session that this one opened: `ssh` to the same host.
    Inner,
    /// The session of the other engineer.
    Other,
    /// Nobody's.
    None,
    /// Not looked at.
    Any,
}

/// Which events are meant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// Its name in the report.
    #[serde(default)]
    pub name: String,
    /// The action's kind.
    pub kind: String,
    /// The action's operation.
    pub operation: Option<OneOf<String>>,
    /// The object.
    pub object: Option<OneOf<String>>,
    /// The script of an exec.
    pub script: Option<OneOf<String>>,
    /// The file name of the executable of the process.
    pub program: Option<OneOf<String>>,
    /// Address and port.
    pub destination: Option<OneOf<String>>,
    /// Places in the action.
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
    /// Whose; only where it is given.
    pub session: Option<OneOf<Whose>>,
    /// How the session must be known.
    pub lineage: Option<OneOf<String>>,
    /// Why it is not known.
    pub reason: Option<OneOf<String>>,
    /// The verdict.
    pub verdict: Option<String>,
    /// Exactly so many.
    pub count: Option<usize>,
    /// So many or more.
    pub at_least: Option<usize>,
}

impl Sight {
    /// Whether so many are right.
    #[must_use]
    pub fn takes(&self, found: usize) -> bool {
        match self.at_least {
            Some(least) => found >= least,
            None => found == self.count.unwrap_or(1),
        }
    }

    /// How many it should be, in words.
    #[must_use]
    pub fn wanted(&self) -> String {
        match self.at_least {
            Some(least) => format!("at least {least}"),
            None => self.count.unwrap_or(1).to_string(),
        }
    }
}

/// Where it cannot be seen, and is said not to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blind {
    /// The family of hooks.
    pub family: Option<String>,
    /// The tiers that do not see it.
    pub tier: Option<OneOf<String>>,
    /// Kernels that do not: `<6.6`, `>=6.6`.
    pub kernel: Option<String>,
    /// Which expectations; none named: all.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Why.
    pub reason: String,
    /// Words that doctor says of it.
    pub doctor: Option<String>,
}

const VERDICTS: [&str; 4] = ["in_scope", "out_of_scope", "unattributed", "exempt"];
const LINEAGES: [&str; 4] = ["kernel", "linked", "inferred", "unattributed"];

impl Expectations {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// It is no TOML, has a key that is not known, or contradicts itself.
    pub fn read(text: &str) -> Result<Self> {
        let mut read: Self = toml::from_str(text)?;
        for (index, sight) in read.expect.iter_mut().enumerate() {
            name(sight, index);
            let both = sight.count.is_some() && sight.at_least.is_some();
            ensure!(!both, "{}: count and at_least", sight.name);
        }
        for (index, sight) in read.never.iter_mut().enumerate() {
            name(sight, index);
            let counts = sight.count.is_some() || sight.at_least.is_some();
            ensure!(!counts, "[[never]] with a count");
            let graded = sight.lineage.is_some() || sight.reason.is_some();
            ensure!(!graded, "[[never]] with a lineage or a reason");
        }
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<()> {
        ensure!(
            !(self.expect.is_empty() && self.never.is_empty() && self.alerts.is_none()),
            "none of [[expect]], [[never]] and [alerts]: nothing would be looked at"
        );
        for sight in self.expect.iter().chain(&self.never) {
            if let Some(verdict) = &sight.verdict {
                let known = VERDICTS.contains(&verdict.as_str());
                ensure!(known, "verdict {verdict:?} is none of {VERDICTS:?}");
            }
            for lineage in sight.lineage.iter().flat_map(OneOf::all) {
                let known = LINEAGES.contains(&lineage.as_str());
                ensure!(known, "lineage {lineage:?} is none of {LINEAGES:?}");
            }
        }
        for blind in &self.blind {
            for name in &blind.expect {
                let is_there = self.expect.iter().any(|one| one.name == *name);
                ensure!(is_there, "[[blind]] names no [[expect]]: {name:?}");
            }
            match (&blind.family, &blind.tier, &blind.kernel) {
                (Some(_), Some(_), _) | (None, None, Some(_)) => {}
                _ => bail!("[[blind]] needs family and tier, or kernel, or all of them"),
            }
            if let Some(bound) = &blind.kernel {
                kernel_is(bound, (0, 0)).context("[[blind]]")?;
            }
        }
        for need in &self.needs {
            super::needs::check_name(need)?;
        }
        Ok(())
    }
}

fn name(sight: &mut Sight, index: usize) {
    if sight.name.is_empty() {
        sight.name = index.saturating_add(1).to_string();
    }
}

/// Whether a kernel is what `<6.6` or `>=6.6` says.
///
/// # Errors
/// It says neither.
pub fn kernel_is(bound: &str, kernel: (u32, u32)) -> Result<bool> {
    let (is_below, number) = match (bound.strip_prefix('<'), bound.strip_prefix(">=")) {
        (Some(number), _) => (true, number),
        (None, Some(number)) => (false, number),
        (None, None) => bail!("kernel {bound:?} is neither <NUMBER nor >=NUMBER"),
    };
    let number = kernel_number(number).with_context(|| format!("no kernel: {bound:?}"))?;
    Ok((kernel < number) == is_below)
}

/// `6.12` of `6.12.117-amd64`, as numbers.
#[must_use]
pub fn kernel_number(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
    let first = numbers.next()?.parse().ok()?;
    Some((first, numbers.next().unwrap_or("0").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "title = 'x'\nneeds = []\n";

    fn error(more: &str) -> String {
        format!(
            "{:#}",
            Expectations::read(&format!("{LEAST}{more}")).unwrap_err()
        )
    }

    #[test]
    fn unset_keys_have_the_documented_values() {
        let text = format!("{LEAST}[[expect]]\nkind = 'exec'\n");
        let read = Expectations::read(&text).unwrap();
        assert_eq!((read.account, read.seconds), (Account::Ops, 20));
        assert_eq!((read.exit, read.tty, read.leaves), (vec![0], false, false));
        let expected = read.expect.first().unwrap();
        assert_eq!(expected.name, "1");
        assert!(expected.takes(1) && !expected.takes(2) && !expected.takes(0));
    }

    #[test]
    fn case_that_looks_at_nothing_is_refused() {
        assert!(error("").contains("nothing would be looked at"));
    }

    #[test]
    fn unknown_keys_verdicts_needs_and_names_are_refused() {
        assert!(error("[[expect]]\nkind = 'exec'\nverdict = 'fine'").contains("in_scope"));
        assert!(error("[[expect]]\nkind = 'exec'\nlineage = 'sure'").contains("inferred"));
        assert!(!error("[[expect]]\nkind = 'exec'\nsession = ['own', 'my']").is_empty());
        assert!(error("[[expect]]\nkind = 'exec'\ncolour = 1").contains("colour"));
        assert!(error("[[never]]\nkind = 'exec'\ncount = 1").contains("count"));
        let blind = "[[expect]]\nkind = 'exec'\n[[blind]]\nreason = 'x'\n";
        assert!(error(blind).contains("family and tier"));
        assert!(error(&format!("{blind}kernel = '6.6'")).contains("neither"));
        assert!(error(&format!("{blind}kernel = '<6.6'\nexpect = ['no']")).contains("no"));
        let text = Expectations::read("title='x'\nneeds=['moon']\n[[never]]\nkind='exec'\n");
        assert!(format!("{:#}", text.unwrap_err()).contains("moon"));
    }

    #[test]
    fn no_alert_may_be_raised_where_the_table_is_empty() {
        let read = |more: &str| Expectations::read(&format!("{LEAST}{more}")).unwrap();
        assert_eq!(read("[[never]]\nkind = 'exec'").alerts, None);
        let most = read("[alerts]").alerts.unwrap();
        assert_eq!(most, AlertsMost::default());
        assert_eq!((most.of("low"), most.plays_a_day), (0, 1));
        let most = read("[alerts]\nlow = 2\nplays_a_day = 20").alerts.unwrap();
        assert_eq!(
            (most.of("low"), most.of("high"), most.plays_a_day),
            (2, 0, 20)
        );
        assert!(error("[alerts]\nmost = 1").contains("most"));
    }

    #[test]
    fn kernels_are_compared_by_number() {
        for (bound, kernel, is) in [
            ("<6.6", (6, 1), true),
            ("<6.6", (6, 6), false),
            (">=6.6", (6, 12), true),
            (">=6.6", (6, 1), false),
        ] {
            assert_eq!(kernel_is(bound, kernel).unwrap(), is, "{bound} {kernel:?}");
        }
        assert_eq!(kernel_number("6.12.117+deb12-cloud-amd64"), Some((6, 12)));
        assert_eq!(kernel_number("7"), Some((7, 0)));
    }
}
