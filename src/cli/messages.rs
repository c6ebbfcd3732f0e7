//! `messages`: shows what became of messages, and processes messages again. No command shows who
//! sent a message or what it says.

mod args;
mod database;
mod replay;
mod tables;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use sqlx::PgConnection;
use store::inbound_messages::message_history::{self, MessageHistory};
use twilio::MessageSid;

use super::output::OutputFormat;
use crate::{config::Env, presentation};
use args::{MessageListArgs, ReplayArgs};
use database::connect;

#[derive(Debug, Subcommand)]
pub(super) enum MessagesCommand {
    /// List messages, the newest first: when each came in, its state, and the state of the reply.
    List(MessageListArgs),
    /// Show what became of a message: each step with its time.
    Show {
        /// Twilio's id of the message: SM or MM and 32 hexadecimal digits.
        sid: MessageSid,
        #[command(flatten)]
        output: OutputFormat,
    },
    /// Process messages again with today's rules or model.
    ///
    /// For each message, one transaction replaces the items that the user has neither accepted nor
    /// rejected and that have not been applied. All other items stay as they are. Pigeonhole sends
    /// no reply.
    Replay(ReplayArgs),
}

/// Messages as they were at one time.
#[derive(Serialize)]
struct MessageList {
    at: DateTime<Utc>,
    messages: Vec<MessageHistory>,
}

pub(super) async fn run(env: &Env, command: MessagesCommand) -> anyhow::Result<()> {
    match command {
        MessagesCommand::List(args) => list(&mut connect(env).await?, args).await,
        MessagesCommand::Show { sid, output } => show(&mut connect(env).await?, &sid, output).await,
        MessagesCommand::Replay(args) => replay::run(env, args).await,
    }
}

async fn list(conn: &mut PgConnection, args: MessageListArgs) -> anyhow::Result<()> {
    let (filter, output) = args.into_filter();
    let (at, messages) = message_history::list(conn, &filter).await?;
    output.print(&MessageList { at, messages }, |list| {
        tables::list(&list.messages, list.at)
    })
}

async fn show(
    conn: &mut PgConnection,
    sid: &MessageSid,
    output: OutputFormat,
) -> anyhow::Result<()> {
    let details = presentation::messages::load(conn, sid).await?;
    let details = details.with_context(|| presentation::messages::no_such_message(sid))?;
    output.print(&details, tables::show)
}
