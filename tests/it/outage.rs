//! Postgres crashes under load and recovers: no process needs a restart, and no accepted message is
//! lost.

use std::time::Duration;

use embedded_postgres::{PostgresServer, PostgresSettings};
use pigeonhole::services::Role;

use crate::{
    app::{TestApp, text},
    database::{Database, NUMBER},
    load::MessageLoad,
    process::Process,
    wait::{PATIENCE, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_postgres_under_load_loses_no_accepted_message() {
    let mut server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let database = Database::create_on(&server).await;
    let (mut receiver, addr) = Process::receiver("receiver", &database.settings).await;
    let mut worker = Process::start("worker", &database.settings);
    let twilio = database.settings.twilio(addr);

    let load = MessageLoad::start(&twilio, 4);
    eventually("some messages are accepted", PATIENCE, async || {
        (load.accepted() >= 50).then_some(())
    })
    .await;
    tokio::task::block_in_place(|| server.stop_immediate()).unwrap();
    for _ in 0..3 {
        let delivery = twilio.deliver(&text(NUMBER, "Hello")).await.unwrap();
        assert_eq!(delivery.status, 503);
        assert!(
            delivery.took < Duration::from_secs(2),
            "{:?}",
            delivery.took
        );
    }
    tokio::task::block_in_place(|| server.start_again()).unwrap();
    let before = load.accepted();
    eventually("messages are accepted again", PATIENCE, async || {
        (load.accepted() >= before + 50).then_some(())
    })
    .await;

    let answered = load.finish().await;
    assert!(answered.refused > 0);
    database.assert_nothing_is_lost(&answered.accepted).await;
    assert!(receiver.is_running() && worker.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_recovers_at_once_after_a_crash_cuts_its_connections() {
    let mut server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let app = TestApp::on(Database::create_on(&server).await, Role::Receiver).await;
    for _ in 0..40 {
        app.deliver("Hello").await;
    }
    // With this many concurrent jobs the worker opens as many connections as it may.
    let mut worker = Process::start("worker", &app.settings);
    app.drain().await;
    tokio::task::block_in_place(|| {
        server.stop_immediate().unwrap();
        server.start_again().unwrap();
    });
    let sid = app.deliver("Are you there?").await;
    let state = app
        .wait_until_ended_within(&sid, Duration::from_secs(3))
        .await;
    assert_eq!(state, "processed");
    assert!(worker.is_running());
}

#[tokio::test]
async fn processes_started_without_a_database_wait_for_it() {
    let settings = crate::settings::ProgramSettings::random("postgres://nobody@127.0.0.1:1/none");
    let (mut process, addr) = Process::receiver("serve", &settings).await;
    process.wait_for_line("cannot claim jobs", PATIENCE).await;
    let twilio = settings.twilio(addr);
    let delivery = twilio.deliver(&text(NUMBER, "Hello")).await.unwrap();
    assert_eq!(delivery.status, 503);
    assert!(process.is_running());
}
