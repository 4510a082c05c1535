use std::fs;

use proptest::prelude::*;

use super::*;

/// A host with these services.
fn host(services: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("etc/pam.d");
    fs::create_dir_all(&place).unwrap();
    for (name, text) in services {
        fs::write(place.join(name), text).unwrap();
    }
    folder
}

fn read(services: &[(&str, &[u8])]) -> Stack {
    let host = host(services);
    Stack::read(Root::at(host.path()), "sshd", "session").unwrap()
}

/// `file:line module`, indented by substacks.
fn shown(stack: &Stack) -> Vec<String> {
    let entries = stack.entries.iter();
    entries
        .map(|entry| {
            let file = entry.at.file.file_name().unwrap().to_string_lossy();
            let deep = ">".repeat(entry.level);
            format!("{deep}{file}:{} {}", entry.at.line, entry.module)
        })
        .collect()
}

#[test]
fn lines_are_those_of_a_type_in_the_order_in_which_they_run() {
    let stack = read(&[
        (
            "sshd",
            b"# comment\nauth required a.so\n@include common\n-session  [success=ok default=bad] /lib/x/b.so  k=v [two words] # end\nSESSION Include deep\nsession substack deep\n",
        ),
        ("common", b"account required c.so\nsession required d.so\n"),
        ("deep", b"auth required e.so\nsession optional f.so\n"),
    ]);
    assert_eq!(
        shown(&stack),
        [
            "common:2 d.so",
            "sshd:4 /lib/x/b.so",
            "deep:2 f.so",
            "sshd:6 deep",
            ">deep:2 f.so"
        ]
    );
    assert!(stack.odd.is_empty(), "{:?}", stack.odd);
    let line = &stack.entries[1];
    assert!(line.is("b.so") && line.control.is_binding() && line.has("[two words]"));
    assert_eq!(line.value("k"), Some("v"));
}

#[test]
fn lines_joined_by_a_backslash_are_one_with_the_number_of_the_first() {
    let stack = read(&[(
        "sshd",
        b"session required \\\n  pam_exec.so quiet \\ # why\n\n  \\\nsession required b.so\nsession \\",
    )]);
    // The blank line ends the first.
    assert_eq!(shown(&stack), ["sshd:1 pam_exec.so", "sshd:4 b.so"]);
    assert!(stack.odd[0].contains("sshd:6"), "{:?}", stack.odd);
}

#[test]
fn what_is_missing_or_turns_in_a_circle_is_told_with_its_line() {
    let stack = read(&[
        ("sshd", b"@include gone\n@include circle\nsession sometimes x.so\nsession required\nhello world\n@include\n"),
        ("circle", b"session include sshd\nsession substack circle\n"),
    ]);
    let odd = stack.odd.join("\n");
    for says in [
        "sshd:1: it includes \"gone\", which is not there",
        "circle:1: it includes \"sshd\", which includes it",
        "circle:2: it includes \"circle\"",
        "sshd:3: \"sometimes\" is no control",
        "sshd:4: the line ends before its module",
        "sshd:5: \"hello\" is no type",
        "sshd:6: it includes \"\"",
    ] {
        assert!(odd.contains(says), "{says}: {odd}");
    }
}

#[test]
fn files_that_include_others_without_end_are_cut() {
    let names: Vec<_> = (0..12).map(|number| format!("s{number}")).collect();
    let texts: Vec<_> = names
        .iter()
        .map(|name| format!("@include {name}\n").repeat(9))
        .collect();
    let mut services = vec![("sshd", texts[0].as_bytes())];
    let files = names.iter().zip(texts.iter().skip(1));
    services.extend(files.map(|(name, text)| (name.as_str(), text.as_bytes())));
    services.push(("s11", b""));
    let stack = read(&services);
    assert!(
        stack
            .odd
            .iter()
            .any(|odd| odd.contains("more than 1024 files")),
        "{:?}",
        stack.odd
    );
}

#[test]
fn a_type_without_lines_is_that_of_other() {
    let stack = read(&[
        ("sshd", b"auth required a.so\n"),
        ("other", b"session required b.so\n"),
    ]);
    assert_eq!(shown(&stack), ["other:1 b.so"]);
    let host = host(&[]);
    assert_eq!(Stack::read(Root::at(host.path()), "sshd", "session"), None);
}

#[test]
fn a_line_that_can_end_the_stack_or_jump_is_found() {
    let leaves = |text: &str, deep: &str| {
        let stack = read(&[("sshd", text.as_bytes()), ("deep", deep.as_bytes())]);
        let to = stack.entries.iter().position(|entry| entry.is("to.so"));
        let found = stack.leaves_before(to.unwrap());
        found.map(|entry| entry.module.clone())
    };
    let to = "session required to.so\n";
    let of = |before: &str| leaves(&format!("{before}{to}"), "");
    assert_eq!(of("session required a.so\nsession requisite b.so\n"), None);
    assert_eq!(of("session sufficient a.so\n").as_deref(), Some("a.so"));
    let done = "session [success=done default=ignore] a.so\n";
    assert_eq!(of(done).as_deref(), Some("a.so"));
    // Debian's own: over the next, not over the hook.
    let debian = "session [default=1] a.so\nsession requisite b.so\nsession required c.so\n";
    assert_eq!(of(debian), None);
    let far = "session [success=2 default=ignore] a.so\nsession required b.so\n";
    assert_eq!(of(far).as_deref(), Some("a.so"));
    let over = "session [success=1 default=ignore] a.so\nsession substack deep\n";
    let inside = "session sufficient d.so\nsession optional e.so\n";
    assert_eq!(leaves(&format!("{over}{to}"), inside), None);
    let hidden = leaves(
        "session substack deep\n",
        &format!("session sufficient d.so\n{to}"),
    );
    assert_eq!(hidden.as_deref(), Some("d.so"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_the_end(
        sshd in prop::collection::vec(any::<u8>(), 0..400),
        common in "(session|auth|@include|-session|\\[|\\]|\\\\\n|[ \t\n=#]|sshd|common|include|substack|[0-9]{1,30}|\\PC){0,80}",
    ) {
        let mut text = b"@include common\nsession required to.so\n".to_vec();
        text.extend(sshd);
        let stack = read(&[("sshd", &text), ("common", common.as_bytes())]);
        for at in 0..=stack.entries.len() {
            let _ = stack.leaves_before(at);
        }
    }
}
