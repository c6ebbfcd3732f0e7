//! The database of one test, with a user whose number is linked, and queries on its tables.

use std::time::Duration;

use embedded_postgres::{PostgresServer, testing::TestDatabase};
use serde_json::Value;
use sqlx::{PgPool, postgres::PgPoolOptions};
use store::{E164, user_phone_numbers, users};
use tokio_util::sync::CancellationToken;
use twilio_simulator::SimulatedApi;
use uuid::Uuid;

use crate::{
    settings::ProgramSettings,
    wait::{PATIENCE, eventually},
};

/// The number of the test's user.
pub(crate) const NUMBER: &str = "+12025550123";

/// A number that no user has linked.
pub(crate) const UNLINKED_NUMBER: &str = "+12025550199";

/// A migrated database and the settings that name it.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) settings: ProgramSettings,
    pub(crate) pool: PgPool,
    /// The user of [`NUMBER`].
    pub(crate) user: Uuid,
}

/// A row of `enrichment_items`, as the web app reads it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct ItemRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) voice_note_id: Option<Uuid>,
    pub(crate) contact_id: Option<Uuid>,
    pub(crate) item_type: String,
    pub(crate) action: String,
    pub(crate) field_name: Option<String>,
    pub(crate) value: String,
    pub(crate) accepted: bool,
    pub(crate) applied: bool,
    pub(crate) status: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) source_metadata: Value,
}

/// The number of rows in the main tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct RowCounts {
    pub(crate) messages: i64,
    pub(crate) items: i64,
    pub(crate) jobs: i64,
    pub(crate) dead: i64,
}

impl Database {
    /// Creates a database on the server that all tests share.
    pub(crate) async fn create() -> Self {
        let database = TestDatabase::migrated(store::migrate).await;
        Self::on(ProgramSettings::random(&database.url())).await
    }

    /// Creates a database on a server that the test may stop.
    pub(crate) async fn create_on(server: &PostgresServer) -> Self {
        let url = server.ensure_database("pigeonhole").await.unwrap();
        let pool = connect(&url).await;
        store::migrate(&pool).await.unwrap();
        Self::on(ProgramSettings::random(&url)).await
    }

    /// Migrates the database at this URL.
    pub(crate) async fn at(url: &str) -> Self {
        store::migrate(&connect(url).await).await.unwrap();
        Self::on(ProgramSettings::random(url)).await
    }

    /// The same database by another way.
    pub(crate) async fn reached_at(&self, url: &str) -> Self {
        Self {
            pool: connect(url).await,
            ..self.clone()
        }
    }

    async fn on(settings: ProgramSettings) -> Self {
        let database = Self {
            pool: connect(settings.get("DATABASE_URL")).await,
            settings,
            user: Uuid::new_v4(),
        };
        let mut conn = database.pool.acquire().await.unwrap();
        users::ensure(&mut conn, database.user).await.unwrap();
        drop(conn);
        database.link(database.user, NUMBER).await;
        database
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings = self.settings.with(name, value);
        self
    }

    /// Adds a simulated Twilio, which also serves media files. It runs until the test's runtime
    /// ends. The test must connect it to the receiver.
    pub(crate) async fn with_twilio(self) -> (Self, SimulatedApi) {
        let bound = SimulatedApi::bind(([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let database = self
            .with("TWILIO_API_BASE_URL", bound.base_url())
            .with("MEDIA_EXTRA_HOSTS", bound.addr().to_string());
        let account = database.settings.account();
        let api = bound.serve(account, CancellationToken::new()).unwrap();
        (database, api)
    }

    pub(crate) async fn link(&self, user: Uuid, number: &str) {
        let mut conn = self.pool.acquire().await.unwrap();
        let number = E164::parse(number).unwrap();
        user_phone_numbers::link(&mut conn, &self.settings.keyring(), user, &number)
            .await
            .unwrap();
    }

    /// The items of a message, in this order: note, tags, location.
    pub(crate) async fn items(&self, message_sid: &str) -> Vec<ItemRow> {
        let mut items: Vec<ItemRow> = sqlx::query_as(
            "select * from enrichment_items where source_metadata ->> 'message_sid' = $1",
        )
        .bind(message_sid)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let position = |item: &ItemRow| {
            (0..100).find(|at| store::enrichment_items::item_id(message_sid, *at) == item.id)
        };
        items.sort_by_key(position);
        items
    }

    /// The values of [`Self::items`].
    pub(crate) async fn values(&self, message_sid: &str) -> Vec<String> {
        let items = self.items(message_sid).await;
        items.into_iter().map(|item| item.value).collect()
    }

    pub(crate) async fn state(&self, message_sid: &str) -> Option<String> {
        sqlx::query_scalar("select state from pigeonhole.inbound_messages where message_sid = $1")
            .bind(message_sid)
            .fetch_optional(&self.pool)
            .await
            .unwrap()
    }

    /// Waits until the message has ended. Returns its final state.
    pub(crate) async fn wait_until_ended(&self, message_sid: &str) -> String {
        self.wait_until_ended_within(message_sid, PATIENCE).await
    }

    pub(crate) async fn wait_until_ended_within(
        &self,
        message_sid: &str,
        limit: Duration,
    ) -> String {
        eventually("the message ends", limit, async || {
            let state = self
                .state(message_sid)
                .await
                .expect("the message is stored");
            (state != "received").then_some(state)
        })
        .await
    }

    pub(crate) async fn rows(&self) -> RowCounts {
        sqlx::query_as(
            "select (select count(*) from pigeonhole.inbound_messages) as messages,
                    (select count(*) from enrichment_items) as items,
                    (select count(*) from queue.jobs) as jobs,
                    (select count(*) from queue.dead_jobs) as dead",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Waits until the running workers have left no job.
    pub(crate) async fn drain(&self) {
        eventually("all jobs end", PATIENCE, async || {
            (self.rows().await.jobs == 0).then_some(())
        })
        .await;
    }
}

async fn connect(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        .connect(url)
        .await
        .unwrap()
}
