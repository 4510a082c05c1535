use std::process::Command;

use monitor_model::grant::{GrantKind, GrantState, Holder, Scope, Tier};

use super::*;

const NOW: UnixNs = UnixNs::from_seconds(1_790_000_000);

fn grant() -> Grant {
    Grant {
        id: "G-1".parse().unwrap(),
        principal: "alice".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        ticket: "INC-4711".into(),
        purpose: "test".into(),
        approved_by: "bob".parse().unwrap(),
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: NOW,
        expires: NOW.plus(Duration::from_secs(7200)),
        scope: Scope::default(),
        state: GrantState::Standing,
        holder: Holder::Staff,
        task: String::new(),
        review: None,
    }
}

fn generate(folder: &Path, kind: &str, bits: &str) -> String {
    let path = folder.join(format!("id_{kind}_{bits}"));
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-b", bits, "-N", "", "-f"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(done.success());
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

#[test]
fn ssh_keygen_reads_in_a_certificate_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::open(folder.path(), FirstRun::Yes).unwrap();
    for (kind, bits) in [
        ("ed25519", "256"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
        ("rsa", "3072"),
    ] {
        let public_key = accept(&generate(folder.path(), kind, bits)).unwrap();
        let draft = Draft {
            grant: &grant(),
            also: &[],
            public_key: &public_key,
            serial: 42,
            now: NOW,
            longest: Duration::from_secs(3600),
        };
        let signed = ca.certify(&draft).unwrap();
        assert_eq!(signed.expires, NOW.plus(Duration::from_secs(3600)));
        let path = folder.path().join("id-cert.pub");
        fs::write(&path, &signed.openssh).unwrap();
        let out = Command::new("ssh-keygen")
            .env("TZ", "UTC")
            .args(["-L", "-f"])
            .arg(&path)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        for wanted in [
            "user certificate",
            "Serial: 42",
            "Key ID: \"v1;eng=alice;tenant=acme;ticket=INC-4711;tier=production;grant=G-1\"",
            "acme-production",
            "Critical Options: (none)",
            "permit-pty",
            "permit-port-forwarding",
            "Valid: from 2026-09-21T14:13:20 to 2026-09-21T15:13:20",
            &ca.fingerprint(),
        ] {
            assert!(text.contains(wanted), "{kind}: {wanted:?} is not in {text}");
        }
        for unwanted in ["agent", "X11", "user-rc"] {
            assert!(!text.contains(unwanted), "{text}");
        }
    }
}

#[test]
fn the_validity_never_leaves_the_grant() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::open(folder.path(), FirstRun::Yes).unwrap();
    let public_key = accept(&generate(folder.path(), "ed25519", "256")).unwrap();
    let grant = grant();
    let certify = |now| {
        ca.certify(&Draft {
            grant: &grant,
            also: &[],
            public_key: &public_key,
            serial: 1,
            now,
            longest: Duration::from_secs(3600),
        })
    };
    let late = NOW.plus(Duration::from_secs(7000));
    assert_eq!(certify(late).unwrap().expires, grant.expires);
    // Within the grant's last second that is not whole, nothing is left to sshd.
    let ends = Grant {
        expires: NOW.plus(Duration::from_millis(7_200_500)),
        ..grant
    };
    let draft = Draft {
        grant: &ends,
        also: &[],
        public_key: &public_key,
        serial: 1,
        now: NOW.plus(Duration::from_millis(7_200_100)),
        longest: Duration::from_secs(3600),
    };
    assert!(matches!(ca.certify(&draft), Err(CertifyError::NoTime)));
}

#[test]
fn keys_that_are_not_worth_a_certificate_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: &str| accept(text).unwrap_err().to_string();
    let small = refused(&generate(folder.path(), "rsa", "2048"));
    assert!(
        small.contains("2048 bits") && small.contains("3072"),
        "{small}"
    );
    let dsa = refused(&generate(folder.path(), "dsa", "1024"));
    assert!(dsa.contains("ssh-dss") && dsa.contains("ed25519"), "{dsa}");
    for text in ["", "hello", "ssh-ed25519 AAAA", "ssh-ed25519 !!!! x"] {
        assert!(refused(text).contains("one-line form"), "{text}");
    }
    let two = generate(folder.path(), "ed25519", "256").repeat(2);
    assert!(refused(&two).contains("more than one line"));
}

#[test]
fn the_key_is_made_once_private_and_its_loss_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let first = Ca::open(folder.path(), FirstRun::Yes).unwrap();
    let key = folder.path().join("ca");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        Ca::open(folder.path(), FirstRun::No).unwrap().fingerprint(),
        first.fingerprint()
    );
    fs::remove_file(folder.path().join("ca.pub")).unwrap();
    Ca::open(folder.path(), FirstRun::No).unwrap();
    let out = Command::new("ssh-keygen")
        .args(["-l", "-f"])
        .arg(folder.path().join("ca.pub"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains(&first.fingerprint()));
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        Ca::open(folder.path(), FirstRun::No),
        Err(CaError::Mode { mode: 0o640, .. })
    ));
    fs::remove_file(&key).unwrap();
    assert!(matches!(
        Ca::open(folder.path(), FirstRun::No),
        Err(CaError::Lost { .. })
    ));
    fs::write(&key, "nonsense").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(
        Ca::open(folder.path(), FirstRun::No),
        Err(CaError::Key { .. })
    ));
}
