use std::fs;

use proptest::prelude::*;

use super::*;

fn read(files: &[(&str, &[u8])]) -> Lines {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("etc/ssh");
    fs::create_dir_all(place.join("d")).unwrap();
    for (name, text) in files {
        fs::write(place.join(name), text).unwrap();
    }
    Lines::read(Root::at(folder.path()), Path::new("/etc/ssh/sshd_config"))
}

fn place(lines: &Lines, keyword: &str, block: Option<usize>) -> Option<String> {
    lines.place(keyword, block).map(ToString::to_string)
}

#[test]
fn the_first_line_of_a_keyword_is_where_it_stands() {
    let lines = read(&[
        (
            "sshd_config",
            b"# x\nInclude d/*.conf\nUsePAM no\nusepam=yes\nMatch User ops # all\n  ExposeAuthInfo no\nMatch all\n",
        ),
        ("d/b.conf", b"Match Group adm\nUsePAM yes\n"),
        ("d/a.conf", b"  PasswordAuthentication  no\n"),
    ]);
    assert_eq!(
        place(&lines, "usepam", None).unwrap(),
        "/etc/ssh/sshd_config:3"
    );
    let included = place(&lines, "passwordauthentication", None);
    assert_eq!(included.unwrap(), "/etc/ssh/d/a.conf:1");
    let criteria: Vec<_> = lines
        .blocks
        .iter()
        .map(|block| block.criteria.as_str())
        .collect();
    assert_eq!(criteria, ["Group adm", "User ops", "all"]);
    let inside = place(&lines, "exposeauthinfo", Some(1));
    assert_eq!(inside.unwrap(), "/etc/ssh/sshd_config:6");
    assert_eq!(place(&lines, "exposeauthinfo", None), None);
    // What a block does not set is set outside of it.
    let outside = place(&lines, "usepam", Some(1));
    assert_eq!(outside.unwrap(), "/etc/ssh/sshd_config:3");
}

#[test]
fn a_connection_that_fits_is_found_for_what_is_known() {
    let accounts = Accounts::of(
        "root:x:0:0::/:\nops-1:x:1:5::/:\nodd\n",
        "adm:x:4:ops-1\nmain:x:5:\nempty:x:6:\n",
    );
    let fits = |criteria: &str| Connection::fitting(criteria, &accounts);
    let default = Connection::default();
    assert_eq!(fits("all").unwrap(), default);
    for (criteria, user) in [
        ("User bob", "bob"),
        ("user !bob,ops-?", "ops-1"),
        ("Group adm", "ops-1"),
        ("Group m*", "ops-1"),
    ] {
        assert_eq!(fits(criteria).unwrap().user, user, "{criteria}");
    }
    for (criteria, address) in [
        ("Address 10.1.0.0/16", "10.1.0.0"),
        ("Address 10.*", "10.0.0.0"),
        ("Address !10.0.0.1,2001:db8::/32", "2001:db8::"),
    ] {
        assert_eq!(fits(criteria).unwrap().address, address, "{criteria}");
    }
    let shown = fits("Host *.example LocalPort 2222 LocalAddress 192.0.2.7").unwrap();
    assert_eq!(
        shown.to_string(),
        "user=nobody,host=x.example,addr=192.0.2.1,laddr=192.0.2.7,lport=2222"
    );
    for criteria in [
        "Group empty",
        "Group gone",
        "Address x",
        "Tagged y",
        "User",
        "User !bob",
        "Address",
    ] {
        assert!(fits(criteria).is_err(), "{criteria}");
    }
}

#[test]
fn files_that_include_themselves_end() {
    let lines = read(&[("sshd_config", b"Include sshd_config\nUsePAM yes\n")]);
    assert!(place(&lines, "usepam", None).is_some());
    let lines = read(&[("sshd_config", b"Include *\nInclude *\nMatch all\n")]);
    assert!(!lines.blocks.is_empty());
    let lines = read(&[("sshd_config", &b"Include *\n".repeat(100))]);
    assert!(lines.blocks.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_the_end(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in "(Match|Include|User|Group|Address|[ \t\n=#\"!*?,/\\[]|\\PC){0,60}",
    ) {
        let mut whole = bytes.clone();
        whole.extend(text.as_bytes());
        let lines = read(&[("sshd_config", &whole)]);
        let accounts = Accounts::of(&text, &text);
        for block in &lines.blocks {
            let _ = Connection::fitting(&block.criteria, &accounts);
        }
        let _ = Connection::fitting(&text, &accounts);
    }
}
