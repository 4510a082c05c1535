//! Modules of a kernel that a machine loads before anything of its own runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The files of modules, each after those it needs, as `modules.dep` has them;
/// none of one that is built in.
pub(crate) fn in_order(dep: &str, wanted: &[&str]) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        let line = dep.lines().find(|line| {
            let file = line.split(':').next().unwrap_or_default();
            let base = file.rsplit('/').next().unwrap_or_default();
            base.split('.')
                .next()
                .is_some_and(|stem| stem.replace('-', "_") == *name)
        });
        let Some((file, needs)) = line.and_then(|line| line.split_once(':')) else {
            continue;
        };
        // The nearest need is named first, what that one needs after it.
        for file in needs.split_whitespace().rev().chain([file]) {
            if !order.iter().any(|known| known == file) {
                order.push(file.to_owned());
            }
        }
    }
    order
}

/// A module's bytes, unpacked: the first ones are loaded without any program.
///
/// # Errors
/// It cannot be read, or its unpacker is not there.
pub(crate) fn plain(file: &Path) -> Result<Vec<u8>> {
    let unpacker = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(file).with_context(|| format!("reading {}", file.display())),
    };
    let mut command = Command::new(unpacker);
    let output = command.args(["-d", "-c"]).arg(file).output();
    let output = output.with_context(|| format!("`{unpacker}` could not be started"))?;
    if !output.status.success() {
        bail!("{} cannot be unpacked by {unpacker}", file.display());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK_MODULES: [&str; 2] = ["virtio_pci", "virtio_blk"];

    #[test]
    fn modules_come_after_what_they_need() {
        let dep = "kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio_pci_modern_dev.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz\n\
            kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz\n";
        let stems: Vec<String> = in_order(dep, &DISK_MODULES)
            .iter()
            .map(|file| file.rsplit('/').next().unwrap().to_owned())
            .collect();
        assert_eq!(
            stems,
            [
                "virtio.ko.xz",
                "virtio_ring.ko.xz",
                "virtio_pci_modern_dev.ko.xz",
                "virtio_pci.ko.xz",
                "virtio_blk.ko.xz"
            ]
        );
        assert!(in_order("", &DISK_MODULES).is_empty(), "built in");
    }
}
