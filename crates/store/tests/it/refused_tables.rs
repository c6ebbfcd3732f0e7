//! Tables of the app's that are too different to work with.

use std::error::Error;

use store::{StoreError, is_current, migrate};

use crate::support::{APP, Db};

#[tokio::test]
async fn a_table_that_we_cannot_work_with_is_refused_by_name_and_left_alone() {
    let cases = [
        (
            "alter table enrichment_items drop column field_name",
            "enrichment_items.field_name is missing",
        ),
        (
            "alter table enrichment_items alter column value type varchar(100)",
            "enrichment_items.value is character varying(100)",
        ),
        (
            "alter table enrichment_items alter column voice_note_id set not null",
            "enrichment_items.voice_note_id must be given, and we do not know it",
        ),
        (
            "alter table user_phone_numbers alter column phone_number type varchar(16)",
            "user_phone_numbers.phone_number is character varying(16)",
        ),
        (
            "alter table user_phone_numbers drop constraint user_phone_numbers_phone_number_key",
            "user_phone_numbers.phone_number is not unique",
        ),
    ];
    for (change, problem) in cases {
        let mut db = Db::app(&[APP, "delete from enrichment_items", change]).await;
        let error = migrate(&db.pool).await.expect_err(change);
        assert!(
            matches!(error, StoreError::Migration { version: 1, .. }),
            "{error:?}"
        );
        let source = error.source().unwrap().to_string();
        assert!(source.contains(problem), "{source}");
        assert!(!is_current(&mut db).await.unwrap());
        let status = "select count(*)::text from pg_attribute where attname = 'status'
                      and attrelid = 'enrichment_items'::regclass";
        assert_eq!(db.text(status).await, "0", "{change}");
    }
}

#[tokio::test]
async fn wider_columns_than_ours_are_welcome() {
    let db = Db::app(&[
        APP,
        "alter table user_phone_numbers alter column phone_number type text;
         alter table enrichment_items alter column source type varchar(80), alter column field_name type text",
    ])
    .await;
    migrate(&db.pool).await.unwrap();
}

#[tokio::test]
async fn after_a_failed_migration_the_next_one_is_not_locked_out() {
    let mut db = Db::app(&[
        APP,
        "alter table enrichment_items rename column value to worth",
    ])
    .await;
    migrate(&db.pool).await.unwrap_err();
    db.run("alter table enrichment_items rename column worth to value")
        .await;
    let again = tokio::time::timeout(std::time::Duration::from_secs(20), migrate(&db.pool));
    again.await.expect("no lock was left behind").unwrap();
}
