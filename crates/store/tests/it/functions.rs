//! The functions of a database: applied by their text, while older processes call them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use queue::Fence;
use queue::rate_limit::RateLimit;
use sqlx::{Connection, PgConnection};
use store::enrichment_items::{ItemType, NewItem, Origin, Source, item_id};
use store::inbound_messages::{
    EndOutcome, MessageEnd, MessageItems, MessageSender, MessageState, ReservationRequest,
    finish_all, load_all, reserve_starts, users_by_number,
};
use store::user_phone_numbers::link;
use store::{SqlFunction, apply_functions, functions, is_current, migrate, migration_status};
use uuid::Uuid;

use crate::inbound_messages::{insert, message};
use crate::support::{Db, keyring, number};

/// The settings of every function of ours.
const SETTINGS: &str = "
    select string_agg(format('%s.%s %s', nspname, proname, proconfig), E'\\n' order by nspname, proname)
    from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
    where nspname in ('pigeonhole', 'queue')";

/// The functions with another text: a comment in each body. Their revisions are raised by `by`.
fn changed(by: i32) -> Vec<SqlFunction> {
    let functions = functions().into_iter();
    let change = |function: SqlFunction| SqlFunction {
        revision: function.revision + by,
        sql: function
            .sql
            .replace("\nbegin\n", &format!("\nbegin -- changed {by}\n"))
            .into(),
        ..function
    };
    functions.map(change).collect()
}

#[tokio::test]
async fn a_function_of_another_text_or_an_older_revision_is_outdated_until_migrate_has_run() {
    let mut db = Db::migrated().await;
    let settings = db.text(SETTINGS).await;
    assert!(settings.contains("queue.new_position {enable_seqscan=off,enable_sort=off,jit=off}"));
    for change in [
        "update pigeonhole.applied_functions set sha256 = 'x' where name = 'queue.with_error'",
        "update pigeonhole.applied_functions set revision = 0 where name = 'queue.with_error'",
        "delete from pigeonhole.applied_functions where name = 'queue.with_error'",
    ] {
        db.run(change).await;
        // An older text.
        db.run(
            "create or replace function queue.with_error(errors jsonb, attempt smallint, error text)
             returns jsonb language sql stable as $$ select errors $$",
        )
        .await;
        assert!(!is_current(&mut db).await.unwrap(), "{change}");
        let status = migration_status(&mut db).await.unwrap();
        assert_eq!(status.outdated_functions, ["queue.with_error"], "{change}");
        migrate(&db.pool).await.unwrap();
        assert!(is_current(&mut db).await.unwrap(), "{change}");
        let works = "select jsonb_array_length(queue.with_error(null, 1::smallint, 'x'))::text";
        assert_eq!(db.text(works).await, "1", "{change}");
        assert_eq!(db.text(SETTINGS).await, settings);
    }
}

#[tokio::test]
async fn an_older_program_finds_newer_functions_current_and_leaves_them() {
    let mut db = Db::migrated().await;
    let settings = db.text(SETTINGS).await;
    apply_functions(&mut db, &changed(1)).await.unwrap();
    let newer = "select count(*)::text from pg_proc where prosrc like '%-- changed 1%'";
    let count = db.text(newer).await;
    assert_ne!(count, "0");
    assert_eq!(db.text(SETTINGS).await, settings);
    assert!(is_current(&mut db).await.unwrap());
    migrate(&db.pool).await.unwrap();
    assert_eq!(db.text(newer).await, count);
}

#[tokio::test]
async fn a_function_that_cannot_be_applied_changes_no_other_and_is_named() {
    let mut db = Db::migrated().await;
    let mut functions = changed(1);
    functions[3].sql = "create or replace function nonsense".into();
    let name = functions[3].name.clone();
    let error = apply_functions(&mut db, &functions).await.unwrap_err();
    assert!(error.to_string().contains(&*name), "{error}");
    let newer = "select count(*)::text from pg_proc where prosrc like '%-- changed%'";
    assert_eq!(db.text(newer).await, "0");
    assert!(is_current(&mut db).await.unwrap());
}

/// The life of a message, as receiver and worker call the functions, in one session whose
/// statements are prepared.
async fn life_of_a_message(conn: &mut PgConnection, n: usize, user: Uuid) {
    let sid = format!("SM{n:032}");
    let keyring = keyring();
    assert!(insert(conn, &keyring, &message(&sid)).await);
    let opened = load_all(conn, &keyring, std::slice::from_ref(&sid))
        .await
        .unwrap();
    assert_eq!(opened.users.get(&sid), Some(&user));
    let received_at = opened.messages[0]
        .as_ref()
        .unwrap()
        .as_ref()
        .unwrap()
        .received_at;
    let sender = number("+15555550123");
    let users = users_by_number(conn, &keyring, &[(sender.clone(), received_at)]).await;
    assert_eq!(users.unwrap(), [Some(user)]);
    let limit = RateLimit {
        burst: std::num::NonZeroU32::MIN,
        period: Duration::from_micros(1),
        max_delay: Duration::from_hours(1),
    };
    let request = ReservationRequest {
        message_sid: sid.clone(),
        rate_key: format!("message:{user}"),
        sent_at: None,
    };
    reserve_starts(conn, &limit, &[request], opened.limits)
        .await
        .unwrap();
    let job: i64 = sqlx::query_scalar(
        "update queue.jobs set ready = false, claim = claim + 1,
             errors = queue.with_error(errors, 1::smallint, 'x')
         where args ->> 'message' = $1 returning id",
    )
    .bind(&sid)
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    let end = MessageEnd {
        message_sid: sid.clone(),
        fence: Fence { job, claim: 1 },
        state: MessageState::Processed,
        sender: MessageSender::User(user, sender),
        items: Some(MessageItems {
            extracted_by: "rules".to_owned(),
            origin: Origin {
                user_id: user,
                message_sid: sid.clone(),
                phone_number: "+15555550123".to_owned(),
                original_message: None,
                source: Source::Sms,
            },
            items: vec![NewItem {
                id: item_id(&sid, 0),
                item_type: ItemType::Tag,
                field_name: None,
                value: "tag".to_owned(),
            }],
        }),
        rate_key: None,
        reason: None,
    };
    let ended = finish_all(conn, &keyring, &limit, &[end]).await.unwrap();
    assert_eq!(ended, [EndOutcome::Ended(MessageState::Processed)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_process_goes_on_working_while_all_functions_are_replaced() {
    const REPLACEMENTS: i32 = 20;
    let mut db = Db::migrated().await;
    let user = db.user().await;
    link(&mut db, &keyring(), user, &number("+15555550123"))
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let lives = Arc::new(AtomicU32::new(0));
    let old_process = tokio::spawn({
        let (pool, stop, lives) = (db.pool.clone(), stop.clone(), lives.clone());
        async move {
            let mut conn = pool.acquire().await.unwrap();
            let mut n = 0;
            while !stop.load(Ordering::SeqCst) {
                life_of_a_message(&mut conn, n, user).await;
                n += 1;
                lives.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let options = db.pool.connect_options();
    let mut new_process = PgConnection::connect_with(&options).await.unwrap();
    for by in 1..=REPLACEMENTS {
        // At least one message meets each version of the functions.
        let before = lives.load(Ordering::SeqCst);
        apply_functions(&mut new_process, &changed(by))
            .await
            .unwrap();
        while lives.load(Ordering::SeqCst) < before + 2 && !old_process.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    old_process.await.expect("no call of the old process fails");
    let lives = lives.load(Ordering::SeqCst);
    let ended = "select count(*)::text from pigeonhole.inbound_messages where state = 'processed'";
    assert_eq!(db.text(ended).await, lives.to_string());
    let replaced = format!(
        "select count(*)::text from pg_proc where prosrc like '%-- changed {REPLACEMENTS}%'"
    );
    assert_ne!(db.text(&replaced).await, "0");
}
