//! What the jump host in QEMU starts: systemd, and one service that plays.
//!
//! In: nothing. Out: files that lie on the disk of one run, beside programs and
//! what they play, and that are laid over the machine's `/etc` before systemd starts. So
//! the root disk stays as Debian made it. What nobody needs there, and takes
//! seconds where a processor is emulated, does not start.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};

/// Added to the kernel's command line: nothing but the player's lines on the
/// serial console.
pub(super) const COMMAND_LINE: &str = " systemd.show_status=0 systemd.firstboot=0";

/// The first program of the root disk.
const INIT: &str = "#!/bin/bash
cp -dR /monitor/etc /
rm -f /etc/update-motd.d/*
exec /lib/systemd/systemd
";

/// What the service does.
const PLAY: &str = r"#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
exec >/dev/ttyS0 2>&1 </dev/null
dmesg -n 1
read -r up _ </proc/uptime
echo PLAYER\| the jump host is up after $up s
echo 0 > /proc/sys/kernel/yama/ptrace_scope
/monitor/programs/@PLAYER@ --programs /monitor/programs --sshd /usr/sbin/sshd \
  --json /dev/vdd @MORE@ 2>&1 | sed -u 's/^/PLAYER| /'
sync
echo PLAYER-OVER
echo o > /proc/sysrq-trigger
sleep 60
";

/// As soon as there are logins; the boot does not wait for its end. What runs
/// in it is the host's, so it is told nothing when memory is short.
const SERVICE: &str = "[Unit]
Description=Plays
After=dbus.service systemd-logind.service

[Service]
Type=exec
ExecStart=/bin/bash /monitor/play
OOMScoreAdjust=-900
TasksMax=infinity
LimitNOFILE=65536
";

/// Kept in memory; without the audit messages of every process.
const JOURNAL: &str = "[Journal]\nStorage=volatile\nAudit=no\n";

/// What does not start.
const MASKED: [&str; 36] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dev-hugepages.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty-static.service",
    "getty.target",
    "kmod-static-nodes.service",
    "ldconfig.service",
    "proc-sys-fs-binfmt_misc.automount",
    "rsync.service",
    "screen-cleanup.service",
    "serial-getty@ttyS0.service",
    "ssh.service",
    "ssh.socket",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-boot-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-journald-audit.socket",
    "systemd-machine-id-commit.service",
    "systemd-modules-load.service",
    "systemd-network-generator.service",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-resolved.service",
    "systemd-update-utmp.service",
];

/// Writes them, for a program of `/monitor/programs`; `more` is added to its
/// command line.
///
/// # Errors
/// The disk refused.
pub(super) fn write(tree: &Path, player: &str, more: &str) -> Result<()> {
    let units = tree.join("etc/systemd/system");
    let wanted = units.join("multi-user.target.wants");
    let journal = tree.join("etc/systemd/journald.conf.d");
    for folder in [&wanted, &journal] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(units.join("monitor-player.service"), SERVICE)?;
    fs::write(journal.join("player.conf"), JOURNAL)?;
    symlink(
        "../monitor-player.service",
        wanted.join("monitor-player.service"),
    )?;
    symlink(
        "/lib/systemd/system/multi-user.target",
        units.join("default.target"),
    )?;
    for unit in MASKED {
        symlink("/dev/null", units.join(unit))?;
    }
    for (name, text) in [("init", INIT), ("play", PLAY)] {
        let file = tree.join(name);
        let text = text.replace("@PLAYER@", player).replace("@MORE@", more);
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
