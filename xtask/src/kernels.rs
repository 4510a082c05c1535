//! Debian's kernels for the test machines, fetched without installing anything.
//!
//! apt runs with lists, cache and sources of its own inside the cache folder;
//! the mirror is the one this machine already uses. `/etc/apt` is only read.

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
        apt.update(machine)?;
        let found = apt.quiet(
            "apt-cache",
            &["search", "--names-only", "^linux-(image|binary)-"],
        )?;
        let package = newest(&found, series).with_context(|| {
            format!(
                "the Debian mirror of this machine has no cloud kernel {}",
                series.name()
            )
        })?;
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
        command.args(self.options()).args(["-q", "update"]);
        process::run_logged(&mut command, &machine.project().log("kernels-update"))
    }

    fn unpack(&self, machine: &Machine, package: &str, folder: &Path) -> Result<()> {
        if !self.folder.join("sources.list").exists() {
            self.update(machine)?;
        }
        let downloads = self.folder.join("downloads").join(package);
        fs::create_dir_all(&downloads)?;
        fs::create_dir_all(folder)?;
        let mut command = Command::new("apt-get");
        command
            .args(self.options())
            .args(["-q", "download", package])
            .current_dir(&downloads);
        process::run_logged(&mut command, &machine.project().log("kernels-download"))?;
        packages::unpack_all(&downloads, folder)
    }
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
    fn machine_without_a_debian_archive_is_told_so() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        let apt = PrivateApt::of(machine.project(), Series::V6_1);
        let text = apt.update(&machine).unwrap_err().to_string();
        assert!(text.contains("no Debian archive"), "{text}");
    }
}
