//! `messages`: what became of them, step by step, and running them again. Nothing here shows who sent a message or what
//! it says.

mod args;
mod replay;
pub(crate) mod report;

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use store::{
    StoreError, enrichment_items,
    inbound_messages::ledger::{self, Entry, Filter},
    media::{self, Media},
};
use tokio::time::timeout;
use twilio::MessageSid;

use super::output::Output;
use crate::{
    config::{DatabaseConfig, Env, LogConfig, Reader},
    telemetry,
};
use args::{ListArgs, ReplayArgs};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List messages, the newest first: when each came in, how it ended, and what became of the reply.
    List(ListArgs),
    /// Show what became of a message, step by step, with the times.
    Show {
        /// Twilio's id of the message: SM or MM and 32 hexadecimal digits.
        sid: MessageSid,
        #[command(flatten)]
        output: Output,
    },
    /// Run messages again through today's rules.
    ///
    /// Items that nobody has accepted, rejected or applied give way to what is found now, in one transaction a message;
    /// all others stay as they are. Nobody gets a reply.
    Replay(ReplayArgs),
}

/// A message, and when that was so.
#[derive(Serialize)]
pub(crate) struct Shown {
    pub(crate) at: chrono::DateTime<chrono::Utc>,
    #[serde(flatten)]
    message: Entry,
    media: Vec<File>,
    review: Option<Review>,
}

/// A file that came with it.
#[derive(Debug, Serialize)]
struct File {
    position: u8,
    /// How far it has come, or why it is not kept.
    state: &'static str,
    content_type: Option<String>,
    bytes: Option<u64>,
    begun_at: chrono::DateTime<chrono::Utc>,
    stored_at: Option<chrono::DateTime<chrono::Utc>>,
    erased_at: Option<chrono::DateTime<chrono::Utc>>,
    deleted_at_twilio: Option<chrono::DateTime<chrono::Utc>>,
}

impl From<Media> for File {
    fn from(media: Media) -> Self {
        Self {
            position: media.position,
            state: media.state.label(),
            content_type: media.content_type,
            bytes: media.bytes,
            begun_at: media.created_at,
            stored_at: media.stored_at,
            erased_at: media.erased_at,
            deleted_at_twilio: media.deleted_at_twilio,
        }
    }
}

/// What its user has done with the items.
#[derive(Debug, Default, Serialize)]
struct Review {
    pending: usize,
    accepted: usize,
    rejected: usize,
}

/// Messages, and when that was so.
#[derive(Serialize)]
struct Listed {
    at: chrono::DateTime<chrono::Utc>,
    messages: Vec<Entry>,
}

pub(super) async fn run(env: &Env, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list(&mut connect(env).await?, args).await,
        Command::Show { sid, output } => show(&mut connect(env).await?, &sid, output).await,
        Command::Replay(args) => replay::run(env, args).await,
    }
}

/// A connection whose statements cannot take long.
async fn connect(env: &Env) -> anyhow::Result<PgConnection> {
    let (log, database) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        Some((log?, database?))
    })?;
    telemetry::init_logs(&log)?;
    let options = bounded(database.options);
    let connecting = PgConnection::connect_with(&options);
    timeout(queue::admin::STATEMENT_TIMEOUT, connecting)
        .await
        .map_err(anyhow::Error::from)
        .and_then(|connected| connected.map_err(anyhow::Error::from))
        .context("cannot reach the database")
}

/// The same, for statements that must not hold up anybody.
fn bounded(options: PgConnectOptions) -> PgConnectOptions {
    let limit = queue::admin::STATEMENT_TIMEOUT.as_millis().to_string();
    options.options([("statement_timeout", limit.as_str()), ("jit", "off")])
}

async fn list(conn: &mut PgConnection, args: ListArgs) -> anyhow::Result<()> {
    let (filter, output) = args.into_filter();
    let (at, messages) = ledger::look(conn, &filter).await?;
    output.print(&Listed { at, messages }, |listed| {
        report::list(&listed.messages, listed.at)
    })
}

async fn show(conn: &mut PgConnection, sid: &MessageSid, output: Output) -> anyhow::Result<()> {
    let shown = find(conn, sid).await?;
    let shown = shown.with_context(|| no_such_message(sid))?;
    output.print(&shown, report::show)
}

/// What to say when there is no such message.
pub(crate) fn no_such_message(sid: &MessageSid) -> String {
    format!("there is no message {sid}: it never reached the receiver, or its user was deleted")
}

/// What became of a message.
pub(crate) async fn find(
    conn: &mut PgConnection,
    sid: &MessageSid,
) -> Result<Option<Shown>, StoreError> {
    let filter = Filter {
        message_sid: Some(sid.to_string()),
        limit: 1,
        ..Filter::default()
    };
    let (at, messages) = ledger::look(conn, &filter).await?;
    let Some(message) = messages.into_iter().next() else {
        return Ok(None);
    };
    let review = match (message.user_id, message.items) {
        (Some(user), Some(1..)) => Some(review(conn, sid, user).await?),
        (Some(_) | None, Some(_) | None) => None,
    };
    let files = media::of_message(conn, sid.as_str()).await?;
    Ok(Some(Shown {
        at,
        message,
        media: files.into_iter().map(File::from).collect(),
        review,
    }))
}

async fn review(
    conn: &mut PgConnection,
    sid: &MessageSid,
    user: uuid::Uuid,
) -> Result<Review, StoreError> {
    let items = enrichment_items::of_message_and_user(conn, sid.as_str(), user).await?;
    let count =
        |of: fn(&enrichment_items::Reviewed) -> bool| items.iter().filter(|i| of(i)).count();
    Ok(Review {
        pending: count(|item| item.pending),
        accepted: count(|item| item.accepted),
        rejected: count(|item| !item.pending && !item.accepted),
    })
}
