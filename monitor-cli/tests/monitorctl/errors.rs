//! One line that says what was wrong and what would be right.

use std::{fs, net::TcpListener, process::Command, time::Duration};

use monitor_transport::tls::TlsFiles;

use crate::{
    collector::World,
    program::{LONG_AGO, Ran, Site, bare, ran},
};

/// Runs `sessions` with these files against an address.
fn sessions(address: &str, files: &TlsFiles) -> Ran {
    let mut command = bare(&["sessions", "--collector", address]);
    command.arg("--ca").arg(&files.ca);
    command
        .arg("--certificate")
        .arg(&files.certificate)
        .arg("--key")
        .arg(&files.key);
    ran(command)
}

fn told(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}", ran.err);
    assert_eq!(
        (ran.err.lines().count(), ran.out.as_str()),
        (1, ""),
        "{}",
        ran.err
    );
    for part in parts {
        assert!(ran.err.contains(part), "{part:?} is not in {}", ran.err);
    }
}

#[test]
fn a_missing_setting_says_how_to_give_it() {
    let ran = ran(bare(&["sessions"]));
    told(&ran, 2, &["--collector", "MONITOR_COLLECTOR", "--config"]);
}

#[test]
fn a_refused_connection_says_that_nothing_listens() {
    let site = Site::new();
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ran = sessions(&format!("https://{address}"), &site.files("carol"));
    told(&ran, 1, &[&address.to_string(), "nothing listens there"]);
}

#[test]
fn an_address_that_is_none_is_told() {
    let site = Site::new();
    told(
        &sessions("localhost:7443", &site.files("carol")),
        1,
        &["https://"],
    );
}

#[test]
fn a_collector_of_another_authority_is_told() {
    let (site, other) = (Site::new(), Site::new());
    let collector = other.collector(World::default());
    let ran = sessions(
        &format!("https://{}", collector.address),
        &site.files("carol"),
    );
    told(&ran, 1, &["of another authority", "--ca"]);
}

#[test]
fn a_certificate_that_the_collector_does_not_take_is_told() {
    let (site, other) = (Site::new(), Site::new());
    let collector = site.collector(World::default());
    // Signed by the other authority, while the collector's is known: the files
    // fit each other, and the collector refuses.
    let mut authorities = fs::read_to_string(other.path("ca.pem")).unwrap();
    authorities.push_str(&fs::read_to_string(site.path("ca.pem")).unwrap());
    let both = site.path("both.pem");
    fs::write(&both, authorities).unwrap();
    let files = TlsFiles {
        ca: both,
        ..other.files("carol")
    };
    told(
        &sessions(&format!("https://{}", collector.address), &files),
        1,
        &["does not take the certificate"],
    );
}

#[test]
fn a_name_that_the_collector_does_not_hold_is_told() {
    let site = Site::new();
    let collector = site.collector(World::default());
    // The certificate holds localhost and 127.0.0.1, and this is neither.
    let ran = sessions(
        &format!("https://[::ffff:127.0.0.1]:{}", collector.address.port()),
        &site.files("carol"),
    );
    told(&ran, 1, &["does not hold this name"]);
}

#[test]
fn certificates_that_are_over_are_told_with_their_owner() {
    let site = Site::new();
    let collector = site.collector(World::default());
    let address = format!("https://{}", collector.address);
    site.issue_expired("monitor://soc/dave");
    told(
        &sessions(&address, &site.files("dave")),
        1,
        &["dave.pem is valid from", "issue a new one"],
    );
    let site = expired_collector_site();
    let collector = crate::collector::Collector::start(&site.1, World::default());
    let ran = sessions(
        &format!("https://{}", collector.address),
        &site.0.files("carol"),
    );
    told(&ran, 1, &["the collector's certificate is over"]);
}

/// A site whose collector's certificate ended after the collector had loaded it.
fn expired_collector_site() -> (Site, monitor_transport::tls::Tls) {
    let site = Site::since(LONG_AGO);
    site.issue_expired("monitor://collector/old");
    let tls = site.files("old").load(LONG_AGO).unwrap();
    (site, tls)
}

#[test]
fn files_that_are_missing_or_mixed_up_are_named() {
    let (site, other) = (Site::new(), Site::new());
    let address = "https://localhost:1";
    let files = site.files("carol");
    told(
        &sessions(
            address,
            &TlsFiles {
                key: "/nonexistent".into(),
                ..files.clone()
            },
        ),
        1,
        &["/nonexistent"],
    );
    let mixed = TlsFiles {
        ca: other.path("ca.pem"),
        ..files.clone()
    };
    told(&sessions(address, &mixed), 1, &["is not signed by"]);
    let key = site.path("collector.key");
    let of_another = TlsFiles {
        key,
        ..files.clone()
    };
    told(
        &sessions(address, &of_another),
        1,
        &["collector.key is not the private key of", "carol.pem"],
    );
    let swapped = TlsFiles {
        certificate: files.key.clone(),
        ..files
    };
    told(&sessions(address, &swapped), 1, &["is not a certificate"]);
}

#[test]
fn no_tls_behind_the_port_is_told() {
    use std::io::{Read as _, Write as _};
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        _ = stream.read(&mut [0; 64]).unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
    });
    let ran = sessions(&format!("https://{address}"), &site.files("carol"));
    told(&ran, 1, &["speaks no TLS"]);
    server.join().unwrap();
}

#[test]
fn settings_come_from_flag_then_variable_then_file() {
    let site = Site::new();
    let collector = site.collector(World::default());
    let file = site.path("monitorctl.toml");
    fs::write(&file, "collector = \"https://localhost:1\"\nca = \"ca.pem\"\ncertificate = \"carol.pem\"\nkey = \"carol.key\"\noutput = \"json\"\n").unwrap();
    let good = format!("https://{}", collector.address);
    let run = |prepare: &dyn Fn(&mut Command)| {
        let mut command = bare(&["sessions"]);
        command.env("MONITOR_CONFIG", &file);
        prepare(&mut command);
        ran(command)
    };
    assert_eq!(run(&|_| {}).code, Some(1));
    let by_variable = run(&|command| _ = command.env("MONITOR_COLLECTOR", &good));
    assert_eq!(
        (by_variable.code, by_variable.out.as_str()),
        (Some(0), "[]\n"),
        "{}",
        by_variable.err
    );
    let by_flag = run(&|command| {
        command
            .env("MONITOR_COLLECTOR", "https://localhost:1")
            .args(["--collector", &good, "-o", "ndjson"]);
    });
    assert_eq!(
        (by_flag.code, by_flag.out.as_str()),
        (Some(0), ""),
        "{}",
        by_flag.err
    );
}

#[test]
fn pki_says_what_it_wrote_and_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("pki");
    let pki = |arguments: &[&str]| {
        let mut command = bare(&["pki"]);
        command.args(arguments).arg("--dir").arg(&dir);
        ran(command)
    };
    told(
        &pki(&["issue", "--role", "agent", "--name", "jump-1"]),
        1,
        &["make an authority first: monitorctl pki init"],
    );
    let made = pki(&["init"]);
    assert_eq!(made.code, Some(0));
    assert!(
        made.out.contains("ca.pem") && made.out.contains("valid for 3650 days"),
        "{}",
        made.out
    );
    told(&pki(&["init"]), 1, &["exists already"]);
    let issued = pki(&[
        "issue",
        "--role",
        "collector",
        "--name",
        "c",
        "--host",
        "localhost",
    ]);
    assert!(
        issued.out.contains("[tls]") && issued.out.contains("c.key"),
        "{}",
        issued.out
    );
    told(
        &pki(&["issue", "--role", "collector", "--name", "d"]),
        2,
        &["--host"],
    );
    told(
        &pki(&["issue", "--role", "auditor", "--name", "eve"]),
        2,
        &["--tenant"],
    );
    told(
        &pki(&[
            "issue", "--role", "soc", "--name", "eve", "--tenant", "acme",
        ]),
        2,
        &["--tenant"],
    );
    told(
        &pki(&["issue", "--role", "soc", "--name", "ca"]),
        2,
        &["another --name"],
    );
    assert_eq!(
        pki(&["issue", "--role", "king", "--name", "x"]).code,
        Some(2)
    );
}

#[test]
fn completions_and_version_need_no_settings() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = ran(bare(&["completions", shell]));
        assert_eq!(ran.code, Some(0));
        assert!(ran.out.contains("cursor-file"), "{shell}");
    }
    let version = ran(bare(&["--version"]));
    assert!(
        version
            .out
            .starts_with(concat!("monitorctl ", env!("CARGO_PKG_VERSION"))),
        "{}",
        version.out
    );
}
