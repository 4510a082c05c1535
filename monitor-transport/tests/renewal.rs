//! Certificates that are replaced while a service runs and streams stand.
#![allow(clippy::unwrap_used, reason = "a failing test says where")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use monitor_model::clock::{Clock as _, SystemClock};
use monitor_transport::{
    identity::Identity,
    pki::{Authority, Leaf},
    tls::{Clients, CurrentTls, Follower, PeerChannel, Tls, TlsFiles, Trust},
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus as Told,
        health_client::HealthClient,
    },
    server::HealthReporter,
};

/// Two authorities, as where one is replaced.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for authority in ["old", "new"] {
            Authority::create(&folder.path().join(authority), SystemClock.now(), 2).unwrap();
        }
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts the files of somebody there, in place of those of before.
    fn put(&self, authority: &str, identity: &str, place: &str) -> TlsFiles {
        let identity: Identity = identity.parse().unwrap();
        let from = self.path().join(authority);
        let leaf = Leaf {
            identity: &identity,
            hosts: &["localhost".into()],
            not_before: SystemClock.now(),
            days: 1,
        };
        let fresh = tempfile::tempdir_in(self.path()).unwrap();
        let ca = fresh.path().join("ca.pem");
        fs::copy(from.join("ca.pem"), &ca).unwrap();
        let (certificate, key) = Authority::open(&from).issue(&leaf, fresh.path()).unwrap();
        let into = self.path().join(place);
        fs::create_dir_all(&into).unwrap();
        let moved = |from: PathBuf, name: &str| {
            let to = into.join(name);
            fs::rename(from, &to).unwrap();
            to
        };
        TlsFiles {
            ca: moved(ca, "ca.pem"),
            certificate: moved(certificate, "own.pem"),
            key: moved(key, "own.key"),
        }
    }

    fn load(&self, authority: &str, identity: &str, place: &str) -> Tls {
        let files = self.put(authority, identity, place);
        files.load(SystemClock.now()).unwrap()
    }
}

fn follow(tls: Tls) -> (Follower, CurrentTls) {
    Follower::new(tls, Arc::new(SystemClock))
}

/// A service; where to dial it, and what changes what its streams tell.
async fn serve(tls: CurrentTls, clients: Clients) -> (String, HealthReporter) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (reporter, service) = tonic_health::server::health_reporter();
    let incoming = tls.accept(TcpIncoming::from(listener), clients).unwrap();
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    (format!("https://localhost:{port}"), reporter)
}

async fn stream(channel: Channel) -> Result<Streaming<HealthCheckResponse>, Status> {
    let mut client = HealthClient::new(channel);
    let stream = client.watch(HealthCheckRequest::default()).await?;
    Ok(stream.into_inner())
}

async fn told(stream: &mut Streaming<HealthCheckResponse>) -> Told {
    stream.message().await.unwrap().unwrap().status()
}

/// Whether a connection serves. A client may think that it stands before the server
/// has looked at its certificate.
async fn is_let_in(tls: &Tls, address: &str) -> bool {
    match tls.connect(address).await {
        Ok(channel) => stream(channel).await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_sees_the_new_certificate_and_who_is_there_stays() {
    let scene = Scene::new();
    let before = scene.load("old", "monitor://agent/before", "before");
    let after = scene.load("new", "monitor://agent/after", "after");
    let (mut follower, tls) = follow(scene.load("old", "monitor://collector/c", "server"));
    let (address, reporter) = serve(tls, Clients::Certificate).await;
    let channel = before.connect(&address).await.unwrap();
    let mut standing = stream(channel).await.unwrap();
    assert_eq!(told(&mut standing).await, Told::Serving);
    assert!(!is_let_in(&after, &address).await);

    scene.put("new", "monitor://collector/c", "server");
    follower.look();
    assert!(is_let_in(&after, &address).await);
    assert!(!is_let_in(&before, &address).await);
    let other = ServingStatus::NotServing;
    reporter.set_service_status("", other).await;
    assert_eq!(told(&mut standing).await, Told::NotServing);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_do_not_fit_change_nothing() {
    let scene = Scene::new();
    let client = scene.load("old", "monitor://agent/a", "client");
    let files = scene.put("old", "monitor://collector/c", "server");
    let (mut follower, tls) = follow(files.load(SystemClock.now()).unwrap());
    let (address, _reporter) = serve(tls.clone(), Clients::Certificate).await;
    let key = fs::read(&files.key).unwrap();

    fs::remove_file(&files.certificate).unwrap();
    follower.look();
    assert!(is_let_in(&client, &address).await, "a file is missing");
    scene.put("new", "monitor://collector/c", "server");
    fs::write(&files.key, key).unwrap();
    follower.look();
    assert!(is_let_in(&client, &address).await, "the key of before");
    scene.put("new", "monitor://collector/another", "server");
    follower.look();
    assert!(is_let_in(&client, &address).await, "somebody else");
    assert_eq!(tls.get().identity().to_string(), "monitor://collector/c");

    scene.put("new", "monitor://collector/c", "server");
    follower.look();
    assert!(!is_let_in(&client, &address).await, "these fit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_shows_the_new_certificate_and_what_is_under_way_goes_on() {
    let scene = Scene::new();
    let server = scene.load("old", "monitor://collector/c", "server");
    let (address, reporter) = serve(CurrentTls::fixed(server), Clients::Certificate).await;
    let (mut follower, tls) = follow(scene.load("old", "monitor://broker/b", "broker"));
    let peer = PeerChannel::new(&address, tls).unwrap();
    let mut under_way = stream(peer.channel()).await.unwrap();
    assert_eq!(told(&mut under_way).await, Told::Serving);
    let connected = peer.connected().await.unwrap();
    assert!(stream(connected).await.is_ok());

    scene.put("new", "monitor://broker/b", "broker");
    follower.look();
    let refused = stream(peer.channel()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let other = ServingStatus::NotServing;
    reporter.set_service_status("", other).await;
    assert_eq!(told(&mut under_way).await, Told::NotServing);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_nothing_is_let_in_only_where_tokens_are_taken() {
    let scene = Scene::new();
    let tls = scene.load("old", "monitor://collector/c", "server");
    let trust = Trust::load(&scene.path().join("old/ca.pem"), SystemClock.now()).unwrap();
    for (clients, is_taken) in [
        (Clients::Certificate, false),
        (Clients::CertificateOrToken, true),
    ] {
        let (address, _reporter) = serve(CurrentTls::fixed(tls.clone()), clients).await;
        let is_served = match trust.connect(&address).await {
            Ok(channel) => stream(channel).await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(is_served, is_taken, "{clients:?}");
    }
}
