//! Is it alive, can it serve, and what does it count?

use std::net::SocketAddr;

use embedded_postgres::{Server, testing::TestDatabase};

use crate::{
    app::text,
    database::{Database, NUMBER, STRANGER},
    process::{Process, run},
    settings::Settings,
    wait::{PATIENCE, eventually},
    webhook::{client, encode, webhook},
};

async fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let url = format!("http://{addr}{path}");
    let response = client().get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn readiness_follows_the_migrations_and_liveness_does_not() {
    let settings = Settings::random(&TestDatabase::empty().await.url());
    let (process, receiver) = Process::receiver("serve", &settings).await;
    let admin = process.addr("admin listens").await;
    for addr in [receiver, admin] {
        assert_eq!(get(addr, "/healthz").await.0, 200);
        let (status, body) = get(addr, "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("pigeonhole migrate"), "{body}");
    }
    let migrated = run(&["migrate"], &settings).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    for addr in [receiver, admin] {
        assert_eq!(get(addr, "/readyz").await, (200, "ready\n".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_database_and_liveness_does_not() {
    let mut server = Server::start_temporary(embedded_postgres::Settings::default()).unwrap();
    let database = Database::create_on(&server).await;
    let (_process, receiver) = Process::receiver("receiver", &database.settings).await;
    assert_eq!(get(receiver, "/readyz").await.0, 200);
    tokio::task::block_in_place(|| server.stop_immediate()).unwrap();
    let (status, body) = get(receiver, "/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "the database does not answer\n")
    );
    assert_eq!(get(receiver, "/healthz").await.0, 200);
    tokio::task::block_in_place(|| server.start_again()).unwrap();
    eventually("it is ready again", PATIENCE, async || {
        (get(receiver, "/readyz").await.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn metrics_count_outcomes_and_name_nobody() {
    let database = Database::create().await;
    let (process, receiver) = Process::receiver("serve", &database.settings).await;
    let admin = process.addr("admin listens").await;
    let twilio = database.settings.twilio(receiver);
    for from in [NUMBER, STRANGER] {
        let parameters = twilio.parameters(&text(from, "Hello"));
        let sid = parameters
            .iter()
            .find(|(name, _)| name == "MessageSid")
            .map(|(_, value)| value.clone())
            .unwrap();
        for _ in 0..2 {
            let delivery = twilio.post(sid.clone(), &parameters).await.unwrap();
            assert_eq!(delivery.status, 200);
        }
        let forged = webhook(
            receiver,
            &format!("{}=", "A".repeat(27)),
            encode(&parameters),
        );
        assert_eq!(forged.send().await.unwrap().status(), 403);
        database.wait_until_ended(&sid).await;
    }
    let metrics = eventually("both jobs are counted", PATIENCE, async || {
        let (_, metrics) = get(admin, "/metrics").await;
        let completed =
            r#"pigeonhole_queue_attempts_total{kind="process_message",outcome="completed"} 2"#;
        metrics.contains(completed).then_some(metrics)
    })
    .await;
    for line in [
        r#"pigeonhole_receiver_webhooks_total{outcome="accepted"} 2"#,
        r#"pigeonhole_receiver_webhooks_total{outcome="duplicate"} 2"#,
        r#"pigeonhole_receiver_webhooks_total{outcome="mismatch"} 2"#,
        "pigeonhole_receiver_webhook_duration_seconds_count 6",
    ] {
        assert!(metrics.contains(line), "{line} is missing in:\n{metrics}");
    }
    for number in [NUMBER, STRANGER] {
        assert!(!metrics.contains(&number[2..]), "{metrics}");
    }
    // Public is public: what operators read is elsewhere.
    assert_eq!(get(receiver, "/metrics").await.0, 404);
}
