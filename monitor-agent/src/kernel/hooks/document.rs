//! The table of hooks as a page: `docs/reference/hooks.md`.

use std::fmt::Write as _;

use super::{Attach, Family, Hook, Program, rows};

const HEAD: &str = "\
# Hooks

What the agent watches, by what means, and what each means does not see. Made from the table in
`monitor-agent/src/kernel/hooks/` by `monitor-agent hooks`; a test fails when this page is stale.

At start the agent takes, for each family, the first row that the kernel takes. `lsm` sees and can refuse; `fentry` sees,
where bpf is not among the kernel's security modules; `tracepoint` sees, where a kernel or guest refuses the others.
`monitor-agent doctor` says what this host's kernel takes, `monitorctl hosts --blind` what stays unseen on each host.
Kernels before 5.15 are refused.

A kernel does not run a program on a tracepoint, or at the entry of a function, while the same program was interrupted in
the middle of its work on that processor; it only counts that. Tracepoints can be preempted since Linux 7, functions
wherever the kernel is built or told to preempt fully; the programs of the security module are always run (from 6.2). Starts,
births and ends of tasks therefore have a second program behind the first, which does nothing where the first has been. What
both missed, and what a program without a second look missed, is told as an event `impaired`. What the hooks cost is in [overhead.md](overhead.md).

";

/// The page.
#[must_use]
pub fn document() -> String {
    let mut page = HEAD.to_owned();
    for family in Family::ALL {
        // Writing to a string cannot fail.
        let _ = write!(page, "## {}\n{}\n\n", family.name(), family.subject());
        page.push_str("| tier | hooks | sees | does not see | Linux |\n|---|---|---|---|---|\n");
        for hook in rows(*family) {
            let _ = writeln!(page, "{}", row(hook));
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn row(hook: &Hook) -> String {
    let hooks: Vec<_> = hook.programs.iter().map(place).collect();
    let (major, minor) = hook.kernel_min.max(crate::kernel::features::KERNEL_MIN);
    format!(
        "| {} | {} | {} | {} | {major}.{minor} |",
        hook.tier.name(),
        hooks.join(", "),
        hook.sees,
        hook.misses
    )
}

fn place(program: &Program) -> String {
    match program.attach {
        Attach::Tracepoint(event) => format!("tracepoint `{event}`"),
        Attach::Again { event, .. } => format!("`{event}` again, where it can be preempted"),
        Attach::CgroupRoot => format!("control group, `{}`", program.name),
        Attach::Lsm(hook) => format!("`{hook}`"),
        Attach::Fentry(function) => format!("`{function}`"),
        Attach::Syscall(calls) => {
            let names: Vec<_> = calls
                .iter()
                .map(|call| format!("`{}`", call.name))
                .collect();
            format!("end of {}", names.join(", "))
        }
        Attach::With(other) => format!("with `{other}`"),
        Attach::Until {
            of,
            kernel: (major, minor),
        } => format!("with `{of}`, before {major}.{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/hooks.md");
        if std::env::var_os("MONITOR_WRITE_DOCS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == document(),
            "docs/reference/hooks.md is stale: MONITOR_WRITE_DOCS=1 cargo test -p monitor-agent --lib page_is_fresh"
        );
    }
}
