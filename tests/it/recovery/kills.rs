//! A worker that is killed at any point of a look loses no message and doubles none.

use std::time::Duration;

use pigeonhole::services::Role;
use sqlx::{Connection, PgConnection};
use twilio_simulator::SimulatedApi;

use crate::{
    app::{TestApp, text},
    database::{Database, NUMBER},
    process::Process,
    wait::{PATIENCE, eventually},
};

/// The key of the advisory lock that holds a look up.
const HELD: i64 = 4_711;

/// After the last commit of messages and before the watermark moves.
const BEFORE_WATERMARK: &str = "
    create function hold_up() returns trigger language plpgsql as $$
    begin
        perform pg_advisory_xact_lock(4711);
        return null;
    end $$;
    create trigger hold_up after update on pigeonhole.recovery_watermarks for each row
        when (old.looked_until <> new.looked_until) execute function hold_up();";

/// In the second commit of messages.
const WITHIN_COMMITS: &str = "
    create function hold_up() returns trigger language plpgsql as $$
    begin
        if (select count(*) > 200 from pigeonhole.inbound_messages) then
            perform pg_advisory_xact_lock(4711);
        end if;
        return null;
    end $$;
    create trigger hold_up after insert on pigeonhole.inbound_messages for each statement
        execute function hold_up();";

const TEXTS: u64 = 450;

/// A receiver whose texts were lost, and no worker.
async fn lost_texts() -> (TestApp, SimulatedApi) {
    let database = Database::create().await.with("JOB_LEASE_SECONDS", "2");
    let (database, api) = database.with_twilio().await;
    let app = TestApp::on(database.with("RECOVERY", "on"), Role::Receiver).await;
    app.leaves.any_live("recover_messages");
    let mut worker = Process::start("worker", &app.settings);
    eventually("the number has a watermark", PATIENCE, async || {
        let marks: i64 = sqlx::query_scalar(
            "with aged as (
                 update pigeonhole.recovery_watermarks
                 set since = since - interval '1 hour', looked_until = looked_until - interval '1 hour'
                 returning 1),
             linked as (
                 update user_phone_numbers set created_at = created_at - interval '1 hour')
             select count(*) from aged",
        )
        .fetch_one(&app.pool)
        .await
        .unwrap();
        (marks == 1).then_some(())
    })
    .await;
    app.drain().await;
    assert!(worker.is_running());
    worker.kill();
    let mut conn = app.pool.acquire().await.unwrap();
    let now = store::now(&mut conn).await.unwrap();
    for n in 0..TEXTS {
        let at = now - Duration::from_secs(60 + n);
        api.take_lost(&text(NUMBER, &format!("Met Ana {n}")), at);
    }
    (app, api)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_within_a_look_loses_and_doubles_nothing() {
    for (hold_up, stored) in [(BEFORE_WATERMARK, 450), (WITHIN_COMMITS, 200)] {
        let (app, _api) = lost_texts().await;
        sqlx::raw_sql(hold_up).execute(&app.pool).await.unwrap();
        let mut held = PgConnection::connect(app.settings.get("DATABASE_URL"))
            .await
            .unwrap();
        sqlx::query("select pg_advisory_lock($1)")
            .bind(HELD)
            .execute(&mut held)
            .await
            .unwrap();
        let worker = Process::start("worker", &app.settings);
        eventually("the look is held up", PATIENCE, async || {
            let waiting: i64 = sqlx::query_scalar(
                "select count(*) from pg_locks where locktype = 'advisory' and not granted
                     and database = (select oid from pg_database where datname = current_database())",
            )
            .fetch_one(&app.pool)
            .await
            .unwrap();
            (waiting > 0).then_some(())
        })
        .await;
        assert_eq!(app.rows().await.messages, stored);
        worker.kill();
        held.close().await.unwrap();
        let _worker = Process::start("worker", &app.settings);
        eventually("all texts have their effect", 2 * PATIENCE, async || {
            let rows = app.rows().await;
            (rows.messages == 450 && rows.items == 450).then_some(())
        })
        .await;
        let jobs = "select count(*) from queue.jobs where kind = 'process_message'";
        eventually("no job is left", PATIENCE, async || {
            let left: i64 = sqlx::query_scalar(jobs).fetch_one(&app.pool).await.unwrap();
            (left == 0).then_some(())
        })
        .await;
        assert_eq!(app.rows().await.items, 450);
        assert_eq!(app.rows().await.dead, 0);
    }
}
