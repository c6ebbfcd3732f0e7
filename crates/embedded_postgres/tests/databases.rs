//! Each test has its own database.
#![expect(clippy::unwrap_used, reason = "tests may, and so may what they share")]

use embedded_postgres::testing::TestDatabase;
use sqlx::migrate::Migrator;

static MIGRATOR: Migrator = sqlx::migrate!("tests/migrations");

async fn write_and_count() -> i64 {
    let database = TestDatabase::create(&MIGRATOR).await;
    let pool = database.pool().await;
    sqlx::raw_sql("insert into notes values ('hello')")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query_scalar("select count(*) from notes")
        .fetch_one(&pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_test_has_its_own_migrated_database() {
    assert_eq!(write_and_count().await, 1);
}

#[tokio::test]
async fn a_test_on_another_runtime_has_its_own_database_too() {
    assert_eq!(write_and_count().await, 1);
}

#[tokio::test]
async fn many_tests_at_once_have_their_own_databases() {
    let many = (0..20).map(|_| tokio::spawn(write_and_count()));
    for one in many.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), 1);
    }
}

#[tokio::test]
async fn an_empty_database_has_no_tables() {
    let pool = TestDatabase::empty().await.pool().await;
    let tables: i64 =
        sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(tables, 0);
}
