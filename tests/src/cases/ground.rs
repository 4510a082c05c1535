//! The folders, variables and objects of a case.
//!
//! Everything that is watched lies there before the agent starts; what a
//! session may do with it is given to its account once the accounts are made.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::compare::{Names, Object};
use super::discover::Case;
use super::expect::{Account, Expectations, Sight};
use crate::command::{self, command};
use crate::engineer::Engineer;
use crate::stage::accounts::id_of_account;
use crate::stage::folder::write;
use crate::stage::network::{self, OWN, OWN_PORT};
use crate::stage::own_machine::SECOND_ACCOUNT;
use crate::stage::{ACCOUNT, Folder, TENANTS};

/// The file in which scripts write down what something was.
const NOTED: &str = ".noted";
/// The most bytes of it that are read.
const NOTED_BYTES_MAX: usize = 1 << 20;

/// Where a case lies on the stage.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The copy of the case's folder, with its programs.
    pub place: PathBuf,
    /// The folder of the session.
    pub work: PathBuf,
    /// What the scripts get to know.
    pub variables: Vec<(String, String)>,
    /// The file that gives it to them.
    pub environment: PathBuf,
}

/// Makes the folders of all cases, with fresh credentials; `built` has a
/// folder for each case that has programs.
///
/// # Errors
/// The disk refused.
pub fn prepare(folder: &Folder, cases: &[Case], built: Option<&Path>) -> Result<()> {
    for place in ["cases", "end", "work", "case-files", "case-env", "ssh"] {
        make(&folder.at(place), 0o755)?;
    }
    write(&folder.at("end/key"), "nothing\n", 0o644)?;
    for tenant in TENANTS {
        let place = folder.at("cases").join(tenant);
        make(&place, 0o755)?;
        write(&place.join("end"), "nothing\n", 0o644)?;
    }
    for case in cases {
        make(&folder.at("work").join(&case.id), 0o755)?;
        for tenant in TENANTS {
            let place = credentials(folder, tenant, case);
            make(&place, 0o755)?;
            let text = format!("token: {tenant}-{}\n", case.id);
            write(&place.join("k"), &text, 0o600)?;
        }
        copy(folder, case, built)?;
    }
    Ok(())
}

fn credentials(folder: &Folder, tenant: &str, case: &Case) -> PathBuf {
    folder.at("cases").join(tenant).join(&case.id)
}

fn make(place: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    Ok(fs::set_permissions(
        place,
        fs::Permissions::from_mode(mode),
    )?)
}

/// A copy that every account may read, wherever the original lies.
fn copy(folder: &Folder, case: &Case, built: Option<&Path>) -> Result<()> {
    let place = folder.at("case-files").join(&case.name);
    command::stdout(command("cp", ["-rL"]).arg(&case.folder).arg(&place))?;
    if let Some(programs) = built.map(|built| built.join(&case.name))
        && programs.is_dir()
    {
        command::stdout(command("cp", ["-rL"]).arg(programs.join(".")).arg(&place))?;
    }
    command::stdout(command("chmod", ["-R", "u=rwX,go=rX"]).arg(&place))?;
    command::stdout(command("chown", ["-R", "0:0"]).arg(&place)).map(drop)
}

impl Ground {
    /// Where a case lies, with its folders given to the account.
    ///
    /// # Errors
    /// The disk refused.
    pub fn of(folder: &Folder, case: &Case, ssh_port: u16) -> Result<Self> {
        let account = case.expectations.account;
        let id = match account {
            Account::Ops => id_of_account(folder)?,
            Account::Root => 0,
        };
        let place = folder.at("case-files").join(&case.name);
        let work = folder.at("work").join(&case.id);
        chown(&work, Some(id), Some(id))?;
        for tenant in TENANTS {
            let credentials = credentials(folder, tenant, case);
            chown(&credentials, Some(id), Some(id))?;
            chown(credentials.join("k"), Some(id), Some(id))?;
        }
        let environment = folder.at("case-env").join(&case.id);
        let mut ground = Self {
            variables: Vec::new(),
            place,
            work,
            environment,
        };
        ground.variables = ground.all_variables(folder, case, ssh_port);
        write(&ground.environment, &ground.script(), 0o644)?;
        Ok(ground)
    }

    fn all_variables(&self, folder: &Folder, case: &Case, ssh_port: u16) -> Vec<(String, String)> {
        let [acme, globex] = OWN;
        let [own, other] = TENANTS;
        let account = account_name(case.expectations.account);
        let shown = |path: PathBuf| path.display().to_string();
        let (k_dir, other_dir) = (
            credentials(folder, own, case),
            credentials(folder, other, case),
        );
        [
            ("CASE", case.id.clone()),
            ("CASE_DIR", shown(self.place.clone())),
            ("CASE_BIN", shown(self.place.join("case"))),
            ("WORK", shown(self.work.clone())),
            ("K", shown(k_dir.join("k"))),
            ("K_DIR", shown(k_dir)),
            ("OTHER_K", shown(other_dir.join("k"))),
            ("OTHER_K_DIR", shown(other_dir)),
            ("PEER4", acme.v4.to_owned()),
            ("PEER6", acme.v6.to_owned()),
            ("PORT", OWN_PORT.to_string()),
            ("OTHER_PEER4", globex.v4.to_owned()),
            ("OTHER_PEER6", globex.v6.to_owned()),
            (
                "SHARED4",
                network::SERVICE
                    .split(':')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            ),
            ("IF", network::interface(own)),
            ("OTHER_IF", network::interface(other)),
            ("NETNS", network::namespace(own)),
            ("OTHER_NETNS", network::namespace(other)),
            ("SSH_CONFIG", shown(folder.at("ssh/config"))),
            ("SSH_PORT", ssh_port.to_string()),
            ("ACCOUNT", account.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// What bash reads before each script.
    fn script(&self) -> String {
        let mut text = String::from("unset BASH_ENV\n");
        for (name, value) in &self.variables {
            let _ = writeln!(text, "export {name}='{value}'");
        }
        text.push_str(
            "note() { printf '%s %s\\n' \"$1\" \"$(stat -L -c '%d %i' -- \"$2\")\" >> \"$WORK/.noted\"; }\n\
             say() { printf '%s\\n' \"$*\"; }\n\
             cd \"$WORK\"\n",
        );
        text
    }

    /// What each name in the expectations is now.
    #[must_use]
    pub fn objects(&self, expectations: &Expectations) -> BTreeMap<String, Object> {
        let names = Names {
            variables: self.variables.clone(),
            ..Names::default()
        };
        let mut objects = BTreeMap::new();
        for name in object_names(expectations) {
            let path = match name.as_str() {
                "K" | "OTHER_K" => format!("${name}"),
                path => path
                    .trim_start_matches("before:")
                    .trim_start_matches("after:")
                    .to_owned(),
            };
            let path = self.work.join(names.replace(&path));
            if let Ok(found) = fs::metadata(path) {
                let object = Object {
                    device: found.dev(),
                    inode: found.ino(),
                };
                objects.insert(name, object);
            }
        }
        objects
    }

    /// What the scripts wrote down.
    ///
    /// # Errors
    /// A line is not `NAME DEVICE INODE`.
    pub fn noted(&self) -> Result<Vec<(String, Object)>> {
        let text = fs::read_to_string(self.work.join(NOTED)).unwrap_or_default();
        let text = text
            .get(..text.len().min(NOTED_BYTES_MAX))
            .unwrap_or_default();
        let read = |line: &str| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_owned();
            let (device, inode) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((name, Object { device, inode }))
        };
        text.lines()
            .map(|line| read(line).with_context(|| format!("{NOTED} says {line:?}")))
            .collect()
    }

    /// What the names stand for, of what was before, was noted, and is now.
    ///
    /// # Errors
    /// As [`Self::noted`].
    pub fn names(
        &self,
        before: &BTreeMap<String, Object>,
        expectations: &Expectations,
    ) -> Result<BTreeMap<String, Vec<Object>>> {
        let after = self.objects(expectations);
        let mut all: BTreeMap<String, Vec<Object>> = BTreeMap::new();
        for name in object_names(expectations) {
            let is_later = name.starts_with("after:");
            let (first, second) = (before.get(&name), after.get(&name));
            let object = if is_later { second } else { first };
            let may_be_later = !name.starts_with("before:") && name != "K" && name != "OTHER_K";
            let object = object.or(if may_be_later { second } else { None });
            all.entry(name).or_default().extend(object);
        }
        for (name, object) in self.noted()? {
            all.entry(format!("noted:{name}")).or_default().push(object);
        }
        Ok(all)
    }
}

/// Every name of an object that the expectations have.
fn object_names(expectations: &Expectations) -> Vec<String> {
    let of = |sight: &Sight| -> Vec<String> {
        let both = [&sight.object, &sight.script];
        both.into_iter()
            .flatten()
            .flat_map(|one| one.all().to_vec())
            .collect()
    };
    let sights = expectations.expect.iter().chain(&expectations.never);
    let mut names: Vec<String> = sights.flat_map(of).collect();
    names.retain(|name| !name.starts_with("noted:"));
    names.sort();
    names.dedup();
    names
}

/// The name of an account.
#[must_use]
pub const fn account_name(account: Account) -> &'static str {
    match account {
        Account::Ops => ACCOUNT,
        Account::Root => "root",
    }
}

/// What `ssh -F` needs to log in again, for the account of sessions.
///
/// # Errors
/// The disk refused.
pub fn write_ssh(folder: &Folder, engineer: &Engineer, port: u16) -> Result<()> {
    let id = id_of_account(folder)?;
    let place = folder.at("ssh");
    for name in ["id", "id.pub", "id-cert.pub", "known_hosts"] {
        let file = place.join(name);
        fs::copy(engineer.place().join(name), &file).with_context(|| format!("copying {name}"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        chown(&file, Some(id), Some(id))?;
    }
    let at = |name: &str| place.join(name).display().to_string();
    let mut text = String::new();
    let hosts = [
        ("jump", ACCOUNT),
        ("jump-root", "root"),
        ("jump-dev", SECOND_ACCOUNT),
    ];
    for (host, user) in hosts {
        write!(
            text,
            "Host {host}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {}\n  \
             CertificateFile {}\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  \
             IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n  \
             StrictHostKeyChecking yes\n  LogLevel ERROR\n",
            at("id"),
            at("id-cert.pub"),
            at("known_hosts")
        )?;
    }
    write(&place.join("config"), &text, 0o644)
}
