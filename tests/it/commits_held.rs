//! A server whose commits wait for a synchronous standby that is away.

use embedded_postgres::{PostgresServer, PostgresSettings};
use sqlx::{Connection, Executor, PgConnection};

use crate::wait::{PATIENCE, eventually};

/// A server that can lose its synchronous standby: each commit that writes something then waits
/// until the standby is back. What an earlier transaction has written is visible meanwhile.
pub(crate) struct HoldingServer {
    pub(crate) server: PostgresServer,
    admin: PgConnection,
}

impl HoldingServer {
    /// Starts it. Its commits do not wait yet.
    pub(crate) async fn start() -> Self {
        let settings = PostgresServer::with_standbys(PostgresSettings::default());
        let server = PostgresServer::start_temporary(settings).unwrap();
        let admin = PgConnection::connect(&server.url("postgres"))
            .await
            .unwrap();
        Self { server, admin }
    }

    /// Returns once commits wait.
    pub(crate) async fn lose_standby(&mut self) {
        self.configure("alter system set synchronous_standby_names = 'nobody'")
            .await;
        let url = self.server.url("postgres");
        let write = || {
            let url = url.clone();
            tokio::spawn(async move {
                let mut conn = PgConnection::connect(&url).await.unwrap();
                let write = "select pg_logical_emit_message(true, 'test', '')";
                conn.execute(write).await.map(drop)
            })
        };
        let mut writing = write();
        eventually("a commit waits for the standby", PATIENCE, async || {
            // The server reads its settings some time after it was told to.
            if writing.is_finished() {
                writing = write();
            }
            let waits = "select exists (select from pg_stat_activity where wait_event = 'SyncRep')";
            let waits: bool = sqlx::query_scalar(waits)
                .fetch_one(&mut self.admin)
                .await
                .unwrap();
            waits.then_some(())
        })
        .await;
    }

    /// Commits do not wait any more, and those that waited end.
    pub(crate) async fn find_standby(&mut self) {
        self.configure("alter system reset synchronous_standby_names")
            .await;
        eventually("no commit waits for the standby", PATIENCE, async || {
            let waits = "select exists (select from pg_stat_activity where wait_event = 'SyncRep')";
            let waits: bool = sqlx::query_scalar(waits)
                .fetch_one(&mut self.admin)
                .await
                .unwrap();
            (!waits).then_some(())
        })
        .await;
    }

    async fn configure(&mut self, statement: &'static str) {
        self.admin.execute(statement).await.unwrap();
        self.admin.execute("select pg_reload_conf()").await.unwrap();
    }
}
