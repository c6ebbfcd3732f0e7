//! A database with our migrations, a keyring, and shorthands.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use embedded_postgres::testing::TestDatabase;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Row};
use store::{E164, Keyring, users};
use uuid::Uuid;

/// The key the app's rows in the fixtures are sealed under.
pub(crate) const APP_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub(crate) const NEW_KEY: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f";

pub(crate) const APP: &str = include_str!("../fixtures/app.sql");
pub(crate) const APP_STATUS: &str = include_str!("../fixtures/app_status.sql");

/// A connection to a test's own database.
pub(crate) struct Db {
    conn: PoolConnection<Postgres>,
    pub(crate) pool: PgPool,
    database: TestDatabase,
}

impl Db {
    pub(crate) async fn migrated() -> Self {
        Self::on(TestDatabase::migrated(store::migrate).await).await
    }

    pub(crate) async fn empty() -> Self {
        Self::on(TestDatabase::empty().await).await
    }

    /// The app's tables and rows, and not yet ours.
    pub(crate) async fn app(parts: &[&'static str]) -> Self {
        let mut db = Self::empty().await;
        for part in parts {
            db.run(part).await;
        }
        db
    }

    async fn on(database: TestDatabase) -> Self {
        let pool = database.pool().await;
        let conn = pool.acquire().await.unwrap();
        Self {
            conn,
            pool,
            database,
        }
    }

    /// Connections for many tasks at once.
    pub(crate) async fn crowd(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(40)
            .connect(&self.database.url())
            .await
            .unwrap()
    }

    /// Waits until somebody waits for a lock in this database; fails if nobody does.
    pub(crate) async fn until_somebody_waits(&mut self) {
        let started = Instant::now();
        let waiting = "select count(*)::text from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        while self.text(waiting).await == "0" {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "nobody waits for a lock"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn user(&mut self) -> Uuid {
        let id = Uuid::new_v4();
        users::ensure(self, id).await.unwrap();
        id
    }

    pub(crate) async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut *self.conn)
            .await
            .unwrap();
    }

    /// The only column of the only row.
    pub(crate) async fn text(&mut self, sql: &str) -> String {
        let row = sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_one(&mut *self.conn)
            .await
            .unwrap();
        row.try_get_unchecked(0).unwrap()
    }

    /// Every row of a table, in clear, as one text.
    pub(crate) async fn dump(&mut self, table: &str) -> String {
        self.text(&format!(
            "select coalesce(json_agg(t order by t::text)::text, '') from {table} t"
        ))
        .await
    }
}

impl Deref for Db {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for Db {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

pub(crate) fn keyring() -> Keyring {
    Keyring::parse(APP_KEY, "").unwrap()
}

pub(crate) fn rotated() -> Keyring {
    Keyring::parse(NEW_KEY, APP_KEY).unwrap()
}

pub(crate) fn number(text: &str) -> E164 {
    E164::parse(text).unwrap()
}

/// A user of the app's rows in the fixtures.
pub(crate) fn app_user(n: u128) -> Uuid {
    Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 + n)
}
