//! Debian's kernels for the test machines, fetched without installing anything.
//!
//! apt runs with lists, cache and sources of its own inside the cache folder;
//! the mirror is the one this machine already uses. `/etc/apt` is only read.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::Project;
use crate::machine::{Machine, is_executable};
use crate::{packages, process};

/// The release whose archive (backports included) has every series.
const SUITE: &str = "bookworm";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel series that the probes are tried in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Series {
    /// Debian 12's own.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's own, a backport in Debian 12.
    #[value(name = "6.12")]
    V6_12,
    /// The newest in Debian unstable, whatever its number.
    #[value(name = "sid")]
    Sid,
}

impl Series {
    /// All of them, oldest first.
    pub(crate) const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::Sid];

    /// What packages with its image are called, before and after the release.
    const fn package(self) -> (&'static str, &'static str) {
        match self {
            Self::V6_1 => ("linux-image-6.1.", "-cloud-amd64"),
            Self::V6_12 => ("linux-image-6.12.", "-cloud-amd64"),
            Self::Sid => ("linux-binary-", "-cloud-amd64"),
        }
    }

    /// The package with the modules, where the image's has none.
    fn modules_package(self, package: &str) -> Option<String> {
        match self {
            Self::V6_1 | Self::V6_12 => None,
            Self::Sid => Some(package.replacen("linux-binary-", "linux-modules-", 1)),
        }
    }

    /// Whether its release changes by itself, and with it what the verifier does.
    pub(crate) const fn moves(self) -> bool {
        matches!(self, Self::Sid)
    }

    /// `6.1`
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Sid => "sid",
        }
    }
}

/// A kernel image and the static busybox that its machine starts with.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    pub(crate) busybox: PathBuf,
    /// The release, as `uname -r` says it.
    pub(crate) release: String,
    /// The folder that its packages were unpacked into.
    pub(crate) folder: PathBuf,
}

impl Kernel {
    /// The folder of its modules.
    ///
    /// # Errors
    /// It came without any.
    pub(crate) fn modules(&self) -> Result<PathBuf> {
        let mut found = ["lib/modules", "usr/lib/modules"]
            .iter()
            .map(|place| self.folder.join(place).join(&self.release));
        found
            .find(|place| place.join("kernel").is_dir())
            .with_context(|| format!("{} came without modules", self.release))
    }
}

/// The archive that this machine uses was reached, and lacks the series: a
/// mirror may carry some releases only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotInArchive(Series);

impl fmt::Display for NotInArchive {
    // How it begins says that it is not this machine's to change.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.name();
        write!(f, "this network's Debian mirror has no cloud kernel {name}")
    }
}

impl std::error::Error for NotInArchive {}

impl NotInArchive {
    /// The error of a series.
    #[cfg(test)]
    pub(crate) const fn of(series: Series) -> Self {
        Self(series)
    }

    /// Whether that is why something failed.
    pub(crate) fn reason_of(error: &anyhow::Error) -> Option<Self> {
        error.downcast_ref().copied()
    }
}

/// The Debian archive that this machine uses, if it uses one.
pub(crate) fn debian_mirror(machine: &Machine) -> Option<String> {
    let mirrors = mirrors_of(&machine_sources(machine));
    let main = mirrors
        .into_iter()
        .find(|mirror| mirror.kind == Archive::Main);
    main.map(|mirror| mirror.address)
}

/// Returns the kernel of a series, fetching the newest if there is none yet.
pub(crate) fn fetch(machine: &Machine, series: Series) -> Result<Kernel> {
    let project = machine.project();
    let apt = PrivateApt::of(project, series);
    let busybox = project.kernels().join("busybox/bin/busybox");
    if !is_executable(&busybox) {
        PrivateApt::of(project, Series::V6_1).unpack(
            machine,
            "busybox-static",
            &project.kernels().join("busybox"),
        )?;
    }
    let folder = project.kernels().join(series.name());
    if kernel_in(&folder, &busybox).is_none_or(|kernel| kernel.modules().is_err()) {
        // Of another release there may be a part.
        let _ = fs::remove_dir_all(&folder);
        // Always: the archive has moved on since the lists were fetched.
        apt.update(machine)?;
        let found = apt.quiet(
            "apt-cache",
            &["search", "--names-only", "^linux-(image|binary)-"],
        )?;
        let package = newest(&found, series).ok_or(NotInArchive(series))?;
        // The modules first: the image is what says that all is there.
        if let Some(modules) = series.modules_package(package) {
            apt.unpack(machine, &modules, &folder)?;
        }
        apt.unpack(machine, package, &folder)?;
    }
    kernel_in(&folder, &busybox).with_context(|| format!("no vmlinuz below {}", folder.display()))
}

/// What lies in a folder already.
fn kernel_in(folder: &Path, busybox: &Path) -> Option<Kernel> {
    let image = image_in(folder)?;
    Some(Kernel {
        release: release_of(&image),
        image,
        busybox: busybox.to_path_buf(),
        folder: folder.to_path_buf(),
    })
}

/// `boot/vmlinuz-RELEASE`, or `usr/lib/modules/RELEASE/vmlinuz` of the newer
/// packages.
fn image_in(folder: &Path) -> Option<PathBuf> {
    let files = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let old = files(folder.join("boot")).map(|entry| entry.path());
    let new = files(folder.join("usr/lib/modules")).map(|entry| entry.path().join("vmlinuz"));
    let mut images: Vec<PathBuf> = old
        .chain(new)
        .filter(|image| {
            let name = image.file_name().unwrap_or_default().to_string_lossy();
            name == "vmlinuz" || name.starts_with("vmlinuz-")
        })
        .filter(|image| fs::metadata(image).is_ok_and(|meta| meta.len() > 0))
        .collect();
    images.sort();
    images.pop()
}

/// What `uname -r` says in the kernel of an image.
fn release_of(image: &Path) -> String {
    let name = |path: Option<&Path>| {
        let name = path.and_then(Path::file_name).unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let own = name(Some(image));
    match own.strip_prefix("vmlinuz-") {
        Some(release) => release.to_owned(),
        None => name(image.parent()),
    }
}

/// apt with everything of its own in one folder.
struct PrivateApt {
    series: Series,
    folder: PathBuf,
    sources: fn(&[Mirror]) -> String,
}

impl PrivateApt {
    /// Unstable has lists of its own: its packages would hide the others'.
    fn of(project: &Project, series: Series) -> Self {
        let (folder, sources): (_, fn(&[Mirror]) -> String) = match series {
            Series::V6_1 | Series::V6_12 => ("apt", private_sources),
            Series::Sid => ("apt-sid", unstable_sources),
        };
        Self {
            series,
            folder: project.kernels().join(folder),
            sources,
        }
    }

    fn options(&self) -> Vec<String> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        [
            format!("Dir::Etc::SourceList={}", at("sources.list")),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State={}", at("state")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ]
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect()
    }

    fn quiet(&self, program: &str, arguments: &[&str]) -> Result<String> {
        process::quiet_stdout_of(Command::new(program).args(self.options()).args(arguments))
    }

    /// Writes the sources and fetches the lists.
    fn update(&self, machine: &Machine) -> Result<()> {
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        fs::write(self.folder.join("status"), "")?;
        let mirrors = mirrors_of(&machine_sources(machine));
        if mirrors.is_empty() {
            bail!(
                "the test kernels are Debian's, and this machine ({}) has no Debian archive among its package sources",
                machine.distribution()
            );
        }
        if !machine.has_file(KEYRING) {
            bail!("{KEYRING} is missing: install debian-archive-keyring");
        }
        fs::write(self.folder.join("sources.list"), (self.sources)(&mirrors))?;
        let mut command = Command::new("apt-get");
        if self.series.moves() {
            // Else a mirror that is not reached is only a warning, and old
            // lists name packages that are gone.
            command.args(["-o", "APT::Update::Error-Mode=any"]);
        }
        command
            .args(self.options())
            .args(["-q", "update"])
            .env("LC_ALL", "C");
        let log = machine.project().log("kernels-update");
        process::run_logged(&mut command, &log).map_err(|error| {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if lacks_suite(&text) {
                error.context(NotInArchive(self.series))
            } else {
                error
            }
        })
    }

    /// Once more with new lists if it fails: a package that old ones name is
    /// gone from the archive when there is a newer one.
    fn unpack(&self, machine: &Machine, package: &str, folder: &Path) -> Result<()> {
        let has_lists = self.folder.join("sources.list").exists();
        if !has_lists {
            self.update(machine)?;
        }
        let downloads = self.folder.join("downloads").join(package);
        // Of another version there may be a part.
        let _ = fs::remove_dir_all(&downloads);
        fs::create_dir_all(&downloads)?;
        fs::create_dir_all(folder)?;
        match self.download(machine, package, &downloads) {
            Err(_) if has_lists => {
                self.update(machine)?;
                self.download(machine, package, &downloads)?;
            }
            result => result?,
        }
        packages::unpack_all(&downloads, folder)
    }

    fn download(&self, machine: &Machine, package: &str, into: &Path) -> Result<()> {
        let mut command = Command::new("apt-get");
        command
            .args(self.options())
            .args(["-q", "download", package])
            .current_dir(into);
        process::run_logged(&mut command, &machine.project().log("kernels-download"))
    }
}

/// Whether apt reached the archive, and was told there that it has no such
/// suite. An archive that it did not reach says nothing of the kind.
fn lacks_suite(update: &str) -> bool {
    let is_missing = |line: &str| {
        (line.starts_with("Err:") || line.starts_with("E: "))
            && line.ends_with("does not have a Release file.")
    };
    let said_so = update
        .lines()
        .any(|line| line.trim_start().starts_with("404 "));
    said_so && update.lines().any(is_missing)
}

/// All text of this machine's package sources.
fn machine_sources(machine: &Machine) -> String {
    let mut files = vec![machine.file("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir(machine.file("/etc/apt/sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .map(|text| text + "\n")
        .collect()
}

/// Addresses of Debian archives in sources of either format, each once; those
/// of the security archive are marked.
fn mirrors_of(sources: &str) -> Vec<Mirror> {
    let mut mirrors = Vec::new();
    for line in sources.lines().map(str::trim) {
        let is_one_line = line.starts_with("deb ");
        if !is_one_line && !line.starts_with("URIs:") {
            continue;
        }
        for address in line.split_whitespace().filter(|word| word.contains("://")) {
            let path = address.trim_end_matches('/');
            let kind = if path.ends_with("/debian-security") {
                Archive::Security
            } else if path.ends_with("/debian") {
                Archive::Main
            } else {
                continue;
            };
            let mirror = Mirror {
                address: path.to_owned(),
                kind,
            };
            if !mirrors.contains(&mirror) {
                mirrors.push(mirror);
            }
        }
    }
    mirrors
}

#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    address: String,
    kind: Archive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Archive {
    Main,
    Security,
}

fn private_sources(mirrors: &[Mirror]) -> String {
    mirrors
        .iter()
        .map(|mirror| match mirror.kind {
            Archive::Main => {
                source(&mirror.address, SUITE)
                    + &source(&mirror.address, &format!("{SUITE}-backports"))
            }
            Archive::Security => source(&mirror.address, &format!("{SUITE}-security")),
        })
        .collect()
}

/// Unstable has no security archive, and needs none.
fn unstable_sources(mirrors: &[Mirror]) -> String {
    mirrors
        .iter()
        .filter(|mirror| mirror.kind == Archive::Main)
        .map(|mirror| source(&mirror.address, "sid"))
        .collect()
}

fn source(address: &str, suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {address} {suite} main\n")
}

/// The newest signed cloud kernel of a series among `apt-cache search` lines.
fn newest(found: &str, series: Series) -> Option<&str> {
    found
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|package| Some((release_numbers(package, series)?, package)))
        .max()
        .map(|(_, package)| package)
}

/// The numbers of `linux-image-6.1.0-56-cloud-amd64` behind the series.
fn release_numbers(package: &str, series: Series) -> Option<Vec<u64>> {
    let (before, after) = series.package();
    let rest = package.strip_prefix(before)?.strip_suffix(after)?;
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let numbers = rest
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty());
    numbers.map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: &str = "linux-image-6.1.0-9-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n\
        linux-image-6.1.0-50-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n\
        linux-image-6.1.0-51-cloud-amd64-dbg - Debug symbols\n\
        linux-image-6.1.0-52-cloud-amd64-unsigned - Linux 6.1 for x86-64 cloud\n\
        linux-image-6.1.0-53-amd64 - Linux 6.1 for 64-bit PCs (signed)\n\
        linux-image-6.12-cloud-amd64 - Linux for x86-64 cloud (meta-package)\n\
        linux-image-6.12.9+bpo-cloud-amd64 - Linux 6.12 for x86-64 cloud (signed)\n\
        linux-image-6.12.117+deb12-cloud-amd64 - Linux 6.12 for x86-64 cloud (signed)\n";

    #[test]
    fn newest_kernel_is_chosen_by_number_not_by_letter() {
        assert_eq!(
            newest(FOUND, Series::V6_1),
            Some("linux-image-6.1.0-50-cloud-amd64")
        );
        assert_eq!(
            newest(FOUND, Series::V6_12),
            Some("linux-image-6.12.117+deb12-cloud-amd64")
        );
        assert_eq!(newest("", Series::V6_12), None);
        let sid = "linux-binary-7.2.9+deb14-cloud-amd64 - a\n\
            linux-binary-7.2.13+deb14-cloud-amd64 - b\n\
            linux-binary-unsigned-7.2.14+deb14-cloud-amd64 - c\n\
            linux-image-7.2.15+deb14-cloud-amd64 - d\n";
        assert_eq!(
            newest(sid, Series::Sid),
            Some("linux-binary-7.2.13+deb14-cloud-amd64")
        );
    }

    #[test]
    fn image_is_found_where_older_and_newer_packages_put_it() {
        for (place, release) in [
            ("boot/vmlinuz-6.1.0-50-cloud-amd64", "6.1.0-50-cloud-amd64"),
            (
                "usr/lib/modules/7.2.13+deb14-cloud-amd64/vmlinuz",
                "7.2.13+deb14-cloud-amd64",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let image = folder.path().join(place);
            fs::create_dir_all(image.parent().unwrap()).unwrap();
            fs::write(&image, "").unwrap();
            assert_eq!(image_in(folder.path()), None, "an empty file is none");
            fs::write(&image, "kernel").unwrap();
            assert_eq!(image_in(folder.path()), Some(image.clone()));
            assert_eq!(release_of(&image), release);
        }
    }

    #[test]
    fn mirrors_come_from_both_formats_and_only_debian_ones() {
        let sources = "# deb http://old.example/debian bookworm main\n\
            deb [arch=amd64] http://mirror.example/debian/ bookworm main\n\
            deb-src http://src.example/debian bookworm main\n\
            Types: deb\n# http://snapshot.example/archive/debian/2025\nURIs: http://mirror.example/debian-security\n\
            URIs: https://deb.other.example/node_20.x\nURIs: http://mirror.example/debian\n";
        let mirror = |address: &str, kind| Mirror {
            address: address.to_owned(),
            kind,
        };
        assert_eq!(
            mirrors_of(sources),
            [
                mirror("http://mirror.example/debian", Archive::Main),
                mirror("http://mirror.example/debian-security", Archive::Security)
            ]
        );
    }

    #[test]
    fn private_sources_add_backports_of_the_same_mirror() {
        let text = private_sources(&mirrors_of("deb http://m.example/debian trixie main\n"));
        assert!(
            text.contains("http://m.example/debian bookworm main"),
            "{text}"
        );
        assert!(
            text.contains("http://m.example/debian bookworm-backports main"),
            "{text}"
        );
    }

    #[test]
    fn unstable_is_looked_for_in_the_same_mirror_and_has_no_security_archive() {
        let mirrors = mirrors_of(
            "deb http://m.example/debian trixie main\n\
             deb http://m.example/debian-security trixie-security main\n",
        );
        assert_eq!(
            unstable_sources(&mirrors),
            format!("deb [signed-by={KEYRING}] http://m.example/debian sid main\n")
        );
    }

    #[test]
    fn modules_of_unstable_come_in_a_package_of_the_same_release() {
        let modules = |series: Series, package| series.modules_package(package);
        assert_eq!(
            modules(Series::Sid, "linux-binary-7.2.13+deb14-cloud-amd64").as_deref(),
            Some("linux-modules-7.2.13+deb14-cloud-amd64")
        );
        assert_eq!(
            modules(Series::V6_12, "linux-image-6.12.9+bpo-cloud-amd64"),
            None
        );
    }

    #[test]
    fn number_of_unstable_may_be_any() {
        let found = "linux-binary-7.9.1+deb14-cloud-amd64 - a\n\
            linux-binary-7.10.2-cloud-amd64 - b\n\
            linux-binary-7.10.1+deb14-cloud-amd64 - c\n\
            linux-binary-cloud-amd64 - d\n";
        assert_eq!(
            newest(found, Series::Sid),
            Some("linux-binary-7.10.2-cloud-amd64")
        );
        assert_eq!(newest(found, Series::V6_12), None);
    }

    #[test]
    fn mirror_without_the_suite_is_told_from_one_that_is_not_reached() {
        let lacks = "Err:2 http://m.example/debian sid Release\n  \
            404  Not Found [IP: 192.0.2.1 80]\nReading package lists...\n\
            E: The repository 'http://m.example/debian sid Release' does not have a Release file.\n";
        assert!(lacks_suite(lacks));
        let unreached = lacks.replace("404  Not Found", "Could not connect to m.example:80");
        assert!(!lacks_suite(&unreached));
        let error = anyhow::anyhow!("apt-get failed").context(NotInArchive(Series::Sid));
        let reason = NotInArchive::reason_of(&error.context("fetching")).unwrap();
        assert_eq!(
            reason.to_string(),
            "this network's Debian mirror has no cloud kernel sid"
        );
    }

    #[test]
    fn machine_without_a_debian_archive_is_told_so() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        let apt = PrivateApt::of(machine.project(), Series::V6_1);
        let text = apt.update(&machine).unwrap_err().to_string();
        assert!(text.contains("no Debian archive"), "{text}");
    }
}
