//! Where things that outlive one command are kept.
//!
//! One folder: `$MONITOR_CACHE`, else `$XDG_CACHE_HOME/monitor`, else
//! `~/.cache/monitor`. Deleting it costs time, never data.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The clone this command was started in, and its cache folder.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    root: PathBuf,
    cache: PathBuf,
}

impl Project {
    /// Finds both from the environment; makes the cache folder.
    pub(crate) fn discover() -> Result<Self> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir
            .parent()
            .with_context(|| format!("{} has no parent folder", manifest_dir.display()))?
            .to_path_buf();
        let cache = cache_folder(|key| env::var_os(key))?;
        std::fs::create_dir_all(&cache).with_context(|| {
            format!(
                "the cache folder {} cannot be made: set MONITOR_CACHE to a folder you may write",
                cache.display()
            )
        })?;
        Ok(Self { root, cache })
    }

    /// A project at given places, for tests.
    #[cfg(test)]
    pub(crate) fn at(root: &Path, cache: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            cache: cache.to_path_buf(),
        }
    }

    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The cache folder.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Programs that were installed for this project only.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }

    /// Where BPF objects are built: another compiler, so another folder.
    pub(crate) fn bpf_target(&self) -> PathBuf {
        self.cache.join("bpf-target")
    }

    /// Test kernels, one folder a series.
    pub(crate) fn kernels(&self) -> PathBuf {
        self.cache.join("kernels")
    }

    /// Disks of whole jump hosts.
    pub(crate) fn jump_host(&self) -> PathBuf {
        self.cache.join("jump-host")
    }

    /// An sshd that was unpacked because this machine has none.
    pub(crate) fn unpacked_sshd(&self) -> PathBuf {
        self.cache.join("sshd/usr/sbin/sshd")
    }

    /// The folder into which npm puts buf.
    pub(crate) fn npm(&self) -> PathBuf {
        self.cache.join("npm")
    }

    /// The Python environment of the outsider test.
    pub(crate) fn python_env(&self) -> PathBuf {
        self.cache.join("python")
    }

    /// What the last run of each step printed.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.cache.join("logs").join(format!("{name}.log"))
    }
}

fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |key: &str| {
        variable(key)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let (key, folder) = if let Some(folder) = set("MONITOR_CACHE") {
        ("MONITOR_CACHE", folder)
    } else if let Some(folder) = set("XDG_CACHE_HOME") {
        ("XDG_CACHE_HOME", folder.join("monitor"))
    } else if let Some(home) = set("HOME") {
        ("HOME", home.join(".cache/monitor"))
    } else {
        bail!(
            "none of MONITOR_CACHE, XDG_CACHE_HOME and HOME is set: set MONITOR_CACHE to a folder for downloads and build results"
        );
    };
    if folder.is_relative() {
        bail!(
            "{key} gives the cache folder {}, which is relative: set it to an absolute path",
            folder.display()
        );
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_for(pairs: &[(&str, &str)]) -> Result<PathBuf> {
        cache_folder(|key| {
            pairs
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn own_variable_wins_over_xdg_and_home() {
        let all = [
            ("HOME", "/h"),
            ("XDG_CACHE_HOME", "/x"),
            ("MONITOR_CACHE", "/m"),
        ];
        assert_eq!(folder_for(&all).unwrap(), PathBuf::from("/m"));
        assert_eq!(folder_for(&all[..2]).unwrap(), PathBuf::from("/x/monitor"));
        assert_eq!(
            folder_for(&all[..1]).unwrap(),
            PathBuf::from("/h/.cache/monitor")
        );
    }

    #[test]
    fn empty_variable_counts_as_unset() {
        let folder = folder_for(&[("MONITOR_CACHE", ""), ("HOME", "/h")]).unwrap();
        assert_eq!(folder, PathBuf::from("/h/.cache/monitor"));
    }

    #[test]
    fn relative_folder_is_refused_and_the_variable_is_named() {
        let text = folder_for(&[("MONITOR_CACHE", "here")])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("MONITOR_CACHE") && text.contains("absolute"),
            "{text}"
        );
    }

    #[test]
    fn nothing_set_says_what_to_set() {
        assert!(
            folder_for(&[])
                .unwrap_err()
                .to_string()
                .contains("set MONITOR_CACHE")
        );
    }
}
