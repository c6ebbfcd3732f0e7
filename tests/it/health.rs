//! Liveness, readiness and metrics of a process.

use std::{net::SocketAddr, time::Duration};

use embedded_postgres::{PostgresServer, testing::TestDatabase};
use metrics_exporter_prometheus::PrometheusBuilder;
use pigeonhole::{
    config::Reader,
    services::{Role, Services, ServicesConfig},
};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::{
    app::text,
    database::{Database, NUMBER, UNLINKED_NUMBER},
    process::{Process, run},
    settings::ProgramSettings,
    wait::{PATIENCE, eventually},
    webhook::{client, encode, webhook},
};

async fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let url = format!("http://{addr}{path}");
    let response = client().get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn readiness_depends_on_the_migrations_and_liveness_does_not() {
    let settings = ProgramSettings::random(&TestDatabase::empty().await.url());
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
async fn readiness_depends_on_the_database_and_liveness_does_not() {
    let mut server =
        PostgresServer::start_temporary(embedded_postgres::PostgresSettings::default()).unwrap();
    let database = Database::create_on(&server).await;
    let (_process, receiver) = Process::receiver("receiver", &database.settings).await;
    assert_eq!(get(receiver, "/readyz").await.0, 200);
    tokio::task::block_in_place(|| server.stop_immediate()).unwrap();
    let (status, body) = get(receiver, "/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "the database does not respond\n")
    );
    assert_eq!(get(receiver, "/healthz").await.0, 200);
    tokio::task::block_in_place(|| server.start_again()).unwrap();
    eventually("the process is ready again", PATIENCE, async || {
        (get(receiver, "/readyz").await.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_stays_alive_during_an_outage_of_postgres() {
    let mut server =
        PostgresServer::start_temporary(embedded_postgres::PostgresSettings::default()).unwrap();
    let database = Database::create_on(&server).await;
    for role in ["receiver", "worker"] {
        let process = Process::start(role, &database.settings);
        let admin = process.addr("admin listens").await;
        eventually("the process is ready", PATIENCE, async || {
            (get(admin, "/readyz").await.0 == 200).then_some(())
        })
        .await;
        tokio::task::block_in_place(|| server.stop_immediate()).unwrap();
        eventually(
            "the process is not ready during the outage",
            PATIENCE,
            async || (get(admin, "/readyz").await.0 == 503).then_some(()),
        )
        .await;
        assert_eq!(get(admin, "/healthz").await, (200, "ok\n".to_owned()));
        tokio::task::block_in_place(|| server.start_again()).unwrap();
        eventually("the process is ready again", PATIENCE, async || {
            (get(admin, "/readyz").await.0 == 200).then_some(())
        })
        .await;
        assert_eq!(get(admin, "/healthz").await.0, 200);
    }
}

#[tokio::test]
async fn a_process_with_all_threads_blocked_reports_that_it_is_stuck() {
    let database = Database::create().await;
    let env = database.settings.env();
    let mut config = Reader::read(&env, |r| ServicesConfig::read(r, Role::Both)).unwrap();
    config.process.stuck_after = Duration::from_secs(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let stop = CancellationToken::new();
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let services = runtime.spawn(Services::start(config, metrics, stop.clone()));
    let services = services.await.unwrap().unwrap();
    let admin = services.admin_addr;
    assert_eq!(get(admin, "/healthz").await.0, 200);

    let mut gates = Vec::new();
    for _ in 0..2 {
        let (gate, closed) = std::sync::mpsc::channel::<()>();
        gates.push(gate);
        // Blocks a thread, as a job does that waits for something without awaiting it.
        runtime.spawn(async move { closed.recv() });
    }
    // Each loop is late from its own last beat on, so one may be reported before the other.
    eventually(
        "the health check reports the stuck loops",
        PATIENCE,
        async || {
            let (status, body) = get(admin, "/healthz").await;
            assert!(status == 503 || body == "ok\n", "{status}: {body}");
            ["claims: no heartbeat for ", "threads: no heartbeat for "]
                .iter()
                .all(|late| body.contains(late))
                .then_some(())
        },
    )
    .await;
    assert_eq!(get(admin, "/metrics").await.0, 200);
    drop(gates);
    eventually("the process is alive again", PATIENCE, async || {
        (get(admin, "/healthz").await.0 == 200).then_some(())
    })
    .await;
    stop.cancel();
    runtime.spawn(services.finished()).await.unwrap().unwrap();
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_stopping_process_is_not_ready_and_listens_for_the_configured_delay() {
    let database = Database::create().await.with("SHUTDOWN_DELAY_SECONDS", "3");
    let (mut process, receiver) = Process::receiver("serve", &database.settings).await;
    let admin = process.addr("admin listens").await;
    for addr in [receiver, admin] {
        assert_eq!(get(addr, "/readyz").await.0, 200);
    }
    process.signal(Signal::TERM);
    for addr in [receiver, admin] {
        eventually(
            "the process is not ready",
            Duration::from_secs(2),
            async || {
                let ready = get(addr, "/readyz").await;
                (ready == (503, "the process is stopping\n".to_owned())).then_some(())
            },
        )
        .await;
        assert_eq!(get(addr, "/healthz").await.0, 200);
    }
    // Some load balancers have not checked readiness yet.
    let twilio = database.settings.twilio(receiver);
    let delivery = twilio.deliver(&text(NUMBER, "Hello")).await.unwrap();
    assert_eq!(delivery.status, 200);
    let status = process.ended(PATIENCE).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn metrics_count_outcomes_and_contain_no_personal_data() {
    let database = Database::create().await;
    let (process, receiver) = Process::receiver("serve", &database.settings).await;
    let admin = process.addr("admin listens").await;
    let twilio = database.settings.twilio(receiver);
    for from in [NUMBER, UNLINKED_NUMBER] {
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
    for number in [NUMBER, UNLINKED_NUMBER] {
        assert!(!metrics.contains(&number[2..]), "{metrics}");
    }
    // The public listener must not serve metrics.
    assert_eq!(get(receiver, "/metrics").await.0, 404);
}
