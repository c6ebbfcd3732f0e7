//! Gives each test its own database, on one temporary server per test process.
//!
//! Everything here panics on failure, as it serves tests only.
#![expect(
    clippy::expect_used,
    reason = "a test without a database can only fail"
)]

use std::{
    fmt::{Debug, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool, migrate::Migrator, postgres::PgPoolOptions,
};
use tokio::sync::Mutex;

use crate::{server::PostgresServer, settings::PostgresSettings};

/// The server that all tests of this process share. It is never dropped; it stops when the process
/// ends.
pub fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        PostgresServer::start_temporary(PostgresSettings::default())
            .unwrap_or_else(|error| panic!("{error}"))
    })
}

/// The database of one test. It stays after the test and is deleted with the server.
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

    /// A database that this function has migrated. The function runs once for each process, which
    /// must always pass the same one.
    pub async fn migrated<E: Debug>(migrate: impl AsyncFnOnce(&PgPool) -> Result<(), E>) -> Self {
        Self::prepared("migrated by a function", async |pool| {
            migrate(pool).await.expect("the migrations run");
        })
        .await
    }

    /// An empty database.
    pub async fn empty() -> Self {
        Self::prepared("empty", async |_| {}).await
    }

    /// Copies the template of this name. The first call in this process creates the template with
    /// `prepare`.
    pub async fn prepared(template: &str, prepare: impl AsyncFnOnce(&PgPool)) -> Self {
        static TEMPLATES: Mutex<Templates> = Mutex::const_new(Templates { made: Vec::new() });
        static NEXT: AtomicU32 = AtomicU32::new(1);

        // One at a time: Postgres cannot copy a template while a session is connected to it.
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

    /// The database's URL.
    pub fn url(&self) -> String {
        server().url(&self.name)
    }

    /// Returns a new pool on this database. A pool belongs to a runtime, and each test has its own
    /// runtime.
    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(8)
            .connect(&self.url())
            .await
            .expect("a connection to the test's database")
    }
}

/// The names of the templates created so far. The template at index `n` is the database
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
        // An earlier test may have left the database half-made, if its `prepare` panicked.
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
