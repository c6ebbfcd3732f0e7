//! A connection reaches a server that lags behind the primary. What is read there ends no job and
//! deletes nothing: the statement that does so runs on the primary only, and confirms it.

use std::{sync::Arc, time::Duration};

use embedded_postgres::{PostgresServer, PostgresSettings};
use jobs::ReconcileDeadMessages;
use pigeonhole::{
    config::{Reader, WorkerConfig},
    services::Role,
    worker,
};
use queue::{
    admin,
    testing::{JobOutcome, TestQueue},
};
use sqlx::{AssertSqlSafe, PgPool, raw_sql};
use store::{
    E164, media,
    sends::{self, NewVerification},
};

use crate::{
    app::{TestApp, test_queue},
    database::Database,
    wait::{PATIENCE, eventually},
};

/// A primary, and a standby that replays nothing.
struct LaggingStandby {
    database: Database,
    /// Connections to the standby.
    behind: PgPool,
    standby: PostgresServer,
    _primary: PostgresServer,
}

impl LaggingStandby {
    async fn start() -> Self {
        let settings = PostgresServer::with_standbys(PostgresSettings::default());
        let primary = PostgresServer::start_temporary(settings).unwrap();
        let database = Database::create_on(&primary).await;
        let standby = primary.start_standby().await.unwrap();
        let behind = PgPool::connect(&standby.url("pigeonhole")).await.unwrap();
        raw_sql("select pg_wal_replay_pause()")
            .execute(&behind)
            .await
            .unwrap();
        Self {
            database,
            behind,
            standby,
            _primary: primary,
        }
    }

    /// A queue that claims jobs and writes outcomes on the primary, while the jobs themselves have
    /// connections to the standby.
    fn queue(&self) -> TestQueue {
        let config = Reader::read(&self.database.settings.env(), WorkerConfig::read).unwrap();
        let keyring = Arc::new(self.database.settings.keyring());
        let runner = worker::runner(&config, self.behind.clone().into(), keyring, Duration::ZERO);
        TestQueue::of(runner.unwrap()).claiming_on(self.database.pool.clone())
    }
}

fn assert_snoozed(outcome: &JobOutcome) {
    assert!(matches!(outcome, JobOutcome::Snoozed { .. }), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_standby_does_not_have_yet_is_not_discarded() {
    let lagging = LaggingStandby::start().await;
    let app = TestApp::on(lagging.database.clone(), Role::Receiver).await;
    let sid = app.deliver("Met Ana #once").await;
    let queue = lagging.queue();
    for _ in 0..3 {
        assert_snoozed(&queue.run_one().await.unwrap().outcome);
        queue.advance(Duration::from_mins(1)).await;
    }
    let rows = app.rows().await;
    assert_eq!((rows.jobs, rows.dead), (1, 0));
    let ran = test_queue(&app).run_one().await.unwrap();
    assert_eq!((ran.attempt, ran.outcome), (1, JobOutcome::Completed));
    assert_eq!(app.values(&sid).await, ["Met Ana #once", "once"]);
    drop(lagging.standby);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_a_standby_does_not_have_yet_keeps_its_job() {
    let lagging = LaggingStandby::start().await;
    let database = &lagging.database;
    let new = NewVerification {
        user_id: database.user,
        to: E164::parse("+12025550143").unwrap(),
        body: "Your code is 123456.".to_owned(),
        life: Duration::from_mins(10),
        trace: None,
    };
    let keyring = database.settings.keyring();
    let mut conn = database.pool.acquire().await.unwrap();
    let send = sends::enqueue_verification(&mut conn, &keyring, &new)
        .await
        .unwrap();
    assert_snoozed(&lagging.queue().run_one().await.unwrap().outcome);
    let send = sends::load(&mut conn, &keyring, send).await.unwrap();
    assert_eq!(send.unwrap().state, sends::SendState::Pending);
    assert_eq!(database.rows().await.jobs, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_whose_row_a_standby_does_not_have_yet_is_no_orphan() {
    let lagging = LaggingStandby::start().await;
    let mut behind = lagging.behind.acquire().await.unwrap();
    let error = media::cleanup::unknown(&mut behind, &["an object".to_owned()])
        .await
        .unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    let mut conn = lagging.database.pool.acquire().await.unwrap();
    let orphans = media::cleanup::unknown(&mut conn, &["an object".to_owned()]).await;
    assert_eq!(orphans.unwrap(), ["an object"]);
}

/// Has a function that reads return something else from now on: the text of its body changes.
async fn falsify(database: &Database, function: &str, from: &str, to: &str) {
    for sql in texts(function) {
        let false_sql = sql.replacen(from, to, 1);
        assert_ne!(false_sql, sql, "{function}");
        apply(database, false_sql).await;
    }
}

async fn correct(database: &Database, function: &str) {
    for sql in texts(function) {
        apply(database, sql).await;
    }
}

/// The texts of all versions of a function.
fn texts(function: &str) -> Vec<String> {
    let texts: Vec<String> = store::functions()
        .into_iter()
        .filter(|known| known.name.starts_with(function))
        .map(|known| known.sql.into_owned())
        .collect();
    assert!(!texts.is_empty(), "{function}");
    texts
}

async fn apply(database: &Database, sql: String) {
    raw_sql(AssertSqlSafe(sql))
        .execute(&database.pool)
        .await
        .unwrap();
}

const OPEN: &str = "pigeonhole.open_messages_v3";
const USERS: &str = "pigeonhole.users_by_number";

/// A function, and what its text is changed from and to.
type Change = (&'static str, &'static str, &'static str);

/// The same at the level of one statement: the read says one thing, the primary another.
#[tokio::test]
async fn no_false_reading_ends_a_message_or_its_job() {
    let no_message: &[Change] = &[(OPEN, "begin\n", "begin\n    return;\n")];
    let ended: &[Change] = &[(OPEN, " state, sealed", " 'processed'::text, sealed")];
    let no_user: &[Change] = &[
        (OPEN, "and numbers.verified", "and not numbers.verified"),
        (USERS, "begin\n", "begin\n    return;\n"),
    ];
    for changes in [no_message, ended, no_user] {
        let app = TestApp::start().await;
        let queue = test_queue(&app);
        for body in ["Met Ana #once", "STOP"] {
            let sid = app.deliver(body).await;
            for (function, from, to) in changes {
                falsify(&app, function, from, to).await;
            }
            assert_snoozed(&queue.run_one().await.unwrap().outcome);
            assert_eq!(app.state(&sid).await.unwrap(), "received", "{changes:?}");
            assert_eq!(app.rows().await.jobs, 1, "{changes:?}");
            for (function, ..) in changes {
                correct(&app, function).await;
            }
            queue.advance(Duration::from_mins(1)).await;
            let ran = queue.run_one().await.unwrap();
            assert_eq!((ran.attempt, ran.outcome), (1, JobOutcome::Completed));
        }
        assert_eq!(app.rows().await.items, 2, "{changes:?}");
        let owner: Option<uuid::Uuid> = sqlx::query_scalar(
            "select user_id from pigeonhole.inbound_messages where state = 'keyword_stop'",
        )
        .fetch_one(&app.pool)
        .await
        .unwrap();
        assert_eq!(owner, Some(app.user), "{changes:?}");
    }
}

#[tokio::test]
async fn the_job_of_a_message_that_is_really_not_there_is_a_dead_letter() {
    let app = TestApp::start().await;
    app.leaves.dead("process_message", 1);
    app.deliver("Hello").await;
    apply(&app, "delete from pigeonhole.inbound_messages".to_owned()).await;
    let ran = test_queue(&app).run_one().await.unwrap();
    let JobOutcome::DeadLetter { reason, error } = ran.outcome else {
        panic!("{ran:?}");
    };
    assert_eq!(reason, "discarded");
    assert!(error.starts_with("there is no message"), "{error}");
    let stored: String = sqlx::query_scalar("select last_error from queue.dead_jobs")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(stored, error);
    let rows = app.rows().await;
    assert_eq!((rows.jobs, rows.dead), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_dead_letter_is_requeued_meanwhile_does_not_fail() {
    let app = TestApp::start().await;
    let sid = app.deliver("Hello").await;
    let mut conn = app.pool.acquire().await.unwrap();
    let job: i64 = sqlx::query_scalar("select id from queue.jobs")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    admin::discard(&mut conn, &[job], true).await.unwrap();
    // The dead letter is still visible, although it is about to go.
    let mut requeue = app.pool.begin().await.unwrap();
    admin::requeue(&mut requeue, &[job]).await.unwrap();
    queue::enqueue(&mut conn, &ReconcileDeadMessages {})
        .await
        .unwrap();
    let queue = test_queue(&app);
    let reconciling = tokio::spawn(async move { queue.run_one().await.unwrap().outcome });
    eventually("it waits for the dead letter", PATIENCE, async || {
        let waits = "select exists (select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock')";
        let waits: bool = sqlx::query_scalar(waits)
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        waits.then_some(())
    })
    .await;
    requeue.commit().await.unwrap();
    assert_eq!(reconciling.await.unwrap(), JobOutcome::Completed);
    assert_eq!(app.state(&sid).await.unwrap(), "received");
    assert_eq!(app.run_until_ended(&sid).await, "processed");
}
