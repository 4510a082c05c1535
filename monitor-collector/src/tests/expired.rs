//! Certificates that are over while their connection stands.

use monitor_model::id::Source;
use monitor_proto::v1::{
    ListSessionsRequest, SubscribeRequest, event_service_client::EventServiceClient,
    session_service_client::SessionServiceClient,
};
use tonic::Code;

use super::*;

/// A handshake fits in before it is over, also on a busy machine.
const SECONDS: u64 = 6;

/// The end of a stream of which more may come before.
async fn end<T>(mut stream: Streaming<T>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a reason"),
            Err(status) => return status,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_calls_end_with_the_certificate_of_their_connection() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    scene.expires("monitor://agent/jump-1", SECONDS);
    scene.expires("monitor://soc/kim", SECONDS);
    let mut lasting = Agent::connect(&scene, &collector, "jump-2").await;
    let agent = Agent::connect(&scene, &collector, "jump-1").await;
    let channel = scene.dial("monitor://soc/kim", &collector).await;
    let mut sessions = SessionServiceClient::new(channel.clone());
    let listed = sessions.list_sessions(ListSessionsRequest::default());
    listed.await.unwrap();
    let mut events = EventServiceClient::new(channel);
    let followed = events.subscribe(SubscribeRequest::default()).await;
    let (of_agent, of_reader) = tokio::join!(end(agent.down), end(followed.unwrap().into_inner()));
    let refused = sessions.list_sessions(ListSessionsRequest::default());
    let refused = refused.await.unwrap_err();
    for status in [of_agent, of_reader, refused] {
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(status.message().contains("was valid until"), "{status}");
    }
    // Another's goes on, and so does who comes back with a new one.
    let read = |host: &str| {
        let id = crate::testing::event_id(host, Source::Priority { cpu: 0 }, 1);
        crate::testing::credential(id, "acme", "/srv/key")
    };
    lasting.send(1, &[read("jump-2")]).await;
    lasting.acked(1).await;
    scene.expires("monitor://agent/jump-1", 86_000);
    let mut back = Agent::connect(&scene, &collector, "jump-1").await;
    back.send(1, &[read("jump-1")]).await;
    back.acked(1).await;
}
