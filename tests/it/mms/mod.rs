//! Messages with files, from the webhook to the items: a real receiver and worker, and a simulated
//! Twilio that serves the files.

mod kinds;
mod leaving;
mod models;

use std::path::Path;

use jobs::CleanupMediaFiles;
use tempfile::TempDir;
use twilio_simulator::{InboundText, SimulatedApi};
use url::Url;

use crate::{
    app::{TestApp, text},
    database::{Database, ItemRow, NUMBER},
};

/// A row of `pigeonhole.media`.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct MediaRow {
    position: i16,
    state: String,
    reason: Option<String>,
    content_type: Option<String>,
    bytes: Option<i64>,
    /// Whether its object exists.
    kept: bool,
    deleted_at_twilio: bool,
}

/// The program, its simulated Twilio, and its media folder.
struct MmsHarness {
    app: TestApp,
    api: SimulatedApi,
    folder: TempDir,
}

impl MmsHarness {
    async fn start() -> Self {
        Self::with(|database| database).await
    }

    async fn with(prepare: impl FnOnce(Database) -> Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Url::from_file_path(folder.path().join("media")).unwrap();
        let prepare = |database: Database| prepare(database.with("MEDIA_STORE", store));
        let (app, api) = TestApp::with_twilio(prepare).await;
        Self { app, api, folder }
    }

    /// Delivers a message with these files and waits until it is processed. Returns its SID.
    async fn process(&self, body: &str, media: &[&str]) -> String {
        self.process_text(&mms(body, media)).await
    }

    async fn process_text(&self, text: &InboundText) -> String {
        let sid = self.app.deliver_text(text).await;
        assert_eq!(self.app.run_until_ended(&sid).await, "processed");
        sid
    }

    async fn rows(&self, sid: &str) -> Vec<MediaRow> {
        sqlx::query_as(
            "select position, state, reason, content_type, bytes, object_key is not null as kept,
                 deleted_at_twilio is not null as deleted_at_twilio
             from pigeonhole.media where message_sid = $1 order by position",
        )
        .bind(sid)
        .fetch_all(&self.app.pool)
        .await
        .unwrap()
    }

    /// The state of each file.
    async fn states(&self, sid: &str) -> Vec<String> {
        let rows = self.rows(sid).await.into_iter();
        rows.map(|row| row.reason.unwrap_or(row.state)).collect()
    }

    async fn items(&self, sid: &str) -> Vec<ItemRow> {
        self.app.items(sid).await
    }

    /// The number of objects in the folder.
    fn objects(&self) -> usize {
        count_files(&self.folder.path().join("media"))
    }

    /// Runs the periodic cleanup of media files. This many objects must be left.
    async fn keep_up(&self, objects: usize) {
        let mut conn = self.app.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, &CleanupMediaFiles {})
            .await
            .unwrap();
        self.app.drain().await;
        assert_eq!(self.objects(), objects);
    }
}

fn count_files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { count_files(&path) } else { 1 })
        .sum()
}

fn mms(body: &str, media: &[&str]) -> InboundText {
    InboundText {
        media: media.iter().map(|kind| (*kind).to_owned()).collect(),
        ..text(NUMBER, body)
    }
}

/// The columns of items that depend on the message.
fn names_and_values(items: &[ItemRow]) -> Vec<(Option<&str>, &str)> {
    let names_and_values = items
        .iter()
        .map(|item| (item.field_name.as_deref(), item.value.as_str()));
    names_and_values.collect()
}
