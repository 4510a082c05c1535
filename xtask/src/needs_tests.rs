//! The needs, asked of made-up computers.

use super::*;
use crate::machine::{put_program, put_script};

fn need(what: &str) -> &'static Need {
    NEEDS.iter().find(|need| need.what == what).unwrap()
}

#[test]
fn a_bare_machine_lacks_every_system_program_and_has_them_once_they_are_put() {
    for (what, programs) in [
        ("ip", &["ip"][..]),
        ("curl", &["curl"]),
        ("ssh and ssh-keygen", &["ssh", "ssh-keygen"]),
        (
            "QEMU, and xz for the modules of its kernels",
            &["qemu-system-x86_64", "xz"],
        ),
        ("strace", &["strace"]),
        ("Python", &["python3"]),
        ("npm", &["npm"]),
    ] {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        for program in programs {
            assert!(!(need(what).present)(&machine), "{what} before {program}");
            put_program(&root.path().join("usr/bin").join(program), "");
        }
        assert!((need(what).present)(&machine), "{what}");
    }
}

#[test]
fn libfuzzer_needs_a_compiler_of_cpp() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::made_up(root.path(), true);
    let [compiler] = FUZZ;
    assert!(!(compiler.present)(&machine));
    put_program(&root.path().join("usr/bin/c++"), "");
    assert!((compiler.present)(&machine));
}

#[test]
fn c_compiler_without_headers_does_not_count() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::made_up(root.path(), true);
    put_program(&root.path().join("usr/bin/cc"), "");
    assert!(!(need("a C compiler").present)(&machine));
    fs::create_dir_all(root.path().join("usr/include")).unwrap();
    fs::write(root.path().join("usr/include/stdio.h"), "").unwrap();
    assert!((need("a C compiler").present)(&machine));
}

#[test]
fn libfaketime_is_found_below_any_architecture() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::made_up(root.path(), true);
    assert!(!(need("libfaketime").present)(&machine));
    let folder = root.path().join("usr/lib/aarch64-linux-gnu/faketime");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("libfaketimeMT.so.1"), "").unwrap();
    assert!((need("libfaketime").present)(&machine));
}

#[test]
fn sshd_counts_where_it_is_installed_or_unpacked_and_only_with_its_user() {
    let sshd = need("sshd and the user it separates its privileges with");
    for place in ["usr/sbin/sshd", "cache/sshd/usr/sbin/sshd"] {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::made_up(root.path(), true);
        put_program(&root.path().join(place), "");
        assert!(!(sshd.present)(&machine), "{place}: no user yet");
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(
            root.path().join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/bin/false\n",
        )
        .unwrap();
        assert!((sshd.present)(&machine), "{place}");
    }
}

#[test]
fn without_apt_and_rustup_the_compiler_is_asked_for_by_hand() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::made_up(root.path(), true);
    let text = toolchain::install_compiler(&machine)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("rust-src") && text.contains("rustc-web"),
        "{text}"
    );
}

#[test]
fn failing_rustup_leads_to_what_to_install_by_hand() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::made_up(root.path(), true);
    let rustup = root.path().join("usr/bin/rustup");
    put_script(&rustup, "echo no network; exit 1");
    let text = format!("{:#}", toolchain::install_compiler(&machine).unwrap_err());
    assert!(
        text.contains("rustc-web") && text.contains("no network"),
        "{text}"
    );
}

#[test]
fn steps_that_needs_name_exist() {
    for step in NEEDS.iter().flat_map(|need| need.steps) {
        assert!(crate::steps::names().contains(step), "{step}");
    }
}

#[test]
fn only_test_needs_belong_to_steps() {
    for need in NEEDS {
        assert_eq!(
            need.goal == Goal::Test,
            !need.steps.is_empty(),
            "{}",
            need.what
        );
    }
}

#[test]
fn libraries_are_picked_from_the_dependencies() {
    let depends = "openssh-server\n  PreDepends: init-system-helpers\n  Depends: adduser\n  Depends: libwrap0\n  \
                   Depends: openssh-client\n  Recommends: ncurses-term\n  Depends: <debconf-2.0>\n  Depends: libc6\n";
    assert_eq!(libraries_in(depends), ["libwrap0", "libc6"]);
}
