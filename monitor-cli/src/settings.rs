//! Where the collector is, who asks, and how results look.
//!
//! Each setting comes from its flag, else its `MONITOR_*` variable, else the
//! file that `--config` or `MONITOR_CONFIG` names. An empty variable counts
//! as not set. Paths in the file are relative to the file.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::ValueEnum as _;
use monitor_transport::tls::TlsFiles;
use serde::Deserialize;

use crate::{
    cli::{Global, OutputFormat},
    error::CliError,
};

/// The environment, as a function, so that tests can bring their own.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    collector: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(rename = "token_file")]
    token: Option<PathBuf>,
    output: Option<String>,
    #[serde(default)]
    no_color: bool,
}

/// Every setting, with its source decided.
#[derive(Debug)]
pub struct Settings {
    collector: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    token_file: Option<PathBuf>,
    /// The output format, where one is asked for.
    pub output: Option<OutputFormat>,
    /// Whether colours are forbidden.
    pub no_color: bool,
}

/// Where the collector is, and the certificate or token to show there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// `https://HOST:PORT`.
    pub address: String,
    /// Certificate of the authority that signed the collector's.
    pub ca: PathBuf,
    /// The files of mutual TLS; none where a token says who it is.
    pub tls: Option<TlsFiles>,
    /// The file with the token; read for each connection.
    pub token_file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file, if there is one, and decides.
    ///
    /// # Errors
    /// [`CliError::Settings`] or [`CliError::File`] for a wrong file,
    /// [`CliError::Usage`] for a wrong variable.
    pub fn load(flags: &Global, variables: Variables<'_>) -> Result<Self, CliError> {
        let set = |name: &str| variables(name).filter(|value| !value.is_empty());
        let path_of = |flag: &Option<PathBuf>, name: &str| {
            flag.clone().or_else(|| set(name).map(PathBuf::from))
        };
        let config = path_of(&flags.config, "MONITOR_CONFIG");
        let file = config.as_deref().map(read).transpose()?.unwrap_or_default();
        let collector = match set("MONITOR_COLLECTOR") {
            Some(value) => Some(text("MONITOR_COLLECTOR", value)?),
            None => None,
        };
        let output = match set("MONITOR_OUTPUT") {
            Some(value) => Some(text("MONITOR_OUTPUT", value)?),
            None => None,
        };
        let output = match (flags.output, output) {
            (Some(format), _) => Some(format),
            (None, Some(text)) => Some(format("MONITOR_OUTPUT", &text).map_err(CliError::Usage)?),
            (None, None) => match (file.output, &config) {
                (Some(text), Some(path)) => {
                    Some(format("output", &text).map_err(|cause| CliError::Settings {
                        path: path.clone(),
                        line: None,
                        cause,
                    })?)
                }
                _ => None,
            },
        };
        Ok(Self {
            collector: flags.collector.clone().or(collector).or(file.collector),
            ca: path_of(&flags.ca, "MONITOR_CA").or(file.ca),
            certificate: path_of(&flags.certificate, "MONITOR_CERTIFICATE").or(file.certificate),
            key: path_of(&flags.key, "MONITOR_KEY").or(file.key),
            token_file: path_of(&flags.token_file, "MONITOR_TOKEN_FILE").or(file.token),
            output,
            no_color: flags.no_color || set("NO_COLOR").is_some() || file.no_color,
        })
    }

    /// What is needed to dial the collector.
    ///
    /// # Errors
    /// [`CliError::Missing`] names the first setting that is nowhere, and
    /// every way to give it.
    pub fn dial(&self) -> Result<Dial, CliError> {
        let address = self.collector.clone();
        let address = address
            .ok_or_else(|| missing("collector address", "collector", "MONITOR_COLLECTOR"))?;
        let by_token = self.token_file.is_some();
        let tls = if by_token && self.certificate.is_none() && self.key.is_none() {
            None
        } else {
            Some(self.tls_files()?)
        };
        let ca = match &tls {
            Some(tls) => tls.ca.clone(),
            None => self.authority()?,
        };
        Ok(Dial {
            address,
            ca,
            tls,
            token_file: self.token_file.clone(),
        })
    }

    /// The files of mutual TLS.
    ///
    /// # Errors
    /// As [`Settings::dial`].
    pub fn tls_files(&self) -> Result<TlsFiles, CliError> {
        let certificate = self.certificate.clone();
        let key = self.key.clone();
        Ok(TlsFiles {
            ca: self.authority()?,
            certificate: certificate
                .ok_or_else(|| missing("certificate", "certificate", "MONITOR_CERTIFICATE"))?,
            key: key.ok_or_else(|| missing("private key", "key", "MONITOR_KEY"))?,
        })
    }

    fn authority(&self) -> Result<PathBuf, CliError> {
        let ca = self.ca.clone();
        ca.ok_or_else(|| missing("authority's certificate", "ca", "MONITOR_CA"))
    }
}

fn missing(what: &'static str, flag: &'static str, variable: &'static str) -> CliError {
    CliError::Missing {
        what,
        flag,
        variable,
        key: flag,
    }
}

fn text(name: &str, value: OsString) -> Result<String, CliError> {
    value.into_string().map_err(|value| {
        CliError::Usage(format!("{name} is {}, which is not UTF-8", value.display()))
    })
}

fn format(name: &str, text: &str) -> Result<OutputFormat, String> {
    OutputFormat::from_str(text, false)
        .map_err(|_| format!("{name} is {text:?}; it takes table, json or ndjson"))
}

fn read(path: &Path) -> Result<File, CliError> {
    let text = fs::read_to_string(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })?;
    let mut file: File = toml::from_str(&text).map_err(|error| CliError::Settings {
        path: path.to_owned(),
        line: error
            .span()
            .and_then(|span| Some(text.get(..span.start)?.matches('\n').count() + 1)),
        cause: error.message().replace('\n', " "),
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let paths = [
        &mut file.ca,
        &mut file.certificate,
        &mut file.key,
        &mut file.token,
    ];
    for file in paths.into_iter().flatten() {
        *file = folder.join(&*file);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<OsString> {
        None
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitorctl.toml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    const WHOLE: &str = "collector = \"https://file:1\"\nca = \"ca.pem\"\ncertificate = \"/abs/c.pem\"\nkey = \"c.key\"\noutput = \"json\"\n";

    #[test]
    fn a_flag_goes_before_the_variable_and_the_variable_before_the_file() {
        let (folder, path) = file(WHOLE);
        let mut flags = Global {
            config: Some(path),
            ..Global::default()
        };
        let address = |flags: &Global, variables: Variables<'_>| {
            Settings::load(flags, variables)
                .unwrap()
                .dial()
                .unwrap()
                .address
        };
        let set = |name: &str| (name == "MONITOR_COLLECTOR").then(|| "https://variable:1".into());
        let empty = |name: &str| (name == "MONITOR_COLLECTOR").then(OsString::new);
        assert_eq!(address(&flags, &none), "https://file:1");
        assert_eq!(address(&flags, &empty), "https://file:1");
        assert_eq!(address(&flags, &set), "https://variable:1");
        flags.collector = Some("https://flag:1".into());
        assert_eq!(address(&flags, &set), "https://flag:1");
        let settings = Settings::load(&flags, &none).unwrap();
        let tls = settings.dial().unwrap().tls.unwrap();
        assert_eq!(tls.ca, folder.path().join("ca.pem"));
        assert_eq!(tls.certificate, Path::new("/abs/c.pem"));
        assert_eq!(settings.output, Some(OutputFormat::Json));
    }

    #[test]
    fn the_file_may_be_named_by_a_variable() {
        let (_folder, path) = file(WHOLE);
        let set = |name: &str| (name == "MONITOR_CONFIG").then(|| path.clone().into_os_string());
        assert_eq!(
            Settings::load(&Global::default(), &set)
                .unwrap()
                .dial()
                .unwrap()
                .address,
            "https://file:1"
        );
    }

    #[test]
    fn a_token_stands_in_for_certificate_and_key_or_beside_both() {
        let (folder, path) =
            file("collector = \"https://file:1\"\nca = \"ca.pem\"\ntoken_file = \"t.jwt\"\n");
        let mut flags = Global {
            config: Some(path),
            ..Global::default()
        };
        let dial = |flags: &Global| Settings::load(flags, &none).unwrap().dial();
        let by_token = dial(&flags).unwrap();
        assert_eq!(by_token.tls, None);
        assert_eq!(by_token.ca, folder.path().join("ca.pem"));
        assert_eq!(by_token.token_file, Some(folder.path().join("t.jwt")));
        flags.certificate = Some("c.pem".into());
        let half = dial(&flags).unwrap_err().to_string();
        assert!(half.contains("key"), "{half}");
        flags.key = Some("c.key".into());
        assert!(dial(&flags).unwrap().tls.is_some());
    }

    #[test]
    fn a_missing_setting_names_every_way_to_give_it() {
        let error = Settings::load(&Global::default(), &none)
            .unwrap()
            .dial()
            .unwrap_err();
        assert_eq!(error.code(), 2);
        let text = error.to_string();
        for part in [
            "--collector",
            "MONITOR_COLLECTOR",
            "`collector = ",
            "--config",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_wrong_file_is_told_with_its_line() {
        let (_folder, path) = file("ca = \"ca.pem\"\ncolector = \"https://x:1\"\n");
        let error = Settings::load(
            &Global {
                config: Some(path),
                ..Global::default()
            },
            &none,
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("line 2") && text.contains("colector") && text.contains("collector"),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
        let (_folder, path) = file("output = \"xml\"\n");
        let error = Settings::load(
            &Global {
                config: Some(path),
                ..Global::default()
            },
            &none,
        )
        .unwrap_err();
        assert!(
            error.to_string().contains("table, json or ndjson"),
            "{error}"
        );
    }

    #[test]
    fn any_value_of_no_color_forbids_colours() {
        let set = |name: &str| (name == "NO_COLOR").then(|| "1".into());
        assert!(Settings::load(&Global::default(), &set).unwrap().no_color);
        assert!(!Settings::load(&Global::default(), &none).unwrap().no_color);
    }
}
