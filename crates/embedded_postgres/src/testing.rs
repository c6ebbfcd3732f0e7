//! A database of its own for each test, on one throw-away server for each test process.
//!
//! Everything here panics on failure: it is for tests, which have nothing better to do.
#![expect(
    clippy::expect_used,
    reason = "a test that has no database can only fail"
)]

use std::{
    fmt::Write,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool, migrate::Migrator, postgres::PgPoolOptions,
};
use tokio::sync::Mutex;

use crate::{PostgresServer, PostgresSettings};

/// The server all tests of this process share. Nobody drops it: it ends with the process.
pub fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        PostgresServer::start_temporary(PostgresSettings::default())
            .unwrap_or_else(|error| panic!("{error}"))
    })
}

/// A database of one test. It may stay when the test ends, as the server is thrown away.
pub struct TestDatabase {
    name: String,
}

impl TestDatabase {
    /// A database with these migrations applied. They run once for each process.
    pub async fn create(migrator: &Migrator) -> Self {
        let mut template = String::from("migrated");
        for migration in migrator.iter() {
            write!(template, " {} ", migration.version).expect("strings take everything");
            for byte in &*migration.checksum {
                write!(template, "{byte:02x}").expect("strings take everything");
            }
        }
        Self::prepared(&template, async |pool| {
            migrator.run(pool).await.expect("the migrations run");
        })
        .await
    }

    /// An empty database.
    pub async fn empty() -> Self {
        Self::prepared("empty", async |_| {}).await
    }

    /// A copy of the template of this name, which `prepare` fills the first time this process asks
    /// for it.
    pub async fn prepared(template: &str, prepare: impl AsyncFnOnce(&PgPool)) -> Self {
        static TEMPLATES: Mutex<Templates> = Mutex::const_new(Templates { made: Vec::new() });
        static NEXT: AtomicU32 = AtomicU32::new(1);

        // One at a time: a template cannot be copied while anybody is connected to it.
        let mut templates = TEMPLATES.lock().await;
        let mut conn = PgConnection::connect(&server().url("postgres"))
            .await
            .expect("a connection");
        let source = templates.find_or_make(&mut conn, template, prepare).await;
        let name = format!("t_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        run(
            &mut conn,
            format!("create database {name} template {source}"),
        )
        .await;
        conn.close().await.expect("the connection closes");
        Self { name }
    }

    /// The database's address.
    pub fn url(&self) -> String {
        server().url(&self.name)
    }

    /// A new pool on this database. Pools belong to a runtime, and each test has its own.
    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(8)
            .connect(&self.url())
            .await
            .expect("a connection to the test's database")
    }
}

/// The templates made so far, by the name the tests gave them: template `n` is the database
/// `template_n`.
struct Templates {
    made: Vec<String>,
}

impl Templates {
    async fn find_or_make(
        &mut self,
        conn: &mut PgConnection,
        template: &str,
        prepare: impl AsyncFnOnce(&PgPool),
    ) -> String {
        if let Some(n) = self.made.iter().position(|made| made == template) {
            return format!("template_{n}");
        }
        let name = format!("template_{}", self.made.len());
        // What an earlier test left unfinished when its `prepare` panicked.
        run(conn, format!("drop database if exists {name} with (force)")).await;
        run(conn, format!("create database {name}")).await;
        let pool = PgPool::connect(&server().url(&name))
            .await
            .expect("a connection");
        prepare(&pool).await;
        pool.close().await;
        run(
            conn,
            format!("alter database {name} with is_template true allow_connections false"),
        )
        .await;
        self.made.push(template.to_owned());
        name
    }
}

async fn run(conn: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(conn)
        .await
        .expect("the statement runs");
}
