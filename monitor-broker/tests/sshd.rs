//! A private sshd on loopback lets a certificate in, and refuses it once the
//! broker has answered that it is revoked.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test says where"
)]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output},
};

use monitor_broker::client::Revocation;
use monitor_model::{id::OrderId, revocation::Target};

mod scene;
use scene::{Scene, grant, key_pair, now, until};

struct Sshd(Child);

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout == b"0\n")
}

fn login(folder: &Path, port: u16) -> Output {
    Command::new("ssh")
        .args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "IdentitiesOnly=yes",
        ])
        .args([
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "GlobalKnownHostsFile=/dev/null",
            "-o",
            "ConnectTimeout=5",
        ])
        .args(["-p", &port.to_string(), "-i"])
        .arg(folder.join("id"))
        .args(["root@127.0.0.1", "echo", "in"])
        .env_remove("SSH_AUTH_SOCK")
        .output()
        .unwrap()
}

/// The machine's sshd, or the one that `cargo xtask setup` unpacked.
fn sshd() -> PathBuf {
    let installed = PathBuf::from("/usr/sbin/sshd");
    match std::env::var_os("MONITOR_CACHE") {
        Some(cache) if !installed.is_file() => PathBuf::from(cache).join("sshd/usr/sbin/sshd"),
        _ => installed,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sshd_refuses_a_certificate_as_soon_as_the_broker_has_answered() {
    if !is_root() || !sshd().exists() {
        eprintln!("SKIPPED: a private sshd takes root, and one that is installed or unpacked");
        return;
    }
    let scene = Scene::new();
    let _collector = scene.start_collector().await;
    let broker = scene.start_broker().await;
    let mut admin = scene.client("root", &broker).await;
    admin.register(&grant("G-1", "alice")).await.unwrap();
    let key = key_pair(scene.path(), "id");
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let (certificate, issued) = admin
        .issue((&"G-1".parse().unwrap(), &[]), &public)
        .await
        .unwrap();
    fs::write(scene.path().join("id-cert.pub"), certificate + "\n").unwrap();

    let (_sshd, port) = start_sshd(scene.path(), &scene.krl()).await;
    let first = login(scene.path(), port);
    assert_eq!(
        first.stdout,
        b"in\n",
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    let order = Revocation {
        order: OrderId::from_parts(now(), 1),
        at: now(),
        target: Target::Serial(issued.serial),
        serials: Vec::new(),
        grants: Vec::new(),
        reason: "test".into(),
    };
    admin.revoke(&order).await.unwrap();
    let second = login(scene.path(), port);
    assert!(!second.status.success() && second.stdout.is_empty());
    assert!(String::from_utf8_lossy(&second.stderr).contains("Permission denied"));
    // Another certificate of the same grant still opens a login.
    let (certificate, _) = admin
        .issue((&"G-1".parse().unwrap(), &[]), &public)
        .await
        .unwrap();
    fs::write(scene.path().join("id-cert.pub"), certificate + "\n").unwrap();
    assert_eq!(login(scene.path(), port).stdout, b"in\n");
}

async fn start_sshd(folder: &Path, krl: &Path) -> (Sshd, u16) {
    fs::create_dir_all("/run/sshd").unwrap();
    key_pair(folder, "host");
    fs::write(folder.join("principals"), "acme-production\n").unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (at, krl) = (folder.display(), krl.display());
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         AuthorizedKeysFile none\nTrustedUserCAKeys {at}/data/ca.pub\nRevokedKeys {krl}\n\
         AuthorizedPrincipalsFile {at}/principals\n"
    );
    let file = folder.join("sshd_config");
    fs::write(&file, config).unwrap();
    let checked = Command::new(sshd())
        .arg("-T")
        .arg("-f")
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    let child = Command::new(sshd())
        .args(["-D", "-q", "-f"])
        .arg(&file)
        .spawn()
        .unwrap();
    let sshd = Sshd(child);
    until("sshd listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
    .await;
    (sshd, port)
}
