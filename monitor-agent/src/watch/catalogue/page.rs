//! `docs/reference/catalogue.md`, made from the catalogue.

use std::fmt::Write as _;

use super::{Catalogue, Item, Owner};
use crate::kernel::Operations;

const HEAD: &str = "\
# The watch catalogue: what is watched on every jump host

Made from `monitor-agent/src/watch/catalogue.toml`, which `monitor-agent config --catalogue` prints. The agent watches
all of it unless `[catalogue]` in its configuration says otherwise; `[[watch]]` rules of the configuration come first.

**Patterns.** `~` stands for every home directory: those of `/etc/passwd` that exist (root's, those of uid 1000 and up,
and those that belong to their account), `/root`, and the folders in `/home`. `/**` at the end means everything below.
A file that does not exist yet is watched from the moment that it does, where its directory exists; a new directory on
the way is noticed within milliseconds.

**Told.** `all`: reads and changes, since it is a secret. `changes`: what can change it (opened for writing, created,
renamed, linked, removed, permissions and owner set); reads stay in the kernel and cost next to nothing.

**Owner.** `host`: the provider's; who touches it needs a grant of the provider, in a session of another tenant it is out
of scope. `person`: a person's own credential, which any live grant of theirs covers: the owner of the file is the audit
login uid of the process, which su and sudo do not change. Of anybody else it is the provider's. An item to which the
configuration gives a tenant is that tenant's for everybody.

**Expected programs.** Reading it is their business: sshd reads host keys at every log-in, sudo reads sudoers. Such a
read is told and stored, with `expected`, and its verdict is `exempt`: it raises no alert, in a session or outside of
one. A program is compared as an object, never by name: what stands at the listed path is looked up (device, inode and
generation, as the kernel tells them; it must be root's, and writable by nobody else), and compared with the executable
that the kernel saw at exec. What this cannot tell: a listed program that is made to do something else (a library
preloaded into a program that is not setuid, a debugger), or one that root replaced. Changes are expected only of
programs listed as writers. The agent lists watched directories itself, at its start and every ten minutes; that is
expected, too.

";

/// The page.
#[must_use]
pub fn markdown(catalogue: &Catalogue) -> String {
    let mut text = HEAD.to_owned();
    text.push_str(
        "| item | what | class | technique | told | owner |\n|---|---|---|---|---|---|\n",
    );
    for item in &catalogue.items {
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            "| [`{id}`](#{id}) | {} | `{}` | {} {} | {} | {} |",
            item.what,
            item.label.class,
            item.label.technique.as_deref().unwrap_or_default(),
            item.technique_name,
            told(item.label.operations),
            owner(item.expectation.owner),
            id = item.id,
        );
    }
    for item in &catalogue.items {
        section(&mut text, item);
    }
    text
}

fn section(text: &mut String, item: &Item) {
    let _ = write!(text, "\n## {}\n{}.", item.id, item.what);
    let mut line = |name: &str, things: &[String]| {
        if !things.is_empty() {
            let things: Vec<_> = things.iter().map(|thing| format!("`{thing}`")).collect();
            let _ = write!(text, "\n- {name}: {}", things.join(", "));
        }
    };
    let spelled = |paths: &[std::path::PathBuf]| -> Vec<String> {
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    };
    let patterns: Vec<_> = item
        .patterns
        .iter()
        .map(|pattern| pattern.text().to_owned())
        .collect();
    line("patterns", &patterns);
    line("except", &item.except);
    line("expected readers", &spelled(&item.expectation.readers));
    line("expected writers", &spelled(&item.expectation.writers));
    text.push('\n');
}

const fn told(operations: Operations) -> &'static str {
    match operations {
        Operations::All => "all",
        Operations::Changes => "changes",
    }
}

const fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::Host => "host",
        Owner::Person => "person",
    }
}
