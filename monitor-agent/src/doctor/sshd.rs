//! How the sshd of this host is set up, by its own word (`sshd -T`): what is in
//! force everywhere, and what `Match` blocks change. Where a setting stands is
//! found in its files.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Finding, pam, root::Root};
use crate::config::Config;

mod config;
mod daemon;
mod wanted;

use config::{Accounts, Block, Connection, Lines};
use daemon::Daemon;
use wanted::{WANTED, Wanted};

/// Where sshd usually is.
const PLACES: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"];
/// What it reads unless it is told otherwise.
const CONFIG: &str = "/etc/ssh/sshd_config";
/// Most `Match` blocks that are tried.
const BLOCKS_MAX: usize = 32;
/// Its PAM service, unless it says otherwise.
const SERVICE: &str = "sshd";

/// Looks at sshd and at its PAM service.
pub(super) fn findings(root: Root<'_>, config: Option<&Config>) -> Vec<Finding> {
    let daemons = Daemon::all(root);
    let program = daemons.first().map(|daemon| daemon.program.clone());
    let mut usual = PLACES.into_iter().map(PathBuf::from);
    let program = program.or_else(|| usual.find(|path| path.exists()));
    let Some(program) = program else {
        let found = Finding::warning("sshd", "not found", "install openssh-server");
        return vec![found.costs(
            "logins by ssh cannot be bound: whoever comes in otherwise is nobody, and unattributed",
        )];
    };
    let sshd = Sshd {
        program,
        options: daemons
            .first()
            .map(|daemon| daemon.options.clone())
            .unwrap_or_default(),
    };
    let mut findings = of_daemons(&daemons);
    let file = daemons
        .first()
        .and_then(Daemon::config)
        .unwrap_or(Path::new(CONFIG));
    findings.extend(sshd.findings(root, file, config));
    findings
}

/// What is to be told of the processes that listen.
fn of_daemons(daemons: &[Daemon]) -> Vec<Finding> {
    let by_hand = daemons.iter().filter_map(|daemon| {
        let login_id = daemon.login_id?;
        let found = format!("process {} has the login id {login_id}: it was started from a login", daemon.pid);
        let advice = "start it by the service manager: systemctl restart ssh";
        Some(Finding::warning("sshd login id", found, advice).costs(format!("a login to an account with the uid {login_id} gets no audit session of its own, and cannot be told from the one that started sshd in auditd's records; without pam_loginuid every login has this id, and uses that person's files as their own (expected, not judged); where login ids are immutable pam_loginuid fails, and nobody else can log in. Session, engineer and grant do not depend on it")))
    });
    let others = daemons.iter().skip(1).map(|daemon| {
        let found = format!(
            "process {} listens too: {} {}",
            daemon.pid,
            daemon.program.display(),
            daemon.options.join(" ")
        );
        let advice = "stop it, or set it up as this one; `sshd -T` with its options says how it is";
        Finding::warning("sshd, another", found.trim_end(), advice)
            .costs("it was not looked at: without the hook, its logins are nobody's")
    });
    by_hand.chain(others).collect()
}

struct Sshd {
    program: PathBuf,
    options: Vec<String>,
}

impl Sshd {
    fn findings(&self, root: Root<'_>, file: &Path, config: Option<&Config>) -> Vec<Finding> {
        let program = self.program.display();
        let everywhere = match self.everywhere() {
            Ok(settings) => settings,
            Err(error) => {
                let found = format!("{program} -T: {error}");
                let finding =
                    Finding::warning("sshd", found, "correct what it names; run doctor as root");
                let mut findings = vec![finding.costs(
                    "its settings are not known: whether logins are bound was not looked at there",
                )];
                findings.extend(pam::findings(root, SERVICE, config));
                return findings;
            }
        };
        let lines = Lines::read(root, file);
        let version = self.version();
        let shown = if self.options.is_empty() {
            String::new()
        } else {
            format!(" {}", self.options.join(" "))
        };
        let mut findings = vec![Finding::ok("sshd", format!("{program}{shown} ({version})"))];
        let view = View {
            lines: &lines,
            version: &version,
            config,
        };
        findings.extend(view.everywhere(&everywhere));
        let accounts = Accounts::read(root);
        for (number, block) in lines.blocks.iter().enumerate().take(BLOCKS_MAX) {
            findings.extend(self.within(&view, &everywhere, (number, block), &accounts));
        }
        if lines.blocks.len() > BLOCKS_MAX {
            findings.push(untried(
                &format!(
                    "{} of {} Match blocks",
                    lines.blocks.len() - BLOCKS_MAX,
                    lines.blocks.len()
                ),
                "only the first were tried",
            ));
        }
        let service = everywhere
            .get("pamservicename")
            .map_or(SERVICE, String::as_str);
        findings.extend(pam::findings(root, service, config));
        findings
    }

    /// What a block changes for the worse.
    fn within(
        &self,
        view: &View<'_>,
        everywhere: &Settings,
        (number, block): (usize, &Block),
        accounts: &Accounts,
    ) -> Vec<Finding> {
        let what = format!("Match {} ({})", block.criteria, block.at);
        let connection = match Connection::fitting(&block.criteria, accounts) {
            Ok(connection) => connection,
            Err(criterion) => {
                return vec![untried(
                    &what,
                    &format!("nothing is known that fits {criterion:?}"),
                )];
            }
        };
        match self.ask(Some(&connection)) {
            Ok(settings) => view.within(
                everywhere,
                &settings,
                (number, &format!("{what}, tried with {connection}")),
            ),
            Err(error) => vec![untried(&what, &error)],
        }
    }

    /// What holds where no block does. Newer ones want a connection wherever
    /// there are blocks.
    fn everywhere(&self) -> Result<Settings, String> {
        self.ask(Some(&Connection::default()))
            .or_else(|_| self.ask(None))
    }

    fn ask(&self, connection: Option<&Connection>) -> Result<Settings, String> {
        let mut command = Command::new(&self.program);
        command.arg("-T").args(&self.options);
        if let Some(connection) = connection {
            command.args(["-C", &connection.to_string()]);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(settings(&String::from_utf8_lossy(&output.stdout)));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().next().unwrap_or("it says nothing").to_owned())
    }

    /// As it names itself; older ones do so with their usage.
    fn version(&self) -> String {
        let output = Command::new(&self.program).arg("-V").output();
        let said = output.map(|output| output.stderr).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let mut words = said.split([' ', ',', '\n']);
        let found = words.find(|word| word.starts_with("OpenSSH_"));
        found.unwrap_or("of an unknown version").to_owned()
    }
}

fn untried(what: &str, why: &str) -> Finding {
    let advice = "look at it by hand: sshd -T -C user=NAME,host=NAME,addr=ADDRESS";
    Finding::warning("sshd Match", format!("{what} was not tried: {why}"), advice)
        .costs("what it changes is not known: a login that it fits may be bound to nobody")
}

/// Keyword in lower case, and value.
type Settings = HashMap<String, String>;

fn settings(text: &str) -> Settings {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    // Of what may stand more than once none is looked at.
    lines
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// What is looked at by the version as well.
const EXPOSE: &str = "exposeauthinfo";

/// What the settings are judged with.
struct View<'a> {
    lines: &'a Lines,
    version: &'a str,
    config: Option<&'a Config>,
}

impl View<'_> {
    fn everywhere(&self, settings: &Settings) -> Vec<Finding> {
        let mut findings: Vec<_> = WANTED
            .iter()
            .map(|wanted| self.judge(wanted, settings, (None, "")))
            .collect();
        findings.push(self.expose(settings, (None, "")));
        findings.extend(self.principals(settings));
        findings
    }

    /// What is other than everywhere, and wrong.
    fn within(
        &self,
        everywhere: &Settings,
        settings: &Settings,
        (block, what): (usize, &str),
    ) -> Vec<Finding> {
        let differs = |key: &str| settings.get(key) != everywhere.get(key);
        let place = (Some(block), what);
        let judged = WANTED
            .iter()
            .filter(|wanted| differs(wanted.key))
            .map(|wanted| self.judge(wanted, settings, place));
        let expose = differs(EXPOSE).then(|| self.expose(settings, place));
        judged
            .chain(expose)
            .filter(|finding| finding.state != super::State::Ok)
            .collect()
    }

    fn judge(&self, wanted: &Wanted, settings: &Settings, place: (Option<usize>, &str)) -> Finding {
        let value = settings.get(wanted.key).map_or("none", String::as_str);
        let name = format!("sshd {}", wanted.key);
        let found = self.found(wanted.key, value, place);
        if (wanted.right)(value) {
            return Finding::ok(&name, found);
        }
        Finding::warning(&name, found, wanted.change).costs(wanted.cost)
    }

    /// PAM has the certificate from sshd itself, since OpenSSH 7.6 (2017)
    /// whatever the setting; the file that it writes is the user's, and nothing
    /// here reads it.
    fn expose(&self, settings: &Settings, place: (Option<usize>, &str)) -> Finding {
        const CHANGE: &str = "set ExposeAuthInfo yes";
        let value = settings.get(EXPOSE).map_or("none", String::as_str);
        let name = format!("sshd {EXPOSE}");
        let found = self.found(EXPOSE, value, place);
        if value == "yes" {
            return Finding::ok(&name, found);
        }
        match version(self.version) {
            Some(version) if version >= (7, 6) => Finding::ok(
                &name,
                format!(
                    "{found}: costs no attribution with this sshd, which hands the certificate to the session hook (SSH_AUTH_INFO_0) all the same; only programs of the session lack SSH_USER_AUTH, which nothing here reads"
                ),
            ),
            found_version => {
                let which = if found_version.is_some() {
                    "this sshd is older than 7.6 and"
                } else {
                    "the version is not known, and an sshd before 7.6"
                };
                Finding::warning(&name, found, CHANGE).costs(format!("{which} does not hand the certificate to the session hook: every login is bound by its account at best, else to nobody, and stands on no grant"))
            }
        }
    }

    /// Whether the agent answers the program that asks for principals.
    fn principals(&self, settings: &Settings) -> Vec<Finding> {
        const COST: &str = "every login with a certificate is refused; no attribution is lost, for nobody comes in";
        let Some(config) = self.config else {
            return Vec::new();
        };
        let mut gaps = Vec::new();
        let value = |key: &str| settings.get(key).map_or("none", String::as_str);
        let command = value("authorizedprincipalscommand");
        if !command.contains("monitor-agent") {
            return gaps;
        }
        let user = value("authorizedprincipalscommanduser");
        if user != "root" && !config.principals_users.iter().any(|name| name == user) {
            let key = "authorizedprincipalscommanduser";
            let found = self.found(key, user, (None, ""));
            let advice = format!(
                "name {user} in principals_users of the agent's [ssh], or set AuthorizedPrincipalsCommandUser {}",
                config.principals_users.join(" or ")
            );
            gaps.push(
                Finding::warning(
                    &format!("sshd {key}"),
                    format!(
                        "{found}: the agent answers only {}",
                        config.principals_users.join(", ")
                    ),
                    advice,
                )
                .costs(COST),
            );
        }
        let mut words = command
            .split_ascii_whitespace()
            .skip_while(|word| *word != "--socket");
        let asked = words.nth(1).unwrap_or("/run/monitor-agent/agent.sock");
        if config.socket != Path::new(asked) {
            let key = "authorizedprincipalscommand";
            let listens = config.socket.display();
            let found = format!(
                "{}: it asks {asked}, and the agent listens at {listens}",
                self.found(key, command, (None, ""))
            );
            gaps.push(
                Finding::warning(
                    &format!("sshd {key}"),
                    found,
                    format!("give it --socket {listens}"),
                )
                .costs(COST),
            );
        }
        gaps
    }

    /// Value, block and line.
    fn found(&self, key: &str, value: &str, (block, what): (Option<usize>, &str)) -> String {
        let place = match self.lines.place(key, block) {
            Some(at) => at.to_string(),
            None => "set in no file".to_owned(),
        };
        if what.is_empty() {
            format!("{value} ({place})")
        } else {
            format!("{value} ({place}) for {what}")
        }
    }
}

/// `OpenSSH_9.2p1` as numbers.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.strip_prefix("OpenSSH_")?.split_once('.')?;
    let minor = rest.split(|sign: char| !sign.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests;
