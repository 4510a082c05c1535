use monitor_model::event::Action;

use super::*;

fn redactor() -> Redactor {
    Redactor::new(&[7; KEY_BYTES]).unwrap()
}

/// The arguments with each digest shown as `*`.
fn cleaned(line: &[&str]) -> (Vec<String>, u32) {
    let argv: Vec<&[u8]> = line.iter().map(|argument| argument.as_bytes()).collect();
    let (cleaned, count) = redactor().arguments(&argv, b"", Cut::No);
    let digest = regex::Regex::new(r"\[redacted:[a-z-]+:[0-9a-f]{8}\]").unwrap();
    let shown = cleaned.into_iter().map(|argument| {
        digest
            .replace_all(&String::from_utf8(argument).unwrap(), "*")
            .into_owned()
    });
    (shown.collect(), count)
}

/// What was given, and what is kept.
const SECRETS: &[(&[&str], &[&str])] = &[
    (
        &["mysql", "-uroot", "-pS3cret!", "db"],
        &["mysql", "-uroot", "-p*", "db"],
    ),
    (
        &["sudo", "/usr/bin/mysqldump", "-pS3cret"],
        &["sudo", "/usr/bin/mysqldump", "-p*"],
    ),
    // A host that is called as a program is.
    (
        &["mysql", "-h", "docker", "-pS3cret"],
        &["mysql", "-h", "docker", "-p*"],
    ),
    (
        &["sh", "-c", "docker login -u bob -p S3cret r && ls"],
        &["sh", "-c", "docker login -u bob -p * r && ls"],
    ),
    (
        &["ssh", "h", "ldapsearch -x -w 'S3cret word' -b dc=x"],
        &["ssh", "h", "ldapsearch -x -w '*' -b dc=x"],
    ),
    (
        &["sh", "-c", "cd /x; smbclient //h/s -Ubob%S3cret|cat"],
        &["sh", "-c", "cd /x; smbclient //h/s -Ubob%*|cat"],
    ),
    (
        &["az", "login", "-u", "bob", "-p", "S3cret"],
        &["az", "login", "-u", "bob", "-p", "*"],
    ),
    (&["mysql", "--password=S3cret"], &["mysql", "--password=*"]),
    (
        &["x", "--db-password", "S3cret", "y"],
        &["x", "--db-password", "*", "y"],
    ),
    (&["x", "-password", "S3cret"], &["x", "-password", "*"]),
    (
        &["x", "--api-key=abc", "--token", "t0k"],
        &["x", "--api-key=*", "--token", "*"],
    ),
    (
        &["sshpass", "-p", "S3cret", "ssh", "h"],
        &["sshpass", "-p", "*", "ssh", "h"],
    ),
    (&["sshpass", "-pS3cret"], &["sshpass", "-p*"]),
    (
        &["docker", "login", "-u", "bob", "-p", "S3cret"],
        &["docker", "login", "-u", "bob", "-p", "*"],
    ),
    (
        &["redis-cli", "-a", "S3cret", "ping"],
        &["redis-cli", "-a", "*", "ping"],
    ),
    (
        &["smbclient", "-U", "bob%S3cret"],
        &["smbclient", "-U", "bob%*"],
    ),
    (&["smbclient", "-Ubob%S3cret"], &["smbclient", "-Ubob%*"]),
    (
        &["curl", "-u", "bob:S3cret", "h"],
        &["curl", "-u", "bob:*", "h"],
    ),
    (
        &["env", "PGPASSWORD=S3cret", "psql"],
        &["env", "PGPASSWORD=*", "psql"],
    ),
    (
        &["env", "AWS_SECRET_ACCESS_KEY=abc/def", "x"],
        &["env", "AWS_SECRET_ACCESS_KEY=*", "x"],
    ),
    (
        &["sh", "-c", "PGPASSWORD='a b' psql -h db"],
        &["sh", "-c", "PGPASSWORD='*' psql -h db"],
    ),
    (
        &["sh", "-c", "mysql -u root -pS3cret db"],
        &["sh", "-c", "mysql -u root -p* db"],
    ),
    (
        &["sh", "-c", "tool --password S3cret; ls"],
        &["sh", "-c", "tool --password *; ls"],
    ),
    (
        &["curl", "-H", "Authorization: Bearer abc.def"],
        &["curl", "-H", "Authorization: Bearer *"],
    ),
    (
        &["curl", "-H", "authorization: Basic Ym9iOg=="],
        &["curl", "-H", "authorization: Basic *"],
    ),
    (
        &["curl", "-H", "X-Vault-Token: hvs.abc"],
        &["curl", "-H", "X-Vault-Token: *"],
    ),
    (
        &["curl", "-H", "PRIVATE-TOKEN: abc"],
        &["curl", "-H", "PRIVATE-TOKEN: *"],
    ),
    (
        &["psql", "postgresql://bob:S3cret@db:5432/x"],
        &["psql", "postgresql://bob:*@db:5432/x"],
    ),
    (
        &[
            "git",
            "clone",
            "https://ghp_0123456789abcdefghijABCDEFGHIJabcdef@h/r",
        ],
        &["git", "clone", "https://*@h/r"],
    ),
    (
        &["curl", "https://h/x?a=1&token=abc&b=2"],
        &["curl", "https://h/x?a=1&token=*&b=2"],
    ),
    (
        &["curl", "-d", r#"{"user":"bob","password":"S3cret"}"#],
        &["curl", "-d", r#"{"user":"bob","password":"*"}"#],
    ),
    (&["x", "AKIAIOSFODNN7EXAMPLE"], &["x", "*"]),
    (&["x", "eyJhbGciOiJI.eyJzdWIiOiIx.abc"], &["x", "*"]),
    (
        &["openssl", "rsa", "-passin", "pass:S3cret"],
        &["openssl", "rsa", "-passin", "pass:*"],
    ),
    (
        &["ssh-keygen", "-t", "ed25519", "-N", "S3cret"],
        &["ssh-keygen", "-t", "ed25519", "-N", "*"],
    ),
];

#[test]
fn secrets_in_arguments_are_replaced() {
    for (given, wanted) in SECRETS {
        let (found, count) = cleaned(given);
        assert_eq!(&found, wanted, "{given:?}");
        assert!(count >= 1, "{given:?}");
        assert!(!found.join(" ").contains("S3cret"), "{given:?}");
    }
}

#[test]
fn what_is_no_secret_stays() {
    let cases: &[&[&str]] = &[
        &["ls", "-l", "/srv/acme/credentials/kubeconfig"],
        &["cat", "/etc/passwd"],
        &["mysql", "-p", "db"],
        &["docker", "run", "-p", "8080:80", "nginx"],
        &["docker", "run", "-p8080:80", "nginx"],
        &["mysql", "--password-file=/run/secret"],
        &["x", "--token-file", "/run/token"],
        &["x", "--password", "--verbose"],
        &["ssh", "-p", "22", "host"],
        &["mkdir", "-p", "/a/b"],
        &["curl", "https://h:8443/path?page=2"],
        &["git", "log", "--author=bob"],
        &["grep", "-r", "token", "."],
        &["scp", "bob@host:/x", "."],
        &["ssh", "deploy@10.20.0.5", "uptime"],
        &["rsync", "rsync://host/module", "."],
        &["sh", "-c", "docker run -p 80:80 nginx; mkdir -p /a"],
        &["sh", "-c", "zip x.zip y; ssh -P x"],
        &["sh", "-c", "'\"unfinished ; ("],
    ];
    for given in cases {
        let (found, count) = cleaned(given);
        assert_eq!(
            (found.as_slice(), count),
            (
                given
                    .iter()
                    .map(|a| (*a).to_owned())
                    .collect::<Vec<_>>()
                    .as_slice(),
                0
            )
        );
    }
}

#[test]
fn a_private_key_goes_whole_also_when_it_is_cut() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb\nnNza\n-----END OPENSSH PRIVATE KEY-----";
    let (found, count) = cleaned(&["sh", "-c", &format!("echo '{key}' > k")]);
    assert_eq!((found[2].as_str(), count), ("echo '*' > k", 1));
    let cut = &key[..45];
    let (found, _) = cleaned(&["sh", "-c", &format!("echo {cut}")]);
    assert_eq!(found[2], "echo *");
}

#[test]
fn secret_whose_end_is_missing_is_found_by_its_beginning() {
    for (argument, wanted) in [
        (
            r#"{"user":"bob","password":"S3c"#,
            r#"{"user":"bob","password":""#,
        ),
        ("see ghp_abcdEFGH12", "see "),
        ("https://bob:S3c", "https://bob:"),
        ("sh 'export TOKEN=\"S3c", "sh 'export TOKEN=\""),
    ] {
        let argv: [&[u8]; 2] = [b"x", argument.as_bytes()];
        let (found, _) = redactor().arguments(&argv, b"", Cut::Yes);
        let found = String::from_utf8(found[1].clone()).unwrap();
        assert!(found.starts_with(wanted), "{found}");
        assert!(found[wanted.len()..].starts_with("[redacted:"), "{found}");
    }
}

#[test]
fn program_is_known_by_its_file_where_it_calls_itself_otherwise() {
    let argv: [&[u8]; 2] = [b"kworker/0:1", b"-pS3cret"];
    let (found, count) = redactor().arguments(&argv, b"mysql", Cut::No);
    assert_eq!(count, 1, "{found:?}");
    assert!(found[1].starts_with(b"-p[redacted:option:"));
}

#[test]
fn equal_secrets_have_equal_digests_and_keys_make_them_differ() {
    let argv: [&[u8]; 3] = [b"x", b"--password=one", b"--token=one"];
    let (first, _) = redactor().arguments(&argv, b"", Cut::No);
    let digest = |text: &[u8]| text.rsplit(|byte| *byte == b':').next().map(<[u8]>::to_vec);
    assert_eq!(digest(&first[1]), digest(&first[2]));
    let (second, _) = Redactor::new(&[8; KEY_BYTES])
        .unwrap()
        .arguments(&argv, b"", Cut::No);
    assert_ne!(first[1], second[1]);
}

#[test]
fn the_key_is_made_once_and_for_root_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redaction.key");
    let argv: [&[u8]; 2] = [b"x", b"--password=one"];
    let first = Redactor::open(&path)
        .unwrap()
        .arguments(&argv, b"", Cut::No);
    assert_eq!(
        Redactor::open(&path)
            .unwrap()
            .arguments(&argv, b"", Cut::No),
        first
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::write(&path, b"short").unwrap();
    assert!(matches!(
        Redactor::open(&path),
        Err(RedactError::Length { bytes: 5, .. })
    ));
}

#[test]
fn any_bytes_pass_without_harm() {
    let argv: [&[u8]; 4] = [b"\xff\xfe", b"", b"--password=\xff\xff", b"-"];
    let (found, count) = redactor().arguments(&argv, b"", Cut::No);
    assert_eq!((found.len(), count), (4, 1));
    assert_eq!(redactor().arguments(&[], b"", Cut::No), (Vec::new(), 0));
}

proptest::proptest! {
    #[test]
    fn any_arguments_pass_and_keep_their_number(argv: Vec<Vec<u8>>, secret in "[a-zA-Z0-9]{8,20}") {
        let mut argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        let option = format!("--password={secret}");
        argv.push(b"last");
        argv.push(option.as_bytes());
        let (found, count) = redactor().arguments(&argv, b"", Cut::No);
        proptest::prop_assert_eq!(found.len(), argv.len());
        proptest::prop_assert!(count >= 1);
        let last = String::from_utf8(found[argv.len() - 1].clone()).unwrap();
        proptest::prop_assert!(!last.contains(&secret), "{}", last);
    }
}

#[test]
fn the_path_as_given_and_the_interpreter_lose_their_secrets_too() {
    let secret = "/srv/run?token=S3cretS3cretS3cret";
    let file = monitor_model::event::FileObject {
        device: 1,
        inode: 2,
        generation: 3,
        path: monitor_model::bytes::PathLabel {
            text: secret.into(),
            truncated: false,
        },
    };
    let mut action = Action::Exec {
        exe: file.clone(),
        argv: vec!["sh".into()],
        argv_bytes: 3,
        argv_truncated: false,
        redacted: 0,
        argv_digest: None,
        script: Some(file),
        given: secret.into(),
        interpreter: "/bin/sh".into(),
    };
    assert_eq!(redactor().exec(&mut action), 2);
    let Action::Exec {
        exe,
        redacted,
        script,
        given,
        interpreter,
        ..
    } = action
    else {
        panic!()
    };
    assert_eq!((redacted, interpreter), (2, "/bin/sh".into()));
    assert!(
        given
            .to_string()
            .starts_with("/srv/run?token=[redacted:name:"),
        "{given}"
    );
    assert_eq!(script.unwrap().path.text, given);
    // Somebody gave the file its name, too.
    assert_eq!(exe.path.text, given);
}

/// The key in hexadecimal digits, as `openssl mac` says it:
/// `openssl mac -digest SHA256 -macopt hexkey:0707...07 -in FILE HMAC`, where the
/// file holds `argv_digest`; then the digest under its first half, as
/// `monitor_common::digest` tests it.
#[test]
fn digest_is_of_all_arguments_before_secrets_go_and_of_whole_ones_only() {
    let exec = |argv: &[&str], argv_truncated| Action::Exec {
        exe: monitor_model::event::FileObject {
            device: 1,
            inode: 2,
            generation: 3,
            path: monitor_model::bytes::PathLabel {
                text: "".into(),
                truncated: false,
            },
        },
        argv: argv.iter().map(|argument| (*argument).into()).collect(),
        argv_bytes: 0,
        argv_truncated,
        redacted: 0,
        argv_digest: None,
        script: None,
        given: "".into(),
        interpreter: "".into(),
    };
    let digest_of = |argv: &[&str], is_truncated| {
        let mut action = exec(argv, is_truncated);
        redactor().exec(&mut action);
        let Action::Exec { argv_digest, .. } = action else {
            panic!()
        };
        argv_digest
    };
    assert_eq!(
        digest_of(&["mysql", "-psecret"], false),
        Some(0x43a7_c646_9059_71b7)
    );
    assert_ne!(
        digest_of(&["mysql", "-pother"], false),
        Some(0x43a7_c646_9059_71b7)
    );
    assert_eq!(digest_of(&["mysql", "-psecret"], true), None);
    // No argument, and an empty one, are two things.
    assert_ne!(digest_of(&[], false), digest_of(&[""], false));
}
