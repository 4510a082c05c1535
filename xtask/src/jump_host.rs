//! A whole jump host for a machine in QEMU: disks that are made once.
//!
//! - the root: Debian by debootstrap, made as root, kept in the cache folder
//!   under a name that changes with what is in it; never written to (snapshot)
//! - the modules of a kernel: one disk a release
//! - the initial file system: loads what the disks need, and switches to the root

use std::fmt::Write as _;
use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::Project;
use crate::initramfs::Initramfs;
use crate::kernels::{self, Kernel};
use crate::machine::Machine;
use crate::{modules, process};

/// The release, and what is in it: what cases use, and systemd that starts it.
/// No service of it starts while it is made.
const SUITE: &str = "bookworm";
const PACKAGES: &[&str] = &[
    "acl",
    "ansible-core",
    "at",
    "attr",
    "borgbackup",
    "bsdextrautils",
    "btrfs-progs",
    "busybox",
    "ca-certificates",
    "cron",
    "curl",
    "dbus",
    "dbus-user-session",
    "dmsetup",
    "e2fsprogs",
    "file",
    "gawk",
    "gcc",
    "gdb",
    "iproute2",
    "keyutils",
    "kmod",
    "less",
    "libc6-dev",
    "libcap2-bin",
    "libfaketime",
    "libpam-modules",
    "libpam-systemd",
    "logrotate",
    "make",
    "mosh",
    "netcat-openbsd",
    "openssh-client",
    "openssh-server",
    "openssl",
    "passwd",
    "perl",
    "procps",
    "python3",
    "rsync",
    "screen",
    "socat",
    "strace",
    "sudo",
    "systemd",
    "systemd-container",
    "systemd-sysv",
    "tar",
    "tmux",
    "util-linux",
    "vim-tiny",
    "xxd",
    "zip",
];
/// Kept as files below `usr/src/packages` too, for a machine without a network
/// to install once more.
const KEPT: &[&str] = &["cron", "logrotate", "sudo"];
/// The source of a small program, `usr/src/NAME.tar`, to be built there.
const SOURCE: &str = "tree";
/// Raised when something else than the packages changes.
const REVISION: u32 = 3;
/// The size that the disk has for its file systems; the file is sparse.
const ROOT_SIZE: &str = "2G";
/// Made smaller: nobody reads it there.
const UNREAD: [&str; 5] = [
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
];
/// Parts of a kernel's modules that are of use without hardware.
const MODULES: [&str; 11] = [
    "arch",
    "block",
    "crypto",
    "fs",
    "lib",
    "net",
    "drivers/block",
    "drivers/char",
    "drivers/md",
    "drivers/net",
    "drivers/virtio",
];
/// Raised when they change.
const MODULES_REVISION: u32 = 3;
/// What the disks need before there is a root.
const DISK_MODULES: [&str; 2] = ["virtio_pci", "virtio_blk"];

/// The name of the root disk, which tells what is in it.
fn root_file(project: &Project) -> PathBuf {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for byte in PACKAGES.join(",").bytes() {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    project
        .jump_host()
        .join(format!("root-{SUITE}-{REVISION}-{sum:016x}.ext4"))
}

/// Whether the root disk is there.
pub(crate) fn is_there(machine: &Machine) -> bool {
    root_file(machine.project()).is_file()
}

/// The root disk.
///
/// # Errors
/// It was not made yet.
pub(crate) fn root(project: &Project) -> Result<PathBuf> {
    let file = root_file(project);
    if !file.is_file() {
        bail!("there is no disk of a jump host yet: `cargo xtask setup` makes it");
    }
    Ok(file)
}

/// Makes the root disk.
pub(crate) fn make(machine: &Machine) -> Result<()> {
    let project = machine.project();
    let file = root_file(project);
    let folder = project.jump_host();
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mirror = kernels::debian_mirror(machine).with_context(|| {
        format!(
            "the jump host is Debian's {SUITE}, and this machine ({}) has no Debian archive among its package sources",
            machine.distribution()
        )
    })?;
    let (tree, half) = (folder.join("tree"), folder.join("half.ext4"));
    let shown = |path: &Path| path.display().to_string();
    // debootstrap's own choice of dependencies fails for some packages: apt
    // chooses them, and no service starts. Made by root, removed by root; nothing
    // of it is left behind. What it mounts is mounted for it alone, and goes with
    // it, also when it is killed.
    let script = format!(
        "set -eu\n\
         rm -rf --one-file-system '{tree}' '{half}'\n\
         trap \"rm -rf --one-file-system '{tree}' '{half}'\" EXIT\n\
         debootstrap --variant=minbase {SUITE} '{tree}' '{mirror}'\n\
         printf 'exit 101\\n' > '{tree}/usr/sbin/policy-rc.d'\n\
         chmod 755 '{tree}/usr/sbin/policy-rc.d'\n\
         cp /etc/resolv.conf '{tree}/etc/resolv.conf'\n\
         chroot '{tree}' env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
         --no-install-recommends install {packages}\n\
         cd '{tree}'\n\
         mkdir -p usr/src/packages\n\
         echo 'deb-src {mirror} {SUITE} main' > etc/apt/sources.list.d/source.list\n\
         chroot . apt-get -q update\n\
         chroot . sh -c 'cd /usr/src/packages && apt-get -q download {kept}'\n\
         chroot . sh -c 'cd /usr/src && apt-get -q --download-only source {SOURCE}'\n\
         mv usr/src/{SOURCE}_*.orig.tar.* usr/src/{SOURCE}.tar\n\
         rm -f usr/src/{SOURCE}_* etc/apt/sources.list.d/source.list\n\
         for place in {unread}; do find \"$place\" -mindepth 1 -delete; done\n\
         mkdir -p monitor usr/lib/modules root etc\n\
         echo jump > etc/hostname\n\
         echo '127.0.0.1 localhost jump' > etc/hosts\n\
         touch etc/.updated var/.updated\n\
         truncate -s {ROOT_SIZE} '{half}'\n\
         mke2fs -q -t ext4 -F -d '{tree}' '{half}'\n\
         chown --reference='{folder}' '{half}'\n\
         mv '{half}' '{file}'\n",
        tree = shown(&tree),
        half = shown(&half),
        folder = shown(&folder),
        file = shown(&file),
        packages = PACKAGES.join(" "),
        kept = KEPT.join(" "),
        unread = UNREAD.join(" "),
    );
    let apart = ["--mount", "--propagation", "private", "sh", "-c", &script];
    let mut command = machine.as_root("unshare", &apart)?;
    process::run_logged(&mut command, &project.log("jump-host"))
}

/// The disk of a kernel's modules.
///
/// # Errors
/// The kernel came without modules, or the disk could not be made.
pub(crate) fn modules(project: &Project, kernel: &Kernel) -> Result<PathBuf> {
    let file = project.jump_host().join(format!(
        "modules-{MODULES_REVISION}-{}.ext4",
        kernel.release
    ));
    if file.is_file() {
        return Ok(file);
    }
    let from = kernel.modules()?;
    let tree = project
        .jump_host()
        .join(format!("modules-{}", kernel.release));
    let to = tree.join(&kernel.release);
    let _ = fs::remove_dir_all(&tree);
    for part in MODULES {
        let (from, to) = (from.join("kernel").join(part), to.join("kernel").join(part));
        if !from.is_dir() {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        process::quiet_stdout_of(Command::new("cp").arg("-r").arg(&from).arg(&to))?;
    }
    for entry in fs::read_dir(&from)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("modules.") {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    depmod(project, &tree, &kernel.release)?;
    fs::copy(to.join("modules.dep"), dep_file(project, kernel))?;
    pack(&tree, &file)?;
    Ok(fs::remove_dir_all(&tree).map(|()| file)?)
}

/// Which module needs which, kept beside the disk.
fn dep_file(project: &Project, kernel: &Kernel) -> PathBuf {
    project
        .jump_host()
        .join(format!("modules-{MODULES_REVISION}-{}.dep", kernel.release))
}

/// Writes which module needs which, for those that are there.
fn depmod(project: &Project, tree: &Path, release: &str) -> Result<()> {
    let depmod = Machine::here(project)
        .program("depmod")
        .context("depmod is not there: `cargo xtask setup` installs kmod")?;
    // It looks for lib/modules below a folder.
    let base = tree.with_extension("base");
    let _ = fs::remove_dir_all(&base);
    fs::create_dir_all(base.join("lib"))?;
    std::os::unix::fs::symlink(tree, base.join("lib/modules"))?;
    process::quiet_stdout_of(Command::new(depmod).arg("-b").arg(&base).arg(release))?;
    Ok(fs::remove_dir_all(&base)?)
}

/// Makes a disk from a folder, as large as it needs to be.
///
/// # Errors
/// mke2fs failed.
pub(crate) fn pack(tree: &Path, file: &Path) -> Result<()> {
    let said = process::quiet_stdout_of(Command::new("du").args(["-sm"]).arg(tree))?;
    let used: u64 = said
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("du said {said:?}"))?;
    let size = used.saturating_add(used / 4).saturating_add(16);
    let half = file.with_extension("half");
    let _ = fs::remove_file(&half);
    fs::File::create(&half)?.set_len(size << 20)?;
    let mut command = Command::new("mke2fs");
    command.args([
        "-q",
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-m",
        "0",
        "-E",
        "root_owner=0:0",
        "-F",
        "-d",
    ]);
    process::quiet_stdout_of(command.arg(tree).arg(&half))?;
    Ok(fs::rename(&half, file)?)
}

/// Writes the initial file system: vda becomes the root, vdb is `/monitor`,
/// vdc the modules, whose disk is there already.
///
/// # Errors
/// A module is missing, or the disk refused.
pub(crate) fn write_initrd(project: &Project, kernel: &Kernel, file: &Path) -> Result<()> {
    let dep = fs::read_to_string(dep_file(project, kernel))
        .context("reading which module needs which")?;
    let out = fs::File::create(file).with_context(|| format!("writing {}", file.display()))?;
    let mut archive = Initramfs::new(BufWriter::new(out));
    for folder in ["bin", "dev", "proc", "sys", "new", "modules"] {
        archive.folder(folder)?;
    }
    archive.console()?;
    let busybox = fs::read(&kernel.busybox)?;
    archive.program("bin/busybox", &busybox)?;
    let mut load = String::new();
    let tree = kernel.modules()?;
    for (number, module) in modules::in_order(&dep, &DISK_MODULES).iter().enumerate() {
        let name = format!("modules/{number}.ko");
        archive.program(&name, &modules::plain(&tree.join(module))?)?;
        writeln!(load, "insmod /{name}")?;
    }
    archive.program("init", INIT.replace("@LOAD@", &load).as_bytes())?;
    archive.finish()?;
    Ok(())
}

const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
@LOAD@
mount -t ext4 /dev/vda /new && mount -t ext4 -o ro /dev/vdb /new/monitor &&
mount -t ext4 -o ro /dev/vdc /new/usr/lib/modules || { echo "no disks"; poweroff -f; }
mount --move /dev /new/dev
umount /proc /sys
exec switch_root /new /monitor/init
"#;
