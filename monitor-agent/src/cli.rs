//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use monitor_transport::logging::Format;

/// Watches one jump host: every program, connection and credential file of
/// every login, bound to a person, a client and a grant.
#[derive(Debug, Parser)]
#[command(name = "monitor-agent", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watches this host until SIGTERM or SIGINT. The probes stay then, and
    /// the next start goes on where this one stopped; `detach` removes them.
    Run {
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
        /// How log lines look: text or json.
        #[arg(long, default_value_t)]
        log_format: Format,
    },
    /// Says what this kernel and this host allow, what is missing, what that
    /// costs and what would help.
    ///
    /// Exit code: 0 the agent can run, 1 something that stops it is missing,
    /// 2 wrong usage.
    Doctor {
        /// Configuration to look at as well.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Form of the answer.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Prints what is watched, by what means, and what each does not see.
    Hooks,
    /// The PAM session hook: `session required pam_exec.so quiet
    /// /usr/sbin/monitor-agent pam-session --socket S`, after `pam_loginuid`.
    PamSession {
        /// The agent's socket.
        #[command(flatten)]
        hook: HookOptions,
    },
    /// sshd's `AuthorizedPrincipalsCommand`: `/usr/sbin/monitor-agent
    /// principals --socket S %u %t %k`.
    Principals {
        /// The agent's socket.
        #[command(flatten)]
        hook: HookOptions,
        /// The account asked for (%u).
        account: String,
        /// Type of the certificate (%t).
        key_type: String,
        /// The certificate in base 64 (%k).
        certificate: String,
    },
    /// Reads to its end what probes told that others have followed; the agent
    /// calls it of itself when it starts after an upgrade, the one of before where
    /// records changed their form.
    #[command(hide = true)]
    ReadBefore {
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
        /// The folder of their pins, without the path.
        #[arg(long, value_name = "NAME")]
        probes: String,
        /// How log lines look: text or json.
        #[arg(long, default_value_t)]
        log_format: Format,
    },
    /// Removes the probes from the kernel, and records that were not read.
    Detach {
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Says whether a configuration is right, or what is wrong with it.
    CheckConfig {
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Prints a configuration.
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Config {
        /// The documented one with every default.
        #[arg(long, group = "which")]
        default: bool,
        /// The catalogue of what is watched on every host.
        #[arg(long, group = "which")]
        catalogue: bool,
    },
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file.
    #[arg(
        long = "config",
        value_name = "FILE",
        default_value = "/etc/monitor-agent/agent.toml"
    )]
    pub path: PathBuf,
}

/// What both hooks take.
#[derive(Debug, Args)]
pub struct HookOptions {
    /// The agent's socket.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/monitor-agent/agent.sock"
    )]
    pub socket: PathBuf,
    /// An account that is let in, unwatched, while the agent is away; may be
    /// given more than once.
    #[arg(long, value_name = "NAME")]
    pub break_glass: Vec<String>,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_certificate_may_follow_the_options() {
        let line =
            "monitor-agent principals --socket /s deploy ssh-ed25519-cert-v01@openssh.com AAAA+/=";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert!(matches!(cli.command, Command::Principals { account, .. } if account == "deploy"));
    }
}
