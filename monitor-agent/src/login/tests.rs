use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use monitor_model::{
    clock::{SystemClock, UnixNs},
    event::Action,
    id::BootId,
    session::Credential,
};
use monitor_proto::v1;
use tokio::sync::mpsc;

use super::{client::Hook, desk::LastRefusal, *};
use crate::{
    attribute::{Origin, SharedSessions},
    marks::tests::FakeMarks,
    note::{Keep, Note, Notes},
    standing::{Standing, tests::grant},
};

const KEY_ID: &str = "v1;eng=alice;tenant=acme;ticket=INC-4711;tier=production;grant=G1";

/// A CA and a certificate of it, by ssh-keygen.
fn certificate(folder: &Path, key_id: &str, principals: &str) -> (String, String) {
    let run = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen")
            .args(arguments)
            .current_dir(folder)
            .output();
        let output = output.expect("ssh-keygen is needed: install openssh-client");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    for (name, kind) in [("ca", "ed25519"), ("user", "ed25519")] {
        run(&["-q", "-t", kind, "-N", "", "-f", name]);
    }
    run(&[
        "-q", "-s", "ca", "-I", key_id, "-n", principals, "-z", "7", "-V", "+1h", "user.pub",
    ]);
    let text = fs::read_to_string(folder.join("user-cert.pub")).unwrap();
    let mut words = text.split(' ');
    (
        words.next().unwrap().to_owned(),
        words.next().unwrap().to_owned(),
    )
}

struct Bench {
    hook: Hook,
    standing: Standing,
    sessions: SharedSessions,
    marks: Arc<FakeMarks>,
    notes: mpsc::Receiver<(Action, Option<Keep>)>,
    folder: tempfile::TempDir,
    /// Whether what is told reaches the disk.
    disk_works: Arc<AtomicBool>,
}

fn bench() -> Bench {
    bench_of(Authorities::default())
}

fn bench_of(authorities: Authorities) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let (way, mut told) = Notes::channel();
    let standing = Standing::open(&folder.path().join("state.db")).unwrap();
    let marks = Arc::new(FakeMarks::default());
    let sessions = SharedSessions::default();
    let desk = Desk {
        directory: Arc::default(),
        origin: Origin {
            agent: "jump-1".parse().unwrap(),
            boot: BootId::from_slice(&[1; 16]).unwrap(),
        },
        authorities,
        standing: standing.clone(),
        sessions: sessions.clone(),
        marks: marks.clone(),
        notes: way,
        counters: Arc::default(),
        clock: Arc::new(SystemClock),
        last_refusal: LastRefusal::default(),
    };
    let socket = folder.path().join("run/agent.sock");
    let door = Door::open(&socket, Askers::default(), Arc::new(desk)).unwrap();
    tokio::spawn(door.run());
    let (seen, notes) = mpsc::channel(100);
    let disk_works = Arc::new(AtomicBool::new(true));
    let works = Arc::clone(&disk_works);
    tokio::spawn(async move {
        while let Some(Note {
            action, keep, kept, ..
        }) = told.recv().await
        {
            seen.send((action, keep)).await.unwrap();
            if let (true, Some(kept)) = (works.load(Ordering::SeqCst), kept) {
                let _ = kept.send(());
            }
        }
    });
    let hook = Hook {
        socket,
        break_glass: vec!["rescue".into()],
    };
    Bench {
        hook,
        standing,
        sessions,
        marks,
        notes,
        folder,
        disk_works,
    }
}

impl Bench {
    fn grant(&self) {
        let grants = vec![v1::Grant::from(&grant("G1"))];
        self.standing
            .replace_grants(v1::GrantTable { grants })
            .unwrap();
    }

    /// The next thing that was told.
    async fn told(&mut self) -> (Action, Option<Keep>) {
        let next = tokio::time::timeout(Duration::from_secs(10), self.notes.recv()).await;
        next.expect("nothing was told").unwrap()
    }

    async fn pam(&self, kind: &str, auth_info: &str) -> client::Said {
        let (hook, kind, auth_info) = (self.hook.clone(), kind.to_owned(), auth_info.to_owned());
        tokio::task::spawn_blocking(move || {
            hook.pam_session(|name| match name {
                "PAM_TYPE" => Some(kind.clone()),
                "PAM_USER" => Some("deploy".to_owned()),
                "SSH_CONNECTION" => Some("10.9.8.7 50123 10.0.0.1 22".to_owned()),
                "SSH_AUTH_INFO_0" => Some(auth_info.clone()),
                _ => None,
            })
        })
        .await
        .unwrap()
    }

    async fn principals(&self, (key_type, base64): &(String, String)) -> client::Said {
        let (hook, key_type, base64) = (self.hook.clone(), key_type.clone(), base64.clone());
        tokio::task::spawn_blocking(move || hook.principals("deploy", &key_type, &base64))
            .await
            .unwrap()
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: only root may bind sessions");
    }
    root
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_live_grant_is_bound_before_the_answer() {
    if !is_root() {
        return;
    }
    let mut bench = bench();
    bench.grant();
    let (key_type, base64) = certificate(bench.folder.path(), KEY_ID, "acme-production");
    let said = bench
        .pam("open_session", &format!("publickey {key_type} {base64}\n"))
        .await;
    assert_eq!(said, client::Said::default());
    let (action, keep) = bench.told().await;
    let Action::SessionOpened { session } = action else {
        panic!("{action:?}")
    };
    assert_eq!(keep, Some(Keep::Session(session.clone())));
    assert_eq!(session.principal.as_ref().unwrap().as_str(), "alice");
    assert_eq!(
        (session.ticket.as_str(), session.account.as_str()),
        ("INC-4711", "deploy")
    );
    assert_eq!(
        (
            session.peer.unwrap().to_string().as_str(),
            session.peer_port
        ),
        ("10.9.8.7", 50123)
    );
    assert_eq!(session.credential.serial(), Some(7));
    let Credential::SshCertificate { ca_fingerprint, .. } = &session.credential else {
        panic!()
    };
    assert!(ca_fingerprint.starts_with("SHA256:"));
    // The hook runs in this process here; its parent is the test runner.
    assert_eq!(session.leader_pid, std::os::unix::process::parent_id());
    assert_eq!(bench.marks.take_asked(), [format!("mark {}", session.id)]);
    assert!(bench.sessions.lock().get(session.id).is_some());
    assert_eq!(bench.pam("close_session", "").await.exit_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_not_on_disk_is_not_let_in() {
    if !is_root() {
        return;
    }
    let bench = bench();
    bench.disk_works.store(false, Ordering::SeqCst);
    let said = bench.pam("open_session", "password").await;
    assert_eq!(said.exit_code, 1, "{said:?}");
    assert!(bench.sessions.lock().living().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_logins_are_told_to_the_person_and_as_events() {
    if !is_root() {
        return;
    }
    let mut bench = bench();
    let (key_type, base64) = certificate(bench.folder.path(), KEY_ID, "acme-production");
    let auth_info = format!("publickey {key_type} {base64}");
    let said = bench.pam("open_session", &auth_info).await;
    assert_eq!(said.exit_code, 1);
    assert!(
        said.output[0].contains("grant G1 is not known to this host"),
        "{said:?}"
    );
    let (action, _) = bench.told().await;
    let Action::LoginRefused {
        principal,
        serial,
        account,
        ..
    } = action
    else {
        panic!()
    };
    assert_eq!(
        (principal.unwrap().as_str(), serial, account.as_str()),
        ("alice", Some(7), "deploy")
    );
    bench.grant();
    bench.standing.deny_serial(7);
    let said = bench.pam("open_session", &auth_info).await;
    assert!(
        said.output[0].contains("certificate 7 is revoked"),
        "{said:?}"
    );
    // sshd asks twice about one attempt: told once.
    let answers = (
        bench.principals(&(key_type.clone(), base64.clone())).await,
        bench.principals(&(key_type, base64)).await,
    );
    assert_eq!(answers.0, answers.1);
    assert!(answers.0.output.is_empty() && answers.0.error[0].contains("revoked"));
    let again = bench.told().await.0;
    assert!(matches!(again, Action::LoginRefused { reason, .. } if reason.contains("revoked")));
    // Something else is told next: so it was not told again.
    bench.standing.lock().denied_serials.clear();
    bench.standing.lock().grants.clear();
    assert_eq!(bench.pam("open_session", &auth_info).await.exit_code, 1);
    let next = bench.told().await.0;
    assert!(matches!(next, Action::LoginRefused { reason, .. } if reason.contains("not known")));
    assert!(bench.marks.take_asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn principals_are_those_of_the_live_grant() {
    if !is_root() {
        return;
    }
    let bench = bench();
    bench.grant();
    let certificate = certificate(
        bench.folder.path(),
        KEY_ID,
        "acme-production,globex-production",
    );
    let said = bench.principals(&certificate).await;
    assert_eq!(
        (said.output.as_slice(), said.exit_code),
        (["acme-production".to_owned()].as_slice(), 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_a_certificate_is_let_in_and_bound_to_nobody() {
    if !is_root() {
        return;
    }
    let mut bench = bench();
    for auth_info in ["password", ""] {
        assert_eq!(bench.pam("open_session", auth_info).await.exit_code, 0);
        let (Action::SessionOpened { session }, _) = bench.told().await else {
            panic!()
        };
        assert_eq!((session.principal, session.tenant), (None, None));
        assert_eq!(
            session.credential,
            Credential::Other {
                method: auth_info.into()
            }
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_agent_nobody_is_let_in_but_by_breaking_the_glass() {
    let folder = tempfile::tempdir().unwrap();
    let (key_type, base64) = certificate(folder.path(), KEY_ID, "acme-production");
    let hook = Hook {
        socket: folder.path().join("none.sock"),
        break_glass: vec!["rescue".into()],
    };
    let pam = |account: &str| {
        hook.pam_session(|name| match name {
            "PAM_TYPE" => Some("open_session".to_owned()),
            "PAM_USER" => Some(account.to_owned()),
            _ => None,
        })
    };
    let said = pam("deploy");
    assert_eq!(said.exit_code, 1);
    assert!(
        said.output[0].contains("does not answer") && said.output[0].contains("none.sock"),
        "{said:?}"
    );
    let said = pam("rescue");
    assert_eq!(said.exit_code, 0);
    assert!(said.error[0].starts_with("BREAK GLASS: rescue"));
    assert_eq!(hook.principals("deploy", &key_type, &base64).exit_code, 1);
    assert_eq!(
        hook.principals("rescue", &key_type, &base64).output,
        ["acme-production"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_in_the_wrong_place_says_where_it_belongs() {
    let bench = bench();
    let said = bench.pam("auth", "").await;
    assert_eq!(said.exit_code, 1);
    assert!(said.output[0].contains("PAM_TYPE is \"auth\"") && said.output[0].contains("session"));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_lines_are_answered_and_endless_ones_cut() {
    if !is_root() {
        return;
    }
    let bench = bench();
    let ask = |text: Vec<u8>| {
        let socket = bench.hook.socket.clone();
        tokio::task::spawn_blocking(move || {
            use std::io::{Read as _, Write as _};
            let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
            // The agent may hang up while this still writes.
            let _ = stream.write_all(&text);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        })
    };
    assert!(
        ask(b"nonsense\n".to_vec())
            .await
            .unwrap()
            .contains("not understood")
    );
    assert!(
        ask(b"{\"version\":9}\n".to_vec())
            .await
            .unwrap()
            .contains("version 9")
    );
    let endless = ask(vec![b'x'; 4 * LINE_BYTES_MAX]).await.unwrap();
    assert!(
        endless.is_empty() || endless.contains("not understood"),
        "{endless}"
    );
}

#[test]
fn accounts_are_found_by_name_or_number() {
    let passwd = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
    let find = |name: &str| Askers::find(&[name.to_owned()], passwd);
    assert!(find("nobody").unwrap().may_ask(65534));
    assert!(find("1234").unwrap().may_ask(1234));
    assert!(find("nobody").unwrap().may_ask(0) && !find("nobody").unwrap().may_ask(1));
    assert!(matches!(find("ghost"), Err(LoginError::Account { .. })));
}

#[test]
fn strangers_cannot_flood_the_log() {
    let (last, now) = (LastRefusal::default(), UnixNs::from_seconds(1_790_000_000));
    assert!(last.is_first_stranger(now));
    assert!(!last.is_first_stranger(now.plus(Duration::from_secs(59))));
    assert!(last.is_first_stranger(now.plus(Duration::from_secs(60))));
}

#[test]
fn who_sits_on_the_socket_while_the_agent_is_away_is_not_believed() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let socket = folder.path().join("agent.sock");
    let place = socket.clone();
    // Only this thread becomes another account.
    let impostor = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65_534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        std::os::unix::net::UnixListener::bind(place).unwrap()
    });
    let listener = impostor.join().unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = listener.accept().unwrap();
        let answer = Answer::Allowed {
            session: String::new(),
        };
        let _ = stream.write_all(&protocol::line(&answer).unwrap());
    });
    let hook = Hook {
        socket,
        break_glass: vec![],
    };
    let said = hook.pam_session(|name| match name {
        "PAM_TYPE" => Some("open_session".to_owned()),
        "PAM_USER" => Some("deploy".to_owned()),
        _ => None,
    });
    answering.join().unwrap();
    assert_eq!(said.exit_code, 1, "{said:?}");
    assert!(
        said.error[0].contains("held by the account 65534"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_without_end_does_not_fill_the_spool() {
    if !is_root() {
        return;
    }
    let mut bench = bench();
    let socket = bench.hook.socket.clone();
    let asks = 400;
    let took = tokio::task::spawn_blocking(move || {
        let began = std::time::Instant::now();
        let hook = Hook {
            socket,
            break_glass: vec![],
        };
        let account = "x".repeat(20_000);
        for number in 0..asks {
            let said = hook.principals(&format!("{number}{account}"), "ssh-rsa", "AAAA");
            assert!(said.output.is_empty());
        }
        began.elapsed()
    });
    let told = async {
        let mut told = 0;
        while let Ok(Some((action, _))) =
            tokio::time::timeout(Duration::from_secs(1), bench.notes.recv()).await
        {
            let Action::LoginRefused { account, .. } = action else {
                panic!("{action:?}")
            };
            assert!(account.len() <= 512);
            told += 1;
        }
        told
    };
    let (took, told) = tokio::join!(took, told);
    let seconds = took.unwrap().as_secs() + 2;
    assert!((1..=50 * seconds).contains(&told), "{told} in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_authority_that_is_not_named_opens_nothing() {
    if !is_root() {
        return;
    }
    let ours = tempfile::tempdir().unwrap();
    let issued = certificate(ours.path(), KEY_ID, "acme-production");
    let bench = bench_of(Authorities::read(Some(&ours.path().join("ca.pub"))).unwrap());
    bench.grant();
    assert_eq!(bench.principals(&issued).await.output, ["acme-production"]);
    // An engineer's own authority, in anybody's name.
    let own = certificate(bench.folder.path(), KEY_ID, "acme-production");
    let said = bench.principals(&own).await;
    assert!(said.output.is_empty() && said.error[0].contains("is of the authority SHA256:"));
    let said = bench
        .pam("open_session", &format!("publickey {} {}", own.0, own.1))
        .await;
    assert_eq!(said.exit_code, 1, "{said:?}");
    assert!(bench.marks.take_asked().is_empty());
}

#[test]
fn a_file_of_authorities_says_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pub");
    let error = || Authorities::read(Some(&path)).unwrap_err().to_string();
    assert!(error().contains("ssh.user_ca") && error().contains("ca.pub"));
    fs::write(&path, "# nothing\n\n").unwrap();
    assert!(error().contains("holds no key"));
    fs::write(&path, "ssh-ed25519 nonsense\n").unwrap();
    assert!(error().contains("is not a public key"));
}
