//! Each test follows a runbook: it plants a fault, waits for the alert, runs the runbook's
//! commands, and waits until the alert resolves.

use std::fs;

use sqlx::{Connection, PgConnection};
use twilio_simulator::{Behaviour, SendAnswer};
use url::Url;

use super::{
    alert_harness::AlertHarness, crowd::ConnectionCrowd, prometheus, small_disk::SmallDisk,
};
use crate::wait::{PATIENCE, eventually};

/// A number of the US for each n.
fn number(n: usize) -> String {
    format!("+1212{:03}{:04}", 200 + n % 700, 1000 + n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_paused_kind_wait_until_the_kind_is_resumed() {
    if !prometheus::is_there() {
        return;
    }
    let harness = AlertHarness::open(|database| database).await;
    harness
        .operator(&["jobs", "pause", "process_message", "--reason", "to try it"])
        .await;
    assert_eq!(harness.deliver().await, 200);
    harness.wait_until_firing("PigeonholeKindPaused").await;
    harness.wait_until_firing("PigeonholeOldestWaiting").await;

    let stats = harness.operator(&["jobs", "stats"]).await;
    assert!(stats.contains("to try it"), "{stats}");
    harness
        .operator(&["jobs", "resume", "process_message"])
        .await;
    harness.wait_until_resolved("PigeonholeKindPaused").await;
    harness.wait_until_resolved("PigeonholeOldestWaiting").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_found_and_requeued() {
    if !prometheus::is_there() {
        return;
    }
    let harness = AlertHarness::open(|database| database).await;
    harness
        .operator(&["jobs", "pause", "process_message"])
        .await;
    assert_eq!(harness.deliver().await, 200);
    let id: i64 = sqlx::query_scalar("select id from queue.jobs where kind = 'process_message'")
        .fetch_one(&harness.database.pool)
        .await
        .unwrap();
    harness
        .operator(&["jobs", "discard", &id.to_string()])
        .await;
    harness
        .operator(&["jobs", "resume", "process_message"])
        .await;
    harness.wait_until_firing("PigeonholeDeadLetters").await;

    let dead = harness.operator(&["jobs", "list", "--state", "dead"]).await;
    assert!(dead.contains(&id.to_string()), "{dead}");
    harness.operator(&["jobs", "show", &id.to_string()]).await;
    harness
        .operator(&["jobs", "requeue", &id.to_string()])
        .await;
    harness.wait_until_resolved("PigeonholeDeadLetters").await;
    harness.database.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_fires_for_a_dead_worker_until_another_is_started() {
    if !prometheus::is_there() {
        return;
    }
    let mut harness = AlertHarness::open(|database| database).await;
    harness.worker.take().unwrap().kill();
    harness.wait_until_firing("PigeonholeProcessDown").await;
    harness.wait_until_firing("PigeonholeWorkerGone").await;
    harness.operator(&["jobs", "workers"]).await;

    harness.start_worker(|settings| settings).await;
    harness.wait_until_resolved("PigeonholeProcessDown").await;
    harness.wait_until_resolved("PigeonholeWorkerGone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receiver_fails_until_the_database_is_back() {
    if !prometheus::is_there() {
        return;
    }
    let mut harness = AlertHarness::open(|database| database).await;
    tokio::task::block_in_place(|| harness.server.stop_immediate()).unwrap();
    eventually("the alert fires", 2 * PATIENCE, async || {
        assert_eq!(harness.deliver().await, 503);
        let firing = harness.is_firing("PigeonholeReceiverFailing").await;
        firing.then_some(())
    })
    .await;

    tokio::task::block_in_place(|| harness.server.start_again()).unwrap();
    eventually("webhooks are accepted again", PATIENCE, async || {
        (harness.deliver().await == 200).then_some(())
    })
    .await;
    harness
        .wait_until_resolved("PigeonholeReceiverFailing")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_public_url_loses_texts_until_it_is_corrected() {
    if !prometheus::is_there() {
        return;
    }
    let mut harness = AlertHarness::open(|database| database).await;
    harness
        .start_receiver(|settings| settings.with("PUBLIC_BASE_URL", "http://sms.example.com"))
        .await;
    eventually("the alert fires", 2 * PATIENCE, async || {
        assert_eq!(harness.deliver().await, 403);
        harness
            .is_firing("PigeonholeSignatureFailures")
            .await
            .then_some(())
    })
    .await;
    let log = harness.receiver.as_ref().unwrap().log();
    assert!(log.contains("likely_cause"), "{log}");

    harness.start_receiver(|settings| settings).await;
    assert_eq!(harness.deliver().await, 200);
    harness
        .wait_until_resolved("PigeonholeSignatureFailures")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_refused_by_twilio_pauses_sending_until_it_is_fixed() {
    if !prometheus::is_there() {
        return;
    }
    let harness = AlertHarness::open(|database| database).await;
    harness.api.behave(&number(0), SendAnswer::BadCredentials);
    assert_eq!(harness.ask_for_code(&number(0)).await, 201);
    harness.wait_until_firing("PigeonholeTwilioRefusesUs").await;
    harness.wait_until_firing("PigeonholeKindPaused").await;

    let stats = harness.operator(&["jobs", "stats"]).await;
    assert!(stats.contains("Twilio refuses our account"), "{stats}");
    harness.api.behave(&number(0), Behaviour::default());
    harness
        .operator(&["jobs", "resume", "send_verification"])
        .await;
    harness.wait_until_resolved("PigeonholeKindPaused").await;
    harness
        .wait_until_resolved("PigeonholeTwilioRefusesUs")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unused_codes_exhaust_the_budget_until_it_is_raised_or_the_country_is_closed() {
    if !prometheus::is_there() {
        return;
    }
    let mut harness =
        AlertHarness::open(|database| database.with("VERIFICATION_DAILY_BUDGET", "45")).await;
    for n in 0..40 {
        assert_eq!(harness.ask_for_code(&number(n)).await, 201);
    }
    harness
        .wait_until_firing("PigeonholeVerificationBudget")
        .await;
    harness
        .wait_until_firing("PigeonholeVerificationConversion")
        .await;

    harness
        .start_receiver(|settings| settings.with("VERIFICATION_COUNTRIES", "CA"))
        .await;
    assert_eq!(harness.ask_for_code(&number(50)).await, 400);
    harness
        .wait_until_resolved("PigeonholeVerificationConversion")
        .await;
    harness
        .start_worker(|settings| settings.with("VERIFICATION_DAILY_BUDGET", "1000"))
        .await;
    harness
        .wait_until_resolved("PigeonholeVerificationBudget")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_open_transaction_is_found_and_ended() {
    if !prometheus::is_there() {
        return;
    }
    let harness = AlertHarness::open(|database| database).await;
    let mut theirs = PgConnection::connect(harness.database.settings.get("DATABASE_URL"))
        .await
        .unwrap();
    sqlx::raw_sql("begin isolation level repeatable read; select count(*) from users")
        .execute(&mut theirs)
        .await
        .unwrap();
    harness.wait_until_firing("PigeonholeSnapshotHeld").await;

    // As the runbook says.
    harness.end_session(
        "select pid from pg_stat_activity where backend_xmin is not null or backend_xid is not null
         order by xact_start limit 1",
    )
    .await;
    harness.wait_until_resolved("PigeonholeSnapshotHeld").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_sheds_webhooks_while_commits_wait_for_a_lock_until_its_holder_is_ended() {
    if !prometheus::is_there() || !ConnectionCrowd::is_allowed() {
        return;
    }
    let harness = AlertHarness::open(|database| database).await;
    let mut migration = PgConnection::connect(harness.database.settings.get("DATABASE_URL"))
        .await
        .unwrap();
    sqlx::raw_sql("begin; lock table pigeonhole.inbound_messages in access exclusive mode")
        .execute(&mut migration)
        .await
        .unwrap();
    let crowd = ConnectionCrowd::connect(&harness.database.settings).await;
    harness.wait_until_firing("PigeonholeReceiverSheds").await;

    // As the runbook says.
    harness
        .end_session(
            "select pid from pg_stat_activity
         where pid in (select unnest(pg_blocking_pids(pid)) from pg_stat_activity)
             and cardinality(pg_blocking_pids(pid)) = 0",
        )
        .await;
    drop(crowd);
    harness.wait_until_resolved("PigeonholeReceiverSheds").await;
    assert_eq!(harness.deliver().await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_wait_while_the_disk_is_full_until_there_is_room() {
    if !prometheus::is_there() {
        return;
    }
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let store = Url::from_file_path(disk.path().join("media")).unwrap();
    let harness = AlertHarness::open(|database| database.with("MEDIA_STORE", store)).await;
    let backup = disk.fill();
    harness.wait_until_firing("PigeonholeDiskFilling").await;
    let sid = harness.deliver_file().await;
    eventually("the job waits at no cost", PATIENCE, async || {
        let waits = "select claim > 0 and attempts = 0 and locked_by is null from queue.jobs
            where kind = 'process_message'";
        let waits: Option<bool> = sqlx::query_scalar(waits)
            .fetch_optional(&harness.database.pool)
            .await
            .unwrap();
        (waits == Some(true)).then_some(())
    })
    .await;

    fs::remove_file(backup).unwrap();
    harness.wait_until_resolved("PigeonholeDiskFilling").await;
    let ended = harness.database.wait_until_ended_within(&sid, 2 * PATIENCE);
    assert_eq!(ended.await, "processed");
}
