//! The bench in a virtual machine whose clock counts instructions.
//!
//! One processor, emulated, one guest instruction a nanosecond: the time stamp
//! counter tells instructions of the whole machine, and figures repeat. Idle
//! time would count as well, so what the load waits for must compute.
//! Bound: a time limit, after which QEMU is killed.

use std::fs;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cache::Project;
use crate::initramfs::Initramfs;
use crate::kernels::{self, Kernel};
use crate::machine::Machine;
use crate::{process, test_run, vm};

use super::programs::Programs;
use super::report::{self, Clock, Measured};
use super::{KernelArgs, Scenario};

const TIME_LIMIT: Duration = Duration::from_secs(900);
const MEMORY_MIB: &str = "1536";
/// Guest time until everything that a start leaves behind has been done.
const SETTLE_SECONDS: u32 = 30;
const COMMAND_LINE: &str = "nokaslr norandmaps";
/// Without the instructions whose count depends on luck or size.
const PROCESSOR: &str = "max,-rdrand,-rdseed,-erms,-fsrm";
const END: &str = "COST-END 0";
const DETACHED: &str = "COST-DETACHED";

const MOUNTS: &str = "\
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs elsewhere /elsewhere
mount -t securityfs security /sys/kernel/security
mount -t tracefs tracing /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
# Until random numbers are ready each of them costs tens of thousands.
head -c 16 /dev/random > /dev/null
echo 127.0.0.1 localhost > /etc/hosts
";
/// Files that the default watches find on a jump host.
const HOST_FILES: &str = "\
echo root:x:0:0:root:/root:/bin/sh > /etc/passwd
echo nobody:x:65534:65534:nobody:/:/bin/false >> /etc/passwd
mkdir -p /root/.ssh /root/.aws /root/.kube /home/alice/.ssh /etc/ssh /etc/pam.d /etc/cron.d /etc/sudoers.d
for file in /etc/shadow /etc/gshadow /etc/sudoers /etc/ssh/sshd_config /etc/ssh/ssh_host_ed25519_key \\
  /etc/pam.d/sshd /root/.ssh/id_ed25519 /root/.ssh/authorized_keys /root/.aws/credentials /root/.kube/config \\
  /home/alice/.ssh/authorized_keys /etc/cron.d/job; do echo x > $file; done
";
const AGENT: &str = "\
/cost/agent run --config /etc/monitor-agent/agent.toml > /tmp/agent.log 2>&1 &
AGENT=$!
# The verifier goes through every program first: instructions are time here.
while [ ! -S /run/monitor-agent/agent.sock ] && kill -0 $AGENT; do sleep 1; done
";
const CONFIGURATION: &str = r#"
[collector]
address = "https://localhost:7443"
[tls]
ca = "ca.pem"
certificate = "agent.pem"
key = "agent.key"
[[watch]]
pattern = "/srv/{tenant}/credentials/**"
class = "kubeconfig"
"#;

/// One machine without the agent and one with it, both at once: their clocks do
/// not hear of each other. The second measures again when its probes are gone.
pub(super) fn measure(
    project: &Project,
    programs: &Programs,
    args: &KernelArgs,
) -> Result<Measured> {
    let kernel = kernels::fetch(&Machine::here(project), args.kernel)?;
    let only = args.only.as_deref();
    let boot = |scenario| boot(project, programs, &kernel, (scenario, only));
    let (without, with) = thread::scope(|scope| {
        let other = scope.spawn(|| boot(Scenario::Without));
        let with = boot(Scenario::With);
        let without = other
            .join()
            .map_err(|_| anyhow::anyhow!("a machine's thread ended badly"))?;
        anyhow::Ok((without?, with?))
    })?;
    let (with, detached) = with
        .split_once(DETACHED)
        .context("the machine with the agent did not say when its probes were gone")?;
    let costs = vec![
        (Scenario::Without, report::read(&without)?),
        (Scenario::With, report::read(with)?),
        (Scenario::Detached, report::read(detached)?),
    ];
    Ok(Measured {
        kernel: kernel.release,
        clock: Clock::Instructions,
        costs,
    })
}

fn boot(
    project: &Project,
    programs: &Programs,
    kernel: &Kernel,
    (scenario, only): (Scenario, Option<&str>),
) -> Result<String> {
    let machine = Machine::here(project);
    let qemu = machine
        .program("qemu-system-x86_64")
        .context("qemu-system-x86_64 is not there: `cargo xtask setup` installs it")?;
    let initrd = programs.folder.join(format!("{}.cpio", scenario.name()));
    write_initrd(&initrd, programs, kernel, &init(scenario, only))?;
    let console = project.log(&format!("bench-{}-{}", kernel.release, scenario.name()));
    let mut command = Command::new(qemu);
    command
        .args(["-accel", "tcg,thread=single", "-smp", "1", "-m", MEMORY_MIB])
        .args(["-icount", "shift=0,sleep=off,align=off", "-cpu", PROCESSOR])
        .args(["-rtc", "clock=vm"])
        .args(["-nographic", "-no-reboot", "-nic", "none", "-append"])
        .arg(format!("{} {COMMAND_LINE}", vm::COMMAND_LINE))
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&initrd);
    let ended = test_run::run_limited(&mut command, &console, TIME_LIMIT)?;
    let text = vm::without_escapes(&String::from_utf8_lossy(&fs::read(&console)?));
    if ended.is_none() || !text.contains(END) {
        bail!(
            "the load did not come to its end ({}); the console:\n{}",
            scenario.name(),
            process::last_lines(&text)
        );
    }
    Ok(text)
}

/// What the machine does.
fn init(scenario: Scenario, only: Option<&str>) -> String {
    let only = only.map_or(String::new(), |only| format!("--only {only}"));
    let load = format!("/cost/load measure --root / --nothing /cost/nothing --clock tsc {only}");
    let measure = if scenario == Scenario::Without {
        format!("sleep {SETTLE_SECONDS}\n{load}\nRESULT=$?\n")
    } else {
        format!(
            "{AGENT}sleep {SETTLE_SECONDS}\n\
             echo probes: $(ls /sys/fs/bpf/monitor/*/links)\n\
             {load} --beside $AGENT\nRESULT=$?\n\
             rm -r /sys/fs/bpf/monitor/*/links\nsleep 5\necho {DETACHED}\n\
             {load} --beside $AGENT || RESULT=detached\n\
             cat /tmp/agent.log\nkill -0 $AGENT || RESULT=agent\n"
        )
    };
    format!(
        "#!/bin/busybox sh\n{MOUNTS}{HOST_FILES}/cost/load stage /\n{measure}\
         echo COST-END $RESULT\npoweroff -f\n"
    )
}

fn write_initrd(file: &Path, programs: &Programs, kernel: &Kernel, init: &str) -> Result<()> {
    let out = fs::File::create(file).with_context(|| format!("writing {}", file.display()))?;
    let mut archive = Initramfs::new(BufWriter::new(out));
    for folder in [
        "bin",
        "dev",
        "proc",
        "sys",
        "tmp",
        "cost",
        "elsewhere",
        "etc",
        "etc/monitor-agent",
        "root",
        "run",
        "var",
        "var/lib",
    ] {
        archive.folder(folder)?;
    }
    archive.console()?;
    archive.program("bin/busybox", &vm::read(&kernel.busybox)?)?;
    archive.program("init", init.as_bytes())?;
    archive.program("cost/load", &vm::read(&programs.load)?)?;
    archive.program("cost/nothing", &vm::read(&programs.nothing)?)?;
    archive.program("etc/monitor-agent/agent.toml", CONFIGURATION.as_bytes())?;
    for name in ["ca.pem", "agent.pem", "agent.key"] {
        let content = vm::read(&programs.certificates.join(name))?;
        archive.private(&format!("etc/monitor-agent/{name}"), &content)?;
    }
    archive.program("cost/agent", &vm::stripped(&programs.agent, file)?)?;
    vm::add_libraries(&mut archive, &programs.agent)?;
    archive.finish()?;
    Ok(())
}
